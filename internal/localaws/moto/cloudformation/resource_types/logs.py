"""Log groups of CloudWatch Logs."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Handler, resource_type, tag_map


@resource_type("AWS::Logs::LogGroup")
class LogGroup(Handler):
    service = "logs"
    name_property = "LogGroupName"
    replaced_by = ("LogGroupName",)
    taggable = True
    known = ("LogGroupName", "RetentionInDays", "KmsKeyId")

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.refuse_unknown(properties, *self.known)
        name = self.name(properties, 512)
        settings = {"kmsKeyId": properties["KmsKeyId"]} if "KmsKeyId" in properties else {}
        self.call("create_log_group", logGroupName=name, tags=tag_map(properties.get("Tags")), **settings)
        return name, self.retain(name, properties)

    def retain(self, name: str, properties: dict[str, Any]) -> dict[str, Any]:
        if "RetentionInDays" in properties:
            self.call("put_retention_policy", logGroupName=name, retentionInDays=properties["RetentionInDays"])
        else:
            self.call("delete_retention_policy", logGroupName=name)
        return {"Arn": self.arn("logs", f"log-group:{name}:*")}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.refuse_unknown(new, *self.known)
        if old.get("KmsKeyId") != new.get("KmsKeyId"):
            if "KmsKeyId" in new:
                self.call("associate_kms_key", logGroupName=physical_id, kmsKeyId=new["KmsKeyId"])
            else:
                self.call("disassociate_kms_key", logGroupName=physical_id)
        return self.retain(physical_id, new)

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        arn = self.arn("logs", "log-group:" + physical_id)
        if tags:
            self.call("tag_resource", resourceArn=arn, tags=tags)
        if removed:
            self.call("untag_resource", resourceArn=arn, tagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_log_group", logGroupName=physical_id)
