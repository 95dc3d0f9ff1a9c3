"""Which errors a Retry or a Catch matches, and where a ResultPath can be applied."""

from __future__ import annotations

import unittest

from stepfunctions import state_errors


class TestMatches(unittest.TestCase):
    def test_matches(self) -> None:
        for named, error, want in (
            ("Own", "Own", True), ("Own", "Other", False), ("States.ALL", "Own", True), ("States.ALL", None, True),
            ("States.TaskFailed", "Own", True), ("States.TaskFailed", "Lambda.TooManyRequestsException", True),
            ("States.TaskFailed", "States.NoChoiceMatched", True), ("States.TaskFailed", "States.HeartbeatTimeout", True),
            ("States.TaskFailed", "States.Timeout", False), ("States.ALL", "States.Timeout", True),
            ("States.Timeout", "States.Timeout", True), ("States.Timeout", "States.HeartbeatTimeout", True),
            ("States.HeartbeatTimeout", "States.HeartbeatTimeout", True), ("States.HeartbeatTimeout", "States.Timeout", False),
            ("States.ALL", "States.Runtime", False), ("States.TaskFailed", "States.Runtime", False), ("States.Runtime", "States.Runtime", True),
            ("States.ALL", "States.DataLimitExceeded", False), ("States.DataLimitExceeded", "States.DataLimitExceeded", False),
        ):
            with self.subTest(named=named, error=error):
                self.assertIs(state_errors.matches([named], error), want)


class TestApplies(unittest.TestCase):
    def test_applies(self) -> None:
        for path, given, want in (
            ("$.a", {}, True), ("$.a.b", {}, True), ("$.a.b", {"a": {}}, True), ("$.a.b", {"a": 7}, False), ("$.a", "text", False),
            ("$.a", [], False), ("$.a[0]", {"a": [1]}, True), ("$.a[1]", {"a": [1]}, False), ("$.a[0].b", {"a": [{}]}, True),
            ("$['x y'].b", {"x y": None}, False),
        ):
            with self.subTest(path, given=given):
                self.assertIs(state_errors.applies(path, given), want)
