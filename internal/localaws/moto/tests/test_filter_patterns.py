"""CloudWatch Logs: filter patterns, times and limits."""

from __future__ import annotations

import json
import time
import unittest
from typing import Any

from logs import filter_patterns
from tests.service import REGION, client, refusal

LINE = json.dumps({"level": "WARN", "msg": "event failed", "n": 7, "f": 0.5, "no": None, "yes": True, "list": ["a", {"b": "c"}], "deep": {"er": {"x-y": "z"}},
                   "ip": "123.123.4.5", "dotted.name": "d"})


class TestPatterns(unittest.TestCase):
    def matches(self, pattern: str, line: str = LINE) -> bool:
        return filter_patterns.filter_of(pattern)(line)

    def test_json(self) -> None:
        for pattern, want in (
            ('{ $.level = "WARN" }', True), ("{ $.level = WARN }", True), ('{$.level="ERROR"}', False), ('{ $.level != "ERROR" }', True),
            ('{ $.level = "W*" }', True), ("{ $.ip = 123.123.* }", True), ("{ $.ip != 123.123.* }", False), ("{ $.level = %^W.+N$% }", True),
            ("{ $.n = 7 }", True), ("{ $.n >= 7 }", True), ("{ $.n > 7 }", False), ("{ $.n < 7.5 }", True), ("{ $.n != 7 }", False), ("{ $.f = 5e-1 }", True),
            ('{ $.n = "7" }', False), ("{ $.no IS NULL }", True), ("{ $.level IS NULL }", False), ("{ $.none NOT EXISTS }", True), ("{ $.no NOT EXISTS }", False),
            ("{ $.yes IS TRUE }", True), ("{ $.yes IS FALSE }", False), ('{ $.list[0] = "a" }', True), ('{ $.list[1].b = "c" }', True), ('{ $.list[9] = "a" }', False),
            ('{ $.list[*] = "a" }', True), ('{ $.list = "a" }', False), ('{ $.deep.er.x-y = "z" }', True), ('{ $.["dotted.name"] = "d" }', True),
            ('{ $.missing != "x" }', False), ('{ $.level = "WARN" && $.n = 8 }', False), ('{ $.level = "x" || $.n = 7 }', True),
            ('{ ($.level = "x" || $.n = 7) && $.yes IS TRUE }', True), ('{ $.level = "WARN" || $.n = 8 && $.n = 9 }', True), ('{ $.msg = "event failed" }', True),
        ):
            with self.subTest(pattern):
                self.assertEqual(self.matches(pattern), want)
        self.assertFalse(self.matches('{ $.level = "WARN" }', "level=WARN"))

    def test_terms(self) -> None:
        line = "ERROR: 500 at /path in 3 ms"
        for pattern, want in (
            ("", True), ("  ", True), ("ERROR", True), ("error", False), ("ERROR ms", True), ("ERROR WARN", False), ("?WARN ?ERROR", True), ("?WARN ?INFO", False),
            ("-ERROR", False), ("ERROR -WARN", True), ("ERROR -ms", False), ('"at /path"', True), ('"path at"', False), ('-"at /path"', False), ("%5[0-9]{2}%", True),
            ("%^[0-9]%", False), ("?WARN ERROR", True), ("RRO", True),
        ):
            with self.subTest(pattern):
                self.assertEqual(self.matches(pattern, line), want)

    def test_what_is_refused(self) -> None:
        for pattern in ("a-b", "a=b", '"open', "{ $.a = }", "{ $.a }", "{ a = 1 }", '{ $.a = "x"', "{ $ = 1 }", "{ $.a < x }", "{ ($.a = 1 }", "{ $.a IS EMPTY }", "{ $.a[ = 1 }",
                        "[ip, user]", "%(a)%", "%[%", "{ $.a = 1 } x", "{ $.a = 1 $.b = 2 }", "{}"):
            with self.subTest(pattern), self.assertRaises(filter_patterns.InvalidPattern):
                self.matches(pattern)


class TestEvents(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.logs = client("logs")
        cls.logs.create_log_group(logGroupName="/g")
        cls.start = int(time.time() * 1000) - 60_000
        for stream, times in (("a/1", (0, 20)), ("b/1", (10, 30))):
            cls.logs.create_log_stream(logGroupName="/g", logStreamName=stream)
            lines = [{"timestamp": cls.start + t, "message": json.dumps({"level": "WARN" if t == 10 else "INFO", "t": t})} for t in times]
            answer = cls.logs.put_log_events(logGroupName="/g", logStreamName=stream, logEvents=lines)
            assert not answer.get("rejectedLogEventsInfo")

    def found(self, **more: Any) -> list[int]:
        events = self.logs.filter_log_events(**dict({"logGroupName": "/g"}, **more))["events"]
        return [json.loads(one["message"])["t"] for one in events]

    def test_events_are_filtered_and_sorted(self) -> None:
        self.assertEqual(self.found(), [0, 10, 20, 30])
        self.assertEqual(self.found(filterPattern='{ $.level = "WARN" }'), [10])
        self.assertEqual(self.found(logStreamNamePrefix="b/"), [10, 30])
        self.assertEqual(self.found(logStreamNamePrefix="c"), [])
        self.assertEqual(self.found(logStreamNames=["a/1"]), [0, 20])
        group = f"arn:aws:logs:{REGION}:123456789012:log-group:/g"
        self.assertEqual(len(self.logs.filter_log_events(logGroupIdentifier=group)["events"]), 4)

    def test_times(self) -> None:
        self.assertEqual(self.found(startTime=self.start + 10, endTime=self.start + 20), [10, 20])
        got = self.logs.get_log_events(logGroupName="/g", logStreamName="a/1", startTime=self.start, endTime=self.start + 20, startFromHead=True)["events"]
        self.assertEqual([json.loads(one["message"])["t"] for one in got], [0])  # GetLogEvents excludes the end

    def test_pages(self) -> None:
        first = self.logs.filter_log_events(logGroupName="/g", limit=3)
        self.assertEqual(len(first["events"]), 3)
        self.assertEqual(self.found(limit=3, nextToken=first["nextToken"]), [30])

    def test_what_is_refused(self) -> None:
        for more, code in (
            ({"filterPattern": "a-b"}, "InvalidParameterException"), ({"filterPattern": "[a, b]"}, "InvalidParameterException"), ({"limit": 10_001}, "InvalidParameterException"),
            ({"limit": 0}, "InvalidParameterException"), ({"startTime": 2, "endTime": 1}, "InvalidParameterException"),
            ({"logStreamNames": ["a/1"], "logStreamNamePrefix": "a"}, "InvalidParameterException"), ({"logGroupName": "/none"}, "ResourceNotFoundException"),
        ):
            with self.subTest(more):
                self.assertEqual(refusal(self.logs.filter_log_events, **dict({"logGroupName": "/g"}, **more))[0], code)
