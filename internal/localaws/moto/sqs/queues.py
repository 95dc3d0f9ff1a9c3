"""SQS queues: claims that end, retention, and speed. moto accepts every receipt handle that a message ever had, so a
consumer whose claim has ended can delete or release a message that another one works on. It keeps messages past their
retention, takes any number for an attribute, and cannot read RedriveAllowPolicy. AWS accepts only the latest handle, drops messages that are past their
retention, and answers with every attribute.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.sqs import models as sqs_models
from moto.sqs.exceptions import InvalidAttributeValue, InvalidParameterValue, ReceiptHandleIsInvalid, SQSException

import clients
from locks import serialise

if TYPE_CHECKING:
    from moto.sqs.models import Message, Queue, SQSBackend

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
RANGES = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}

REFUSED_UNTIL = {}  # (region, name) -> when it can be used again


def name_delay() -> float:
    """Returns how long a deleted queue's name is refused: 60 seconds on AWS. Nobody wants to wait here, unless that is what is to be tried."""
    return float(os.environ.get("CARNATION_QUEUE_NAME_DELAY") or 0)


def fill_queues() -> None:
    queue, backend, message = sqs_models.Queue, sqs_models.SQSBackend, sqs_models.Message
    receive, delete, get_attributes = backend.receive_message, queue.delete_message, backend.get_queue_attributes
    create, remove = backend.create_queue, backend.delete_queue
    change_visibility, set_attributes = backend.change_message_visibility, queue._set_attributes
    queue.BASE_ATTRIBUTES = queue.BASE_ATTRIBUTES + ["RedriveAllowPolicy"]
    queue.redrive_allow_policy = None
    # A queue's URL has the endpoint's address, wherever the request came from.
    queue.url = lambda self, request_url: f"{clients.ENDPOINT_URL}/{self.account_id}/{self.name}"
    # moto spells the names of a queue's 20 attributes letter by letter for each request about it.
    sqs_models.camelcase_to_underscores = functools.cache(sqs_models.camelcase_to_underscores)
    # moto counts all messages at every send and for every message received, and reads the clock for each of them. In a queue
    # of a thousand messages, the hundredth took a second.
    moment = threading.local()

    def clock() -> float:
        return getattr(moment, "now", None) or sqs_models.unix_time_millis()

    def count(condition: Callable[[float, Message], bool]) -> property:
        return property(lambda self: sum(map(functools.partial(condition, clock()), self._messages)))

    def visible_messages(self: Queue) -> list[Message]:
        t = clock()
        return [m for m in self._messages if m.delayed_until <= t and m.visible_at < t]

    queue.approximate_number_of_messages_delayed = count(lambda t, m: t < m.delayed_until)
    queue.approximate_number_of_messages_not_visible = count(lambda t, m: t <= m.visible_at)
    queue.approximate_number_of_messages = count(lambda t, m: m.delayed_until <= t and m.visible_at < t)
    queue.messages = property(visible_messages)
    backend.is_message_valid_based_on_retention_period = lambda self, queue_name, message: True  # see drop_expired
    # moto keeps every message there ever was, for its dashboard.
    message.__new__ = lambda cls, *args, **kwargs: object.__new__(cls)

    def _set_attributes(self: Queue, attributes: dict[str, Any], now: float | None = None) -> None:
        """moto forgets the policy of a queue when another attribute is set."""
        for name, value in attributes.items():
            if name in RANGES and not (str(value).isdigit() and RANGES[name][0] <= int(value) <= RANGES[name][1]):
                raise InvalidAttributeValue(name)
        kept = self.policy if hasattr(self, "_policy_json") else None
        attributes = dict(attributes)
        for name in ("KmsMasterKeyId", "RedriveAllowPolicy"):
            if attributes.get(name) == "":
                attributes[name] = None
        if attributes.get("KmsMasterKeyId"):
            attributes["SqsManagedSseEnabled"] = "false"  # a queue has either a customer's key or SQS's own
        set_attributes(self, attributes, now)
        if "Policy" not in attributes:
            self.policy = kept
        self.created_timestamp = int(self.created_timestamp)  # whole seconds, as on AWS
        self.last_modified_timestamp = int(self.last_modified_timestamp)

    def held(self: Queue, receipt_handle: str) -> Message | None:
        """Returns the message that was received with this handle, even if it has a later handle."""
        return next((m for m in self._messages if m.had_receipt_handle(receipt_handle)), None)

    def delete_message(self: Queue, receipt_handle: str) -> None:
        found = held(self, receipt_handle)
        if found is not None and found.receipt_handle != receipt_handle:
            return  # AWS: with an older handle "the request succeeds, but the message might not be deleted"
        delete(self, receipt_handle)

    def change_message_visibility(
        self: SQSBackend, queue_name: str, receipt_handle: str, visibility_timeout: int | str,
    ) -> None:
        source = self.get_queue(queue_name)
        found = held(source, receipt_handle)
        known = found is not None or receipt_handle in source.deleted_messages
        if known and (found is None or found.receipt_handle != receipt_handle or found.visible):
            raise InvalidParameterValue(
                f"Value {receipt_handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available "
                "for visibility timeout change."
            )
        if found is None:
            raise ReceiptHandleIsInvalid
        change_visibility(self, queue_name, receipt_handle, visibility_timeout)
        if int(visibility_timeout) == 0:
            found.visible_at = 0.0  # at once, and not only from the next millisecond
            with source._messages_lock:
                source._messages_lock.notify_all()

    def get_queue_attributes(self: SQSBackend, queue_name: str, attribute_names: list[str]) -> dict[str, Any]:
        """Counts all messages at one moment. moto counts the visible ones first and those in flight later, so a message that
        becomes visible in between is in neither count.
        """
        moment.now = sqs_models.unix_time_millis()
        try:
            return get_attributes(self, queue_name, attribute_names)
        finally:
            moment.now = None

    def drop_expired(source: Queue) -> None:
        oldest = sqs_models.unix_time_millis() - 1000 * int(source.message_retention_period)
        if any(m.sent_timestamp <= oldest for m in source._messages):
            source._messages = [m for m in source._messages if m.sent_timestamp > oldest]

    def receive_message(
        self: SQSBackend, queue_name: str, count: int, wait_seconds_timeout: int, visibility_timeout: int | str,
        message_attribute_names: list[str] | None = None,
    ) -> list[Message]:
        """Long polling, which holds no lock while it waits."""
        deadline = time.monotonic() + wait_seconds_timeout
        while True:
            source = self.get_queue(queue_name)
            with lock:
                drop_expired(source)
                messages = receive(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
            left = deadline - time.monotonic()
            if messages or left <= 0:
                return messages
            with source._messages_lock:
                source._messages_lock.wait_for(lambda: source.messages, timeout=min(left, 0.5))

    def create_queue(self: SQSBackend, name: str, *args: Any, **kwargs: Any) -> Queue:
        if name not in self.queues and time.monotonic() < REFUSED_UNTIL.get((self.region_name, name), 0):
            raise SQSException("AWS.SimpleQueueService.QueueDeletedRecently",
                               "You must wait 60 seconds after deleting a queue before you can create another with the same name.")
        return create(self, name, *args, **kwargs)

    def delete_queue(self: SQSBackend, queue_name: str) -> None:
        remove(self, queue_name)
        REFUSED_UNTIL[(self.region_name, queue_name)] = time.monotonic() + name_delay()

    backend.create_queue, backend.delete_queue = create_queue, delete_queue
    queue._set_attributes, queue.delete_message = _set_attributes, delete_message
    backend.change_message_visibility = change_message_visibility
    backend.get_queue_attributes = get_queue_attributes
    lock = serialise(backend, waiting=("receive_message",))
    backend.receive_message = receive_message
