"""SQS queues. An update resets the attributes that the template no longer has."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Failure, Handler, resource_type, tag_map
from cloudformation.templates import text_of


@resource_type("AWS::SQS::Queue")
class Queue(Handler):
    service = "sqs"
    name_property = "QueueName"
    replaced_by = ("QueueName", "FifoQueue")
    taggable = True
    defaults = {
        "DelaySeconds": "0",
        "MaximumMessageSize": "1048576",
        "MessageRetentionPeriod": "345600",
        "ReceiveMessageWaitTimeSeconds": "0",
        "VisibilityTimeout": "30",
        "RedrivePolicy": "",
        "RedriveAllowPolicy": "",
        "KmsMasterKeyId": "",
        "KmsDataKeyReusePeriodSeconds": "300",
        "SqsManagedSseEnabled": "true",
    }

    def api_attributes(self, properties: dict[str, Any]) -> dict[str, Any]:
        known = set(self.defaults) | {"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
        unknown = set(properties) - known - {"QueueName", "Tags"}
        if unknown:
            raise Failure(f"Properties validation failed: extraneous key [{', '.join(sorted(unknown))}] is not permitted")
        return {n: v if isinstance(v, dict) else text_of(v) for n, v in properties.items() if n in known}

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties)
        self.refuse_existing(name, "get_queue_url", QueueName=name)
        url = self.call(
            "create_queue", QueueName=name, Attributes=self.api_attributes(properties), tags=tag_map(properties.get("Tags"))
        )["QueueUrl"]
        return url, {"Arn": self.arn("sqs", name), "QueueName": name, "QueueUrl": url}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        wanted = self.api_attributes(new)
        removed = {name: self.defaults[name] for name in self.api_attributes(old) if name not in wanted}
        self.call("set_queue_attributes", QueueUrl=physical_id, Attributes=dict(removed, **wanted))
        name = physical_id.rsplit("/", 1)[1]
        return {"Arn": self.arn("sqs", name), "QueueName": name, "QueueUrl": physical_id}

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        if tags:
            self.call("tag_queue", QueueUrl=physical_id, Tags=tags)
        if removed:
            self.call("untag_queue", QueueUrl=physical_id, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_queue", QueueUrl=physical_id)
