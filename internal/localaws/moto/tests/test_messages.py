"""SQS: what a message may be, batches, message move tasks, and the names of deleted queues."""

from __future__ import annotations

import os
import time
import unittest
from typing import Any
from unittest import mock

from sqs import messages, queues
from tests.service import REGION, client, refusal

MIB = 1_048_576


def text(value: str) -> dict[str, str]:
    return {"DataType": "String", "StringValue": value}


class QueueTest(unittest.TestCase):
    def setUp(self) -> None:
        self.sqs = client("sqs")
        self.name = self.id().rpartition(".")[2][:70]
        self.url = self.queue()

    def queue(self, suffix: str = "", **attributes: str) -> str:
        url = self.sqs.create_queue(QueueName=self.name + suffix, Attributes=attributes)["QueueUrl"]
        self.addCleanup(refusal, self.sqs.delete_queue, QueueUrl=url)
        return url

    def send(self, body: str = "m", **more: Any) -> tuple[str, str]:
        return refusal(self.sqs.send_message, QueueUrl=self.url, MessageBody=body, **more)

    def receive(self, url: str = "") -> list[dict[str, Any]]:
        found = self.sqs.receive_message(QueueUrl=url or self.url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"], VisibilityTimeout=0)
        return found.get("Messages", [])


class TestMessages(QueueTest):
    def test_characters(self) -> None:
        for body in ("\t\n\r", "é", "\ud7ff", "\ue000", "\ufffd", "\U0001f600"):
            self.assertEqual(self.send(body), ("", ""))
        for body in ("\x01", "a\x00", "\x0b", "\x1f", "\ufffe", "\uffff"):
            with self.subTest(repr(body)):
                self.assertEqual(self.send(body)[0], "InvalidMessageContents")
                self.assertEqual(self.send(MessageAttributes={"a": text("x" + body)})[0], "InvalidMessageContents")

    def test_attributes(self) -> None:
        for name, value, message in (
            ("a", text(""), "non-empty message attribute value"), ("a", {"DataType": "String"}, "non-empty message attribute value"),
            ("a", {"DataType": "Binary", "BinaryValue": b""}, "non-empty"), ("a", {"DataType": "Text", "StringValue": "x"}, "supported type prefixes"),
            ("a", {"DataType": "Number", "StringValue": "x"}, "to a number"), ("a", {"DataType": "Number", "StringValue": "1" * 39}, "to a number"),
            ("a", {"DataType": "Number", "StringValue": "1e127"}, "to a number"), ("a b", text("x"), "name 'a b' is invalid"), (".a", text("x"), "is invalid"),
            ("a.", text("x"), "is invalid"), ("a..b", text("x"), "is invalid"), ("AWS.x", text("x"), "is invalid"), ("amazon.x", text("x"), "is invalid"),
            ("a" * 257, text("x"), "is invalid"),
        ):
            with self.subTest(name[:10], value=str(value)[:60]):
                code, said = self.send(MessageAttributes={name: value})
                self.assertEqual(code, "InvalidParameterValue")
                self.assertIn(message, said)
        self.assertIn("[11] exceeds", self.send(MessageAttributes={f"a{n}": text("x") for n in range(11)})[1])
        good = {"Error.Name_1-x": text("x"), "n": {"DataType": "Number.int", "StringValue": "-1.5e3"}, "b": {"DataType": "Binary.png", "BinaryValue": b"\0"}}
        self.assertEqual(self.send(MessageAttributes=good), ("", ""))

    def test_attributes_count_for_the_size(self) -> None:
        attribute = {"a": text("x" * 10)}
        rest = len("a") + len("String") + 10
        self.assertEqual(self.send("x" * (MIB - rest), MessageAttributes=attribute), ("", ""))
        self.assertIn("shorter than 1048576 bytes", self.send("x" * (MIB - rest + 1), MessageAttributes=attribute)[1])
        self.assertIn("shorter than", self.send("é" * (MIB // 2 + 1))[1])
        self.assertEqual(refusal(self.sqs.send_message, QueueUrl=self.queue("-small", MaximumMessageSize="1024"), MessageBody="x" * 1025)[0], "InvalidParameterValue")

    def test_a_batch(self) -> None:
        entries = [{"Id": "good", "MessageBody": "m"}, {"Id": "bad", "MessageBody": "\x01"}, {"Id": "empty", "MessageBody": "m", "MessageAttributes": {"a": text("")}},
                   {"Id": "late", "MessageBody": "m", "DelaySeconds": 901}]
        answer = self.sqs.send_message_batch(QueueUrl=self.url, Entries=entries)
        self.assertEqual([one["Id"] for one in answer["Successful"]], ["good"])
        self.assertEqual([(one["Id"], one["Code"], one["SenderFault"]) for one in answer["Failed"]],
                         [("bad", "InvalidMessageContents", True), ("empty", "InvalidParameterValue", True), ("late", "InvalidParameterValue", True)])
        halves = [{"Id": str(n), "MessageBody": "x" * (MIB // 2)} for n in range(2)]
        self.assertEqual(len(self.sqs.send_message_batch(QueueUrl=self.url, Entries=halves)["Successful"]), 2)
        halves[0]["MessageAttributes"] = {"a": text("x")}
        for refused, code in (
            (halves, "BatchRequestTooLong"), ([{"Id": "a", "MessageBody": "m"}] * 2, "BatchEntryIdsNotDistinct"), ([{"Id": "a b", "MessageBody": "m"}], "InvalidBatchEntryId"),
            ([{"Id": str(n), "MessageBody": "m"} for n in range(11)], "TooManyEntriesInBatchRequest"), ([], "EmptyBatchRequest"),
        ):
            self.assertIn(code, refusal(self.sqs.send_message_batch, QueueUrl=self.url, Entries=refused)[0])

    def test_queue_attributes(self) -> None:
        for name, value in (("DelaySeconds", "901"), ("VisibilityTimeout", "43201"), ("MessageRetentionPeriod", "59"), ("MaximumMessageSize", "1048577"),
                            ("ReceiveMessageWaitTimeSeconds", "x")):
            with self.subTest(name):
                self.assertEqual(refusal(self.sqs.set_queue_attributes, QueueUrl=self.url, Attributes={name: value})[0], "InvalidAttributeValue")


class TestMoveTasks(QueueTest):
    def setUp(self) -> None:
        super().setUp()
        self.arn = f"arn:aws:sqs:{REGION}:123456789012:{self.name}"
        self.source = self.queue("-source", RedrivePolicy='{"deadLetterTargetArn":"%s","maxReceiveCount":1}' % self.arn)
        self.other = self.queue("-other", RedrivePolicy='{"deadLetterTargetArn":"%s","maxReceiveCount":1}' % self.arn)

    def die(self, url: str, body: str) -> None:
        """Sends a message to a queue, and lets SQS move it to the dead-letter queue."""
        self.sqs.send_message(QueueUrl=url, MessageBody=body)
        self.receive(url)
        self.receive(url)

    def start(self, **more: Any) -> dict[str, Any]:
        self.sqs.start_message_move_task(SourceArn=self.arn, **more)
        return self.last()

    def last(self) -> dict[str, Any]:
        return self.sqs.list_message_move_tasks(SourceArn=self.arn)["Results"][0]

    def test_without_a_destination_each_goes_back_to_its_queue(self) -> None:
        self.die(self.source, "a")
        self.die(self.other, "b")
        dead = {one["Body"]: one["Attributes"] for one in self.receive()}
        self.assertEqual(dead["a"]["DeadLetterQueueSourceArn"], self.arn + "-source")
        task = self.start()
        self.assertEqual((task["Status"], task["ApproximateNumberOfMessagesMoved"]), ("COMPLETED", 2))
        back = self.receive(self.source)
        self.assertEqual([one["Body"] for one in back + self.receive(self.other)], ["a", "b"])
        self.assertEqual(back[0]["Attributes"]["ApproximateReceiveCount"], "1")
        self.assertNotIn("DeadLetterQueueSourceArn", back[0]["Attributes"])

    def test_a_message_that_was_sent_to_the_dead_letter_queue_has_no_source(self) -> None:
        self.send("sent")
        task = self.start()
        self.assertEqual((task["Status"], task["FailureReason"]), ("FAILED", "CouldNotDetermineMessageSource"))
        self.assertEqual([one["Body"] for one in self.receive()], ["sent"])
        self.assertEqual(self.start(DestinationArn=self.arn + "-source")["Status"], "COMPLETED")
        self.assertEqual([one["Body"] for one in self.receive(self.source)], ["sent"])

    def test_a_source_that_was_deleted(self) -> None:
        self.die(self.source, "a")
        self.sqs.delete_queue(QueueUrl=self.source)
        self.assertEqual(self.start()["FailureReason"], "AWS.SimpleQueueService.NonExistentQueue")

    def test_a_rate_and_cancelling(self) -> None:
        for body in "abc":
            self.die(self.source, body)
        handle = self.sqs.start_message_move_task(SourceArn=self.arn, MaxNumberOfMessagesPerSecond=1)["TaskHandle"]
        task = self.last()
        self.assertEqual((task["Status"], task["TaskHandle"], task["MaxNumberOfMessagesPerSecond"]), ("RUNNING", handle, 1))
        self.assertIn("already a task running", refusal(self.sqs.start_message_move_task, SourceArn=self.arn)[1])
        self.sqs.cancel_message_move_task(TaskHandle=handle)
        deadline = time.monotonic() + 10
        while self.last()["Status"] != "CANCELLED" and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.last()["Status"], "CANCELLED")
        self.assertLess(self.last()["ApproximateNumberOfMessagesMoved"], 3)
        self.assertEqual(refusal(self.sqs.start_message_move_task, SourceArn=self.arn, MaxNumberOfMessagesPerSecond=501)[0], "InvalidParameterValue")


class TestNames(QueueTest):
    def test_the_name_of_a_deleted_queue_is_refused_if_asked_for(self) -> None:
        self.sqs.delete_queue(QueueUrl=self.url)
        self.sqs.create_queue(QueueName=self.name)  # without the setting: at once
        with mock.patch.dict(os.environ, CARNATION_QUEUE_NAME_DELAY="60"):
            self.sqs.delete_queue(QueueUrl=self.url)
            self.assertIn("QueueDeletedRecently", refusal(self.sqs.create_queue, QueueName=self.name)[0])
            self.sqs.create_queue(QueueName=self.name + "-other")
        with mock.patch.dict(queues.REFUSED_UNTIL, clear=True):  # a minute later
            self.sqs.create_queue(QueueName=self.name)


class TestSizes(unittest.TestCase):
    def test_names_types_and_values_count(self) -> None:
        self.assertEqual(messages.message_size("é", {"ab": {"DataType": "Binary", "BinaryValue": b"123"}}), 2 + 2 + 6 + 3)
