"""DynamoDB: which updates are plain enough to be done at once."""

from __future__ import annotations

import unittest

from dynamodb import update_item


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
