"""What an execution answers while it ends."""

from __future__ import annotations

import json
import threading
import unittest
from typing import Any
from unittest import mock

from moto.stepfunctions.parser.backend.execution import Execution
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from tests import service


class TestDescribe(unittest.TestCase):
    def test_an_execution_that_ends_meanwhile_has_an_output(self) -> None:
        states = service.client("stepfunctions")
        wait = {"StartAt": "W", "States": {"W": {"Type": "Wait", "Seconds": 1, "End": True}}}
        machine = states.create_state_machine(name="described", definition=json.dumps(wait), roleArn="arn:aws:iam::123456789012:role/r")["stateMachineArn"]
        self.addCleanup(states.delete_state_machine, stateMachineArn=machine)
        arn = states.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
        execution = stepfunctions_parser_backends["123456789012"][service.REGION].describe_execution(arn)
        ended, describe = threading.Event(), Execution.to_describe_output
        execution.on_end = lambda _: ended.set()

        def slowly(self: Execution) -> dict[str, Any]:
            described = describe(self)
            ended.wait(3)  # the execution takes one second
            return described
        with mock.patch.object(Execution, "to_describe_output", slowly):
            self.assertEqual(states.describe_execution(executionArn=arn)["status"], "RUNNING")
        self.assertTrue(ended.wait(10))
        described = states.describe_execution(executionArn=arn)
        self.assertEqual((described["status"], described["output"]), ("SUCCEEDED", "{}"))
