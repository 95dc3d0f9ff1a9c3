"""Distributed Map: how many children run at once, and what a failure and a redrive do."""

from __future__ import annotations

import json
import types
import unittest

from moto.stepfunctions.parser.api import ExecutionStatus
from stepfunctions import map_runs


class MapRun(map_runs.MapRun):
    """Its children end as `outcomes` say, when `end` is called; `started` are their indexes."""

    def __init__(self, items: list[int], execution_type: str = "STANDARD") -> None:
        processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": execution_type}, "StartAt": "A"}
        machine = types.SimpleNamespace(definition=json.dumps({"States": {"M": {"ItemProcessor": processor, "Label": "L"}}}), arn="arn:aws:states:r:1:stateMachine:m")
        super().__init__(types.SimpleNamespace(state_machine=machine, exec_arn="e"), "M", items)
        self.started: list[int] = []
        self.most_at_once = 0
        self.failing: set[int] = set()

    def start_child(self, index: int, given: int) -> None:
        child = self.children[index] = types.SimpleNamespace(exec_status=ExecutionStatus.RUNNING, output=given)
        self.started.append(index)
        self.most_at_once = max(self.most_at_once, self.running)
        child.exec_status = ExecutionStatus.FAILED if index in self.failing else ExecutionStatus.SUCCEEDED
        self.child_ended(child)

    def stop(self) -> None:
        self.stopped = True


ENV = types.SimpleNamespace(is_running=lambda: True)


class TestMapRun(unittest.TestCase):
    def test_every_item_has_a_child(self) -> None:
        run = MapRun([10, 20, 30])
        run.max_concurrency = 1
        self.assertTrue(run.execute(ENV, None))
        self.assertEqual(([run.children[i].output for i in range(3)], run.most_at_once), ([10, 20, 30], 1))
        self.assertEqual((run.counts()["total"], run.counts()["succeeded"], run.counts()["pending"]), (3, 3, 0))

    def test_a_failure_stops_the_rest_and_a_redrive_goes_on_with_it(self) -> None:
        run = MapRun([10, 20, 30])
        run.failing = {1}
        self.assertFalse(run.execute(ENV, None))
        self.assertEqual((run.started, run.counts()["failed"], run.counts()["pending"]), ([0, 1], 1, 1))
        run.failing, run.started = set(), []
        self.assertTrue(run.execute(ENV, None))
        self.assertEqual(run.started, [1, 2])

    def test_a_stopped_parent_starts_nothing(self) -> None:
        run = MapRun([10])
        self.assertFalse(run.execute(types.SimpleNamespace(is_running=lambda: False), None))
        self.assertEqual(run.started, [])

    def test_the_type_of_its_children(self) -> None:
        self.assertEqual([MapRun([], kind).express for kind in ("STANDARD", "EXPRESS")], [False, True])
