"""CloudFormation's stacks and change sets: how they are created, updated, rolled back and deleted. moto creates a stack without
events for its resources, answers 500 when a resource fails, and cannot continue a rollback. Its update misses resources that depend
on a changed parameter through another resource, and deletes a nested stack to update it. Here, as in moto, a stack is complete
when the call is answered. AWS answers at once, and a caller that waits sees the same end.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import botocore.exceptions
from moto.cloudformation import models as cfn_models
from moto.cloudformation.exceptions import CloudFormationError
from moto.core.exceptions import ServiceException

from clients import ACCOUNT_ID
from cloudformation import resource_types  # registers them
from cloudformation.resource_handler import RESOURCE_TYPES, Failure, check_types, is_gone, tag_list, tag_map
from cloudformation.resource_types.nested_stack import NestedStack
from cloudformation.stack_policy import refusal
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
# Where an operation without rollback ends if it fails.
PAUSED = ("CREATE_FAILED", "UPDATE_FAILED")


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


def properties_of(handler: Handler, declared: dict[str, Any], scope: Scope, tags: dict[str, str]) -> dict[str, Any]:
    """Returns the properties of a resource. The tags of a stack are tags of its resources, which may have others."""
    properties = scope.resolve(declared.get("Properties") or {})
    if not handler.taggable or not tags:
        return properties
    return dict(properties, Tags=tag_list(dict(tags, **tag_map(properties.get("Tags")))))


class Undo(NamedTuple):
    """A step that takes back what was done to a resource."""

    logical_id: str
    run: Callable[[], Any]


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
        self.disable_rollback = self.pauses = on_failure == "DO_NOTHING"
        self.parent_id = parent.stack_id if parent else None
        self.root_id = (parent.root_id or parent.stack_id) if parent else None
        self.creation_time, self.last_updated_time, self.deletion_time = now(), None, None
        self.status, self.status_reason, self.failure = "REVIEW_IN_PROGRESS", None, None
        self.enable_termination_protection, self.timeout_in_minutes, self.policy = False, None, ""
        self.events, self.records, self.output_list = [], {}, []
        self.retain_except_on_create = False  # whether a rollback deletes what was created, whatever its DeletionPolicy says
        self.undone = False  # whether the creation of this nested stack is being rolled back
        self.deletion_mode, self.change_set_id, self.client_request_token = None, None, None
        self.policy_during_update = None
        self.resumes = False  # whether an update goes on where one without rollback has failed
        self.lock, self.stuck = threading.RLock(), []
        # What a failed operation without rollback has done: steps back, what was there before it, what it has replaced.
        self.undo, self.before, self.replaced = [], None, []
        self.adopt(self.prepare(text, parameters), text)

    def make_child(
        self, name: str, text: str, parameters: dict[str, str], tags: dict[str, str], notification_arns: list[str],
    ) -> Stack:
        on_failure = "DO_NOTHING" if self.pauses else "ROLLBACK"
        child = Stack(self.backend, name, text, parameters, tags, self.role_arn, notification_arns, self.capabilities, on_failure, self)
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
        event = cfn_models.Event(
            stack_id=self.stack_id,
            stack_name=self.name,
            logical_resource_id=record.logical_resource_id if record else self.name,
            physical_resource_id=record.physical_resource_id if record else self.stack_id,
            resource_type=record.cf_resource_type if record else "AWS::CloudFormation::Stack",
            resource_status=status,
            resource_status_reason=reason,
            resource_properties=json.dumps(record.properties) if record else None,
        )
        event.client_request_token = self.root().client_request_token
        self.events.append(event)
        with contextlib.suppress(ServiceException):  # a topic that was deleted stops no stack
            event.sendToSns(ACCOUNT_ID, self.region_name, self.notification_arns)

    def root(self) -> Stack:
        return self.backend.stacks.get(self.root_id, self) if self.root_id else self

    def set_undone(self, undone: bool, retain_except_on_create: bool = False) -> None:
        """Says of a nested stack and those below it whether their creation is being rolled back."""
        self.undone, self.retain_except_on_create = undone, retain_except_on_create
        for child in self.children():
            child.set_undone(undone, retain_except_on_create)

    def children(self) -> list[Stack]:
        found = (self.backend.stacks.get(record.physical_resource_id) for record in self.records.values())
        return [child for child in found if child is not None]

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

    def create_record(self, logical_id: str, declared: dict[str, Any], undo: list[Undo]) -> None:
        record = Record(logical_id, declared, self.scope)
        previous = self.records.get(logical_id)
        self.records[logical_id] = record

        def work() -> None:
            handler = self.handler(record)
            record.properties = properties_of(handler, declared, self.scope, self.tags)
            record.physical_resource_id, record.attributes = handler.create(record.properties)

        def forget() -> None:
            if record.physical_resource_id and record.deletion_policy == "Retain" and not self.retain_except_on_create:
                self.event("DELETE_SKIPPED", None, record)
            elif record.physical_resource_id:
                nested = [stack for stack in self.children() if stack.stack_id == record.physical_resource_id]
                for stack in nested:
                    stack.set_undone(True, self.retain_except_on_create)
                try:
                    self.delete_record(record)
                finally:
                    for stack in nested:
                        stack.set_undone(False)
            if previous is not None:
                self.records[logical_id] = previous
            else:
                self.records.pop(logical_id, None)

        undo.append(Undo(logical_id, forget))
        self.attempt(record, "CREATE", work)

    def delete_record(self, record: Record) -> None:
        def work() -> None:
            try:
                self.handler(record).delete(record.physical_resource_id, record.properties)
            except botocore.exceptions.ClientError as error:
                if not is_gone(error):
                    raise

        self.attempt(record, "DELETE", work)

    def update_record(self, record: Record, declared: dict[str, Any], undo: list[Undo]) -> Record | None:
        handler = self.handler(record)
        nested = isinstance(handler, NestedStack)
        if nested and record.physical_resource_id not in self.backend.stacks:
            self.attempt(record, "UPDATE", lambda: handler.child(record.physical_resource_id))  # says that it does not exist
        old, attributes = record.properties, record.attributes
        record.deletion_policy = self.scope.resolve(declared.get("DeletionPolicy", "Delete"))
        new = properties_of(handler, declared, self.scope, self.tags)
        if new == old and not (self.resumes and record.status == "UPDATE_FAILED") and not (nested and self.child_changes(record, new)):
            return None
        replaced = any(new.get(name) != old.get(name) for name in handler.replaced_by)
        self.refuse_protected("Update:Replace" if replaced else "Update:Modify", record)
        if replaced:
            self.create_record(record.logical_resource_id, declared, undo)
            return record
        before = handler.child(record.physical_resource_id) if nested else None
        text = before.template if nested else None

        def change(before: dict[str, Any], after: dict[str, Any], **more: Any) -> None:
            record.attributes = handler.update(record.physical_resource_id, before, after, **more)
            tags, wanted = tag_map(before.get("Tags")), tag_map(after.get("Tags"))
            if handler.taggable and tags != wanted:
                handler.tag(record.physical_resource_id, wanted, [name for name in tags if name not in wanted])

        def work() -> None:
            record.properties = new
            handler.refuse_missing(record.physical_resource_id)
            change(old, new)

        def restore() -> None:
            record.properties, record.attributes = old, attributes
            self.attempt(record, "UPDATE", lambda: change(new, old, **({"text": text} if nested else {})))

        undo.append(Undo(record.logical_resource_id, restore))
        try:
            self.attempt(record, "UPDATE", work)
        except Failure:
            if self.pauses and not nested:
                undo.pop()
                with contextlib.suppress(Exception):  # the failed resource goes back to what it was, as far as it can
                    change(new, old)
                record.properties, record.attributes = old, attributes
            raise
        return None

    def refuse_protected(self, action: str, record: Record) -> None:
        """Fails if the stack's policy does not allow an action on a resource."""
        reason = refusal(self.policy_during_update or self.policy, action, record.logical_resource_id, record.cf_resource_type)
        if reason:
            self.event("UPDATE_FAILED", reason, record)
            raise Failure(reason)

    def child_changes(self, record: Record, properties: dict[str, Any]) -> bool:
        child = self.backend.stacks.get(record.physical_resource_id)
        return child is None or child.status in PAUSED or child.changes(template_at(properties["TemplateURL"], self.region_name), child.resolved, None)

    def changes(self, text: str, parameters: dict[str, str], tags: dict[str, str] | None) -> bool:
        """Whether an update would change anything, here or in a nested stack whose template changed at its old URL."""
        template = parse_template(text)
        if template != self.template_dict or resolve_parameters(template, parameters) != self.resolved:
            return True
        if tags is not None and tags != self.tags:
            return True
        nested = [r for r in self.records.values() if r.cf_resource_type == NestedStack.type_name]
        return any(self.child_changes(r, r.properties) for r in nested)

    def roll_back(self, undo: list[Undo], skipped: Iterable[str] = ()) -> None:
        """Runs the steps backwards. Steps that fail stay in self.stuck, in the order of undo."""
        self.stuck = []
        for step in reversed(undo):
            if step.logical_id in skipped:
                self.event("UPDATE_COMPLETE", "Resource was skipped", self.records[step.logical_id])
                continue
            try:
                step.run()
            except Failure:
                self.stuck.insert(0, step)  # its event says why, and the other steps still run

    def evaluate_outputs(self) -> None:
        self.output_list = []
        for key, declared in (self.template_dict.get("Outputs") or {}).items():
            if self.scope.wanted(declared):
                output = {"OutputKey": key, "OutputValue": text_of(self.scope.resolve(declared["Value"])),
                          "Description": declared.get("Description")}
                if "Export" in declared:
                    output["ExportName"] = self.unused_export(text_of(self.scope.resolve(declared["Export"]["Name"])))
                self.output_list.append(output)

    def unused_export(self, name: str) -> str:
        for stack in self.backend.stacks.values():
            if stack is not self and any(output.get("ExportName") == name for output in stack.output_list):
                raise Failure(f"Export with name {name} is already exported by stack {stack.name}. ")
        return name

    # the whole stack

    def create(self) -> None:
        with self.lock:
            undo = []
            latest = time.monotonic() + 60 * (self.timeout_in_minutes or 1_000_000)
            self.event("CREATE_IN_PROGRESS", "User Initiated")
            try:
                for logical_id in dependency_order(self.scope):
                    self.create_record(logical_id, self.template_dict["Resources"][logical_id], undo)
                    if time.monotonic() > latest:
                        raise Failure("Stack creation time exceeded the specified timeout.")
                self.evaluate_outputs()
            except (Failure, CloudFormationError) as error:
                self.fail_creation(error, undo)
            else:
                self.event("CREATE_COMPLETE")

    def failed_resources(self, verb: str) -> str:
        failed = [r.logical_resource_id for r in self.records.values() if r.status.endswith("_FAILED")]
        return f"The following resource(s) failed to {verb}: [{', '.join(failed)}]. " if failed else ""

    def fail_creation(self, error: Exception, undo: list[Undo]) -> None:
        self.failure = (self.failed_resources("create") + self.reason(error)).strip()
        if self.on_failure == "DO_NOTHING":
            self.undo = undo
            self.event("CREATE_FAILED", self.failure)
            return
        self.event("ROLLBACK_IN_PROGRESS", self.failure + " Rollback requested by user.")
        self.undo_creation(undo)
        self.event("ROLLBACK_FAILED" if self.records else "ROLLBACK_COMPLETE")
        if self.on_failure == "DELETE":
            self.backend.delete_stack(self.stack_id)

    def undo_creation(self, undo: list[Undo]) -> None:
        kept = dict(self.records)
        self.roll_back(undo)
        self.records = {n: r for n, r in kept.items() if r.status == "DELETE_FAILED"}
        self.scope.records = self.records

    def update(
        self, text: str, parameters: dict[str, str], tags: dict[str, str] | None = None, disable_rollback: bool = False,
    ) -> None:
        scope = self.prepare(text, parameters)
        with self.lock:
            self.resumes = self.status in PAUSED
            if not self.resumes:
                self.undo, self.replaced, self.before = [], [], (self.scope, self.template, self.tags)
            undo = self.undo
            self.pauses = disable_rollback
            self.adopt(scope, text)
            self.tags = self.tags if tags is None else tags
            self.last_updated_time = now()
            self.event("UPDATE_IN_PROGRESS", "User Initiated")
            try:
                self.drop_failed(undo)
                self.apply(undo)
                self.evaluate_outputs()
            except (Failure, CloudFormationError) as error:
                self.failure = (self.failed_resources("update") + self.reason(error)).strip()
                if disable_rollback:
                    self.event("UPDATE_FAILED", self.failure)
                else:
                    self.roll_back_update(self.failure)
            else:
                self.clean_up(self.replaced)
                self.event("UPDATE_COMPLETE")
            self.policy_during_update = None

    def drop_failed(self, undo: list[Undo]) -> None:
        """Deletes what an operation without rollback could not create. AWS does so in the next operation."""
        for record in [r for r in self.records.values() if r.status == "CREATE_FAILED"]:
            if record.physical_resource_id and record.cf_resource_type == NestedStack.type_name:
                continue  # it goes on where it stopped
            if record.physical_resource_id:
                self.delete_record(record)
            for step in [step for step in undo if step.logical_id == record.logical_resource_id]:
                undo.remove(step)
            del self.records[record.logical_resource_id]

    def roll_back_update(self, reason: str = "User Initiated") -> None:
        """Goes back to what was there before an update that failed."""
        self.event("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        self.pauses = False
        self.adopt(*self.before[:2])
        self.tags = self.before[2]
        for name, record in self.records.items():
            declared = self.template_dict["Resources"].get(name)
            if declared is not None:
                record.deletion_policy = self.scope.resolve(declared.get("DeletionPolicy", "Delete"))
        self.end_rollback(self.undo)

    def resume_rollback(self) -> None:
        with self.lock:
            if self.status == "UPDATE_FAILED":
                self.roll_back_update()
            else:
                self.continue_rollback()

    def end_rollback(self, undo: list[Undo], skipped: Iterable[str] = ()) -> None:
        self.roll_back(undo, skipped)
        if not self.stuck:
            self.undo, self.replaced = [], []
            self.evaluate_outputs()
        self.event("UPDATE_ROLLBACK_FAILED" if self.stuck else "UPDATE_ROLLBACK_COMPLETE")

    def continue_rollback(self, skipped: Iterable[str] = ()) -> None:
        with self.lock:
            self.event("UPDATE_ROLLBACK_IN_PROGRESS", "User Initiated")
            self.end_rollback(self.stuck, skipped)

    def apply(self, undo: list[Undo]) -> None:
        """Creates and updates resources. Adds those that have been replaced to self.replaced."""
        wanted = dependency_order(self.scope)
        for record in self.records.values():
            if record.logical_resource_id not in wanted:
                self.refuse_protected("Update:Delete", record)
        for logical_id in wanted:
            declared = self.template_dict["Resources"][logical_id]
            record = self.records.get(logical_id)
            if record is not None and record.cf_resource_type == declared["Type"]:
                old = self.update_record(record, declared, undo)
            else:
                if record is not None:
                    self.refuse_protected("Update:Replace", record)
                self.create_record(logical_id, declared, undo)
                old = record
            if old is not None:
                self.replaced.append(old)

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

    def delete(self, retained: Iterable[str] = (), forced: bool = False) -> None:
        """Deletes the stack. The retained resources stay; with force, so do those that cannot be deleted."""
        kept = ("Retain",) if self.undone else KEPT
        if self.undone and self.retain_except_on_create:
            kept = ()
        with self.lock:
            self.event("DELETE_IN_PROGRESS", "User Initiated")
            failed = {}
            for name, record in reversed(list(self.records.items())):
                if name in retained or record.deletion_policy in kept:
                    self.event("DELETE_SKIPPED", None, record)
                    continue
                try:
                    self.delete_record(record)
                except Failure as error:
                    failed[name] = str(error)
            if forced:
                for name in failed:
                    self.event("DELETE_SKIPPED", None, self.records[name])
            elif failed:
                self.failure = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
                self.failure += " ".join(failed.values())
                self.records = {name: self.records[name] for name in self.records if name in failed}
                self.scope.records = self.records
                self.event("DELETE_FAILED", self.failure)
                return
            self.deletion_time = now()
            self.event("DELETE_COMPLETE")
