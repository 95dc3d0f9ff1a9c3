"""The history of an execution: its end, its largest size, its pages."""

from __future__ import annotations

import threading
import types
import unittest
from typing import Any

from moto.stepfunctions.exceptions import InvalidToken, ValidationException
from moto.stepfunctions.parser.api import HistoryEventType
from stepfunctions import history


class Manager(types.SimpleNamespace):
    """What add_event uses of moto's EventManager."""

    def __init__(self) -> None:
        super().__init__(_mutex=threading.Lock(), _history_event_list=[], failures=[])
        self.when_full, self.lines = self.failures.append, []
        self.write_line = self.lines.append
        self.context = types.SimpleNamespace(source_event_id=0, last_published_event_id=0)

    def add(self, event_type: HistoryEventType, details: dict[str, Any] | None = None) -> int:
        return history.add_event(self, self.context, event_type, details)


class TestAddEvent(unittest.TestCase):
    def test_events_are_numbered_and_know_the_one_before(self) -> None:
        manager = Manager()
        manager.add(HistoryEventType.ExecutionStarted)
        manager.add(HistoryEventType.PassStateEntered, {"stateEnteredEventDetails": {"name": "A"}})
        self.assertEqual([(e["id"], e["previousEventId"]) for e in manager._history_event_list], [(1, 0), (2, 1)])
        self.assertEqual(manager.lines, manager._history_event_list)

    def test_nothing_follows_the_end(self) -> None:
        manager = Manager()
        manager.add(HistoryEventType.ExecutionAborted)
        self.assertEqual(manager.add(HistoryEventType.TaskSucceeded), 1)
        self.assertEqual(len(manager._history_event_list), 1)

    def test_the_last_event_that_fits_fails_the_execution(self) -> None:
        manager = Manager()
        for _ in range(history.HISTORY_LIMIT + 10):
            manager.add(HistoryEventType.PassStateEntered)
        events = manager._history_event_list
        self.assertEqual((len(events), events[-1]["type"]), (history.HISTORY_LIMIT, HistoryEventType.ExecutionFailed))
        self.assertEqual(len(manager.failures), 1)


class TestPage(unittest.TestCase):
    def page(self, items: list[int], token: str | None = None, size: int | None = None) -> tuple[list[int], str | None]:
        request = types.SimpleNamespace(_get_param=lambda name: token, _get_int_param=lambda name: size)
        return history.page(request, items)

    def test_pages_follow_each_other(self) -> None:
        first, token = self.page(list(range(250)))
        second, last = self.page(list(range(250)), token, 1000)
        self.assertEqual((first, second, last), (list(range(100)), list(range(100, 250)), None))

    def test_what_is_no_size_or_token_is_refused(self) -> None:
        with self.assertRaises(ValidationException):
            self.page([], None, 1001)
        with self.assertRaises(InvalidToken):
            self.page([], "x")


class TestWithoutData(unittest.TestCase):
    def test_names_stay(self) -> None:
        event = {"id": 1, "stateEnteredEventDetails": {"name": "A", "input": "{}", "inputDetails": {}}}
        self.assertEqual(history.without_data(event), {"id": 1, "stateEnteredEventDetails": {"name": "A"}})
