"""CloudFormation's stacks and change sets: how they are created, updated, rolled back and deleted. moto creates a stack without
events for its resources, answers 500 when a resource fails, and cannot continue a rollback. Its update misses resources that depend
on a changed parameter through another resource, and deletes a nested stack to update it. Here, as in moto, a stack is complete
when the call is answered. AWS answers at once, and a caller that waits sees the same end.
"""

from __future__ import annotations

import datetime
import json
import threading
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import botocore.exceptions
from moto.cloudformation import models as cfn_models
from moto.cloudformation.exceptions import CloudFormationError

from clients import ACCOUNT_ID
from cloudformation import resource_types  # registers them
from cloudformation.resource_handler import RESOURCE_TYPES, Failure, check_types, is_gone
from cloudformation.resource_types.nested_stack import NestedStack
from cloudformation.templates import (
    Scope,
    check_references,
    dependency_order,
    parse_template,
    resolve_parameters,
    template_at,
    text_of,
)

if TYPE_CHECKING:
    from cloudformation.resource_handler import Handler
    from moto.cloudformation.models import CloudFormationBackend


# Deletion policies. With the second, the rollback of a creation deletes the resource.
KEPT = ("Retain", "RetainExceptOnCreate")


class InsufficientCapabilities(CloudFormationError):
    code = "InsufficientCapabilitiesException"


def now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.timezone.utc)


class Record:
    """A resource of a stack."""

    def __init__(self, logical_id: str, declared: dict[str, Any], scope: Scope) -> None:
        self.logical_resource_id = logical_id
        self.cf_resource_type = declared["Type"]
        self.deletion_policy = scope.resolve(declared.get("DeletionPolicy", "Delete"))
        self.replace_policy = scope.resolve(declared.get("UpdateReplacePolicy", "Delete"))
        self.physical_resource_id = ""
        self.attributes, self.properties = {}, {}
        self.status, self.status_reason, self.timestamp = "", None, now()


def needed_capability(resources: Iterable[dict[str, Any]]) -> str | None:
    roles = [r for r in resources if r["Type"] == "AWS::IAM::Role"]
    named = any("RoleName" in r.get("Properties", {}) for r in roles)
    return ("CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM") if roles else None


class Stack:
    class Meta:
        serialization_aliases = {"Parameters": "parameter_list"}

    def __init__(
        self, backend: CloudFormationBackend, name: str, text: str, parameters: dict[str, str],
        tags: dict[str, str] | None = None, role_arn: str | None = None, notification_arns: list[str] | None = None,
        capabilities: Iterable[str] = (), on_failure: str = "ROLLBACK", parent: Stack | None = None,
    ) -> None:
        self.backend, self.region_name, self.partition = backend, backend.region_name, backend.partition
        self.name = name
        self.stack_id = f"arn:{self.partition}:cloudformation:{self.region_name}:{ACCOUNT_ID}:stack/{name}/{uuid.uuid4()}"
        self.tags, self.role_arn, self.notification_arns = tags or {}, role_arn, notification_arns or []
        self.capabilities, self.on_failure = list(capabilities or []), on_failure
        self.disable_rollback = on_failure == "DO_NOTHING"
        self.parent_id = parent.stack_id if parent else None
        self.root_id = (parent.root_id or parent.stack_id) if parent else None
        self.creation_time, self.last_updated_time, self.deletion_time = now(), None, None
        self.status, self.status_reason, self.failure = "REVIEW_IN_PROGRESS", None, None
        self.enable_termination_protection, self.timeout_in_minutes, self.policy = False, None, ""
        self.events, self.records, self.output_list = [], {}, []
        self.undone = False  # whether the creation of this nested stack is being rolled back
        self.lock, self.stuck = threading.RLock(), []
        self.adopt(self.prepare(text, parameters), text)

    def make_child(self, name: str, text: str, parameters: dict[str, str], tags: dict[str, str]) -> Stack:
        child = Stack(self.backend, name, text, parameters, dict(self.tags, **tags), self.role_arn, self.notification_arns,
                      self.capabilities, parent=self)
        self.backend.stacks[child.stack_id] = child
        return child

    def prepare(self, text: str, parameters: dict[str, str]) -> Scope:
        """Checks what can be checked before a resource is touched."""
        template = parse_template(text)
        check_types(template)
        check_references(template)
        scope = Scope(self, template, resolve_parameters(template, parameters))
        scope.check_rules()
        dependency_order(scope)
        needed = needed_capability(r for r in template["Resources"].values() if scope.wanted(r))
        if needed and not {needed, "CAPABILITY_NAMED_IAM"} & set(self.capabilities):
            raise InsufficientCapabilities(f"Requires capabilities : [{needed}]")
        return scope

    def adopt(self, scope: Scope, text: str) -> None:
        self.scope, self.template, self.template_dict, self.resolved = scope, text, scope.template, scope.parameters
        self.description = scope.template.get("Description")
        scope.records = self.records

    @property
    def parameter_list(self) -> list[dict[str, str]]:
        declared = self.template_dict.get("Parameters") or {}
        hidden = {name for name in declared if text_of(declared[name].get("NoEcho", False)) == "true"}
        return [{"ParameterKey": n, "ParameterValue": "****" if n in hidden else v} for n, v in self.resolved.items()]

    @property
    def stack_resources(self) -> list[Record]:
        return list(self.records.values())

    @property
    def outputs(self) -> list[dict[str, Any]] | None:
        return self.output_list or None

    # events

    def event(self, status: str, reason: str | None = None, record: Record | None = None) -> None:
        if record is not None:
            record.status, record.status_reason, record.timestamp = status, reason, now()
        else:
            self.status, self.status_reason = status, reason
        self.events.append(cfn_models.Event(
            stack_id=self.stack_id,
            stack_name=self.name,
            logical_resource_id=record.logical_resource_id if record else self.name,
            physical_resource_id=record.physical_resource_id if record else self.stack_id,
            resource_type=record.cf_resource_type if record else "AWS::CloudFormation::Stack",
            resource_status=status,
            resource_status_reason=reason,
            resource_properties=json.dumps(record.properties) if record else None,
        ))

    # one resource

    def handler(self, record: Record) -> Handler:
        return RESOURCE_TYPES[record.cf_resource_type](self, record.logical_resource_id)

    def attempt(self, record: Record, action: str, work: Callable[[], None]) -> None:
        """Runs one step on a resource, with its events. A Failure has the reason that AWS would show."""
        self.event(action + "_IN_PROGRESS", None, record)
        try:
            work()
        except Exception as error:
            reason = self.reason(error)
            record.physical_resource_id = record.physical_resource_id or getattr(error, "physical_id", "")
            self.event(action + "_FAILED", reason, record)
            raise Failure(reason)
        self.event(action + "_COMPLETE", None, record)

    def reason(self, error: Exception) -> str:
        if isinstance(error, botocore.exceptions.ClientError):
            answer = error.response["Error"]
            return f"{answer.get('Message')} (Error Code: {answer.get('Code')})"
        if isinstance(error, KeyError):
            return f"Properties validation failed: required key [{error.args[0]}] not found"
        if isinstance(error, (Failure, CloudFormationError)):
            return getattr(error, "message", None) or str(error)
        return f"{type(error).__name__}: {error}"

    def create_record(self, logical_id: str, declared: dict[str, Any], undo: list[Callable[[], Any]]) -> None:
        record = Record(logical_id, declared, self.scope)
        previous = self.records.get(logical_id)
        self.records[logical_id] = record

        def work() -> None:
            record.properties = self.scope.resolve(declared.get("Properties") or {})
            record.physical_resource_id, record.attributes = self.handler(record).create(record.properties)

        def forget() -> None:
            if record.physical_resource_id and record.deletion_policy == "Retain":
                self.event("DELETE_SKIPPED", None, record)
            elif record.physical_resource_id:
                self.delete_record(record)
            if previous is not None:
                self.records[logical_id] = previous
            else:
                self.records.pop(logical_id, None)

        undo.append(forget)
        self.attempt(record, "CREATE", work)

    def delete_record(self, record: Record) -> None:
        def work() -> None:
            try:
                self.handler(record).delete(record.physical_resource_id, record.properties)
            except botocore.exceptions.ClientError as error:
                if not is_gone(error):
                    raise

        self.attempt(record, "DELETE", work)

    def update_record(self, record: Record, declared: dict[str, Any], undo: list[Callable[[], Any]]) -> Record | None:
        handler = self.handler(record)
        nested = isinstance(handler, NestedStack)
        old, attributes = record.properties, record.attributes
        record.deletion_policy = self.scope.resolve(declared.get("DeletionPolicy", "Delete"))
        new = self.scope.resolve(declared.get("Properties") or {})
        if new == old and not (nested and self.child_changes(record, new)):
            return None
        if any(new.get(name) != old.get(name) for name in handler.replaced_by):
            self.create_record(record.logical_resource_id, declared, undo)
            return record
        before = handler.child(record.physical_resource_id) if nested else None
        text = before.template if nested else None

        def work() -> None:
            record.properties = new
            handler.refuse_missing(record.physical_resource_id)
            record.attributes = handler.update(record.physical_resource_id, old, new)

        def restore() -> None:
            record.properties, record.attributes = old, attributes
            more = {"text": text} if nested else {}
            self.attempt(record, "UPDATE", lambda: handler.update(record.physical_resource_id, new, old, **more))

        undo.append(restore)
        self.attempt(record, "UPDATE", work)
        return None

    def child_changes(self, record: Record, properties: dict[str, Any]) -> bool:
        child = self.backend.stacks.get(record.physical_resource_id)
        return child is None or child.changes(template_at(properties["TemplateURL"], self.region_name), child.resolved, None)

    def changes(self, text: str, parameters: dict[str, str], tags: dict[str, str] | None) -> bool:
        """Whether an update would change anything, here or in a nested stack whose template changed at its old URL."""
        template = parse_template(text)
        if template != self.template_dict or resolve_parameters(template, parameters) != self.resolved:
            return True
        if tags is not None and tags != self.tags:
            return True
        nested = [r for r in self.records.values() if r.cf_resource_type == NestedStack.type_name]
        return any(self.child_changes(r, r.properties) for r in nested)

    def roll_back(self, undo: list[Callable[[], Any]]) -> None:
        """Runs the steps backwards. Steps that fail stay in self.stuck, in the order of undo."""
        self.stuck = []
        for step in reversed(undo):
            try:
                step()
            except Failure:
                self.stuck.insert(0, step)  # its event says why, and the other steps still run

    def evaluate_outputs(self) -> None:
        self.output_list = []
        for key, declared in (self.template_dict.get("Outputs") or {}).items():
            if self.scope.wanted(declared):
                value = text_of(self.scope.resolve(declared["Value"]))
                self.output_list.append({"OutputKey": key, "OutputValue": value, "Description": declared.get("Description")})

    # the whole stack

    def create(self) -> None:
        with self.lock:
            undo = []
            self.event("CREATE_IN_PROGRESS", "User Initiated")
            try:
                for logical_id in dependency_order(self.scope):
                    self.create_record(logical_id, self.template_dict["Resources"][logical_id], undo)
                self.evaluate_outputs()
            except (Failure, CloudFormationError) as error:
                self.fail_creation(error, undo)
            else:
                self.event("CREATE_COMPLETE")

    def failed_resources(self, verb: str) -> str:
        failed = [r.logical_resource_id for r in self.records.values() if r.status.endswith("_FAILED")]
        return f"The following resource(s) failed to {verb}: [{', '.join(failed)}]. " if failed else ""

    def fail_creation(self, error: Exception, undo: list[Callable[[], Any]]) -> None:
        self.failure = (self.failed_resources("create") + self.reason(error)).strip()
        if self.on_failure == "DO_NOTHING":
            self.event("CREATE_FAILED", self.failure)
            return
        self.event("ROLLBACK_IN_PROGRESS", self.failure + " Rollback requested by user.")
        kept = dict(self.records)
        children = [self.backend.stacks[r.physical_resource_id] for r in kept.values() if r.physical_resource_id in self.backend.stacks]
        for child in children:
            child.undone = True
        self.roll_back(undo)
        for child in children:
            child.undone = False
        self.records = {n: r for n, r in kept.items() if r.status == "DELETE_FAILED"}
        self.scope.records = self.records
        self.event("ROLLBACK_FAILED" if self.records else "ROLLBACK_COMPLETE")
        if self.on_failure == "DELETE":
            self.backend.delete_stack(self.stack_id)

    def update(self, text: str, parameters: dict[str, str], tags: dict[str, str] | None = None) -> None:
        scope = self.prepare(text, parameters)
        with self.lock:
            undo, before = [], (self.scope, self.template, self.tags)
            self.adopt(scope, text)
            self.tags = self.tags if tags is None else tags
            self.last_updated_time = now()
            self.event("UPDATE_IN_PROGRESS", "User Initiated")
            try:
                replaced = self.apply(undo)
                self.evaluate_outputs()
            except (Failure, CloudFormationError) as error:
                self.failure = (self.failed_resources("update") + self.reason(error)).strip()
                self.event("UPDATE_ROLLBACK_IN_PROGRESS", self.failure)
                self.adopt(*before[:2])
                self.tags = before[2]
                self.roll_back_update(undo)
            else:
                self.clean_up(replaced)
                self.event("UPDATE_COMPLETE")

    def roll_back_update(self, undo: list[Callable[[], Any]]) -> None:
        self.roll_back(undo)
        self.event("UPDATE_ROLLBACK_FAILED" if self.stuck else "UPDATE_ROLLBACK_COMPLETE")

    def continue_rollback(self) -> None:
        with self.lock:
            self.event("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
            self.roll_back_update(self.stuck)

    def apply(self, undo: list[Callable[[], Any]]) -> list[Record]:
        """Creates and updates resources. Returns those that have been replaced."""
        replaced = []
        for logical_id in dependency_order(self.scope):
            declared = self.template_dict["Resources"][logical_id]
            record = self.records.get(logical_id)
            if record is not None and record.cf_resource_type == declared["Type"]:
                replaced.append(self.update_record(record, declared, undo))
            else:
                self.create_record(logical_id, declared, undo)
                replaced.append(record)
        return [record for record in replaced if record is not None]

    def clean_up(self, replaced: list[Record]) -> None:
        self.event("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        wanted = set(dependency_order(self.scope))
        gone = [record for name, record in self.records.items() if name not in wanted]
        for record in reversed(gone):
            del self.records[record.logical_resource_id]
        for record, policy in [(r, r.replace_policy) for r in replaced] + [(r, r.deletion_policy) for r in reversed(gone)]:
            try:
                if policy not in KEPT:
                    self.delete_record(record)
            except Failure:
                pass  # as on AWS, the update is complete, and an event says what was left behind

    def delete(self) -> None:
        with self.lock:
            self.event("DELETE_IN_PROGRESS", "User Initiated")
            failed = {}
            for name, record in reversed(list(self.records.items())):
                if record.deletion_policy in (("Retain",) if self.undone else KEPT):
                    self.event("DELETE_SKIPPED", None, record)
                    continue
                try:
                    self.delete_record(record)
                except Failure as error:
                    failed[name] = str(error)
            if failed:
                self.failure = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
                self.failure += " ".join(failed.values())
                self.records = {name: self.records[name] for name in self.records if name in failed}
                self.scope.records = self.records
                self.event("DELETE_FAILED", self.failure)
                return
            self.deletion_time = now()
            self.event("DELETE_COMPLETE")


class ChangeSet:
    """What `aws cloudformation deploy` creates and then executes."""

    def __init__(
        self, stack: Stack, name: str, kind: str, text: str, parameters: dict[str, str],
        tags: dict[str, str] | None,
    ) -> None:
        self.stack, self.stack_id, self.stack_name = stack, stack.stack_id, stack.name
        self.change_set_name, self.change_set_type = name, kind
        self.change_set_id = stack.stack_id.replace(":stack/", ":changeSet/").rsplit("/", 2)[0] + f"/{name}/{uuid.uuid4()}"
        self.text, self.parameters, self.tags, self.capabilities = text, parameters, tags, stack.capabilities
        self.creation_time, self.description, self.notification_arns = now(), None, []
        self.status, self.status_reason, self.execution_status = "CREATE_COMPLETE", None, "AVAILABLE"
        old, new = stack.template_dict["Resources"] if kind == "UPDATE" else {}, parse_template(text)["Resources"]
        actions = {n: "Modify" if n in old else "Add" for n in new if new[n] != old.get(n)}
        actions.update((n, "Remove") for n in old if n not in new)
        self.changes = [cfn_models.Change(action, n, dict(old, **new)[n]["Type"]) for n, action in actions.items()]
        if kind == "UPDATE" and not stack.changes(text, parameters, tags):
            self.status, self.execution_status = "FAILED", "UNAVAILABLE"
            self.status_reason = ("The submitted information didn't contain changes. "
                                  "Submit different information to create a change set.")

    def execute(self) -> None:
        self.execution_status = "EXECUTE_IN_PROGRESS"
        if self.change_set_type == "CREATE":
            self.stack.create()
        else:
            self.stack.update(self.text, self.parameters, self.tags)
        done = self.stack.status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        self.execution_status = "EXECUTE_COMPLETE" if done else "EXECUTE_FAILED"
