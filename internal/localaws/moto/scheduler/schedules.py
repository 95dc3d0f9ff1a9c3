"""EventBridge Scheduler. moto keeps schedules, checks nothing, and never starts anything. On AWS, and here, a schedule with a rate
and no StartDate is due at once, and then after each period. It calls its target with the role that it names.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html

Only targets that start executions of a state machine are done here.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from typing import Any

import botocore.exceptions
from moto.iam.models import iam_backends
from moto.scheduler.exceptions import ScheduleExists, ScheduleGroupNotFound, ValidationException
from moto.scheduler.models import EventBridgeSchedulerBackend, Schedule, scheduler_backends
from moto.scheduler.responses import EventBridgeSchedulerResponse

import clients
from locks import serialise
from patching import take_over
from scheduler import expressions

log = logging.getLogger("carnation.moto")

NAME = re.compile(r"[0-9a-zA-Z_.-]{1,64}")
STATE_MACHINE = re.compile(r"arn:[^:]+:states:[^:]+:\d{12}:stateMachine:[^:]+(?::[^:]+)?")
PARTS_OF_TARGET = {"Arn", "RoleArn", "Input", "RetryPolicy", "DeadLetterConfig"}
PARAMETERS = {"ActionAfterCompletion", "ClientToken", "Description", "EndDate", "FlexibleTimeWindow", "GroupName", "KmsKeyArn",
              "ScheduleExpression", "ScheduleExpressionTimezone", "StartDate", "State", "Target"}
LONGEST_WAIT = 60  # seconds until the clock is looked at again, which a laptop that slept has set forward
MOST_BETWEEN_RETRIES = 60

clock = time.time
changed = threading.Condition()  # fill_schedules gives it the lock of moto's backend
running: threading.Thread | None = None


def role_for_scheduler(arn: str) -> bool:
    role = next((one for one in iam_backends[clients.ACCOUNT_ID]["aws"].roles.values() if one.arn == arn), None)
    if role is None:
        return False
    document = role.assume_role_policy_document
    return "scheduler.amazonaws.com" in (document if isinstance(document, str) else json.dumps(document))


def check(name: str, given: dict[str, Any]) -> None:
    """Raises what AWS answers if the parameters of a schedule are not valid, or if they ask for what is not done here."""
    def need(valid: Any, message: str) -> None:
        if not valid:
            raise ValidationException(message)

    need(not set(given) - PARAMETERS - {"Name"}, f"Unknown parameters {', '.join(sorted(set(given) - PARAMETERS))}")
    need(NAME.fullmatch(name), f"Name {name} must satisfy the regular expression pattern [0-9a-zA-Z-_.]+ and have at most 64 characters.")
    try:
        expressions.check(given.get("ScheduleExpression") or "", given.get("ScheduleExpressionTimezone") or "UTC")
    except expressions.Invalid as error:
        raise ValidationException(str(error))
    need(given.get("State") in (None, "ENABLED", "DISABLED"), f"State {given.get('State')} must be ENABLED or DISABLED.")
    need(given.get("ActionAfterCompletion") in (None, "NONE", "DELETE"),
         f"ActionAfterCompletion {given.get('ActionAfterCompletion')} must be NONE or DELETE.")
    window = given.get("FlexibleTimeWindow") or {}
    most = window.get("MaximumWindowInMinutes")
    need(window.get("Mode") == "OFF" and most is None or window.get("Mode") == "FLEXIBLE" and type(most) is int and 1 <= most <= 1440,
         "FlexibleTimeWindow must have the Mode OFF, or FLEXIBLE with MaximumWindowInMinutes from 1 to 1440.")
    start, end = given.get("StartDate"), given.get("EndDate")
    need(start is None or end is None or start < end, "The EndDate must come after the StartDate.")
    target = given.get("Target") or {}
    need(not set(target) - PARTS_OF_TARGET, f"Local AWS does not do {', '.join(sorted(set(target) - PARTS_OF_TARGET))} of a target.")
    need(STATE_MACHINE.fullmatch(target.get("Arn") or ""),
         f"Local AWS does not do the target {target.get('Arn')}: it must be the ARN of a state machine.")
    if target.get("Input") is not None:
        try:
            json.loads(target["Input"])
        except ValueError:
            raise ValidationException("The Input of a Step Functions target must be well-formed JSON.")
    retry = target.get("RetryPolicy") or {}
    need(0 <= retry.get("MaximumRetryAttempts", 0) <= 185, "MaximumRetryAttempts must be from 0 to 185.")
    need(60 <= retry.get("MaximumEventAgeInSeconds", 60) <= 86400, "MaximumEventAgeInSeconds must be from 60 to 86400.")
    need(role_for_scheduler(target.get("RoleArn") or ""),
         "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the parameters of moto's methods. What is not given has AWS's default: an update resets it."""
    target = dict(given["Target"])
    target["RetryPolicy"] = {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185} | (target.get("RetryPolicy") or {})
    return {
        "description": given.get("Description"), "end_date": given.get("EndDate"), "flexible_time_window": given["FlexibleTimeWindow"],
        "kms_key_arn": given.get("KmsKeyArn"), "schedule_expression": given["ScheduleExpression"],
        "schedule_expression_timezone": given.get("ScheduleExpressionTimezone"), "start_date": given.get("StartDate"),
        "state": given.get("State") or "ENABLED", "target": target,
    }


class ScheduleAnswers:
    """Replaces moto's responses of the same name."""

    def schedule_name(self) -> str:
        return urllib.parse.unquote(self.uri.split("?")[0].rsplit("/", 1)[1])

    def create_schedule(self) -> str:
        given, name = json.loads(self.body), self.schedule_name()
        check(name, given)
        with changed:
            group = self.scheduler_backend.get_schedule_group(given.get("GroupName"))
            schedule, token = group.schedules.get(name), given.get("ClientToken")
            if schedule is None or token is None or schedule.client_token != token:  # the same token is the same request
                schedule = self.scheduler_backend.create_schedule(
                    group_name=group.name, name=name, action_after_completion=given.get("ActionAfterCompletion") or "NONE", **settings(given))
                schedule.client_token = token
                begin(schedule)
        return json.dumps({"ScheduleArn": schedule.arn})

    def update_schedule(self) -> str:
        given, name = json.loads(self.body), self.schedule_name()
        check(name, given)
        with changed:
            schedule = self.scheduler_backend.get_schedule(given.get("GroupName"), name)
            before = timing(schedule)
            self.scheduler_backend.update_schedule(group_name=given.get("GroupName"), name=name, **settings(given))
            schedule.action_after_completion = given.get("ActionAfterCompletion") or "NONE"
            if timing(schedule) != before:
                begin(schedule)
        return json.dumps({"ScheduleArn": schedule.arn})

    def get_schedule(self) -> str:
        schedule = self.scheduler_backend.get_schedule(self._get_param("groupName"), self.schedule_name())
        return json.dumps({name: value for name, value in schedule.to_dict().items() if value is not None})

    def delete_schedule_group(self) -> str:
        name = self.schedule_name()
        if name not in self.scheduler_backend.schedule_groups:
            raise ScheduleGroupNotFound(name)
        if name == "default":
            raise ValidationException("The default schedule group cannot be deleted.")
        self.scheduler_backend.delete_schedule_group(name)
        return "{}"


def timing(schedule: Schedule) -> tuple[Any, ...]:
    """Returns what decides when a schedule is due."""
    return schedule.schedule_expression, schedule.schedule_expression_timezone, schedule.start_date, schedule.end_date, schedule.state


def begin(schedule: Schedule) -> None:
    """Starts the time of a new schedule, or of one whose timing has changed."""
    global running
    now = clock()  # once, or a schedule would not be due at its own beginning
    schedule.begin = now if schedule.start_date is None else schedule.start_date
    schedule.due = next_time(schedule, now)
    if running is None:
        running = threading.Thread(target=run, daemon=True, name="scheduler")
        running.start()
    changed.notify_all()


def next_time(schedule: Schedule, after: float) -> float | None:
    if schedule.state != "ENABLED":
        return None
    return expressions.due(schedule.schedule_expression, schedule.schedule_expression_timezone, schedule.begin, after, schedule.end_date)


def schedules() -> Iterator[tuple[EventBridgeSchedulerBackend, Schedule]]:
    for backend in list(scheduler_backends[clients.ACCOUNT_ID].values()):
        for group in list(backend.schedule_groups.values()):
            for schedule in list(group.schedules.values()):
                yield backend, schedule


def take_due() -> list[tuple[str, Schedule, float]]:
    """Returns region, schedule and time of what is due now, and sets when each is due again. What was missed is left out."""
    now, taken = clock(), []
    with changed:
        for backend, schedule in schedules():
            if schedule.due is None or schedule.due > now:
                continue
            taken.append((backend.region_name, schedule, schedule.due))
            schedule.due = next_time(schedule, max(now, schedule.due) + 0.001)
            if schedule.due is None and schedule.action_after_completion == "DELETE":
                backend.delete_schedule(schedule.group_name, schedule.name)
    return taken


def run() -> None:
    while running is threading.current_thread():
        for one in take_due():
            threading.Thread(target=call_target, args=one, daemon=True).start()
        with changed:
            waiting = [schedule.due for _, schedule in schedules() if schedule.due is not None]
            changed.wait(min([LONGEST_WAIT, *(max(0.0, due - clock()) for due in waiting)]))


def filled_input(schedule: Schedule, due: float, execution_id: str, attempt: int) -> str:
    """Returns the Input with its context attributes.
    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    """
    text = schedule.target.get("Input") or "{}"
    for name, value in (("schedule-arn", schedule.arn), ("scheduled-time", time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(due))),
                        ("execution-id", execution_id), ("attempt-number", str(attempt))):
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def can_be_retried(error: Exception) -> bool:
    if not isinstance(error, botocore.exceptions.ClientError):
        return True  # there was no answer
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status >= 500 or "Throttl" in error.response["Error"].get("Code", "") or "TooMany" in error.response["Error"].get("Code", "")


def call_target(region: str, schedule: Schedule, due: float) -> None:
    """Starts the execution, again and again as the RetryPolicy says. What failed for good goes to the dead-letter queue, if there is one."""
    execution_id, attempt = str(uuid.uuid4()), 1
    role, policy = schedule.target["RoleArn"].rsplit("/", 1)[1], schedule.target["RetryPolicy"]
    while True:
        text = filled_input(schedule, due, execution_id, attempt)
        try:
            states = clients.client_for("stepfunctions", region, clients.ENDPOINT_URL, role)
            states.start_execution(stateMachineArn=schedule.target["Arn"], input=text)
            return
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, OSError) as error:
            failure = error
        exhausted = None
        if attempt > policy["MaximumRetryAttempts"]:
            exhausted = "MaximumRetryAttempts"
        elif clock() - due > policy["MaximumEventAgeInSeconds"]:
            exhausted = "MaximumEventAgeInSeconds"
        if exhausted or not can_be_retried(failure):
            break
        time.sleep(min(MOST_BETWEEN_RETRIES, 2 ** (attempt - 1)))
        attempt += 1
        if not any(one is schedule for _, one in schedules()):
            return  # it was deleted
    log.warning("schedule %s could not start %s: %s", schedule.name, schedule.target["Arn"], failure)
    queue = (schedule.target.get("DeadLetterConfig") or {}).get("Arn")
    if queue:
        bury(region, role, queue, schedule, text, failure, exhausted, attempt)


def bury(region: str, role: str, queue: str, schedule: Schedule, text: str, failure: Exception, exhausted: str | None, attempt: int) -> None:
    code = failure.response["Error"].get("Code", "") if isinstance(failure, botocore.exceptions.ClientError) else type(failure).__name__
    attributes = {"ERROR_CODE": code, "ERROR_MESSAGE": str(failure), "RETRY_ATTEMPTS": str(attempt - 1), "SCHEDULE_ARN": schedule.arn,
                  "TARGET_ARN": schedule.target["Arn"], "EXHAUSTED_RETRY_CONDITION": exhausted}
    account, name = queue.split(":")[4:6]
    try:
        clients.client_for("sqs", region, clients.ENDPOINT_URL, role).send_message(
            QueueUrl=f"{clients.ENDPOINT_URL}/{account}/{name}", MessageBody=text,
            MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items() if value})
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError, OSError) as error:
        log.warning("schedule %s could not write to its dead-letter queue: %s", schedule.name, error)


def fill_schedules() -> None:
    global changed
    changed = threading.Condition(serialise(EventBridgeSchedulerBackend))
    take_over(EventBridgeSchedulerResponse, ScheduleAnswers)
    ScheduleExists.code = 409
