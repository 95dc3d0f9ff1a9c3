"""SNS subscriptions. moto confirms each at once, counts none, and fails a publish when one delivery fails. On AWS, an e-mail
subscription waits for its owner, and lists show "PendingConfirmation" in place of its ARN. Here nobody gets an e-mail, so
ConfirmSubscription takes the last part of the subscription's ARN as the token. Local AWS delivers to SQS queues only.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.sns import models as sns_models
from moto.sns.exceptions import InvalidParameterValue, SNSNotFoundError
from moto.sns.responses import SNSResponse

if TYPE_CHECKING:
    from moto.sns.models import SNSBackend, Subscription, Topic

PENDING = "PendingConfirmation"
BY_MAIL = ("email", "email-json")


def as_text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def listed(subscription: Subscription) -> dict[str, str]:
    return {"SubscriptionArn": PENDING if subscription.attributes[PENDING] else subscription.arn, "Owner": subscription.owner,
            "Protocol": subscription.protocol, "Endpoint": subscription.endpoint, "TopicArn": subscription.topic_arn}


def counted(pending: bool) -> property:
    def count(topic: Topic) -> int:
        return sum(one.attributes[PENDING] is pending for one in topic.sns_backend._get_topic_subscriptions(topic))

    return property(count, lambda topic, value: None)


def fill_subscriptions() -> None:
    backend, subscription, topic = sns_models.SNSBackend, sns_models.Subscription, sns_models.Topic
    make, drop, attributes_of = backend.subscribe, backend.unsubscribe, backend.get_subscription_attributes
    set_attribute, deliver, answer = backend.set_subscription_attributes, subscription.publish, SNSResponse.subscribe
    publish_to = backend.publish
    topic.subscriptions_pending, topic.subscriptions_confimed = counted(True), counted(False)

    def subscribe(self: SNSBackend, topic_arn: str, endpoint: str, protocol: str) -> Subscription:
        if protocol not in ("sqs", *BY_MAIL):
            raise InvalidParameterValue(f"Invalid parameter: Protocol must be sqs or email: local AWS does not deliver to {protocol}")
        known = self._find_subscription(topic_arn, endpoint, protocol)
        made = known or make(self, topic_arn, endpoint, protocol)
        if known is None and protocol in BY_MAIL:
            made.attributes.update({PENDING: True, "ConfirmationWasAuthenticated": False})
        return made

    def unsubscribe(self: SNSBackend, subscription_arn: str) -> None:
        found = self.subscriptions.get(subscription_arn)
        if found is None and subscription_arn.count(":") < 5:
            elements = subscription_arn.count(":") + 1
            raise InvalidParameterValue("Invalid parameter: SubscriptionArn Reason: "
                                        f"An ARN must have at least 6 elements, not {elements}")
        if found is not None and found.attributes[PENDING]:
            raise InvalidParameterValue("Invalid parameter: SubscriptionArn Reason: "
                                        "Cannot unsubscribe a subscription that is pending confirmation")
        drop(self, subscription_arn)

    def confirm(self: SNSBackend, topic_arn: str, token: str) -> str:
        found = self.subscriptions.get(f"{self.get_topic(topic_arn).arn}:{token}")
        if found is None:
            raise InvalidParameterValue("Invalid parameter: Token")
        found.attributes.update({PENDING: False, "ConfirmationWasAuthenticated": True})
        return found.arn

    def get_subscription_attributes(self: SNSBackend, arn: str) -> dict[str, Any]:
        return {name: as_text(value) for name, value in attributes_of(self, arn).items()}

    def set_subscription_attributes(self: SNSBackend, arn: str, name: str, value: Any) -> None:
        """moto takes the text "false", which Subscribe passes, for true."""
        set_attribute(self, arn, name, as_text(value) == "true" if name == "RawMessageDelivery" else value)

    def publish(self: Subscription, *args: Any, **kwargs: Any) -> None:
        if not self.attributes[PENDING]:
            with contextlib.suppress(ServiceException):  # a queue that does not exist is no error of who publishes
                deliver(self, *args, **kwargs)

    def publish_to_topic(self: SNSBackend, text: str, arn: str | None, *args: Any, **kwargs: Any) -> str:
        """moto says of a topic that does not exist that it is an endpoint."""
        if arn and ":endpoint/" not in arn:
            self.get_topic(arn)
        return publish_to(self, text, arn, *args, **kwargs)

    def subscribe_answer(self: SNSResponse) -> ActionResult:
        result = answer(self)
        found = self.backend.subscriptions[result.result["SubscriptionArn"]]
        if found.attributes[PENDING] and not self._get_bool_param("ReturnSubscriptionArn", False):
            return ActionResult({"SubscriptionArn": "pending confirmation"})
        return result

    def listing(self: SNSResponse, found: list[Subscription], next_token: int | None) -> ActionResult:
        return ActionResult({"Subscriptions": [listed(one) for one in found], "NextToken": next_token})

    def list_subscriptions(self: SNSResponse) -> ActionResult:
        return listing(self, *self.backend.list_subscriptions(next_token=self._get_param("NextToken")))

    def list_subscriptions_by_topic(self: SNSResponse) -> ActionResult:
        found = self.backend.list_subscriptions_by_topic(self._get_param("TopicArn"), next_token=self._get_param("NextToken"))
        return listing(self, *found)

    def confirm_subscription(self: SNSResponse) -> ActionResult:
        topic_arn = self._get_param("TopicArn")
        if topic_arn not in self.backend.topics:
            raise SNSNotFoundError("Topic does not exist")
        return ActionResult({"SubscriptionArn": self.backend.confirm(topic_arn, self._get_param("Token"))})

    for method in (subscribe, unsubscribe, confirm, get_subscription_attributes, set_subscription_attributes):
        setattr(backend, method.__name__, method)
    subscription.publish, backend.publish = publish, publish_to_topic
    SNSResponse.subscribe = subscribe_answer
    for answers in (list_subscriptions, list_subscriptions_by_topic, confirm_subscription):
        setattr(SNSResponse, answers.__name__, answers)
