"""CloudFormation's API: reads requests, calls the stack, and shapes answers. moto ignores Capabilities and OnFailure, finds
nothing to update when only a nested template has changed, keeps little of a change set, and shows the status of the stack as the
status of each resource. Its template summary needs a version in the template, and its validation returns no parameters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from moto.cloudformation import models as cfn_models
from moto.cloudformation import responses as cfn_responses
from moto.cloudformation.exceptions import AlreadyExistsException

from patching import take_over
from cloudformation.resource_handler import check_types
from cloudformation.stacks import ChangeSet, Stack, needed_capability
from cloudformation.templates import check_references, invalid, parse_template, template_at, text_of

if TYPE_CHECKING:
    from cloudformation.stacks import Record
    from moto.cloudformation.models import CloudFormationBackend
    from moto.core.responses import ActionResult, EmptyResult


def stack_called(backend: CloudFormationBackend, name: str) -> Stack | None:
    return next((stack for stack in backend.stacks.values() if name in (stack.name, stack.stack_id)), None)


def delete_stack(self: CloudFormationBackend, name_or_stack_id: str) -> None:
    """Replaces CloudFormationBackend.delete_stack."""
    stack = stack_called(self, name_or_stack_id)
    if stack is None:
        return
    stack.delete()
    if stack.status == "DELETE_COMPLETE":
        del self.stacks[stack.stack_id]
        self.deleted_stacks[stack.stack_id] = stack


def declared_parameters(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "ParameterKey": name,
            "ParameterType": one.get("Type", "String"),
            "DefaultValue": text_of(one["Default"]) if "Default" in one else None,
            "NoEcho": text_of(one.get("NoEcho", False)) == "true",
            "Description": one.get("Description", ""),
        }
        for name, one in (template.get("Parameters") or {}).items()
    ]


def needed_capabilities(template: dict[str, Any]) -> list[str]:
    needed = needed_capability(template["Resources"].values())
    return [needed] if needed else []


class CloudFormationAnswers:
    """Replaces moto's responses of the same name."""

    def given_template(self, stack: Stack | None = None) -> str:
        text, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        if text and url:
            raise invalid("You cannot specify both TemplateBody and TemplateURL")
        if url:
            return template_at(url, self.region)
        if text:
            return text
        if stack is not None and self._get_bool_param("UsePreviousTemplate", False):
            return stack.template
        raise invalid("Either Template URL or Template Body must be specified.")

    def given_parameters(self, stack: Stack | None = None) -> dict[str, str]:
        given = {}
        for one in self._get_param("Parameters", []):
            key = one["ParameterKey"]
            if stack is not None and one.get("UsePreviousValue"):
                if key not in stack.resolved:
                    raise invalid(f"Invalid input for parameter key {key}. Cannot use previous value: there is none")
                given[key] = stack.resolved[key]
            else:
                given[key] = one.get("ParameterValue", "")
        return given

    def given_tags(self) -> dict[str, str] | None:
        tags = self._get_param("Tags")
        return None if tags is None else {tag["Key"]: tag["Value"] for tag in tags}

    def new_stack(self, name: str, text: str, parameters: dict[str, str]) -> Stack:
        if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", name or ""):
            raise invalid(f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
                          "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*")
        existing = stack_called(self.cloudformation_backend, name)
        if existing is not None and existing.status != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        on_failure = self._get_param("OnFailure") or ("DO_NOTHING" if self._get_bool_param("DisableRollback") else "ROLLBACK")
        return Stack(self.cloudformation_backend, name, text, parameters, self.given_tags(), self._get_param("RoleARN"),
                     self._get_param("NotificationARNs", []), self._get_param("Capabilities", []), on_failure)

    def create_stack(self) -> ActionResult:
        stack = self.new_stack(self._get_param("StackName"), self.given_template(), self.given_parameters())
        self.cloudformation_backend.stacks[stack.stack_id] = stack
        stack.create()
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def update_stack(self) -> ActionResult:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        if not re.fullmatch(r"(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE", stack.status):
            raise invalid(f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
        text, parameters, tags = self.given_template(stack), self.given_parameters(stack), self.given_tags()
        self.allow(stack, text)
        if not stack.changes(text, parameters, tags):
            raise invalid("No updates are to be performed.")
        stack.update(text, parameters, tags)
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def continue_update_rollback(self) -> EmptyResult:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise invalid(f"Stack:{stack.stack_id} is in {stack.status} state and can not continue rollback.")
        stack.continue_rollback()
        return cfn_responses.EmptyResult()

    def allow(self, stack: Stack, text: str) -> None:
        stack.capabilities = self._get_param("Capabilities", [])
        for child in stack.backend.stacks.values():
            if child.root_id == stack.stack_id:
                child.capabilities = stack.capabilities

    def create_change_set(self) -> ActionResult:
        kind, backend = self._get_param("ChangeSetType") or "UPDATE", self.cloudformation_backend
        tags = self.given_tags()
        if kind == "CREATE":
            text, parameters = self.given_template(), self.given_parameters()
            stack = self.new_stack(self._get_param("StackName"), text, parameters)
            waiting = stack_called(backend, stack.name)
            if waiting is not None:
                del backend.stacks[waiting.stack_id]
            backend.stacks[stack.stack_id] = stack
            stack.event("REVIEW_IN_PROGRESS", "User Initiated")
        else:
            stack = backend.get_stack(self._get_param("StackName"))
            text, parameters = self.given_template(stack), self.given_parameters(stack)
            self.allow(stack, text)
            stack.prepare(text, parameters)
        made = ChangeSet(stack, self._get_param("ChangeSetName"), kind, text, parameters, tags)
        backend.change_sets[made.change_set_id] = made
        return cfn_responses.ActionResult({"Id": made.change_set_id, "StackId": stack.stack_id})

    def execute_change_set(self) -> EmptyResult:
        wanted = self.cloudformation_backend.describe_change_set(self._get_param("ChangeSetName"))
        if wanted.execution_status != "AVAILABLE":
            raise invalid(f"ChangeSet [{wanted.change_set_id}] cannot be executed in its current status of [{wanted.status}]")
        wanted.execute()
        return cfn_responses.EmptyResult()

    def get_template_summary(self) -> ActionResult:
        name = self._get_param("StackName")
        text = self.cloudformation_backend.get_stack(name).template if name else self.given_template()
        template = parse_template(text)
        return cfn_responses.ActionResult({
            "Description": template.get("Description"),
            "Version": template.get("AWSTemplateFormatVersion"),
            "ResourceTypes": sorted({one["Type"] for one in template["Resources"].values()}),
            "Parameters": declared_parameters(template),
            "Capabilities": needed_capabilities(template),
        })

    def validate_template(self) -> ActionResult:
        template = parse_template(self.given_template())
        check_types(template)
        check_references(template)
        return cfn_responses.ActionResult({
            "Description": template.get("Description", ""),
            "Parameters": declared_parameters(template),
            "Capabilities": needed_capabilities(template),
        })

    def list_stack_resources(self) -> ActionResult:
        stack = self.cloudformation_backend.get_stack(self._get_param("StackName"))
        summaries = [StackResource(stack, record) for record in stack.stack_resources]
        return cfn_responses.ActionResult({"StackResourceSummaries": summaries})


class StackResource:
    """A resource in the answers. moto's has the status of the stack, and a time in 2010."""

    def __init__(self, stack: Stack, record: Record) -> None:
        self.stack_id, self.stack_name = stack.stack_id, stack.name
        self.logical_resource_id = record.logical_resource_id
        self.physical_resource_id = record.physical_resource_id
        self.resource_type = record.cf_resource_type
        self.resource_status, self.resource_status_reason = record.status, record.status_reason
        self.timestamp = self.last_updated_timestamp = record.timestamp


def fill_api() -> None:
    cfn_models.CloudFormationBackend.delete_stack = delete_stack
    take_over(cfn_responses.CloudFormationResponse, CloudFormationAnswers)
    cfn_responses.StackResourceDTO = StackResource
