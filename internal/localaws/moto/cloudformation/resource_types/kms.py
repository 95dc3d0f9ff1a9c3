"""KMS keys and aliases."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Failure, Handler, resource_type, tag_map
from cloudformation.templates import text_of


@resource_type("AWS::KMS::Key")
class Key(Handler):
    service = "kms"
    replaced_by = ("KeySpec", "KeyUsage", "MultiRegion", "Origin")
    taggable = True

    def refuse_unknown(self, properties: dict[str, Any]) -> None:
        unknown = set(properties) - {"Description", "EnableKeyRotation", "KeyPolicy", "PendingWindowInDays", "Tags"}
        if unknown:
            raise Failure(f"Key properties not supported here: {', '.join(sorted(unknown))}")

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.refuse_unknown(properties)
        tags = [{"TagKey": name, "TagValue": value} for name, value in tag_map(properties.get("Tags")).items()]
        made = self.call("create_key", Description=properties.get("Description", ""), Policy=properties["KeyPolicy"], Tags=tags)["KeyMetadata"]
        return made["KeyId"], self.rotate(made["KeyId"], properties)

    def rotate(self, key_id: str, properties: dict[str, Any]) -> dict[str, Any]:
        wanted = text_of(properties.get("EnableKeyRotation", False)) == "true"
        self.call("enable_key_rotation" if wanted else "disable_key_rotation", KeyId=key_id)
        return {"Arn": self.arn("kms", "key/" + key_id), "KeyId": key_id}

    def refuse_missing(self, physical_id: str) -> None:
        if self.call("describe_key", KeyId=physical_id)["KeyMetadata"]["KeyState"] == "PendingDeletion":
            raise self.missing(physical_id)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.refuse_unknown(new)
        self.call("put_key_policy", KeyId=physical_id, PolicyName="default", Policy=new["KeyPolicy"])
        self.call("update_key_description", KeyId=physical_id, Description=new.get("Description", ""))
        return self.rotate(physical_id, new)

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        if tags:
            self.call("tag_resource", KeyId=physical_id, Tags=[{"TagKey": name, "TagValue": value} for name, value in tags.items()])
        if removed:
            self.call("untag_resource", KeyId=physical_id, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("schedule_key_deletion", KeyId=physical_id, PendingWindowInDays=properties.get("PendingWindowInDays", 30))


@resource_type("AWS::KMS::Alias")
class Alias(Handler):
    service = "kms"
    replaced_by = ("AliasName",)

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.call("create_alias", **properties)
        return properties["AliasName"], {}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.call("update_alias", **new)
        return {}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_alias", AliasName=physical_id)
