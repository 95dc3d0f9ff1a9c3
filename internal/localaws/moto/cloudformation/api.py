"""CloudFormation's API: reads requests, calls the stack, and shapes answers. moto ignores most parameters, finds nothing to update
when only a nested template has changed, and shows the status of the stack as the status of each resource. Here every parameter
has an effect, or the request is refused: docs/local-aws.md lists them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.cloudformation import models as cfn_models
from moto.cloudformation import responses as cfn_responses
from moto.cloudformation.exceptions import AlreadyExistsException
from moto.iam.models import iam_backends
from moto.sns import sns_backends

from clients import ACCOUNT_ID
from patching import take_over
from cloudformation.change_sets import ChangeSet
from cloudformation.resource_handler import check_types
from cloudformation.stack_policy import check_policy
from cloudformation.stacks import PAUSED, Stack, needed_capability
from cloudformation.templates import check_references, invalid, parse_template, template_at, text_of

if TYPE_CHECKING:
    from cloudformation.stacks import Record
    from moto.cloudformation.models import CloudFormationBackend
    from moto.core.responses import ActionResult, EmptyResult

TEMPLATE = ("TemplateBody", "TemplateURL")
# What a request may have, by operation. A parameter that is missing here is refused if it has a value.
SERVED = {
    "create_stack": (
        "StackName", *TEMPLATE, "Parameters", "DisableRollback", "TimeoutInMinutes", "NotificationARNs", "Capabilities", "ResourceTypes",
        "RoleARN", "OnFailure", "StackPolicyBody", "StackPolicyURL", "Tags", "ClientRequestToken", "EnableTerminationProtection",
        "RetainExceptOnCreate"),
    "update_stack": (
        "StackName", *TEMPLATE, "UsePreviousTemplate", "StackPolicyDuringUpdateBody", "StackPolicyDuringUpdateURL", "Parameters",
        "Capabilities", "ResourceTypes", "RoleARN", "StackPolicyBody", "StackPolicyURL", "NotificationARNs", "Tags", "DisableRollback",
        "ClientRequestToken", "RetainExceptOnCreate"),
    "delete_stack": ("StackName", "RetainResources", "RoleARN", "ClientRequestToken", "DeletionMode"),
    "rollback_stack": ("StackName", "RoleARN", "ClientRequestToken", "RetainExceptOnCreate"),
    "continue_update_rollback": ("StackName", "RoleARN", "ResourcesToSkip", "ClientRequestToken"),
    "update_termination_protection": ("StackName", "EnableTerminationProtection"),
    "create_change_set": (
        "StackName", *TEMPLATE, "UsePreviousTemplate", "Parameters", "Capabilities", "ResourceTypes", "RoleARN", "NotificationARNs", "Tags",
        "ChangeSetName", "ClientToken", "Description", "ChangeSetType", "IncludeNestedStacks", "OnStackFailure"),
    "execute_change_set": ("ChangeSetName", "StackName", "ClientRequestToken", "DisableRollback", "RetainExceptOnCreate"),
    "describe_change_set": ("ChangeSetName", "StackName", "IncludePropertyValues"),
    "delete_change_set": ("ChangeSetName", "StackName"),
    "list_change_sets": ("StackName",),
    "describe_stacks": ("StackName", "NextToken"),
    "describe_stack_events": ("StackName",),
    "describe_stack_resource": ("StackName", "LogicalResourceId"),
    "describe_stack_resources": ("StackName", "LogicalResourceId", "PhysicalResourceId"),
    "list_stack_resources": ("StackName",),
    "list_stacks": ("StackStatusFilter",),
    "list_exports": (),
    "get_template": ("StackName", "ChangeSetName", "TemplateStage"),
    "get_template_summary": ("StackName", *TEMPLATE),
    "validate_template": TEMPLATE,
    "get_stack_policy": ("StackName",),
    "set_stack_policy": ("StackName", "StackPolicyBody", "StackPolicyURL"),
    "cancel_update_stack": ("StackName", "ClientRequestToken"),
}
UPDATABLE = "(CREATE|UPDATE|UPDATE_ROLLBACK|IMPORT)_COMPLETE"
STACKS_OF_A_PAGE = 50


def stack_called(backend: CloudFormationBackend, name: str) -> Stack | None:
    return next((stack for stack in backend.stacks.values() if name in (stack.name, stack.stack_id)), None)


def delete_stack(self: CloudFormationBackend, name_or_stack_id: str, retained: list[str] | None = None, forced: bool = False) -> None:
    """Replaces CloudFormationBackend.delete_stack."""
    stack = stack_called(self, name_or_stack_id)
    if stack is None:
        return
    stack.delete(retained or (), forced)
    if stack.status == "DELETE_COMPLETE":
        del self.stacks[stack.stack_id]
        self.deleted_stacks[stack.stack_id] = stack
        for made in [one for one in self.change_sets.values() if one.stack is stack]:
            del self.change_sets[made.change_set_id]


def means_nothing(value: Any) -> bool:
    """Whether a parameter asks for nothing: false, empty, or a rollback configuration without triggers."""
    return not value or isinstance(value, dict) and all(means_nothing(one) for one in value.values())


def serving(name: str, method: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Returns an operation that refuses what it would have to ignore."""

    def served(self: Any) -> Any:
        given = self._get_params()
        ignored = [one for one in given if one not in SERVED[name] and not means_nothing(given[one])]
        if ignored:
            raise invalid(f"Local AWS does not do {', '.join(ignored)} of {self._get_action()}.")
        return method(self)

    return served


def unserved(self: Any) -> Any:
    raise NotImplementedError


def allowed_type(patterns: list[str], kind: str) -> bool:
    return any(kind == one or one.endswith("*") and kind.startswith(one[:-1]) for one in patterns)


def declared_parameters(template: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "ParameterKey": name,
            "ParameterType": one.get("Type", "String"),
            "DefaultValue": text_of(one["Default"]) if "Default" in one else None,
            "NoEcho": text_of(one.get("NoEcho", False)) == "true",
            "Description": one.get("Description", ""),
            "ParameterConstraints": {"AllowedValues": [text_of(value) for value in one["AllowedValues"]]} if "AllowedValues" in one else {},
        }
        for name, one in (template.get("Parameters") or {}).items()
    ]


def needed_capabilities(template: dict[str, Any]) -> dict[str, Any]:
    needed = needed_capability(template["Resources"].values())
    if not needed:
        return {"Capabilities": []}
    return {"Capabilities": [needed], "CapabilitiesReason": "The following resource(s) require capabilities: [AWS::IAM::Role]"}


class CloudFormationAnswers:
    """Replaces moto's responses of the same name."""

    # what requests have in common

    def stack(self) -> Stack:
        return self.cloudformation_backend.get_stack(self._get_param("StackName"))

    def given_template(self, stack: Stack | None = None) -> str:
        text, url = self._get_param("TemplateBody"), self._get_param("TemplateURL")
        previous = stack is not None and self._get_bool_param("UsePreviousTemplate", False)
        if text and url:
            raise invalid("You cannot specify both TemplateBody and TemplateURL")
        if previous and (text or url):
            raise invalid("You cannot specify both usePreviousTemplate and Template Body/Template URL.")
        if url:
            return template_at(url, self.region)
        if text:
            return text
        if previous:
            return stack.template
        raise invalid("Either Template URL or Template Body must be specified.")

    def given_parameters(self, stack: Stack | None = None) -> dict[str, str]:
        given = {}
        for one in self._get_param("Parameters", []):
            key = one["ParameterKey"]
            if stack is not None and one.get("UsePreviousValue"):
                if one.get("ParameterValue"):
                    raise invalid(f"Invalid input for parameter key {key}. Cannot specify usePreviousValue as true and non empty value for a parameter")
                if key not in stack.resolved:
                    raise invalid(f"Invalid input for parameter key {key}. Cannot use previous value: there is none")
                given[key] = stack.resolved[key]
            else:
                given[key] = one.get("ParameterValue", "")
        return given

    def given_tags(self) -> dict[str, str] | None:
        tags = self._get_param("Tags")
        if tags is None:
            return None
        if len(tags) > 50:
            raise invalid(f"Stack has {len(tags)} tags: must be at most 50")
        for tag in tags:
            if tag["Key"].lower().startswith("aws:"):
                raise invalid("aws: prefixed tag key names are not allowed for external use.")
        return {tag["Key"]: tag["Value"] for tag in tags}

    def given_policy(self, name: str) -> str | None:
        """Returns the stack policy of a request, from its body or its URL."""
        text, url = self._get_param(name + "Body"), self._get_param(name + "URL")
        if text and url:
            raise invalid(f"You cannot specify both {name}Body and {name}URL")
        text = template_at(url, self.region) if url else text
        if text:
            check_policy(text)
        return text

    def check_types_and_topics(self, text: str) -> None:
        """Checks ResourceTypes, NotificationARNs and RoleARN."""
        patterns = self._get_param("ResourceTypes", [])
        others = {one["Type"] for one in parse_template(text)["Resources"].values() if patterns and not allowed_type(patterns, one["Type"])}
        if others:
            raise invalid(f"Resource type {', '.join(sorted(others))} is not allowed by parameter ResourceTypes [{', '.join(patterns)}]")
        for arn in self._get_param("NotificationARNs", []):
            if arn.split(":")[2:3] != ["sns"] or arn not in sns_backends[ACCOUNT_ID][self.region].topics:
                raise invalid(f"{arn} is not the ARN of an SNS topic that exists in this region")
        self.given_role()

    def given_role(self) -> str | None:
        arn = self._get_param("RoleARN")
        if arn:
            role = next((one for one in iam_backends[ACCOUNT_ID]["aws"].roles.values() if one.arn == arn), None)
            if role is None or "cloudformation.amazonaws.com" not in text_of(role.assume_role_policy_document):
                raise invalid(f"Role {arn} is invalid or cannot be assumed")
        return arn

    def begin(self, stack: Stack) -> None:
        """Gives a stack what every operation on it has."""
        stack.client_request_token = self._get_param("ClientRequestToken")
        stack.role_arn = self.given_role() or stack.role_arn
        stack.retain_except_on_create = self._get_bool_param("RetainExceptOnCreate", False)

    def allow(self, stack: Stack) -> None:
        stack.capabilities = self._get_param("Capabilities", [])
        for child in stack.backend.stacks.values():
            if child.root_id == stack.stack_id:
                child.capabilities = stack.capabilities

    # stacks

    def new_stack(self, name: str, text: str, parameters: dict[str, str], on_failure: str) -> Stack:
        if not re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", name or ""):
            raise invalid(f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
                          "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*")
        existing = stack_called(self.cloudformation_backend, name)
        if existing is not None and existing.status != "REVIEW_IN_PROGRESS":
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        self.check_types_and_topics(text)
        return Stack(self.cloudformation_backend, name, text, parameters, self.given_tags(), self._get_param("RoleARN"),
                     self._get_param("NotificationARNs", []), self._get_param("Capabilities", []), on_failure)

    def create_stack(self) -> ActionResult:
        token, existing = self._get_param("ClientRequestToken"), stack_called(self.cloudformation_backend, self._get_param("StackName"))
        if token and existing is not None and existing.client_request_token == token:
            return cfn_responses.ActionResult({"StackId": existing.stack_id})  # the same request once more
        on_failure = self._get_param("OnFailure")
        if on_failure and self._get_param("DisableRollback") is not None:
            raise invalid("You can specify either DisableRollback or OnFailure, but not both")
        on_failure = on_failure or ("DO_NOTHING" if self._get_bool_param("DisableRollback", False) else "ROLLBACK")
        policy, timeout = self.given_policy("StackPolicy"), self._get_param("TimeoutInMinutes")
        if timeout is not None and int(timeout) < 1:
            raise invalid(f"TimeoutInMinutes is {timeout}: must be at least 1")
        stack = self.new_stack(self._get_param("StackName"), self.given_template(), self.given_parameters(), on_failure)
        self.begin(stack)
        stack.policy, stack.timeout_in_minutes = policy or "", int(timeout) if timeout else None
        stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection", False)
        self.cloudformation_backend.stacks[stack.stack_id] = stack
        stack.create()
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def update_stack(self) -> ActionResult:
        stack, disable_rollback = self.stack(), self._get_bool_param("DisableRollback", False)
        if stack.status in PAUSED and not disable_rollback:
            raise invalid(f"This stack is currently in a non-terminal [{stack.status}] state. To update the stack from this state, please use "
                          "the disable-rollback parameter with update-stack API. To rollback to the last known good state, use the "
                          "rollback-stack API")
        if stack.status not in PAUSED and not re.fullmatch(UPDATABLE, stack.status):
            raise invalid(f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
        text, parameters, tags = self.given_template(stack), self.given_parameters(stack), self.given_tags()
        policy, policy_during_update = self.given_policy("StackPolicy"), self.given_policy("StackPolicyDuringUpdate")
        self.check_types_and_topics(text)
        topics = self._get_param("NotificationARNs")
        self.allow(stack)
        settings_change = policy is not None or topics is not None and topics != stack.notification_arns
        if stack.status not in PAUSED and not settings_change and not stack.changes(text, parameters, tags):
            raise invalid("No updates are to be performed.")
        self.begin(stack)
        stack.prepare(text, parameters)  # refuses what it can before the stack takes the settings
        stack.policy = stack.policy if policy is None else policy
        stack.notification_arns = stack.notification_arns if topics is None else topics
        stack.policy_during_update = policy_during_update
        stack.update(text, parameters, tags, disable_rollback)
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def delete_stack(self) -> EmptyResult:
        stack = stack_called(self.cloudformation_backend, self._get_param("StackName"))
        retained, forced = self._get_param("RetainResources", []), self._get_param("DeletionMode") == "FORCE_DELETE_STACK"
        if stack is None:
            return cfn_responses.EmptyResult()
        if stack.root().enable_termination_protection:
            raise invalid(f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled")
        if (retained or forced) and stack.status != "DELETE_FAILED":
            raise invalid(f"Invalid operation on stack [{stack.stack_id}]. When you delete a stack, specify which resources to retain only when the "
                          "stack is in the DELETE_FAILED state.")
        unknown = [name for name in retained if name not in stack.records]
        if unknown:
            raise invalid(f"The following resources do not exist in stack [{stack.name}] or are deleted already: [{', '.join(unknown)}]")
        self.begin(stack)
        stack.deletion_mode = self._get_param("DeletionMode")
        self.cloudformation_backend.delete_stack(stack.stack_id, retained, forced)
        return cfn_responses.EmptyResult()

    def rollback_stack(self) -> ActionResult:
        stack = self.stack()
        if stack.status not in PAUSED:
            raise invalid(f"Stack:{stack.stack_id} is in {stack.status} state and can not be rolled back.")
        self.begin(stack)
        if stack.before is not None:
            stack.roll_back_update()
        else:  # AWS: "This operation will delete a stack if it doesn't contain a last known stable state"
            stack.set_undone(True, stack.retain_except_on_create)
            self.cloudformation_backend.delete_stack(stack.stack_id)
            stack.set_undone(False)
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def continue_update_rollback(self) -> EmptyResult:
        stack, skipped = self.stack(), self._get_param("ResourcesToSkip", [])
        if stack.status != "UPDATE_ROLLBACK_FAILED":
            raise invalid(f"Stack:{stack.stack_id} is in {stack.status} state and can not continue rollback.")
        unknown = [name for name in skipped if name not in [step.logical_id for step in stack.stuck]]
        if unknown:
            raise invalid(f"ResourcesToSkip has {', '.join(unknown)}: must be resources of this stack, not of a nested one, that are UPDATE_FAILED")
        self.begin(stack)
        stack.continue_rollback(skipped)
        return cfn_responses.EmptyResult()

    def cancel_update_stack(self) -> EmptyResult:
        raise invalid("CancelUpdateStack cannot be called from current stack status")  # an update has ended when it is answered

    def update_termination_protection(self) -> ActionResult:
        stack, wanted = self.stack(), self._get_bool_param("EnableTerminationProtection")
        if wanted is None:
            raise invalid("EnableTerminationProtection must be true or false")
        if stack.root_id:
            raise invalid(f"Termination protection cannot be changed on the nested stack [{stack.name}]: change it on its root stack")
        if stack.status.startswith("DELETE_"):
            raise invalid(f"Stack [{stack.stack_id}] is in {stack.status} state: its termination protection cannot be changed")
        stack.enable_termination_protection = wanted
        return cfn_responses.ActionResult({"StackId": stack.stack_id})

    def get_stack_policy(self) -> ActionResult:
        return cfn_responses.ActionResult({"StackPolicyBody": self.stack().policy or None})

    def set_stack_policy(self) -> EmptyResult:
        policy = self.given_policy("StackPolicy")
        if not policy:
            raise invalid("You must specify either StackPolicyBody or StackPolicyURL")
        self.stack().policy = policy
        return cfn_responses.EmptyResult()

    # change sets

    def create_change_set(self) -> ActionResult:
        kind, backend, name = self._get_param("ChangeSetType") or "UPDATE", self.cloudformation_backend, self._get_param("ChangeSetName")
        if kind not in ("CREATE", "UPDATE"):
            raise invalid(f"Local AWS does not do ChangeSetType {kind} of CreateChangeSet.")
        if kind == "UPDATE" and self._get_param("OnStackFailure") == "DELETE":
            raise invalid("OnStackFailure can be DELETE only with ChangeSetType CREATE")
        tags, waiting = self.given_tags(), stack_called(backend, self._get_param("StackName"))
        again = [one for one in backend.change_sets.values() if waiting is one.stack and one.change_set_name == name]
        if again and again[0].client_token and again[0].client_token == self._get_param("ClientToken"):
            return cfn_responses.ActionResult({"Id": again[0].change_set_id, "StackId": again[0].stack_id})
        if again:
            raise AlreadyExistsException(f"ChangeSet {name} already exists")
        if kind == "CREATE":
            text, parameters = self.given_template(), self.given_parameters()
            stack = self.new_stack(self._get_param("StackName"), text, parameters, self._get_param("OnStackFailure") or "ROLLBACK")
            if waiting is not None:
                stack.stack_id, stack.events = waiting.stack_id, waiting.events
                for one in backend.change_sets.values():
                    one.stack = stack if one.stack is waiting else one.stack
            else:
                stack.event("REVIEW_IN_PROGRESS", "User Initiated")
            stack.status = "REVIEW_IN_PROGRESS"
            backend.stacks[stack.stack_id] = stack
        else:
            stack = self.stack()
            if not re.fullmatch(UPDATABLE, stack.status) and stack.status not in PAUSED:
                raise invalid(f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")
            text, parameters = self.given_template(stack), self.given_parameters(stack)
            self.check_types_and_topics(text)
            self.allow(stack)
        made = ChangeSet(stack, name, kind, text, parameters, tags, self._get_bool_param("IncludeNestedStacks", False))
        made.description, made.client_token = self._get_param("Description"), self._get_param("ClientToken")
        made.role_arn = self._get_param("RoleARN") or stack.role_arn
        made.notification_arns = self._get_param("NotificationARNs") or stack.notification_arns
        made.on_stack_failure = self._get_param("OnStackFailure")
        backend.change_sets.update({one.change_set_id: one for one in made.all()})
        return cfn_responses.ActionResult({"Id": made.change_set_id, "StackId": stack.stack_id})

    def change_set(self) -> ChangeSet:
        name, stack_name = self._get_param("ChangeSetName"), self._get_param("StackName")
        if not name.startswith("arn:") and not stack_name:
            raise invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
        for one in self.cloudformation_backend.change_sets.values():
            if name in (one.change_set_id, one.change_set_name) and stack_name in (None, one.stack_name, one.stack_id):
                return one
        raise ChangeSetNotFound(f"ChangeSet [{name}] does not exist")

    def execute_change_set(self) -> EmptyResult:
        wanted, backend = self.change_set(), self.cloudformation_backend
        if wanted.root_change_set_id:
            raise invalid(f"ChangeSet [{wanted.change_set_id}] is of a nested stack: execute the one of its root stack")
        if wanted.execution_status != "AVAILABLE":
            raise InvalidChangeSetStatus(f"ChangeSet [{wanted.change_set_id}] cannot be executed in its current status of [{wanted.status}]")
        disable_rollback = self._get_bool_param("DisableRollback", False)
        if disable_rollback and wanted.on_stack_failure:
            raise invalid("DisableRollback cannot be specified for a change set that was created with OnStackFailure")
        if wanted.stack.status in PAUSED and not disable_rollback and wanted.on_stack_failure != "DO_NOTHING":
            raise invalid(f"Stack:{wanted.stack_id} is in {wanted.stack.status} state and can not be updated.")
        self.begin(wanted.stack)
        executed = wanted.all()
        for other in [one for one in backend.change_sets.values() if one.stack is wanted.stack and one not in executed]:
            del backend.change_sets[other.change_set_id]  # it is not valid for the changed stack
        wanted.execute(disable_rollback)
        return cfn_responses.EmptyResult()

    def describe_change_set(self) -> ActionResult:
        found, values = self.change_set(), self._get_bool_param("IncludePropertyValues", False)
        changes = []
        for one in found.changes:
            change = dict(one)
            for context in ("BeforeContext", "AfterContext"):
                change[context] = json.dumps(one[context]) if values and context in one else None
            if not values:
                hidden = ("Path", "BeforeValue", "AfterValue", "AttributeChangeType")
                change["Details"] = [
                    dict(detail, Target={n: v for n, v in detail["Target"].items() if n not in hidden}) for detail in one["Details"]]
            changes.append({"Type": "Resource", "ResourceChange": change})
        return cfn_responses.ActionResult({
            "ChangeSetName": found.change_set_name, "ChangeSetId": found.change_set_id, "StackId": found.stack_id,
            "StackName": found.stack_name, "Description": found.description, "CreationTime": found.creation_time,
            "ExecutionStatus": found.execution_status, "Status": found.status, "StatusReason": found.status_reason,
            "NotificationARNs": found.notification_arns, "RollbackConfiguration": {}, "Capabilities": found.capabilities,
            "Tags": [{"Key": n, "Value": v} for n, v in (found.stack.tags if found.tags is None else found.tags).items()],
            "IncludeNestedStacks": found.include_nested_stacks, "ParentChangeSetId": found.parent_change_set_id,
            "RootChangeSetId": found.root_change_set_id, "OnStackFailure": found.on_stack_failure,
            "Parameters": found.parameter_list(), "Changes": changes,
        })

    def delete_change_set(self) -> EmptyResult:
        try:
            found = self.change_set()
        except ChangeSetNotFound:
            return cfn_responses.EmptyResult()
        if found.root_change_set_id:
            raise invalid(f"ChangeSet [{found.change_set_id}] is of a nested stack: delete the one of its root stack")
        if found.execution_status == "EXECUTE_IN_PROGRESS":
            raise InvalidChangeSetStatus(f"ChangeSet [{found.change_set_id}] cannot be deleted in status [{found.execution_status}]")
        for one in found.all():
            self.cloudformation_backend.change_sets.pop(one.change_set_id, None)
        return cfn_responses.EmptyResult()

    def list_change_sets(self) -> ActionResult:
        stack = self.stack()
        found = [one for one in self.cloudformation_backend.change_sets.values() if one.stack is stack]
        return cfn_responses.ActionResult({"Summaries": found})

    # what there is

    def describe_stacks(self) -> ActionResult:
        found, token = self.cloudformation_backend.describe_stacks(self._get_param("StackName")), self._get_param("NextToken") or "0"
        if not token.isdigit():
            raise invalid(f"NextToken {token} is invalid")
        first = int(token)
        more = str(first + STACKS_OF_A_PAGE) if first + STACKS_OF_A_PAGE < len(found) else None
        return cfn_responses.ActionResult({"Stacks": found[first: first + STACKS_OF_A_PAGE], "NextToken": more})

    def describe_stack_resource(self) -> ActionResult:
        stack, name = self.stack(), self._get_param("LogicalResourceId")
        if name not in stack.records:
            raise invalid(f"Resource {name} does not exist for stack {stack.name}")
        return cfn_responses.ActionResult({"StackResourceDetail": StackResource(stack, stack.records[name])})

    def describe_stack_resources(self) -> ActionResult:
        name, physical_id = self._get_param("StackName"), self._get_param("PhysicalResourceId")
        if not name and not physical_id:
            raise invalid("At least one of StackName or PhysicalResourceId must be provided")
        stacks = [self.stack()] if name else list(self.cloudformation_backend.stacks.values())
        if not name:
            stacks = [stack for stack in stacks if any(one.physical_resource_id == physical_id for one in stack.records.values())]
            if not stacks:
                raise invalid(f"Stack for {physical_id} does not exist")
        wanted = self._get_param("LogicalResourceId")
        found = [StackResource(stack, one) for stack in stacks for one in stack.stack_resources if wanted in (None, one.logical_resource_id)]
        return cfn_responses.ActionResult({"StackResources": found})

    def list_stack_resources(self) -> ActionResult:
        stack = self.stack()
        summaries = [StackResource(stack, record) for record in stack.stack_resources]
        return cfn_responses.ActionResult({"StackResourceSummaries": summaries})

    def list_exports(self) -> ActionResult:
        found = [
            {"ExportingStackId": stack.stack_id, "Name": output["ExportName"], "Value": output["OutputValue"]}
            for stack in self.cloudformation_backend.stacks.values() for output in stack.output_list if "ExportName" in output
        ]
        return cfn_responses.ActionResult({"Exports": found})

    # templates

    def get_template(self) -> ActionResult:
        if self._get_param("ChangeSetName"):
            text = self.change_set().text
        elif self._get_param("StackName"):
            text = self.stack().template
        else:
            raise invalid("StackName is required if ChangeSetName is not specified.")
        return cfn_responses.ActionResult({"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]})

    def get_template_summary(self) -> ActionResult:
        text = self.stack().template if self._get_param("StackName") else self.given_template()
        template = parse_template(text)
        return cfn_responses.ActionResult({
            "Description": template.get("Description"),
            "Version": template.get("AWSTemplateFormatVersion"),
            "Metadata": json.dumps(template["Metadata"]) if "Metadata" in template else None,
            "ResourceTypes": sorted({one["Type"] for one in template["Resources"].values()}),
            "Parameters": declared_parameters(template),
            **needed_capabilities(template),
        })

    def validate_template(self) -> ActionResult:
        template = parse_template(self.given_template())
        check_types(template)
        check_references(template)
        return cfn_responses.ActionResult({
            "Description": template.get("Description", ""),
            "Parameters": declared_parameters(template),
            **needed_capabilities(template),
        })


class ChangeSetNotFound(cfn_responses.ValidationError):
    code = "ChangeSetNotFound"

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


class InvalidChangeSetStatus(ChangeSetNotFound):
    code = "InvalidChangeSetStatus"


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
    answers = cfn_responses.CloudFormationResponse
    for name, method in list(vars(answers).items()):
        if name.endswith(("_stack_set", "_stack_sets", "_stack_instance", "_stack_instances")) or "_stack_set_" in name:
            setattr(answers, name, unserved)
    take_over(answers, CloudFormationAnswers)
    for name in SERVED:
        setattr(answers, name, serving(name, getattr(answers, name)))
    cfn_responses.StackResourceDTO = StackResource
    # moto makes dicts of lists that are right already.
    for path in ("DescribeChangeSetOutput.Changes", "DescribeChangeSetOutput.Parameters"):
        del answers.RESPONSE_KEY_PATH_TO_TRANSFORMER[path]
