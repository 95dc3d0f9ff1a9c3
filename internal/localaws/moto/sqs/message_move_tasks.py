"""SQS message move tasks, which moto lacks. AWS moves what is visible in a dead-letter queue, in the background. Each moved
message is a new one, with a new ID and time, and has never been received. Here a task is complete when its start is answered, so
nobody has to wait for it or can cancel it.
"""

from __future__ import annotations

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


def start_message_move_task(self: SQSBackend, source_arn: str, destination_arn: str | None) -> None:
    source = queue_of(self, "SourceArn", source_arn)
    if not self.list_dead_letter_source_queues(source.name):
        raise InvalidParameterValue("Source queue must be configured as a Dead Letter Queue.")
    if destination_arn is None:
        raise InvalidParameterValue("This local AWS moves messages to a DestinationArn only.")
    destination = queue_of(self, "DestinationArn", destination_arn)
    waiting = source.messages
    for old in waiting:
        moved = Message(str(uuid.uuid4()), old.body, old.system_attributes)
        moved.message_attributes = old.message_attributes
        moved.mark_sent(destination.delay_seconds)
        source._messages.remove(old)
        destination.add_message(moved)
    task = {"Status": "COMPLETED", "SourceArn": source_arn, "DestinationArn": destination_arn,
            "ApproximateNumberOfMessagesMoved": len(waiting), "ApproximateNumberOfMessagesToMove": len(waiting),
            "StartedTimestamp": int(time.time() * 1000)}
    TASKS.setdefault(source_arn, []).insert(0, task)


def list_message_move_tasks(self: SQSBackend, source_arn: str, most: int) -> list[dict[str, Any]]:
    queue_of(self, "SourceArn", source_arn)
    return TASKS.get(source_arn, [])[:most]


def fill_message_move_tasks() -> None:
    SQSBackend.start_message_move_task = start_message_move_task
    SQSBackend.list_message_move_tasks = list_message_move_tasks

    def start(self: SQSResponse) -> ActionResult:
        self.sqs_backend.start_message_move_task(self._get_param("SourceArn"), self._get_param("DestinationArn"))
        return ActionResult({"TaskHandle": str(uuid.uuid4())})

    def tasks(self: SQSResponse) -> ActionResult:
        results = self.sqs_backend.list_message_move_tasks(self._get_param("SourceArn"), self._get_param("MaxResults", 1))
        return ActionResult({"Results": results})

    SQSResponse.start_message_move_task, SQSResponse.list_message_move_tasks = start, tasks
