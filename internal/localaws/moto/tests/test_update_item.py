"""DynamoDB: which updates are plain enough to be done at once."""

from __future__ import annotations

import json
import unittest
from typing import Any

import clients
from dynamodb import update_item
from moto.dynamodb.models import dynamodb_backends
from tests.service import REGION, client, refusal


KEY = {"id": {"N": "1"}, "of": {"S": "r"}}


class TestPlain(unittest.TestCase):
    def test_sets_and_conditions(self) -> None:
        sets, holds, used = update_item.plain("SET a = :a, b = if_not_exists(b, :b)", "attribute_not_exists(c) OR c = :c")
        self.assertEqual(sets, [("a", None, ":a"), ("b", "b", ":b")])
        self.assertEqual(holds, [("c", None, None), (None, "c", ":c")])
        self.assertEqual(used, {":a", ":b", ":c"})

    def test_anything_else_is_left_to_moto(self) -> None:
        for update, condition in (
            ("ADD a :a", ""), ("SET a = a + :a", ""), ("SET a = :a, a = :b", ""), ("SET name = :a", ""), ("SET #a = :a", ""),
            ("SET a = :a REMOVE b", ""), ("SET a = :a ", ""), ("SET a = :a", "attribute_exists(a)"), ("SET a = :a", "a = :a AND b = :b"),
        ):
            with self.subTest(update=update, condition=condition):
                self.assertIsNone(update_item.plain(update, condition))

    def test_plain_values(self) -> None:
        for value in ({"S": ""}, {"S": "x"}, {"N": "0"}, {"N": "70"}, {"N": "9" * 37}):
            with self.subTest(value):
                self.assertTrue(update_item.is_plain(value))
        for value in ({"N": "9" * 38}, {"N": "-0"}, {"N": "07"}, {"N": "1.0"}, {"N": "1E5"}, {"N": "-7"}, {"N": "٣"}, {"N": ""}, {"N": 5}, {"S": 5}, {}, {"S": "x", "N": "1"},
                      {"BOOL": True}, {"SS": ["a"]}):
            with self.subTest(value):
                self.assertFalse(update_item.is_plain(value))

    def test_names(self) -> None:
        sets, holds, _ = update_item.plain("SET #s = :a, b = if_not_exists(#n, :b)", "attribute_not_exists(#s)", (("#s", "source"), ("#n", "a.b")))
        self.assertEqual(sets, [("source", None, ":a"), ("b", "a.b", ":b")])
        self.assertEqual(holds, [("source", None, None)])
        for update, names in (("SET #s = :a", ()), ("SET a = :a", (("#s", "source"),)), ("SET #s = :a, a = :b", (("#s", "a"),))):
            with self.subTest(update=update, names=names):
                self.assertIsNone(update_item.plain(update, "", names))


class TestPayload(unittest.TestCase):
    """A map that is set as the functions set a payload reads as if moto had done it."""

    PAYLOAD = {"M": {"text": {"S": "ü\n\u0000"}, "word": {"S": ""}, "long": {"N": "12345678901234567890123456789012345678"}, "part": {"N": "1.50E-3"},
                     "yes": {"BOOL": True}, "none": {"NULL": True}, "list": {"L": [{"N": "-7"}, {"M": {}}, {"S": "x"}]}}}
    STORED = {"M": PAYLOAD["M"] | {"part": {"N": "0.0015"}}}

    def setUp(self) -> None:
        self.dynamodb = client("dynamodb")
        self.dynamodb.create_table(TableName="packed", BillingMode="PAY_PER_REQUEST",
                                   KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "of", "KeyType": "RANGE"}],
                                   AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "N"}, {"AttributeName": "of", "AttributeType": "S"}])
        self.addCleanup(self.dynamodb.delete_table, TableName="packed")

    def request(self, payload: dict[str, Any], update: str = "SET #p = :p, a = :a") -> dict[str, Any]:
        return {"TableName": "packed", "Key": KEY, "UpdateExpression": update, "ExpressionAttributeNames": {"#p": "payload"},
                "ExpressionAttributeValues": {":p": payload, ":a": {"N": "5"}}}

    def kept(self) -> Any:
        table = dynamodb_backends[clients.ACCOUNT_ID][REGION].tables["packed"]
        return next(iter(table.all_items())).attrs["payload"]

    def item(self) -> dict[str, Any]:
        return self.dynamodb.get_item(TableName="packed", Key=KEY)["Item"]

    def test_it_is_packed(self) -> None:
        answer = self.dynamodb.update_item(**self.request(self.PAYLOAD))
        self.assertEqual(answer["ResponseMetadata"]["HTTPHeaders"].get("x-carnation-at-once"), "true")
        want = KEY | {"a": {"N": "5"}, "payload": self.STORED}
        self.assertEqual(self.dynamodb.scan(TableName="packed")["Items"], [want])
        self.assertIsNotNone(self.kept().packed)
        self.assertEqual(self.item(), want)

    def test_other_calls_see_its_parts(self) -> None:
        self.dynamodb.update_item(**self.request(self.PAYLOAD))
        projected = self.dynamodb.get_item(TableName="packed", Key=KEY, ProjectionExpression="payload.#t",
                                           ExpressionAttributeNames={"#t": "text"})["Item"]
        self.assertEqual(projected, {"payload": {"M": {"text": self.PAYLOAD["M"]["text"]}}})
        found = self.dynamodb.scan(TableName="packed", FilterExpression="payload.yes = :y", ExpressionAttributeValues={":y": {"BOOL": True}})
        self.assertEqual(found["Count"], 1)
        self.dynamodb.update_item(TableName="packed", Key=KEY, UpdateExpression="SET payload.word = :x",
                                  ExpressionAttributeValues={":x": {"S": "full"}})
        self.assertEqual(self.item()["payload"], {"M": self.STORED["M"] | {"word": {"S": "full"}}})
        self.dynamodb.update_item(**self.request(self.PAYLOAD))
        self.assertEqual(self.item()["payload"], self.STORED)

    def test_refusals(self) -> None:
        for payload, message in (
            ({"M": {"a": {"N": "1" * 39}}}, "Attempting to store more than 38 significant digits in a Number"),
            ({"M": {"a": {"N": "1E126"}}}, "Number overflow. Attempting to store a number with magnitude larger than supported range"),
            (json.loads('{"M":{"a":' * 32 + '{"M":{}}' + "}}" * 32), "Nesting Levels have exceeded supported limits"),
            ({"M": {"a": {}}}, "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"),
        ):
            with self.subTest(message):
                self.assertEqual(refusal(self.dynamodb.update_item, **self.request(payload)), ("ValidationException", message))
        large = refusal(self.dynamodb.update_item, **self.request({"M": {"a": {"S": "x" * 410_000}}}))
        self.assertEqual(large, ("ValidationException", "Item size to update has exceeded the maximum allowed size"))
        self.assertEqual(self.dynamodb.scan(TableName="packed")["Items"], [])
