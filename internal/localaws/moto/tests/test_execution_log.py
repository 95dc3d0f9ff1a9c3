"""The log of executions: which configurations are refused, which events are written, and how."""

from __future__ import annotations

import datetime
import json
import types
import unittest
from typing import Any
from unittest import mock

from moto.logs.exceptions import ResourceNotFoundException
from moto.stepfunctions.parser.api import HistoryEventType
from stepfunctions import execution_log

DESTINATIONS = [{"cloudWatchLogsLogGroup": {"logGroupArn": "arn:aws:logs:r:1:log-group:/aws/vendedlogs/states/m:*"}}]
MOMENT = datetime.datetime(2026, 11, 26, 8, 0, 0, 5000, tzinfo=datetime.timezone.utc)


class Logs:
    def __init__(self) -> None:
        self.streams: dict[str, list[dict[str, Any]]] = {}

    def create_log_stream(self, group: str, stream: str) -> None:
        self.streams[group + " " + stream] = []

    def put_log_events(self, group: str, stream: str, lines: list[dict[str, Any]]) -> None:
        if group + " " + stream not in self.streams:
            raise ResourceNotFoundException()
        self.streams[group + " " + stream] += lines


def written(level: str, *types_of_events: HistoryEventType, with_data: bool = False) -> dict[str, list[dict[str, Any]]]:
    config = {"level": level, "includeExecutionData": with_data, "destinations": DESTINATIONS}
    machine = types.SimpleNamespace(arn="arn:m", name="m", loggingConfiguration=config)
    execution = types.SimpleNamespace(account_id="1", region_name="r", exec_arn="arn:e", redrive_count=2, name="e", state_machine=machine)
    logs = Logs()
    with mock.patch.object(execution_log, "logs_backends", {"1": {"r": logs}}):
        for number, kind in enumerate(types_of_events, start=1):
            details = {"error": "Bad", "input": '{"secret": 1}'}
            execution_log.write_line(execution, {"id": number, "previousEventId": number - 1, "type": kind, "timestamp": MOMENT, "xDetails": details})
    return logs.streams


class TestExecutionLog(unittest.TestCase):
    def test_lines(self) -> None:
        for with_data, details in ((False, {"error": "Bad"}), (True, {"error": "Bad", "input": '{"secret": 1}'})):
            (stream, lines), = written("ALL", HistoryEventType.ExecutionStarted, HistoryEventType.ExecutionFailed, with_data=with_data).items()
            self.assertRegex(stream, r"^/aws/vendedlogs/states/m states/m/2026-11-26-08-00/[0-9a-f]{8}$")
            self.assertEqual([line["timestamp"] for line in lines], [round(MOMENT.timestamp() * 1000)] * 2)
            self.assertEqual(json.loads(lines[1]["message"]), {
                "id": "2", "type": "ExecutionFailed", "details": details, "previous_event_id": "1", "execution_arn": "arn:e",
                "event_timestamp": str(round(MOMENT.timestamp() * 1000)), "redrive_count": "2"})

    def test_levels(self) -> None:
        events = HistoryEventType.ExecutionStarted, HistoryEventType.TaskFailed, HistoryEventType.ExecutionFailed
        for level, want in (("ALL", 3), ("ERROR", 2), ("FATAL", 1), ("OFF", 0)):
            with self.subTest(level):
                self.assertEqual(sum(map(len, written(level, *events).values())), want)

    def test_check_logging(self) -> None:
        for config in (None, {}, {"level": "OFF"}, {"level": "ERROR", "destinations": DESTINATIONS}):
            execution_log.check_logging(config)
        for config in ({"level": "LOUD"}, {"level": "ERROR"}, {"level": "ALL", "destinations": DESTINATIONS * 2}, {"level": "ALL", "destinations": [{}]}):
            with self.subTest(config=config):
                self.assertRaises(execution_log.InvalidLoggingConfiguration, execution_log.check_logging, config)
