"""CloudWatch Logs' FilterLogEvents and GetLogEvents. moto ignores logStreamNamePrefix and logGroupIdentifier, lists the events of
one stream after those of another, and includes the end time in GetLogEvents. AWS sorts events by their time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from moto.logs import models as logs_models
from moto.logs.exceptions import InvalidParameterException, ResourceNotFoundException
from moto.logs.responses import LogsResponse

from logs.filter_patterns import InvalidPattern, filter_of

if TYPE_CHECKING:
    from moto.logs.models import LogGroup, LogsBackend, LogStream

MOST_EVENTS = 10_000


def invalid(message: str) -> InvalidParameterException:
    return InvalidParameterException(message)


class Pattern:
    """Replaces moto's filter of messages."""

    def __init__(self, pattern: str | None) -> None:
        try:
            self.matches = filter_of(pattern or "")
        except InvalidPattern as error:
            raise invalid(f"Invalid filter pattern: {error}")


def fill_events() -> None:
    response, group = LogsResponse, logs_models.LogGroup
    filter_group, answer_filter, answer_get = group.filter_log_events, response.filter_log_events, response.get_log_events
    get_events = logs_models.LogStream.get_log_events

    def checked_request(self: LogsResponse) -> dict[str, Any]:
        """Returns a request that names its log group as moto reads it."""
        request = json.loads(self.body)
        identifier, name = request.pop("logGroupIdentifier", None), request.get("logGroupName")
        if bool(identifier) is bool(name):
            raise invalid("Exactly one of logGroupName and logGroupIdentifier must be given")
        if identifier:
            request["logGroupName"] = identifier.split(":log-group:")[-1].removesuffix(":*")
        if request["logGroupName"] not in self.logs_backend.groups:
            raise ResourceNotFoundException()
        limit, start, end = request.get("limit"), request.get("startTime"), request.get("endTime")
        if limit is not None and not 1 <= limit <= MOST_EVENTS:
            raise invalid(f"limit is {limit}: must be from 1 to {MOST_EVENTS}")
        if start is not None and end is not None and start > end:
            raise invalid(f"startTime is {start} and endTime is {end}: endTime must not be before startTime")
        return request

    def filter_log_events(self: LogsResponse) -> str:
        request = checked_request(self)
        names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix")
        if names and prefix:
            raise invalid("Only one of logStreamNames and logStreamNamePrefix can be given")
        Pattern(request.get("filterPattern"))  # refuses a wrong pattern even if there are no events
        if prefix:
            streams = self.logs_backend.groups[request["logGroupName"]].streams
            # A name that no stream can have finds nothing. An empty list would find everything.
            request["logStreamNames"] = [name for name in streams if name.startswith(prefix)] or [":"]
        self.body = json.dumps(request)
        return answer_filter(self)

    def get_log_events(self: LogsResponse) -> str:
        self.body = json.dumps(checked_request(self))
        return answer_get(self)

    def filter_of_group(self: LogGroup, *args: Any) -> tuple[list[dict[str, Any]], str | None, list[dict[str, Any]]]:
        return filter_group(self, *args[:-1], True)  # AWS ignores "interleaved" and sorts the events of all streams

    def events_of_stream(self: LogStream, start_time: int, end_time: int, *args: Any) -> tuple[list[dict[str, Any]], str | None, str | None]:
        return get_events(self, start_time, end_time - 1 if end_time else end_time, *args)

    logs_models.EventMessageFilter = Pattern
    group.filter_log_events, logs_models.LogStream.get_log_events = filter_of_group, events_of_stream
    response.filter_log_events, response.get_log_events = filter_log_events, get_log_events
