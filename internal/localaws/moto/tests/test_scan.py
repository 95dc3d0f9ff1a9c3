"""DynamoDB: what a scan answers."""

from __future__ import annotations

import unittest

from tests.service import client


class TestScan(unittest.TestCase):
    def test_a_count_has_no_items(self) -> None:
        dynamodb = client("dynamodb")
        dynamodb.create_table(
            TableName="scanned", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "n", "AttributeType": "N"}],
            KeySchema=[{"AttributeName": "n", "KeyType": "HASH"}],
        )
        for n in range(3):
            dynamodb.put_item(TableName="scanned", Item={"n": {"N": str(n)}})
        counted = dynamodb.scan(TableName="scanned", Select="COUNT")
        self.assertEqual((counted["Count"], counted["ScannedCount"], "Items" in counted), (3, 3, False))
        self.assertEqual(len(dynamodb.scan(TableName="scanned")["Items"]), 3)

    def test_items_are_what_was_put(self) -> None:
        dynamodb = client("dynamodb")
        dynamodb.create_table(
            TableName="typed", BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        )
        item = {"k": {"S": "ü"}, "n": {"N": "1.5"}, "no": {"NULL": True}, "yes": {"BOOL": True}, "words": {"SS": ["a"]},
                "map": {"M": {"list": {"L": [{"N": "1"}, {"M": {"deep": {"S": "x"}}}]}}}}
        for more in ({}, {"bytes": {"B": b"\0\xff"}, "in": {"M": {"a list": {"L": [{"B": b"b"}]}}}}):
            dynamodb.put_item(TableName="typed", Item=item | more)
            self.assertEqual(dynamodb.scan(TableName="typed")["Items"], [item | more])
        page = dynamodb.scan(TableName="typed", Limit=1, ReturnConsumedCapacity="TOTAL")
        self.assertEqual((page["Count"], page["ConsumedCapacity"]["TableName"]), (1, "typed"))
