"""The operations on state machines. moto takes an Express state machine for a Standard one, and versions and aliases that no
execution can start; local AWS refuses these. It checks a definition as CreateStateMachine does, and leaves out what
METADATA_ONLY leaves out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from moto.core.exceptions import AWSError
from moto.stepfunctions import responses as sfn_responses
from moto.stepfunctions.exceptions import ValidationException

from patching import take_over
from stepfunctions.definition import InvalidDefinition, check_definition
from stepfunctions.execution_log import check_logging

if TYPE_CHECKING:
    from moto.core.responses import ActionResult

create, update = (getattr(sfn_responses.StepFunctionResponse, name) for name in ("create_state_machine", "update_state_machine"))
describe = sfn_responses.StepFunctionResponse._describe_state_machine


class StateMachineTypeNotSupported(AWSError):
    TYPE = "StateMachineTypeNotSupported"
    STATUS = 400


def refuse(what: str) -> None:
    raise ValidationException(f"local AWS does not have {what}")


class StateMachineAnswers:
    """Replaces moto's responses of the same name."""

    def create_state_machine(self) -> ActionResult:
        if self._get_param("type") not in (None, "STANDARD"):
            raise StateMachineTypeNotSupported(f"type is {self._get_param('type')}: local AWS runs STANDARD state machines only")
        if self._get_param("publish"):
            refuse("versions of state machines: publish must not be true")
        check_logging(self._get_param("loggingConfiguration"))
        return create(self)

    def update_state_machine(self) -> ActionResult:
        if self._get_param("publish"):
            refuse("versions of state machines: publish must not be true")
        check_logging(self._get_param("loggingConfiguration"))
        return update(self)

    def _describe_state_machine(self, state_machine_arn: str) -> ActionResult:
        answer = describe(self, state_machine_arn)
        if self._get_param("includedData") == "METADATA_ONLY":
            answer.result.pop("definition", None)
        return answer

    def validate_state_machine_definition(self) -> ActionResult:
        try:
            check_definition(self._get_param("definition"))
        except InvalidDefinition as error:
            code, _, message = error.message.partition("'")[2].rstrip("'").partition(": ")
            problem = {"severity": "ERROR", "code": code if message else "NOT_SUPPORTED", "message": message or code}
            return sfn_responses.ActionResult({"result": "FAIL", "diagnostics": [problem], "truncated": False})
        return sfn_responses.ActionResult({"result": "OK", "diagnostics": [], "truncated": False})

    def publish_state_machine_version(self) -> None:
        refuse("versions of state machines")

    list_state_machine_versions = delete_state_machine_version = publish_state_machine_version

    def create_state_machine_alias(self) -> None:
        refuse("aliases of state machines")

    def create_activity(self) -> None:
        refuse("activities")

    get_activity_task = create_activity


def fill_state_machines() -> None:
    take_over(sfn_responses.StepFunctionResponse, StateMachineAnswers)
