"""SQS's checks of messages, and where a dead letter came from. moto accepts any character and any attribute, counts the characters
of a body only, and fails a whole batch for one of its entries.
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from __future__ import annotations

import decimal
import re
from typing import TYPE_CHECKING, Any

from moto.core.responses import ActionResult
from moto.sqs import models as sqs_models
from moto.sqs import responses as sqs_responses
from moto.sqs.exceptions import (
    BatchEntryIdsNotDistinct,
    BatchRequestTooLong,
    EmptyBatchRequest,
    InvalidBatchEntryId,
    InvalidParameterValue,
    MissingParameter,
    SQSException,
    TooManyEntriesInBatchRequest,
)

if TYPE_CHECKING:
    from moto.sqs.models import Message, Queue, SQSBackend

MOST_BYTES = 1_048_576  # of a message with its attributes, and of a batch
MOST_ATTRIBUTES = 10
MOST_ENTRIES = 10
ALLOWED = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
ATTRIBUTE_NAME = re.compile(r"(?!(?i:aws|amazon)\.)(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
VALUE_OF_TYPE = {"String": "StringValue", "Number": "StringValue", "Binary": "BinaryValue"}


class InvalidMessageContents(SQSException):
    def __init__(self) -> None:
        super().__init__("InvalidMessageContents", "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | "
                                                   "#x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF")


def check_text(text: str) -> None:
    if not ALLOWED.fullmatch(text):
        raise InvalidMessageContents


def check_attribute(name: str, value: dict[str, Any]) -> None:
    if not ATTRIBUTE_NAME.fullmatch(name):
        raise InvalidParameterValue(f"The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore (_), "
                                    "hyphen (-), and period (.) characters, and must not begin with AWS. or Amazon.")
    kind = value.get("DataType") or ""
    if not kind:
        raise InvalidParameterValue(f"The message attribute '{name}' must contain non-empty message attribute type.")
    field = VALUE_OF_TYPE.get(kind.split(".")[0])
    if field is None or len(kind) > 256:
        raise InvalidParameterValue(f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is "
                                    "Binary, Number, and String.")
    content = value.get(field)
    if not content:
        raise InvalidParameterValue(f"The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{kind}'.")
    if field == "StringValue":
        check_text(content)
    if kind.split(".")[0] == "Number":
        number = decimal.Decimal(content) if NUMBER.fullmatch(content) else None
        if number is None or len("".join(map(str, number.as_tuple().digits)).strip("0")) > 38 or number and not -129 < number.adjusted() < 127:
            raise InvalidParameterValue(f"Can't cast the value of message (user) attribute '{name}' to a number.")


def check_attributes(attributes: dict[str, Any] | None) -> None:
    if len(attributes or {}) > MOST_ATTRIBUTES:
        raise InvalidParameterValue(f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum [{MOST_ATTRIBUTES}].")
    for name, value in (attributes or {}).items():
        check_attribute(name, value)


def byte_size(value: str | bytes) -> int:
    return len(value if isinstance(value, bytes) else value.encode())


def message_size(body: str, attributes: dict[str, Any] | None) -> int:
    """Returns the size of a message. Names, types and values of its attributes count."""
    return byte_size(body) + sum(
        byte_size(name) + byte_size(one["DataType"]) + byte_size(one.get("StringValue") or one.get("BinaryValue") or "")
        for name, one in (attributes or {}).items())


def sent_entry(backend: SQSBackend, queue: Queue, entry: dict[str, Any]) -> dict[str, Any]:
    """Sends an entry of a batch. Returns its entry in the answer."""
    attributes = entry.get("MessageAttributes") or {}
    check_attributes(attributes)
    check_attributes(entry.get("MessageSystemAttributes"))
    message = backend.send_message(
        queue.name, entry.get("MessageBody") or "", message_attributes=attributes, delay_seconds=entry.get("DelaySeconds"),
        deduplication_id=entry.get("MessageDeduplicationId"), group_id=entry.get("MessageGroupId"),
        system_attributes=entry.get("MessageSystemAttributes"))
    answer = {"Id": entry["Id"], "MessageId": message.id, "MD5OfMessageBody": message.body_md5}
    if message.message_attributes:
        answer["MD5OfMessageAttributes"] = message.attribute_md5
    if queue.fifo_queue:
        answer["SequenceNumber"] = message.sequence_number
    return answer


def fill_messages() -> None:
    backend, queue, response = sqs_models.SQSBackend, sqs_models.Queue, sqs_responses.SQSResponse
    send, add, receive = backend.send_message, queue.add_message, response.receive_message

    def send_message(self: SQSBackend, queue_name: str, message_body: str, *args: Any, **kwargs: Any) -> Message:
        target = self.get_queue(queue_name)
        if not message_body:
            raise MissingParameter("MessageBody")
        check_text(message_body)
        size, most = message_size(message_body, kwargs.get("message_attributes")), int(target.maximum_message_size)
        if size > most:
            raise InvalidParameterValue(f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes.")
        delay = kwargs.get("delay_seconds")
        if delay is not None and not 0 <= int(delay) <= 900:
            raise InvalidParameterValue(f"Value {delay} for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.")
        return send(self, queue_name, message_body, *args, **kwargs)

    def send_message_batch(self: sqs_responses.SQSResponse) -> ActionResult:
        target, entries = self.sqs_backend.get_queue(self._get_queue_name()), self._get_param("Entries", [])
        if not entries:
            raise EmptyBatchRequest
        if len(entries) > MOST_ENTRIES:
            raise TooManyEntriesInBatchRequest(len(entries))
        seen = set()
        for entry in entries:
            if not re.fullmatch(r"[\w-]{1,80}", entry["Id"], re.ASCII):
                raise InvalidBatchEntryId
            if entry["Id"] in seen:
                raise BatchEntryIdsNotDistinct(entry["Id"])
            seen.add(entry["Id"])
        size = sum(message_size(entry.get("MessageBody") or "", entry.get("MessageAttributes")) for entry in entries)
        if size > MOST_BYTES:
            raise BatchRequestTooLong(size)
        sent, failed = [], []
        for entry in entries:
            try:
                sent.append(sent_entry(self.sqs_backend, target, entry))
            except SQSException as error:
                failed.append({"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.message})
        return ActionResult({"Successful": sent, "Failed": failed})

    def add_message(self: Queue, message: Message) -> None:
        """A message that was in another queue before is a dead letter of that queue."""
        message.dead_letter_source = getattr(message, "queue_arn", None)
        message.queue_arn = self.queue_arn
        add(self, message)

    def receive_message(self: sqs_responses.SQSResponse) -> ActionResult:
        answer = receive(self)
        wanted = self._get_param("AttributeNames", []) + self._get_param("MessageSystemAttributeNames", [])
        if "All" in wanted or "DeadLetterQueueSourceArn" in wanted:
            held = {one.id: one for one in self.sqs_backend.get_queue(self._get_queue_name())._messages}
            for one in answer.result.get("Messages", []):
                source = getattr(held.get(one["MessageId"]), "dead_letter_source", None)
                if source:
                    one.setdefault("Attributes", {})["DeadLetterQueueSourceArn"] = source
        return answer

    queue.add_message, backend.send_message = add_message, send_message
    response.send_message_batch, response.receive_message = send_message_batch, receive_message
    sqs_responses.validate_message_attributes = check_attributes
    sqs_models.MAXIMUM_MESSAGE_LENGTH = MOST_BYTES
