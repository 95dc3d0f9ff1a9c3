"""SNS topics, and subscriptions, which moto lacks."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Failure, Handler, resource_type, tag_list


@resource_type("AWS::SNS::Topic")
class Topic(Handler):
    service = "sns"
    name_property = "TopicName"
    replaced_by = ("TopicName", "FifoTopic")
    taggable = True

    def api_attributes(self, properties: dict[str, Any]) -> dict[str, Any]:
        self.refuse_unknown(properties, "TopicName", "Subscription", "DisplayName", "KmsMasterKeyId", "FifoTopic", "ContentBasedDeduplication",
                            "SignatureVersion", "TracingConfig")
        return {n: v for n, v in properties.items() if n not in ("TopicName", "Tags", "Subscription")}

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 256)
        arn = self.arn("sns", name)
        self.refuse_existing(name, "get_topic_attributes", TopicArn=arn)
        attributes, tags = self.api_attributes(properties), properties.get("Tags", [])
        self.call("create_topic", Name=name, Attributes=attributes, Tags=tags)
        for one in properties.get("Subscription", []):
            self.call("subscribe", TopicArn=arn, **one)
        return arn, {"TopicArn": arn, "TopicName": name}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        if old.get("Subscription") != new.get("Subscription"):
            raise Failure("Local AWS does not change the Subscription of a topic: use AWS::SNS::Subscription")
        wanted = self.api_attributes(new)
        for name in set(self.api_attributes(old)) | set(wanted):
            self.call("set_topic_attributes", TopicArn=physical_id, AttributeName=name, AttributeValue=wanted.get(name, ""))
        return {"TopicArn": physical_id, "TopicName": physical_id.rsplit(":", 1)[1]}

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        if tags:
            self.call("tag_resource", ResourceArn=physical_id, Tags=tag_list(tags))
        if removed:
            self.call("untag_resource", ResourceArn=physical_id, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_topic", TopicArn=physical_id)  # with its subscriptions


@resource_type("AWS::SNS::Subscription")
class Subscription(Handler):
    service = "sns"
    replaced_by = ("TopicArn", "Protocol", "Endpoint")

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.refuse_unknown(properties, "TopicArn", "Protocol", "Endpoint", "RawMessageDelivery", "FilterPolicy", "FilterPolicyScope", "RedrivePolicy")
        settings = {n: v for n, v in properties.items() if n not in ("TopicArn", "Protocol", "Endpoint")}
        main = {n: v for n, v in properties.items() if n in ("TopicArn", "Protocol", "Endpoint")}
        arn = self.call("subscribe", Attributes=settings, ReturnSubscriptionArn=True, **main)["SubscriptionArn"]
        return arn, {"Arn": arn}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        for name in (set(old) | set(new)) - {"TopicArn", "Protocol", "Endpoint"}:
            self.call("set_subscription_attributes", SubscriptionArn=physical_id,
                      AttributeName=name, AttributeValue=new.get(name, ""))
        return {"Arn": physical_id}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        found = self.call("get_subscription_attributes", SubscriptionArn=physical_id)["Attributes"]
        if found["PendingConfirmation"] == "false":  # SNS deletes a pending one by itself, with its topic or after two days
            self.call("unsubscribe", SubscriptionArn=physical_id)
