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
