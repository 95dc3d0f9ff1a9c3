"""The children of a Map Run that have succeeded are on disk, and answer as before."""

from __future__ import annotations

import json
import time
import unittest
from typing import Any

from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from stepfunctions import archive
from tests import service


def machine(execution_type: str) -> dict[str, Any]:
    child = {"StartAt": "A", "States": {"A": {"Type": "Choice", "Choices": [{"Variable": "$.Items[0].bad", "IsPresent": True, "Next": "Bad"}], "Default": "B"},
                                        "B": {"Type": "Pass", "ResultPath": None, "OutputPath": "$.Items[0].n", "End": True}, "Bad": {"Type": "Fail", "Error": "Bad"}}}
    child["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": execution_type}
    return {"StartAt": "Map", "States": {"Map": {"Type": "Map", "ItemProcessor": child, "ItemBatcher": {"MaxItemsPerBatch": 1}, "ToleratedFailureCount": 1,
                                                 "Label": "M", "End": True}}}


class TestArchive(unittest.TestCase):
    def setUp(self) -> None:
        self.states = service.client("stepfunctions")

    def run_machine(self, execution_type: str) -> list[tuple[dict[str, Any], Any]]:
        """Returns the description of each child and its execution."""
        arn = self.states.create_state_machine(name=execution_type, definition=json.dumps(machine(execution_type)),
                                               roleArn="arn:aws:iam::123456789012:role/r")["stateMachineArn"]
        self.addCleanup(self.states.delete_state_machine, stateMachineArn=arn)
        items = [{"n": 1, "pad": "x" * 5000}, {"n": 2, "bad": True}]
        run = self.states.start_execution(stateMachineArn=arn, input=json.dumps(items))["executionArn"]
        deadline = time.monotonic() + 60
        while (ended := self.states.describe_execution(executionArn=run))["status"] == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(ended["status"], "SUCCEEDED", ended)
        map_run = self.states.list_map_runs(executionArn=run)["mapRuns"][0]["mapRunArn"]
        children = self.states.list_executions(mapRunArn=map_run)["executions"]
        backend = stepfunctions_parser_backends["123456789012"][service.REGION]
        described = [self.states.describe_execution(executionArn=one["executionArn"]) for one in children]
        self.assertEqual(sorted(json.loads(one["input"])["Items"][0]["n"] for one in described), [1, 2])
        return [(one, backend.describe_execution(one["executionArn"])) for one in described]

    def test_standard_children(self) -> None:
        for described, child in self.run_machine("STANDARD"):
            events = self.states.get_execution_history(executionArn=described["executionArn"])["events"]
            self.assertEqual(json.loads(events[0]["executionStartedEventDetails"]["input"]), json.loads(described["input"]))
            if described["status"] == "SUCCEEDED":
                self.assertEqual([event["type"] for event in events], ["ExecutionStarted", "ChoiceStateEntered", "ChoiceStateExited", "PassStateEntered",
                                                                       "PassStateExited", "ExecutionSucceeded"])
                self.assertEqual([event["id"] for event in events], [1, 2, 3, 4, 5, 6])
                self.assertEqual(described["output"], "1")
                reverse = self.states.get_execution_history(executionArn=described["executionArn"], reverseOrder=True, maxResults=1)["events"]
                self.assertEqual(reverse, events[-1:])
                self.assertIsNone(child.exec_worker.env)
                self.assertNotIn("x" * 100, repr(vars(child)))
                self.assertLess(child.archived[1], 2000)  # three times 5,000 bytes
            else:
                self.assertEqual(described["redriveStatus"], "REDRIVABLE")
                self.assertFalse(hasattr(child, "archived"))

    def test_express_children_have_no_history(self) -> None:
        for described, child in self.run_machine("EXPRESS"):
            if described["status"] == "SUCCEEDED":
                self.assertEqual(self.states.get_execution_history(executionArn=described["executionArn"])["events"], [])
                self.assertNotIn("x" * 100, repr(vars(child)))

    def test_places(self) -> None:
        kept = archive.Archive()
        places = [kept.add({"n": n, "text": "x" * n}) for n in range(50)]
        self.addCleanup(kept.file.close)
        self.assertEqual([kept.get(place)["n"] for place in places], list(range(50)))
