"""Nested stacks. moto deletes one to update it. AWS updates it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from cloudformation.resource_handler import Failure, Handler, resource_type, tag_map
from cloudformation.templates import template_at, text_of

if TYPE_CHECKING:
    from cloudformation.stacks import Stack


@resource_type("AWS::CloudFormation::Stack")
class NestedStack(Handler):
    taggable = True

    def child(self, physical_id: str) -> Stack:
        if physical_id not in self.stack.backend.stacks:
            raise Failure(f"Stack [{physical_id}] does not exist")
        return self.stack.backend.stacks[physical_id]

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        """The update of the nested stack has changed its tags."""

    def parameters(self, properties: dict[str, Any]) -> dict[str, str]:
        return {name: text_of(value) for name, value in properties.get("Parameters", {}).items()}

    def attributes(self, child: Stack) -> dict[str, Any]:
        return {"Outputs." + o["OutputKey"]: o["OutputValue"] for o in child.outputs or []}

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.refuse_unknown(properties, "TemplateURL", "Parameters", "NotificationARNs", "TimeoutInMinutes")
        text = template_at(properties["TemplateURL"], self.region)
        name = f"{self.stack.name}-{self.logical_id}-{uuid.uuid4().hex[:12].upper()}"
        child = self.stack.make_child(name, text, self.parameters(properties), tag_map(properties.get("Tags")),
                                      properties.get("NotificationARNs", []))
        child.timeout_in_minutes = int(properties["TimeoutInMinutes"]) if "TimeoutInMinutes" in properties else None
        child.create()
        if child.status != "CREATE_COMPLETE":
            raise Failure(f"Embedded stack {child.stack_id} was not successfully created: {child.failure}", child.stack_id)
        return child.stack_id, self.attributes(child)

    def update(
        self, physical_id: str, old: dict[str, Any], new: dict[str, Any], text: str | None = None,
    ) -> dict[str, Any]:
        child = self.child(physical_id)
        child.notification_arns = new.get("NotificationARNs", [])
        if text is not None and child.status in ("UPDATE_FAILED", "UPDATE_ROLLBACK_FAILED"):  # its parent rolls back
            child.resume_rollback()
            done = child.status == "UPDATE_ROLLBACK_COMPLETE"
        else:
            text = text or template_at(new["TemplateURL"], self.region)
            child.update(text, self.parameters(new), tag_map(new.get("Tags")), self.stack.pauses)
            done = child.status == "UPDATE_COMPLETE"
        if not done:
            raise Failure(f"Embedded stack {physical_id} was not successfully updated: {child.failure}")
        return self.attributes(child)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        if physical_id in self.stack.backend.stacks:
            self.stack.backend.delete_stack(physical_id)
            child = self.stack.backend.get_stack(physical_id)
            if child.status != "DELETE_COMPLETE":
                raise Failure(f"Embedded stack {physical_id} was not successfully deleted: {child.failure}")
