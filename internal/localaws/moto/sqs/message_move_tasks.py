"""SQS, message move tasks, which moto does not have.

AWS moves what is visible in a dead-letter queue, in the background. What it moves are new messages, of a new id and a new
time, and never received. Here a task is over when its start is answered, so there is none to wait for or to cancel.
"""

import time
import uuid

from moto.core.responses import ActionResult
from moto.sqs.exceptions import InvalidParameterValue, SQSException
from moto.sqs.models import Message, SQSBackend
from moto.sqs.responses import SQSResponse

TASKS = {}  # ARN of the dead-letter queue -> its tasks, the newest first


def queue_of(backend, parameter, arn):
    queue = next((one for one in backend.queues.values() if one.queue_arn == arn), None)
    if queue is None:
        raise SQSException("ResourceNotFoundException",
                           "The resource that you specified for the %s parameter doesn't exist." % parameter)
    return queue


def start_message_move_task(self, source_arn, destination_arn):
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


def list_message_move_tasks(self, source_arn, most):
    queue_of(self, "SourceArn", source_arn)
    return TASKS.get(source_arn, [])[:most]


def fill_message_move_tasks():
    SQSBackend.start_message_move_task = start_message_move_task
    SQSBackend.list_message_move_tasks = list_message_move_tasks

    def start(self):
        self.sqs_backend.start_message_move_task(self._get_param("SourceArn"), self._get_param("DestinationArn"))
        return ActionResult({"TaskHandle": str(uuid.uuid4())})

    def tasks(self):
        results = self.sqs_backend.list_message_move_tasks(self._get_param("SourceArn"), self._get_param("MaxResults", 1))
        return ActionResult({"Results": results})

    SQSResponse.start_message_move_task, SQSResponse.list_message_move_tasks = start, tasks
