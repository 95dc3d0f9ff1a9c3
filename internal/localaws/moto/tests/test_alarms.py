"""CloudWatch: states and history of alarms, what their topics get, and the protocol of the SDK for Go."""

from __future__ import annotations

import http.client
import json
import unittest
from typing import Any

from cloudwatch import cbor
from tests.service import REGION, client, port, refusal

ALARM = {"Namespace": "N", "MetricName": "M", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0,
         "ComparisonOperator": "GreaterThanThreshold"}


def topic_with_queue(name: str) -> tuple[str, str]:
    """Returns the ARN of a topic and the URL of the queue that it delivers to."""
    topic = client("sns").create_topic(Name=name)["TopicArn"]
    queue = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:{name}")
    return topic, queue


def received(queue: str) -> list[dict[str, Any]]:
    found = client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages", [])
    return [json.loads(one["Body"]) for one in found]


class TestAlarms(unittest.TestCase):
    def setUp(self) -> None:
        self.cloudwatch, self.name = client("cloudwatch"), self.id().rpartition(".")[2]

    def history(self, **wanted: Any) -> list[dict[str, Any]]:
        return self.cloudwatch.describe_alarm_history(AlarmName=self.name, **wanted)["AlarmHistoryItems"]

    def state(self) -> str:
        return self.cloudwatch.describe_alarms(AlarmNames=[self.name])["MetricAlarms"][0]["StateValue"]

    def set(self, state: str, **more: Any) -> None:
        self.cloudwatch.set_alarm_state(AlarmName=self.name, StateValue=state, StateReason="a test", **more)

    def test_a_change_of_state_is_recorded_and_published(self) -> None:
        topic, queue = topic_with_queue(self.name)
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, AlarmActions=[topic], **ALARM)
        self.assertEqual(self.state(), "INSUFFICIENT_DATA")
        self.set("ALARM", StateReasonData='{"a":1}')
        self.set("ALARM")  # no change, so no action
        self.set("OK")  # has no action
        got = received(queue)
        self.assertEqual([one["Subject"] for one in got], [f'ALARM: "{self.name}" in EU (Zurich)'])
        said = json.loads(got[0]["Message"])
        self.assertEqual([said[n] for n in ("AlarmName", "NewStateValue", "OldStateValue", "NewStateReason")],
                         [self.name, "ALARM", "INSUFFICIENT_DATA", "a test"])
        self.assertEqual(said["Trigger"]["Statistic"], "SUM")
        self.assertEqual([(one["HistoryItemType"], one["HistorySummary"]) for one in self.history(ScanBy="TimestampAscending")], [
            ("ConfigurationUpdate", f'Alarm "{self.name}" created'),
            ("StateUpdate", "Alarm updated from INSUFFICIENT_DATA to ALARM"),
            ("Action", f"Successfully executed action {topic}"),
            ("StateUpdate", "Alarm updated from ALARM to OK"),
        ])
        data = json.loads(self.history(HistoryItemType="StateUpdate")[1]["HistoryData"])
        self.assertEqual(data["newState"], {"stateValue": "ALARM", "stateReason": "a test", "stateReasonData": {"a": 1}})

    def test_an_action_that_fails_is_recorded(self) -> None:
        topic = f"arn:aws:sns:{REGION}:123456789012:gone"
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, AlarmActions=[topic, f"arn:aws:lambda:{REGION}:123456789012:function:f"], **ALARM)
        self.set("ALARM")
        data = [json.loads(one["HistoryData"]) for one in self.history(HistoryItemType="Action", ScanBy="TimestampAscending")]
        self.assertEqual([(one["actionState"], one["error"]) for one in data],
                         [("Failed", "Topic does not exist"), ("Failed", "local AWS publishes to SNS topics only")])

    def test_an_update_keeps_the_state(self) -> None:
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, **ALARM)
        self.set("ALARM")
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, **ALARM)
        self.assertEqual(self.state(), "ALARM")

    def test_disabled_actions_are_not_taken(self) -> None:
        topic, queue = topic_with_queue(self.name)
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, AlarmActions=[topic], **ALARM)
        self.cloudwatch.disable_alarm_actions(AlarmNames=[self.name])
        self.set("ALARM")
        self.assertEqual(received(queue), [])
        self.cloudwatch.enable_alarm_actions(AlarmNames=[self.name])
        self.set("OK")
        self.set("ALARM")
        self.assertEqual(len(received(queue)), 1)

    def test_the_history_outlives_its_alarm_and_has_pages(self) -> None:
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, **ALARM)
        self.cloudwatch.delete_alarms(AlarmNames=[self.name])
        first = self.cloudwatch.describe_alarm_history(AlarmName=self.name, MaxRecords=1)
        self.assertEqual(first["AlarmHistoryItems"][0]["HistorySummary"], f'Alarm "{self.name}" deleted')
        rest = self.cloudwatch.describe_alarm_history(AlarmName=self.name, MaxRecords=1, NextToken=first["NextToken"])
        self.assertEqual(rest["AlarmHistoryItems"][0]["HistorySummary"], f'Alarm "{self.name}" created')
        self.assertNotIn("NextToken", rest)
        self.assertEqual(refusal(self.cloudwatch.describe_alarm_history, MaxRecords=101)[0], "InvalidParameterValue")

    def test_all_conditions_count(self) -> None:
        for n in range(3):
            self.cloudwatch.put_metric_alarm(AlarmName=f"{self.name}-{n}", AlarmActions=[f"arn:aws:sns:{REGION}:123456789012:a{n}"], **ALARM)
        self.cloudwatch.set_alarm_state(AlarmName=f"{self.name}-1", StateValue="ALARM", StateReason="r")

        def names(**more: Any) -> list[str]:
            found = self.cloudwatch.describe_alarms(AlarmNamePrefix=self.name, **more)["MetricAlarms"]
            return [one["AlarmName"].rpartition("-")[2] for one in found]

        self.assertEqual(names(), ["0", "1", "2"])
        self.assertEqual(names(StateValue="ALARM"), ["1"])
        self.assertEqual(names(ActionPrefix=f"arn:aws:sns:{REGION}:123456789012:a2"), ["2"])
        self.assertEqual(names(AlarmTypes=["CompositeAlarm"]), [])
        pages = self.cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=self.name, PaginationConfig={"PageSize": 2})
        self.assertEqual([len(one["MetricAlarms"]) for one in pages], [2, 1])
        self.assertEqual(refusal(self.cloudwatch.describe_alarms, ChildrenOfAlarmName="x")[0], "ValidationError")

    def test_refusals(self) -> None:
        self.assertEqual(refusal(self.cloudwatch.set_alarm_state, AlarmName="none", StateValue="OK", StateReason="r")[0], "ResourceNotFound")
        self.cloudwatch.put_metric_alarm(AlarmName=self.name, **ALARM)
        for state, reason in (("Alarm", "r"), ("OK", "")):
            with self.subTest(state):
                self.assertEqual(
                    refusal(self.cloudwatch.set_alarm_state, AlarmName=self.name, StateValue=state, StateReason=reason)[0], "ValidationError")
        code, message = refusal(self.cloudwatch.list_metric_streams)
        self.assertEqual((code, message), ("UnsupportedOperation", "Local AWS does not do ListMetricStreams."))


class TestCBOR(unittest.TestCase):
    def call(self, operation: str, body: bytes) -> tuple[int, Any, str]:
        connection = http.client.HTTPConnection("127.0.0.1", port())
        connection.request("POST", f"/service/GraniteServiceVersion20100801/operation/{operation}", body, {
            "Smithy-Protocol": "rpc-v2-cbor", "Content-Type": "application/cbor",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/monitoring/aws4_request, SignedHeaders=host, Signature=0"})
        answer = connection.getresponse()
        self.addCleanup(connection.close)
        return answer.status, cbor.Reader(answer.read()).item(), answer.headers["Smithy-Protocol"]

    def test_items(self) -> None:
        for value in (0, 23, 24, 255, 256, 65535, 65536, 2**32, -1, -25, "é", "", [1, {"a": None}], True, False, 1.5):
            with self.subTest(value):
                self.assertEqual(cbor.Reader(cbor.encoded(value, None)).item(), value)
        for data, want in ((b"\x9f\x01\x02\xff", [1, 2]), (b"\xbf\x61a\x01\xff", {"a": 1}), (b"\x7f\x61a\x61b\xff", "ab"),
                           (b"\xc1\x1a\x00\x00\x00\x01", 1), (b"\xf9\x3c\x00", 1.0), (b"\xfa\x3f\x80\x00\x00", 1.0), (b"\x42ab", b"ab")):
            with self.subTest(data):
                self.assertEqual(cbor.Reader(data).item(), want)

    def test_a_call(self) -> None:
        status, answer, protocol = self.call("DescribeAlarms", cbor.encoded({"AlarmNames": ["none"]}, None))
        self.assertEqual((status, answer, protocol), (200, {"MetricAlarms": [], "CompositeAlarms": []}, "rpc-v2-cbor"))

    def test_times_are_times_and_floats_are_floats(self) -> None:
        client("cloudwatch").put_metric_alarm(AlarmName="typed", **ALARM)
        answer = self.call("DescribeAlarms", cbor.encoded({"AlarmNames": ["typed"]}, None))[1]["MetricAlarms"][0]
        self.assertIsInstance(answer["Threshold"], float)
        self.assertIsInstance(answer["Period"], int)
        self.assertIsInstance(answer["StateUpdatedTimestamp"], float)

    def test_errors(self) -> None:
        state = {"AlarmName": "none", "StateValue": "OK", "StateReason": "r"}
        for operation, body, want in (
            ("SetAlarmState", cbor.encoded(state, None), (404, "ResourceNotFound")),
            ("DescribeAlarms", b"\xa1", (400, "SerializationException")),
            ("ListMetricStreams", b"\xa0", (400, "UnsupportedOperation")),
        ):
            with self.subTest(operation):
                status, answer, _ = self.call(operation, body)
                self.assertEqual((status, answer["__type"].rpartition("#")[2]), want)
                self.assertTrue(answer["message"])
