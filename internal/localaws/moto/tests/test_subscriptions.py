"""SNS: subscriptions that wait for their owner, and what is delivered."""

from __future__ import annotations

import unittest

from tests.service import REGION, client, refusal


class TestSubscriptions(unittest.TestCase):
    def setUp(self) -> None:
        self.sns, self.name = client("sns"), self.id().rpartition(".")[2]
        self.topic = self.sns.create_topic(Name=self.name)["TopicArn"]

    def listed(self) -> list[str]:
        return [one["SubscriptionArn"] for one in self.sns.list_subscriptions_by_topic(TopicArn=self.topic)["Subscriptions"]]

    def counts(self) -> tuple[str, str]:
        attributes = self.sns.get_topic_attributes(TopicArn=self.topic)["Attributes"]
        return attributes["SubscriptionsPending"], attributes["SubscriptionsConfirmed"]

    def test_email_waits_for_its_owner(self) -> None:
        mail = {"TopicArn": self.topic, "Protocol": "email", "Endpoint": "me@example.com"}
        self.assertEqual(self.sns.subscribe(**mail)["SubscriptionArn"], "pending confirmation")
        arn = self.sns.subscribe(ReturnSubscriptionArn=True, **mail)["SubscriptionArn"]
        self.assertEqual((self.listed(), self.counts()), (["PendingConfirmation"], ("1", "0")))
        self.assertEqual(self.sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"], "true")
        self.assertIn("pending confirmation", refusal(self.sns.unsubscribe, SubscriptionArn=arn)[1])
        self.assertEqual(refusal(self.sns.unsubscribe, SubscriptionArn="PendingConfirmation")[0], "InvalidParameter")
        self.assertEqual(refusal(self.sns.confirm_subscription, TopicArn=self.topic, Token="guessed")[0], "InvalidParameter")
        self.assertEqual(self.sns.confirm_subscription(TopicArn=self.topic, Token=arn.rpartition(":")[2])["SubscriptionArn"], arn)
        self.assertEqual((self.listed(), self.counts()), ([arn], ("0", "1")))
        self.sns.unsubscribe(SubscriptionArn=arn)
        self.assertEqual(self.listed(), [])

    def test_a_topic_takes_its_pending_subscriptions_along(self) -> None:
        self.sns.subscribe(TopicArn=self.topic, Protocol="email", Endpoint="me@example.com")
        self.sns.delete_topic(TopicArn=self.topic)
        self.assertEqual([one for one in self.sns.list_subscriptions()["Subscriptions"] if one["TopicArn"] == self.topic], [])

    def test_a_queue_that_does_not_exist_fails_no_publish(self) -> None:
        self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:123456789012:none")
        self.assertTrue(self.sns.publish(TopicArn=self.topic, Message="m")["MessageId"])

    def test_raw_delivery_is_off_if_it_is_false(self) -> None:
        queue = client("sqs").create_queue(QueueName=self.name)["QueueUrl"]
        endpoint = f"arn:aws:sqs:{REGION}:123456789012:{self.name}"
        for raw, want in (("false", False), ("true", True)):
            arn = self.sns.subscribe(TopicArn=self.topic, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": raw})["SubscriptionArn"]
            self.sns.publish(TopicArn=self.topic, Message="m")
            message = client("sqs").receive_message(QueueUrl=queue)["Messages"][0]
            self.assertEqual(message["Body"] == "m", want)
            client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            self.sns.unsubscribe(SubscriptionArn=arn)

    def test_what_is_not_delivered_is_refused(self) -> None:
        for protocol, endpoint in (("lambda", f"arn:aws:lambda:{REGION}:123456789012:function:f"), ("https", "https://example.com"), ("sms", "+41790000000")):
            with self.subTest(protocol):
                self.assertIn("local AWS does not deliver",
                              refusal(self.sns.subscribe, TopicArn=self.topic, Protocol=protocol, Endpoint=endpoint)[1])
