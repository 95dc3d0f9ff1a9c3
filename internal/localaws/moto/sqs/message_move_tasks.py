"""SQS message move tasks, which moto lacks. AWS moves what is visible in a dead-letter queue, in the background. Each moved
message is a new one, with a new ID and time, and has never been received. Here a task is complete when its start is answered,
unless it has a MaxNumberOfMessagesPerSecond. Without a destination, each message goes back to the queue that it came from. A
message that was sent to the dead-letter queue came from none, and the task fails, as on AWS:
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/troubleshooting-dlq-redrive.html
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.sqs.exceptions import InvalidParameterValue, SQSException
from moto.sqs.models import Message, SQSBackend
from moto.sqs.responses import SQSResponse

if TYPE_CHECKING:
    from moto.sqs.models import Queue

TASKS = {}  # ARN of a dead-letter queue -> its tasks, newest first


def queue_of(backend: SQSBackend, parameter: str, arn: str) -> Queue:
    queue = next((one for one in backend.queues.values() if one.queue_arn == arn), None)
    if queue is None:
        raise SQSException("ResourceNotFoundException",
                           f"The resource that you specified for the {parameter} parameter doesn't exist.")
    return queue


class Task:
    def __init__(self, backend: SQSBackend, source: Queue, destination_arn: str | None, rate: int | None) -> None:
        self.backend, self.source, self.destination_arn, self.rate = backend, source, destination_arn, rate
        self.handle, self.started = str(uuid.uuid4()), int(time.time() * 1000)
        self.status, self.reason, self.waiting, self.moved = "RUNNING", None, list(source.messages), 0
        self.total = len(self.waiting)

    def step(self) -> bool:
        """Moves one message. Returns whether there may be more to do."""
        if self.status == "CANCELLING":
            self.status = "CANCELLED"
        elif self.status == "RUNNING" and not self.waiting:
            self.status = "COMPLETED"
        if self.status != "RUNNING":
            return False
        old = self.waiting.pop(0)
        if old not in self.source._messages or not old.visible:
            return True  # somebody else has received or deleted it
        arn = self.destination_arn or getattr(old, "dead_letter_source", None)
        destination = next((one for one in self.backend.queues.values() if one.queue_arn == arn), None)
        if destination is None:
            self.status = "FAILED"
            self.reason = "AWS.SimpleQueueService.NonExistentQueue" if arn else "CouldNotDetermineMessageSource"
            return False
        moved = Message(str(uuid.uuid4()), old.body, old.system_attributes)
        moved.message_attributes = old.message_attributes
        moved.mark_sent(destination.delay_seconds)
        self.source._messages.remove(old)
        destination.add_message(moved)
        self.moved += 1
        return True

    def go_on(self) -> None:
        while self.backend.move_one_message(self):
            time.sleep(1 / self.rate)

    def answer(self) -> dict[str, Any]:
        return {
            "Status": self.status,
            "TaskHandle": self.handle if self.status == "RUNNING" else None,
            "SourceArn": self.source.queue_arn,
            "DestinationArn": self.destination_arn,
            "MaxNumberOfMessagesPerSecond": self.rate,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.total,
            "FailureReason": self.reason,
            "StartedTimestamp": self.started,
        }


def start_message_move_task(self: SQSBackend, source_arn: str, destination_arn: str | None, rate: int | None = None) -> str:
    source = queue_of(self, "SourceArn", source_arn)
    if not self.list_dead_letter_source_queues(source.name):
        raise InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
    if destination_arn is not None:
        queue_of(self, "DestinationArn", destination_arn)
    if rate is not None and not 1 <= rate <= 500:
        raise InvalidParameterValue(f"Value {rate} for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: must be from 1 to 500.")
    tasks = TASKS.setdefault(source_arn, [])
    if tasks and tasks[0].status in ("RUNNING", "CANCELLING"):
        raise SQSException("AWS.SimpleQueueService.UnsupportedOperation", "There is already a task running. Only one active task is allowed for a "
                           "source queue arn at a given time.")
    task = Task(self, source, destination_arn, rate)
    tasks.insert(0, task)
    if rate is None:
        while task.step():
            pass
    else:
        threading.Thread(target=task.go_on, daemon=True).start()
    return task.handle


def move_one_message(self: SQSBackend, task: Task) -> bool:
    """A step of a task. The backend has a lock, which every method of it takes."""
    return task.step()


def list_message_move_tasks(self: SQSBackend, source_arn: str, most: int) -> list[dict[str, Any]]:
    queue_of(self, "SourceArn", source_arn)
    if not 1 <= most <= 10:
        raise InvalidParameterValue(f"Value {most} for parameter MaxResults is invalid. Reason: must be from 1 to 10.")
    return [task.answer() for task in TASKS.get(source_arn, [])[:most]]


def cancel_message_move_task(self: SQSBackend, handle: str) -> int:
    for tasks in TASKS.values():
        for task in tasks:
            if task.handle == handle and task.status == "RUNNING":
                task.status = "CANCELLING"
                return task.moved
    raise SQSException("ResourceNotFoundException", "Task does not exist.")


def fill_message_move_tasks() -> None:
    for method in (start_message_move_task, move_one_message, list_message_move_tasks, cancel_message_move_task):
        setattr(SQSBackend, method.__name__, method)

    def start(self: SQSResponse) -> ActionResult:
        handle = self.sqs_backend.start_message_move_task(
            self._get_param("SourceArn"), self._get_param("DestinationArn"), self._get_param("MaxNumberOfMessagesPerSecond"))
        return ActionResult({"TaskHandle": handle})

    def tasks(self: SQSResponse) -> ActionResult:
        results = self.sqs_backend.list_message_move_tasks(self._get_param("SourceArn"), self._get_param("MaxResults", 1))
        return ActionResult({"Results": results})

    def cancel(self: SQSResponse) -> ActionResult:
        return ActionResult({"ApproximateNumberOfMessagesMoved": self.sqs_backend.cancel_message_move_task(self._get_param("TaskHandle"))})

    SQSResponse.start_message_move_task, SQSResponse.list_message_move_tasks, SQSResponse.cancel_message_move_task = start, tasks, cancel
