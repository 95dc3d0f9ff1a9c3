"""EventBridge Scheduler's schedules and their groups. An update resets what the template no longer has."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Handler, resource_type, tag_list


@resource_type("AWS::Scheduler::Schedule")
class Schedule(Handler):
    service = "scheduler"
    name_property = "Name"
    replaced_by = ("Name",)
    group = "default"

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 64)
        self.refuse_existing(name, "get_schedule", Name=name, GroupName=properties.get("GroupName", self.group))
        return name, {"Arn": self.call("create_schedule", **dict(properties, Name=name))["ScheduleArn"]}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        if old.get("GroupName", self.group) == new.get("GroupName", self.group):
            return {"Arn": self.call("update_schedule", **dict(new, Name=physical_id))["ScheduleArn"]}
        arn = self.call("create_schedule", **dict(new, Name=physical_id))["ScheduleArn"]  # a schedule cannot change its group
        self.delete(physical_id, old)
        return {"Arn": arn}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_schedule", Name=physical_id, GroupName=properties.get("GroupName", self.group))


@resource_type("AWS::Scheduler::ScheduleGroup")
class ScheduleGroup(Handler):
    service = "scheduler"
    name_property = "Name"
    replaced_by = ("Name",)
    taggable = True

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 64)
        self.refuse_existing(name, "get_schedule_group", Name=name)
        return name, {"Arn": self.call("create_schedule_group", **dict(properties, Name=name))["ScheduleGroupArn"]}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return {"Arn": self.call("get_schedule_group", Name=physical_id)["Arn"]}

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        arn = self.call("get_schedule_group", Name=physical_id)["Arn"]
        if tags:
            self.call("tag_resource", ResourceArn=arn, Tags=tag_list(tags))
        if removed:
            self.call("untag_resource", ResourceArn=arn, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_schedule_group", Name=physical_id)  # with its schedules
