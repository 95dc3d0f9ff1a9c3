"""DynamoDB: numbers, keys, sets, sizes, and sums, by the short cut and by moto."""

from __future__ import annotations

import unittest
from typing import Any

from dynamodb import values
from moto.dynamodb.exceptions import MockValidationException
from tests.service import client, refusal

UPDATE = "SET a = :a"


class TestNumbers(unittest.TestCase):
    def test_normal_form(self) -> None:
        for text, want in (
            ("9.0001E5", "900010"), ("0", "0"), ("-0", "0"), ("0.0", "0"), ("007", "7"), ("1.50", "1.5"), ("+3", "3"), (".5", "0.5"), ("5.", "5"),
            ("-1e-3", "-0.001"), ("100", "100"), ("1E125", "1" + "0" * 125), ("1E-130", "0." + "0" * 129 + "1"), ("9" * 38, "9" * 38),
            ("1" + "0" * 60, "1" + "0" * 60),
        ):
            with self.subTest(text):
                self.assertEqual(values.normal_number(text), want)

    def test_what_is_refused(self) -> None:
        for text, message in (
            ("abc", "numeric value: abc"), ("", "numeric value"), ("1 ", "numeric"), ("0x1", "numeric"), ("NaN", "numeric"), ("Infinity", "numeric"),
            ("1_0", "numeric"), ("٣", "numeric"), ("9" * 39, "38 significant digits"), ("1E126", "overflow"), ("-1E126", "overflow"), ("1E-131", "underflow"),
        ):
            with self.subTest(text), self.assertRaisesRegex(MockValidationException, message):
                values.normal_number(text)


class TestTable(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.db = client("dynamodb")
        cls.db.create_table(
            TableName="t", BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "h", "KeyType": "HASH"}, {"AttributeName": "r", "KeyType": "RANGE"}],
            AttributeDefinitions=[{"AttributeName": "h", "AttributeType": "N"}, {"AttributeName": "r", "AttributeType": "S"}])

    def key(self, h: str = "1", r: str = "") -> dict[str, Any]:
        return {"h": {"N": h}, "r": {"S": r or self.id().rpartition(".")[2]}}

    def update(self, value: Any, expression: str = UPDATE, key: dict[str, Any] | None = None, **more: Any) -> tuple[str, str]:
        return refusal(self.db.update_item, TableName="t", Key=key or self.key(), UpdateExpression=expression, ExpressionAttributeValues={":a": value}, **more)

    def item(self) -> dict[str, Any]:
        return self.db.get_item(TableName="t", Key=self.key()).get("Item", {})

    def ways(self, value: Any) -> list[tuple[str, str]]:
        """Returns how a put and updates in both ways refuse a value."""
        put = refusal(self.db.put_item, TableName="t", Item=dict(self.key(), a=value))
        return [put, self.update(value), self.update(value, ReturnValues="ALL_NEW"), self.update(value, "SET #a = :a", ExpressionAttributeNames={"#a": "a"})]

    def test_numbers_are_kept_in_their_normal_form(self) -> None:
        for number in ("9.0001E5", "0900010", "900010.0"):
            self.assertEqual(self.ways({"N": number}), [("", "")] * 4)
            self.assertEqual(self.item()["a"], {"N": "900010"})

    def test_values_that_are_wrong_are_refused(self) -> None:
        for value, message in (
            ({"N": "abc"}, "numeric value: abc"), ({"N": "1" * 39}, "38 significant digits"), ({"N": "1E126"}, "overflow"),
            ({"M": {"x": {"L": [{"N": "x"}]}}}, "numeric value: x"), ({"NS": ["1", "1.0"]}, "duplicates"), ({"SS": ["a", "a"]}, "duplicates"),
            ({"SS": []}, "may not be empty"), ({"NULL": False}, "must have the value of true"), ({}, "is empty"),
            ({"S": "a", "N": "1"}, "more than one"), ({"S": "x" * 500_000}, "maximum allowed size"),
        ):
            for code, said in self.ways(value):
                with self.subTest(str(value)[:30]):
                    self.assertEqual(code, "ValidationException")
                    self.assertIn(message, said)
        self.assertEqual({code for code, _ in self.ways({"N": 5})}, {"SerializationException"})
        self.assertEqual(self.item(), {})

    def test_empty_texts_are_values_but_not_keys(self) -> None:
        self.assertEqual(self.ways({"S": ""}), [("", "")] * 4)
        self.assertEqual(self.item()["a"], {"S": ""})

    def test_keys(self) -> None:
        for key, message in (
            ({"h": {"N": "x7"}, "r": {"S": "r"}}, "numeric value: x7"), ({"h": {"S": "1"}, "r": {"S": "r"}}, "does not match the schema"),
            ({"h": {"N": "1"}}, "does not match the schema"), ({"h": {"N": "1"}, "r": {"S": "r"}, "z": {"S": "z"}}, "does not match the schema"),
            ({"h": {"N": "1"}, "r": {"S": ""}}, "empty string value. Key: r"), ({"h": {"N": "1"}, "r": {"S": "x" * 1025}}, "rangekey has exceeded"),
        ):
            for call in (self.db.get_item, self.db.delete_item):
                with self.subTest(key, call=call.__name__):
                    code, said = refusal(call, TableName="t", Key=key)
                    self.assertEqual(code, "ValidationException")
                    self.assertIn(message, said)
            with self.subTest(key):
                self.assertIn(message, self.update({"S": "v"}, key=key)[1])
        self.assertIn("Type mismatch", refusal(self.db.put_item, TableName="t", Item={"h": {"S": "1"}, "r": {"S": "r"}})[1])

    def test_a_number_is_the_same_key_however_it_is_written(self) -> None:
        self.update({"S": "v"}, key=self.key("12e1"))
        self.update({"S": "w"}, key=self.key("120"))
        self.assertEqual(self.db.get_item(TableName="t", Key=self.key("120.0"))["Item"], dict(self.key("120"), a={"S": "w"}))

    def test_sums_are_exact(self) -> None:
        for start, expression, value, want in (
            ("0.3", "SET a = a - :a", "0.1", "0.2"), ("1" + "0" * 36, "SET a = a + :a", "1", "1" + "0" * 35 + "1"), ("1e2", "ADD a :a", "1", "101"),
        ):
            self.update({"N": start})
            self.assertEqual(self.update({"N": value}, expression), ("", ""))
            self.assertEqual(self.item()["a"], {"N": want})
        self.update({"N": "9" * 38})
        self.assertIn("38 significant digits", self.update({"N": "0.1"}, "SET a = a + :a")[1])
        self.assertEqual(self.item()["a"], {"N": "9" * 38})

    def test_an_item_has_at_most_400_KB(self) -> None:
        rest = len("hra") + 2 + len(self.key()["r"]["S"])
        for text, fits in (("x" * (409_600 - rest), True), ("x" * (409_600 - rest + 1), False), ("é" * 204_900, False)):
            for code, _ in self.ways({"S": text}):
                with self.subTest(text[:1], fits=fits):
                    self.assertEqual(code, "" if fits else "ValidationException")
            self.db.delete_item(TableName="t", Key=self.key())

    def test_an_update_that_makes_an_item_too_large_changes_nothing(self) -> None:
        self.db.put_item(TableName="t", Item=dict(self.key(), b={"S": "x" * 400_000}, c={"S": "old"}))
        for expression in ("SET c = :a, a = :a", "SET c = :a, a = if_not_exists(b, :a)"):
            self.assertIn("maximum allowed size", self.update({"S": "y" * 20_000}, expression)[1])
            self.assertEqual((self.item()["c"], "a" in self.item()), ({"S": "old"}, False))

    def test_names_and_values_of_expressions(self) -> None:
        for more, message in (
            ({"UpdateExpression": "SET a = :b"}, "attribute value: :b"), ({"UpdateExpression": "SET #n = :a"}, "attribute name"),
            ({"UpdateExpression": "SET a = :a", "ConditionExpression": "attribute_exists(#n)"}, "#n"),
            ({"UpdateExpression": "SET a = :a", "ExpressionAttributeNames": {"#n": "n"}}, "unused"),
            ({"UpdateExpression": "SET a = :a", "ExpressionAttributeValues": {":a": {"S": "v"}, ":b": {"S": "v"}}}, "unused"),
            ({"UpdateExpression": "SET a = :a", "ExpressionAttributeNames": {"n": "n"}}, "invalid key"),
            ({"UpdateExpression": "SET a = :a" + " " * 4096}, "maximum allowed size"),
        ):
            with self.subTest(more):
                code, said = refusal(self.db.update_item, **dict({"TableName": "t", "Key": self.key(), "ExpressionAttributeValues": {":a": {"S": "v"}}}, **more))
                self.assertEqual(code, "ValidationException")
                self.assertIn(message, said)

    def test_batches_and_transactions(self) -> None:
        bad = dict(self.key(), a={"N": "x"})
        for call, parameters in (
            (self.db.batch_write_item, {"RequestItems": {"t": [{"PutRequest": {"Item": bad}}]}}),
            (self.db.transact_write_items, {"TransactItems": [{"Put": {"TableName": "t", "Item": bad}}]}),
            (self.db.batch_get_item, {"RequestItems": {"t": {"Keys": [{"h": {"N": "x"}, "r": {"S": "r"}}]}}}),
            (self.db.query, {"TableName": "t", "KeyConditionExpression": "h = :h", "ExpressionAttributeValues": {":h": {"N": "x"}}}),
        ):
            with self.subTest(call.__name__):
                code, said = refusal(call, **parameters)
                self.assertIn("ValidationException", code)
                self.assertIn("numeric value: x", said)
        self.update({"N": "5"}, key=self.key("77"))
        found = self.db.query(TableName="t", KeyConditionExpression="h = :h", ExpressionAttributeValues={":h": {"N": "7.7E1"}})
        self.assertEqual(found["Count"], 1)
