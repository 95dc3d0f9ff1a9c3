"""Distributed Map: how many children run at once, and what failures, tolerated failures and a redrive do."""

from __future__ import annotations

import types
import unittest
from typing import Any

from moto.stepfunctions.parser.api import ExecutionStatus
from stepfunctions import map_runs


class MapRun(map_runs.MapRun):
    """Its children end at once, as `failing` says; `started` are their indexes."""

    def __init__(self, items: list[int], execution_type: str = "STANDARD", known: bool = True, size: int = 1) -> None:
        processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": execution_type}, "StartAt": "A"}
        machine = types.SimpleNamespace(arn="arn:aws:states:r:1:stateMachine:m")
        declared = {"ItemProcessor": processor, "Label": "L"}
        super().__init__(types.SimpleNamespace(state_machine=machine, exec_arn="e"), "M", declared, len(items) if known else None)
        self.inputs = [(str(item), size) for item in items]
        self.started: list[int] = []
        self.most_at_once = 0
        self.failing: set[int] = set()

    def start_child(self, index: int, given: str) -> None:
        child = self.children[index] = types.SimpleNamespace(exec_status=ExecutionStatus.RUNNING, output=given, execution_input=given)
        self.started.append(index)
        self.most_at_once = max(self.most_at_once, self.running)
        child.exec_status = ExecutionStatus.FAILED if index in self.failing else ExecutionStatus.SUCCEEDED
        self.child_ended(index, child)

    def stop(self) -> None:
        self.stopped = True

    def run(self, goes_on: bool = True) -> bool:
        return self.execute(lambda: goes_on, self.to_run(iter(self.inputs)))


class TestMapRun(unittest.TestCase):
    def test_every_item_has_a_child(self) -> None:
        run = MapRun([10, 20, 30])
        run.max_concurrency = 1
        self.assertTrue(run.run())
        self.assertEqual(([child.output for child in run.in_order()], run.most_at_once), (["10", "20", "30"], 1))
        self.assertEqual((run.counts()["total"], run.counts()["succeeded"], run.counts()["pending"]), (3, 3, 0))

    def test_a_failure_stops_the_rest_and_a_redrive_goes_on_with_it(self) -> None:
        for execution_type in ("STANDARD", "EXPRESS"):
            with self.subTest(execution_type):
                run = MapRun([10, 20, 30], execution_type)
                run.failing = {1}
                self.assertFalse(run.run())
                self.assertEqual((run.started, run.counts()["failed"], run.counts()["pending"]), ([0, 1], 1, 1))
                self.assertEqual(run.left_out, [(2, "30", 1)])
                run.failing, run.started = set(), []
                self.assertTrue(run.run())
                self.assertEqual(run.started, [1, 2])

    def test_a_stopped_parent_starts_nothing(self) -> None:
        run = MapRun([10])
        self.assertFalse(run.run(goes_on=False))
        self.assertEqual(run.started, [])

    def test_the_type_of_its_children(self) -> None:
        self.assertEqual([MapRun([], kind).express for kind in ("STANDARD", "EXPRESS")], [False, True])

    def test_tolerated_failures(self) -> None:
        for tolerated, failing, want in (
            ({}, 0, True), ({}, 1, False), ({"count": 0}, 1, False), ({"count": 1}, 1, True), ({"count": 1}, 2, False),
            ({"percentage": 20}, 2, True), ({"percentage": 20}, 3, False), ({"percentage": 19.9}, 2, False), ({"percentage": 100}, 10, True),
            ({"count": 5, "percentage": 10}, 2, False), ({"count": 1, "percentage": 90}, 2, False), ({"count": 2, "percentage": 20}, 2, True),
        ):
            for known in (True, False):
                with self.subTest(tolerated=tolerated, failing=failing, known=known):
                    run = MapRun(list(range(10)), known=known)
                    run.failing = set(range(failing))
                    run.tolerated_count, run.tolerated_percentage = tolerated.get("count"), tolerated.get("percentage")
                    self.assertIs(run.run(), want)

    def test_a_share_counts_only_when_the_total_is_known(self) -> None:
        run = MapRun(list(range(10)), known=False)
        run.failing, run.tolerated_percentage = {0}, 10
        self.assertTrue(run.run())

    def test_all_items_of_a_batch_that_fails_have_failed(self) -> None:
        for count, want in ((3, False), (4, True)):
            with self.subTest(count):
                run = MapRun([1, 2, 3], known=False, size=4)
                run.failing, run.tolerated_count = {1}, count
                self.assertIs(run.run(), want)
                counts: dict[str, Any] = run.counts(run.items)
                self.assertEqual((counts["failed"], run.counts()["failed"]), (4, 1))
