"""Numbers keep all their digits where states only pass them on."""

from __future__ import annotations

import copy
import io
import json
import time
import unittest
from typing import Any

import clients
from patching import replace_in_engine
from stepfunctions import exact_json, jsonata
from stepfunctions.engine import copy_json
from stepfunctions.exact_json import ExactNumber, to_json
from tests import service

KEPT = ["12345678901234567890123456789012345678", "123456789012345678901234567890123456789", "-1234567890123456789012345.6789012345678",
        "0.1000000000000000055511151231257827021181583404541015625", "1.2345678901234567890E-120", "1e400", "-1E-999", "9007199254740993.0"]
PLAIN = ["0", "-7", "12.5", "1.5e-7", "0.1", "1E5", "1e22", "9007199254740992.0", "123456789.123456"]
MACHINE = {"StartAt": "Select", "States": {
    "Select": {"Type": "Pass", "Parameters": {"n.$": "$.n", "text.$": "States.JsonToString($.n)", "format.$": "States.Format('{}', $.n[2])",
                                              "back.$": "States.StringToJson($.text)", "array.$": "States.Array($.n[0])"}, "Next": "Rearrange"},
    "Rearrange": {"Type": "Pass", "QueryLanguage": "JSONata", "Output": {"same": "{% $states.input %}", "one": "{% $states.input.n[7] %}",
                                                                       "text": "{% $string($states.input.n) %}"}, "Next": "Invoke"},
    "Invoke": {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": "f", "Payload.$": "$"},
               "OutputPath": "$.Payload", "Next": "Send"},
    "Send": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": {"QueueUrl": "q", "MessageBody.$": "$.same.n"},
             "ResultPath": None, "Next": "Map"},
    "Map": {"Type": "Map", "ItemsPath": "$.same.n", "ItemProcessor": {"StartAt": "Item", "States": {"Item": {"Type": "Pass", "End": True}}},
            "ResultPath": "$.mapped", "End": True}}}


class Client:
    """A function that answers its payload, and a queue."""

    def __init__(self) -> None:
        self.payloads, self.sent, self.meta = [], [], service.client("sqs").meta

    def invoke(self, Payload: Any, **_: Any) -> dict[str, Any]:
        self.payloads.append(Payload if isinstance(Payload, str) else Payload.decode())
        return {"StatusCode": 200, "Payload": io.BytesIO(self.payloads[-1].encode()), "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}}

    def send_message(self, MessageBody: str, **_: Any) -> dict[str, Any]:
        self.sent.append(MessageBody)
        return {"MessageId": "id", "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}}}


class TestNumbers(unittest.TestCase):
    def setUp(self) -> None:
        service.port()

    def test_written_as_they_were_read(self) -> None:
        for text in KEPT:
            for value in (f"[{text}]", f'{{"a":[1,{{"b":{text}}}],"c":"{text}"}}', text):
                with self.subTest(value):
                    read = json.loads(value)
                    self.assertEqual(to_json(read), value)
                    self.assertEqual(to_json(copy_json(read)), value)
                    self.assertEqual(to_json(copy.deepcopy(read)), value)

    def test_what_a_double_holds_stays_a_double(self) -> None:
        for text in PLAIN:
            with self.subTest(text):
                self.assertIn(type(json.loads(text)), (int, float))
                self.assertEqual(json.loads(to_json(json.loads(text))), float(text))

    def test_an_exact_number_is_a_number(self) -> None:
        number = json.loads("12345678901234567890.5")
        self.assertIs(type(number), ExactNumber)
        self.assertTrue(number > 1 and number == 12345678901234567890.5 and not number == 1)
        self.assertEqual(jsonata.kind(number), "number")
        self.assertEqual(jsonata.evaluate("$states.input + 0 > 12345678901234567000", {"$states": {"input": number}}), True)

    def test_texts_that_look_like_the_marks_stay(self) -> None:
        value = {"n": json.loads(KEPT[2]), "t": 'a"b\\u0000', "m": '"'}
        self.assertEqual(json.loads(to_json(value))["t"], value["t"])

    def test_an_integer_of_many_digits(self) -> None:
        self.assertEqual(to_json(json.loads("7" * 20_000)), "7" * 20_000)

    def test_through_an_execution(self) -> None:
        states, fake = service.client("stepfunctions"), Client()
        arn = states.create_state_machine(name="exact", definition=json.dumps(MACHINE), roleArn="arn:aws:iam::123456789012:role/r")["stateMachineArn"]
        self.addCleanup(states.delete_state_machine, stateMachineArn=arn)
        replace_in_engine("boto_client_for", lambda *_, **__: fake)
        self.addCleanup(replace_in_engine, "boto_client_for", clients.engine_client)
        numbers = f"[{','.join(KEPT)}]"
        run = states.start_execution(stateMachineArn=arn, input=f'{{"n":{numbers},"text":{json.dumps(numbers)}}}')["executionArn"]
        deadline = time.monotonic() + 60
        while (ended := states.describe_execution(executionArn=run))["status"] == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(ended["status"], "SUCCEEDED", ended)
        selected = f'{{"n":{numbers},"text":{json.dumps(numbers)},"format":"{KEPT[2]}","back":{numbers},"array":[{KEPT[0]}]}}'
        payload = f'{{"same":{selected},"one":{KEPT[7]},"text":{json.dumps(numbers)}}}'
        self.assertEqual(fake.payloads, [payload])
        self.assertEqual(fake.sent, [numbers])
        self.assertEqual(ended["output"], payload[:-1] + f',"mapped":{numbers}}}')
        history = states.get_execution_history(executionArn=run, maxResults=1000)["events"]
        self.assertIn(payload, [event.get("taskScheduledEventDetails", {}).get("parameters", "")[len('{"FunctionName":"f","Payload":'):-1] for event in history])

    def test_unless_there_was_one_nothing_is_searched(self) -> None:
        seen = exact_json.seen
        self.addCleanup(setattr, exact_json, "seen", seen)
        exact_json.seen = False
        json.loads(f"[{','.join(PLAIN)}]")
        self.assertFalse(exact_json.seen)
