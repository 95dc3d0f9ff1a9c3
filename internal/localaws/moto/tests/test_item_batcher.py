"""ItemBatcher: which items are in which batch."""

from __future__ import annotations

import json
import types
import unittest
from typing import Any

from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from stepfunctions import item_batcher
from stepfunctions.map_runs import selected
from stepfunctions.payload_templates import number
from tests import service

setUpModule = service.port  # fills the gaps of moto

# An environment is asked for its context object only.
ENV = types.SimpleNamespace(states=types.SimpleNamespace(context_object=types.SimpleNamespace(
    context_object_data={"Execution": {"Name": "e"}})), next_state_name="Map", event_history_context=types.SimpleNamespace(source_event_id=1))


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


def inputs(declared: dict[str, Any] | None, given: Any, items: list[Any]) -> list[Any]:
    return [json.loads(text) for text, _ in item_batcher.child_inputs(ENV, declared, given, items)]


def error(call: Any, *arguments: Any, **named: Any) -> tuple[str, str]:
    """Returns name and cause of the error that a state fails with."""
    try:
        call(*arguments, **named)
    except FailureEventException as failure:
        return failure.extract_error_cause_pair()
    return "", ""


class TestFields(unittest.TestCase):
    """https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html"""

    def test_without_a_batcher_an_item_is_the_input(self) -> None:
        self.assertEqual(inputs(None, {}, [{"a": 1}, 2]), [{"a": 1}, 2])

    def test_paths(self) -> None:
        given = {"most": 2, "text": "2", "bytes": 19}
        for declared, want in (
            ({"MaxItemsPerBatch": 2}, [["a", "b"], ["c"]]), ({"MaxItemsPerBatchPath": "$.most"}, [["a", "b"], ["c"]]),
            ({"MaxItemsPerBatchPath": "$.text"}, [["a", "b"], ["c"]]), ({"MaxInputBytesPerBatchPath": "$.bytes"}, [["a", "b"], ["c"]]),
            ({"MaxItemsPerBatch": 1, "MaxInputBytesPerBatchPath": "$.bytes"}, [["a"], ["b"], ["c"]]),
            ({"MaxItemsPerBatchPath": "$.most", "MaxInputBytesPerBatch": 18}, [["a"], ["b"], ["c"]]),
        ):
            with self.subTest(declared):
                self.assertEqual([one["Items"] for one in inputs(declared, given, ["a", "b", "c"])], want)

    def test_paths_to_what_is_not_a_positive_integer(self) -> None:
        for value in (0, -1, 1.5, "x", "1.5", None, True, [1], {}):
            for field in ("MaxItemsPerBatchPath", "MaxInputBytesPerBatchPath"):
                with self.subTest(field, value=value):
                    name, cause = error(inputs, {field: "$.n"}, {"n": value}, ["a"])
                    self.assertEqual(name, "States.Runtime")
                    self.assertIn(f"The {field} field refers to value", cause)
        self.assertEqual(error(inputs, {"MaxItemsPerBatchPath": "$.missing"}, {}, ["a"])[0], "States.Runtime")

    def test_batch_input(self) -> None:
        declared = {"MaxItemsPerBatch": 2, "BatchInput": {"fixed": 1, "filled.$": "$.source.key", "run.$": "$$.Execution.Name", "deep": {"all.$": "$.source"}}}
        given = {"source": {"key": "k"}}
        filled = {"fixed": 1, "filled": "k", "run": "e", "deep": {"all": {"key": "k"}}}
        self.assertEqual(inputs(declared, given, [1, 2, 3]), [{"BatchInput": filled, "Items": [1, 2]}, {"BatchInput": filled, "Items": [3]}])

    def test_an_item_that_is_too_large(self) -> None:
        name, cause = error(inputs, {"MaxInputBytesPerBatch": 19}, {}, ["abcdefghij"])
        self.assertEqual(name, "States.DataLimitExceeded")
        self.assertIn("item 0", cause)

    def test_item_selector_fills_each_item_before_batching(self) -> None:
        template = {"index.$": "$$.Map.Item.Index", "record.$": "$$.Map.Item.Value", "from.$": "$$.Map.Item.Source", "of.$": "$.of"}
        items = selected(ENV, template, {"of": "run"}, iter([{"a": 1}, "b", None]), "S3://b/k")
        got = inputs({"MaxItemsPerBatch": 2}, {}, items)
        rows = [{"index": index, "record": value, "from": "S3://b/k", "of": "run"} for index, value in enumerate([{"a": 1}, "b", None])]
        self.assertEqual(got, [{"Items": rows[:2]}, {"Items": rows[2:]}])

    def test_bytes_count_what_item_selector_made(self) -> None:
        items = selected(ENV, {"v.$": "$$.Map.Item.Value", "more": "12345"}, {}, iter(["a", "b"]), "STATE_DATA")
        self.assertEqual(len(inputs({"MaxInputBytesPerBatch": 60}, {}, items)), 2)

    def test_max_items_path(self) -> None:
        self.assertEqual([number({"MaxItemsPath": "$.n"}, "MaxItems", ENV, {"n": value}, whole_from=0) for value in (0, 3, "3", 2.0)], [0, 3, 3, 2])
        for value in (-1, 1.5, "many", None):
            with self.subTest(value):
                self.assertEqual(error(number, {"MaxItemsPath": "$.n"}, "MaxItems", ENV, {"n": value}, whole_from=0)[0], "States.Runtime")
