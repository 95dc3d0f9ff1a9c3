"""The log of executions in CloudWatch Logs. moto keeps a state machine's logging configuration and writes nothing. AWS writes
the events of an execution, up to the configured level, as JSON into the log group.
https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
"""

from __future__ import annotations

import datetime
import hashlib
import logging
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import AWSError
from moto.logs.exceptions import ResourceAlreadyExistsException, ResourceNotFoundException
from moto.logs.models import logs_backends
from moto.stepfunctions.parser.api import LogLevel
from moto.stepfunctions.parser.asl.eval.event.logging import is_logging_enabled_for

from stepfunctions.exact_json import to_json
from stepfunctions.history import EXECUTION_DATA

if TYPE_CHECKING:
    from moto.logs.models import LogsBackend
    from moto.stepfunctions.parser.backend.execution import Execution

log = logging.getLogger("carnation.moto")


class InvalidLoggingConfiguration(AWSError):
    TYPE = "InvalidLoggingConfiguration"
    STATUS = 400


def check_logging(config: dict[str, Any] | None) -> None:
    """Raises InvalidLoggingConfiguration unless a level that writes lines has exactly one log group."""
    level = (config or {}).get("level", "OFF")
    if level not in set(LogLevel):
        raise InvalidLoggingConfiguration(f"level is {level}: must be {', '.join(LogLevel)}")
    if level != LogLevel.OFF and len(group_names(config)) != 1:
        raise InvalidLoggingConfiguration("Invalid Logging Configuration: Must specify exactly one Log Destination.")


def group_names(config: dict[str, Any]) -> list[str]:
    arns = [destination.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", "") for destination in config.get("destinations") or []]
    return [arn.split(":log-group:", 1)[1].split(":", 1)[0] for arn in arns if ":log-group:" in arn]


def line(execution: Execution, event: dict[str, Any], with_data: bool) -> str:
    details = next((value for value in event.values() if isinstance(value, dict)), {})
    if not with_data:
        details = {name: value for name, value in details.items() if name not in EXECUTION_DATA}
    return to_json({"id": str(event["id"]), "type": event["type"], "details": details, "previous_event_id": str(event["previousEventId"]),
                    "event_timestamp": str(milliseconds(event)), "execution_arn": execution.exec_arn,
                    "redrive_count": str(execution.redrive_count)})


def milliseconds(event: dict[str, Any]) -> int:
    return round(event["timestamp"].timestamp() * 1000)


def stream_name(execution: Execution, moment: datetime.datetime) -> str:
    digest = hashlib.sha256(execution.state_machine.arn.encode()).hexdigest()[:8]
    return f"states/{execution.state_machine.name}/{moment:%Y-%m-%d-%H-%M}/{digest}"


def write_line(execution: Execution, event: dict[str, Any]) -> None:
    """Writes a line for an event of the history, if the level says so. Log delivery is not part of the execution: it never fails it."""
    config = execution.state_machine.loggingConfiguration or {}
    level = LogLevel(config.get("level", "OFF"))
    if level == LogLevel.OFF or not is_logging_enabled_for(level, event["type"]):
        return
    backend: LogsBackend = logs_backends[execution.account_id][execution.region_name]
    group, stream = group_names(config)[0], stream_name(execution, event["timestamp"])
    lines = [{"timestamp": milliseconds(event), "message": line(execution, event, config.get("includeExecutionData", False))}]
    try:
        try:
            backend.put_log_events(group, stream, lines)
        except ResourceNotFoundException:
            try:
                backend.create_log_stream(group, stream)
            except ResourceAlreadyExistsException:
                pass  # by another execution, since the line was refused
            backend.put_log_events(group, stream, lines)
    except ResourceNotFoundException:
        pass  # the log group was deleted
    except Exception as error:
        log.error("log of execution %s: %s: %s", execution.name, type(error).__name__, error)
