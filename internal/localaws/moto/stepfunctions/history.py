"""The history of a Step Functions execution. moto's has no limit and no pages, and continues after the event that ends the
execution. AWS allows 25,000 events and then fails the execution, answers in pages of 100 to 1,000 events, and adds nothing
after the last event.
"""

from __future__ import annotations

import base64
import datetime
import json
from typing import TYPE_CHECKING, Any

from moto.stepfunctions import responses as sfn_responses
from moto.stepfunctions.exceptions import InvalidToken, ValidationException
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.eval.event import event_manager

from stepfunctions.archive import history

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager
    from moto.stepfunctions.responses import StepFunctionResponse

HISTORY_LIMIT = 25000
FINAL_EVENTS = {
    HistoryEventType.ExecutionSucceeded,
    HistoryEventType.ExecutionFailed,
    HistoryEventType.ExecutionAborted,
    HistoryEventType.ExecutionTimedOut,
}
EXECUTION_DATA = ("input", "inputDetails", "output", "outputDetails", "parameters", "result")


def now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.timezone.utc)


def add_event(
    self: EventManager, context: EventHistoryContext, event_type: HistoryEventType,
    event_details: dict[str, Any] | None = None, timestamp: datetime.datetime | None = None,
    update_source_event_id: bool = True,
) -> int:
    """Replaces EventManager.add_event: nothing follows an execution's last event, and a history has a limit."""
    with self._mutex:
        events = self._history_event_list
        if getattr(self, "closed", False):
            return events[-1]["id"]
        full = len(events) == HISTORY_LIMIT - 1 and event_type not in FINAL_EVENTS
        if full:
            cause = f"The execution reached the maximum number of history events ({HISTORY_LIMIT})."
            event_type, event_details = HistoryEventType.ExecutionFailed, {"executionFailedEventDetails": {"cause": cause}}
        event = dict(event_details or {})
        event["id"] = len(events) + 1
        event["previousEventId"] = context.source_event_id
        event["type"] = event_type
        event["timestamp"] = timestamp or now()
        context.last_published_event_id = event["id"]
        if update_source_event_id:
            context.source_event_id = event["id"]
        events.append(event)
        self.closed = event_type in FINAL_EVENTS
    self.write_line(event)
    if full:
        self.when_full(event["executionFailedEventDetails"])
    return event["id"]


def page(request: StepFunctionResponse, items: list[Any]) -> tuple[list[Any], str | None]:
    """Returns the page of a list that a request asks for, and the token of the next page: its place, because a list may grow."""
    token, size = request._get_param("nextToken"), request._get_int_param("maxResults")
    if size is not None and not 0 <= size <= 1000:
        raise ValidationException(
            f"1 validation error detected: Value '{size}' at 'maxResults' failed to satisfy constraint: "
            "Member must have value less than or equal to 1000"
        )
    try:
        start = int(base64.b64decode(token)) if token else 0
    except ValueError:
        raise InvalidToken("'Invalid token'")
    end = start + (size or 100)
    return items[start:end], (base64.b64encode(str(end).encode()).decode() if end < len(items) else None)


def as_json(answer: dict[str, Any]) -> str:
    """Returns an answer as the client gets it. moto's serializer takes 300 ms for a thousand events, which are JSON already except for their times."""
    given = {name: value for name, value in answer.items() if value is not None}
    return json.dumps(given, default=lambda value: round(value.timestamp(), 3))


def without_data(event: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {n: v for n, v in value.items() if n not in EXECUTION_DATA} if isinstance(value, dict) else value
        for name, value in event.items()
    }


def get_execution_history(self: StepFunctionResponse) -> str:
    execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
    env = execution.exec_worker.env
    events = list(env.event_manager._history_event_list) if env is not None else history(execution)
    if self._get_bool_param("reverseOrder", False):
        events.reverse()
    events, token = page(self, events)
    if not self._get_bool_param("includeExecutionData", True):
        events = [without_data(event) for event in events]
    return as_json({"events": events, "nextToken": token})


def fill_history() -> None:
    event_manager.EventManager.add_event = add_event
    sfn_responses.StepFunctionResponse.get_execution_history = get_execution_history
