"""CloudWatch alarms, which moto lacks, and dashboards."""

from __future__ import annotations

from typing import Any

from moto.cloudwatch.models import cloudwatch_backends

from clients import ACCOUNT_ID
from cloudformation.resource_handler import Failure, Handler, resource_type, tag_list


@resource_type("AWS::CloudWatch::Alarm")
class Alarm(Handler):
    service = "cloudwatch"
    name_property = "AlarmName"
    replaced_by = ("AlarmName",)
    taggable = True

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 255)
        if self.is_there(name):
            raise Failure(f"{name} already exists")
        return name, self.put(name, properties)

    def is_there(self, name: str) -> bool:
        """Asks moto's own table. A stack has many alarms, and a call to find out would take as long as the one that creates it."""
        return name in cloudwatch_backends[ACCOUNT_ID][self.region].alarms

    def put(self, name: str, properties: dict[str, Any]) -> dict[str, Any]:
        self.call("put_metric_alarm", **dict(properties, AlarmName=name))
        return {"Arn": self.arn("cloudwatch", "alarm:" + name)}

    def refuse_missing(self, physical_id: str) -> None:
        if not self.is_there(physical_id):
            raise self.missing(physical_id)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return self.put(physical_id, new)

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        arn = self.arn("cloudwatch", "alarm:" + physical_id)
        if tags:
            self.call("tag_resource", ResourceARN=arn, Tags=tag_list(tags))
        if removed:
            self.call("untag_resource", ResourceARN=arn, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_alarms", AlarmNames=[physical_id])


@resource_type("AWS::CloudWatch::Dashboard")
class Dashboard(Handler):
    service = "cloudwatch"
    name_property = "DashboardName"
    replaced_by = ("DashboardName",)

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 255)
        self.refuse_existing(name, "get_dashboard", DashboardName=name)
        self.update(name, {}, properties)
        return name, {}

    def refuse_missing(self, physical_id: str) -> None:
        if not self.exists("get_dashboard", DashboardName=physical_id):
            raise self.missing(physical_id)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.call("put_dashboard", **dict(new, DashboardName=physical_id))
        return {}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_dashboards", DashboardNames=[physical_id])
