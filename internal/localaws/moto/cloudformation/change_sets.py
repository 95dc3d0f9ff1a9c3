"""CloudFormation's change sets. moto keeps the names of the changed resources only. Here a change set evaluates the new template
with the new parameters, and says which properties of which resources change, why, and whether a resource is replaced. With
IncludeNestedStacks, each nested stack that changes has a change set of its own.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from moto.cloudformation.exceptions import CloudFormationError

from cloudformation.resource_handler import RESOURCE_TYPES, tag_map
from cloudformation.resource_types.nested_stack import NestedStack
from cloudformation.stacks import KEPT, Record, Stack, now, properties_of
from cloudformation.templates import Scope, dependency_order, references, template_at, text_of

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"  # AWS's words for a value that an update will know


class Planned(Record):
    """A resource as it will be, whose ID and attributes are not known yet."""

    def __init__(self, declared: dict[str, Any]) -> None:
        self.cf_resource_type, self.physical_resource_id, self.attributes = declared["Type"], LATER, Unknown()


class Unknown(dict):
    """Attributes that have every name."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return LATER


class Plan:
    """What an update of a stack, or its creation, would change."""

    def __init__(self, stack: Stack, creation: bool, text: str, parameters: dict[str, str], tags: dict[str, str] | None, nested: bool) -> None:
        self.stack, self.nested, self.text = stack, nested, text
        self.tags = stack.tags if tags is None else tags
        self.scope = stack.prepare(text, parameters)
        self.old = {} if creation else stack.records
        self.old_template = {} if creation else stack.template_dict["Resources"]
        self.old_parameters = {} if creation else stack.resolved
        self.moved = set()  # logical IDs of resources whose ID or attributes will be others
        self.children = {}  # logical ID of a nested stack -> its text and parameters
        self.scope.records = dict(self.old)
        self.different = creation or stack.changes(text, parameters, tags)
        self.changes = self.find_changes() if self.different else []

    def find_changes(self) -> list[dict[str, Any]]:
        template, changes = self.scope.template["Resources"], []
        order = dependency_order(self.scope)
        for logical_id in order:
            declared, record = template[logical_id], self.old.get(logical_id)
            if record is None or record.cf_resource_type != declared["Type"]:
                changes.append(self.change("Add", logical_id, declared["Type"], None))
                self.scope.records[logical_id] = Planned(declared)
                self.moved.add(logical_id)
            else:
                changes.append(self.modification(logical_id, declared, record))
        for logical_id, record in self.old.items():
            if logical_id not in order or record.cf_resource_type != template[logical_id]["Type"]:
                removal = self.change("Remove", logical_id, record.cf_resource_type, record)
                removal["PolicyAction"] = "Retain" if record.deletion_policy in KEPT else "Delete"
                changes.append(removal)
        return [one for one in changes if one is not None]

    def change(self, action: str, logical_id: str, kind: str, record: Record | None) -> dict[str, Any]:
        return {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind, "Scope": [], "Details": [],
                "PhysicalResourceId": record.physical_resource_id if record else None}

    def modification(self, logical_id: str, declared: dict[str, Any], record: Record) -> dict[str, Any] | None:
        handler = RESOURCE_TYPES[declared["Type"]](self.stack, logical_id)
        new = properties_of(handler, declared, self.scope, self.tags)
        literal, old_literal = declared.get("Properties") or {}, self.old_template.get(logical_id, {}).get("Properties") or {}
        details = []
        for name in sorted(set(new) | set(record.properties)):
            if name == "Tags" and handler.taggable:
                if tag_map(new.get(name)) != tag_map(record.properties.get(name)):
                    details.append(self.detail("Tags", None, "Never", record, new, "Static", "DirectModification"))
                continue
            if new.get(name) == record.properties.get(name):
                continue
            recreation = "Always" if name in handler.replaced_by else "Never"
            for evaluation, source, entity in self.causes(literal.get(name), old_literal.get(name), LATER in json.dumps(new.get(name))):
                details.append(self.detail("Properties", name, recreation, record, new, evaluation, source, entity))
        for attribute in ("DeletionPolicy", "UpdateReplacePolicy"):
            old_value = record.deletion_policy if attribute == "DeletionPolicy" else record.replace_policy
            if self.scope.resolve(declared.get(attribute, "Delete")) != old_value:
                details.append(self.detail(attribute, None, "Never", record, new, "Static", "DirectModification"))
        child = self.child_plan(logical_id, new, record) if isinstance(handler, NestedStack) else None
        if isinstance(handler, NestedStack) and not details and (child or not self.nested):
            details.append(self.detail("Properties", None, "Never", record, new, "Dynamic", "Automatic"))
        if not details:
            return None
        change = self.change("Modify", logical_id, declared["Type"], record)
        change["Scope"] = list(dict.fromkeys(one["Target"]["Attribute"] for one in details))
        replacing = [one["Evaluation"] for one in details if one["Target"]["RequiresRecreation"] == "Always"]
        change["Replacement"] = "True" if "Static" in replacing else "Conditional" if replacing else "False"
        change["Details"] = details
        change["BeforeContext"], change["AfterContext"] = ({"Properties": one} for one in (record.properties, new))
        if replacing:
            change["PolicyAction"] = "ReplaceAndRetain" if record.replace_policy in KEPT else "ReplaceAndDelete"
            self.scope.records[logical_id] = Planned(declared)
        if replacing or isinstance(handler, NestedStack):
            self.moved.add(logical_id)
        if child:
            self.children[logical_id] = child
        return change

    def causes(self, literal: Any, old_literal: Any, later: bool) -> list[tuple[str, str, str | None]]:
        """Returns (evaluation, source, causing entity) of a change of a property: all reasons why its value changes."""
        found, names = [], references(literal)
        for name in sorted(names):
            if name in self.scope.parameters and self.scope.parameters[name] != self.old_parameters.get(name):
                found.append(("Static", "ParameterReference", name))
            elif name in self.moved:
                source = "ResourceReference" if {"Ref": name} == literal else "ResourceAttribute"
                found.append(("Dynamic", source, name))
        if literal != old_literal or not found:
            found.append(("Dynamic" if later else "Static", "DirectModification", None))
        return found

    def detail(
        self, attribute: str, name: str | None, recreation: str, record: Record, new: dict[str, Any], evaluation: str, source: str,
        entity: str | None = None,
    ) -> dict[str, Any]:
        target = {"Attribute": attribute, "RequiresRecreation": recreation}
        if name is not None:
            target["Name"], target["Path"] = name, f"/Properties/{name}"
            target["AttributeChangeType"] = "Add" if name not in record.properties else "Modify" if name in new else "Remove"
            for key, values in (("BeforeValue", record.properties), ("AfterValue", new)):
                if name in values:
                    target[key] = values[name] if isinstance(values[name], str) else json.dumps(values[name])
        made = {"Target": target, "Evaluation": evaluation, "ChangeSource": source}
        return dict(made, CausingEntity=entity) if entity else made

    def child_plan(self, logical_id: str, new: dict[str, Any], record: Record) -> Plan | None:
        """Returns what would change in a nested stack, or None."""
        child = self.stack.backend.stacks.get(record.physical_resource_id)
        if not self.nested or child is None or LATER in text_of(new.get("TemplateURL", "")):
            return None
        text = template_at(new["TemplateURL"], self.stack.region_name)
        parameters = {name: text_of(value) for name, value in new.get("Parameters", {}).items()}
        known = {name: child.resolved.get(name, value) if LATER in value else value for name, value in parameters.items()}
        plan = Plan(child, False, text, known, tag_map(new.get("Tags")), True)
        return plan if plan.changes else None


class ChangeSet:
    """What `aws cloudformation deploy` creates and then executes."""

    def __init__(
        self, stack: Stack, name: str, kind: str, text: str, parameters: dict[str, str], tags: dict[str, str] | None,
        nested: bool = False, plan: Plan | None = None, parent: ChangeSet | None = None,
    ) -> None:
        self.stack, self.stack_id, self.stack_name = stack, stack.stack_id, stack.name
        self.change_set_name, self.change_set_type = name, kind
        self.change_set_id = stack.stack_id.replace(":stack/", ":changeSet/").rsplit("/", 2)[0] + f"/{name}/{uuid.uuid4()}"
        self.text, self.parameters, self.tags, self.capabilities = text, parameters, tags, list(stack.capabilities)
        self.creation_time, self.description, self.client_token = now(), None, None
        self.notification_arns, self.role_arn, self.on_stack_failure = list(stack.notification_arns), stack.role_arn, None
        self.include_nested_stacks = nested
        self.parent_change_set_id = parent.change_set_id if parent else None
        self.root_change_set_id = (parent.root_change_set_id or parent.change_set_id) if parent else None
        self.status, self.status_reason, self.execution_status = "CREATE_COMPLETE", None, "AVAILABLE"
        self.changes, self.children = [], []
        try:
            self.plan = plan or Plan(stack, kind == "CREATE", text, parameters, tags, nested)
        except CloudFormationError as error:
            if parent is None:
                raise
            self.fail(error.message)
            return
        self.changes = self.plan.changes
        self.resolved = self.plan.scope.parameters
        if not self.plan.different:
            self.fail(NO_CHANGES)
        for logical_id, child in self.plan.children.items():
            made = ChangeSet(child.stack, f"{name}-{logical_id}-{uuid.uuid4().hex[:12].upper()}", kind, child.text, {}, child.tags,
                             True, child, self)
            self.children.append(made)
            next(one for one in self.changes if one["LogicalResourceId"] == logical_id)["ChangeSetId"] = made.change_set_id

    def fail(self, reason: str) -> None:
        self.status, self.execution_status, self.status_reason = "FAILED", "UNAVAILABLE", reason

    def all(self) -> list[ChangeSet]:
        """Returns this change set and those of nested stacks."""
        return [self] + [one for child in self.children for one in child.all()]

    def parameter_list(self) -> list[dict[str, str]]:
        declared = self.plan.scope.template.get("Parameters") or {}
        hidden = {name for name in declared if text_of(declared[name].get("NoEcho", False)) == "true"}
        return [{"ParameterKey": name, "ParameterValue": "****" if name in hidden else value} for name, value in self.resolved.items()]

    def execute(self, disable_rollback: bool) -> None:
        stack = self.stack
        for one in self.all():
            one.execution_status = "EXECUTE_IN_PROGRESS"
        stack.notification_arns, stack.role_arn = self.notification_arns, self.role_arn
        stack.change_set_id = self.change_set_id
        if self.change_set_type == "CREATE":
            if self.on_stack_failure or disable_rollback:
                stack.on_failure = self.on_stack_failure or "DO_NOTHING"
            stack.disable_rollback = stack.pauses = stack.on_failure == "DO_NOTHING"
            stack.create()
        else:
            stack.update(self.text, self.parameters, self.tags, disable_rollback or self.on_stack_failure == "DO_NOTHING")
        done = stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        for one in self.all():
            one.execution_status = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"
