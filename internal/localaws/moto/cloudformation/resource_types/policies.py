"""Policies of SQS queues and SNS topics, which moto lacks."""

from __future__ import annotations

from typing import Any

import botocore.exceptions

from cloudformation.resource_handler import Handler, resource_type


class PolicyOfOthers(Handler):
    """A policy of queues or topics. Nothing of its own is created or deleted."""

    targets = None

    def put(self, target: str, document: Any) -> None:
        raise NotImplementedError

    def put_all(self, properties: dict[str, Any], document: Any) -> None:
        for target in properties[self.targets]:
            self.put(target, document)

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.put_all(properties, properties["PolicyDocument"])
        physical_id = self.name({})
        return physical_id, {"Id": physical_id}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        gone = [target for target in old[self.targets] if target not in new[self.targets]]
        self.delete(physical_id, {self.targets: gone})
        self.put_all(new, new["PolicyDocument"])
        return {"Id": physical_id}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        for target in properties[self.targets]:
            try:
                self.put(target, "")
            except botocore.exceptions.ClientError:
                pass  # the queue or topic has been deleted, and its policy with it


@resource_type("AWS::SQS::QueuePolicy")
class QueuePolicy(PolicyOfOthers):
    service = "sqs"
    targets = "Queues"

    def put(self, target: str, document: Any) -> None:
        self.call("set_queue_attributes", QueueUrl=target, Attributes={"Policy": document})


@resource_type("AWS::SNS::TopicPolicy")
class TopicPolicy(PolicyOfOthers):
    service = "sns"
    targets = "Topics"

    def put(self, target: str, document: Any) -> None:
        if document:
            self.call("set_topic_attributes", TopicArn=target, AttributeName="Policy", AttributeValue=document)
