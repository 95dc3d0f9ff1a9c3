"""DynamoDB tables. Recovery and time to live have calls of their own, after the table is created."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Handler, resource_type, tag_list


@resource_type("AWS::DynamoDB::Table")
class Table(Handler):
    service = "dynamodb"
    name_property = "TableName"
    replaced_by = ("TableName", "KeySchema", "LocalSecondaryIndexes")
    taggable = True
    later = ("PointInTimeRecoverySpecification", "TimeToLiveSpecification")

    def api_properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        wanted = {n: v for n, v in properties.items() if n not in self.later}
        if "SSESpecification" in wanted:
            wanted["SSESpecification"] = dict(wanted["SSESpecification"])
            wanted["SSESpecification"]["Enabled"] = wanted["SSESpecification"].pop("SSEEnabled", False)
        return wanted

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 255)
        self.call("create_table", **dict(self.api_properties(properties), TableName=name))
        return name, self.set_later(name, {}, properties)

    def set_later(self, name: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        recovery, ttl = (new.get(one) for one in self.later)
        if recovery != old.get(self.later[0]):
            wanted = {"PointInTimeRecoveryEnabled": (recovery or {}).get("PointInTimeRecoveryEnabled", False)}
            self.call("update_continuous_backups", TableName=name, PointInTimeRecoverySpecification=wanted)
        if ttl != old.get(self.later[1]):
            ttl = ttl or dict(old[self.later[1]], Enabled=False)
            self.call("update_time_to_live", TableName=name, TimeToLiveSpecification=ttl)
        table = self.call("describe_table", TableName=name)["Table"]
        return {"Arn": table["TableArn"], "StreamArn": table.get("LatestStreamArn", "")}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        before, after = self.api_properties(old), self.api_properties(new)
        changed = {n: after[n] for n in after if after[n] != before.get(n) and n not in ("Tags", "TableName")}
        if "DeletionProtectionEnabled" in before and "DeletionProtectionEnabled" not in after:
            changed["DeletionProtectionEnabled"] = False
        if changed:
            self.call("update_table", TableName=physical_id, **changed)
        return self.set_later(physical_id, old, new)

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        arn = self.arn("dynamodb", "table/" + physical_id)
        if tags:
            self.call("tag_resource", ResourceArn=arn, Tags=tag_list(tags))
        if removed:
            self.call("untag_resource", ResourceArn=arn, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_table", TableName=physical_id)
