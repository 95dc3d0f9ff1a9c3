"""ItemBatcher: which items are in which batch."""

from __future__ import annotations

import json
import unittest
from typing import Any

from stepfunctions import item_batcher


def batches(items: list[Any], most_items: int | None = None, most_bytes: int | None = None, batch_input: Any = None) -> list[list[Any]]:
    got = []
    for text, count in item_batcher.batches(items, most_items, most_bytes, batch_input):
        given = json.loads(text)
        assert len(given["Items"]) == count and given.get("BatchInput") == batch_input, text
        assert len(text.encode()) <= min(most_bytes or item_batcher.INPUT_LIMIT, item_batcher.INPUT_LIMIT), text
        got.append(given["Items"])
    return got


class TestItemBatcher(unittest.TestCase):
    def test_by_number(self) -> None:
        for items, most, want in (([], 2, []), ([1], 2, [[1]]), ([1, 2], 2, [[1, 2]]), ([1, 2, 3], 2, [[1, 2], [3]]), ([1, 2], 1, [[1], [2]])):
            with self.subTest(items=items, most=most):
                self.assertEqual(batches(items, most), want)

    def test_by_bytes(self) -> None:
        self.assertEqual(len('{"Items":["a","b"]}'), 19)
        self.assertEqual(batches(["a", "b", "c"], most_bytes=19), [["a", "b"], ["c"]])
        self.assertEqual(batches(["a", "b", "c"], most_bytes=18), [["a"], ["b"], ["c"]])
        self.assertEqual(batches(["a", "b", "c"], most_items=1, most_bytes=100), [["a"], ["b"], ["c"]])

    def test_bytes_are_those_of_utf8_and_of_the_batch_input(self) -> None:
        self.assertEqual(batches(["é", "b"], most_bytes=20), [["é", "b"]])
        self.assertEqual(batches(["é", "b"], most_bytes=19), [["é"], ["b"]])
        self.assertEqual(batches(["a", "b"], most_bytes=19 + len('"BatchInput":1,'), batch_input=1), [["a", "b"]])
        self.assertEqual(batches(["a", "b"], most_bytes=18 + len('"BatchInput":1,'), batch_input=1), [["a"], ["b"]])

    def test_a_batch_fits_into_the_input_of_an_execution(self) -> None:
        self.assertEqual([len(batch) for batch in batches(["x" * 100_000] * 5, 5)], [2, 2, 1])

    def test_an_item_that_fits_into_no_batch(self) -> None:
        self.assertRaisesRegex(item_batcher.TooLarge, "item 1 ", batches, ["a", "bbbbbb"], None, 19)
        self.assertRaises(item_batcher.TooLarge, list, item_batcher.single(["x" * item_batcher.INPUT_LIMIT]))
        self.assertEqual(list(item_batcher.single([{"a": 1}])), [('{"a":1}', 1)])
