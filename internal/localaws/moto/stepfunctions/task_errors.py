"""The names of errors in Step Functions, which Retry and Catch match. moto ends the whole execution when the endpoint does not
answer, when a function's answer is not JSON, and when an error inside a Map is a States.* error. AWS names each of them. Nothing
catches the two errors in UNCATCHABLE, except that States.Runtime can be caught by its own name.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO

import botocore.exceptions
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name, error_equals_decl
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_lambda,
    state_task_service_sqs,
)

from stepfunctions.engine import to_json
from patching import replace_in_engine

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
    from moto.stepfunctions.parser.asl.eval.environment import Environment

NO_ANSWER = (botocore.exceptions.BotoCoreError, OSError)
UNCATCHABLE = ("States.DataLimitExceeded", "States.Runtime")


def task_failed(task: Any, env: Environment, error: str, cause: str) -> FailureEvent:
    resource = {"resource": task._get_sfn_resource(), "resourceType": task._get_sfn_resource_type()}
    details = {"taskFailedEventDetails": dict(resource, error=error, cause=cause)}
    name = custom_error_name.CustomErrorName(error)
    return FailureEvent(env=env, error_name=name, event_type=HistoryEventType.TaskFailed, event_details=details)


def function_error(payload: str) -> tuple[str, str]:
    """Returns the error name and cause of a failed function, from the payload of its answer."""
    try:
        error = json.loads(payload)["errorType"]
    except (ValueError, KeyError, TypeError):
        error = None
    return (error if isinstance(error, str) and error else "Lambda.Unknown"), payload


def service_error(answer: botocore.exceptions.ClientError, service: str, generic: str | None) -> str:
    """Returns a name such as Lambda.TooManyRequestsException, or the service's general name if the answer has no usable error code."""
    code = answer.response.get("Error", {}).get("Code", "")
    code = code.rsplit(".", 1)[-1]
    if not re.fullmatch(r"[A-Za-z]\w*", code) or code == "Unknown":
        code = generic
    return f"{service}.{code if code.endswith('Exception') else code + 'Exception'}"


def fill_task_errors() -> None:
    def from_error_of(kind: type, service: str | None, generic: str | None, keeps_code: bool) -> None:
        inherited = kind._from_error

        def _from_error(self: Any, env: Environment, ex: Exception) -> FailureEvent:
            if isinstance(ex, lambda_eval_utils.LambdaFunctionErrorException):
                return task_failed(self, env, *function_error(ex.payload))
            if isinstance(ex, botocore.exceptions.ClientError):
                name = service or self.resource.api_name[:1].upper() + self.resource.api_name[1:]
                error = service_error(ex, name, generic or name) if keeps_code else f"{name}.{generic}"
                status = ex.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                message, code = (ex.response["Error"].get(one) for one in ("Message", "Code"))
                cause = f"{message} (Service: {name}; Status Code: {status}; Error Code: {code})"
                return task_failed(self, env, error, cause)
            if isinstance(ex, NO_ANSWER) and not isinstance(ex, TimeoutError):
                name = service or self.resource.api_name[:1].upper() + self.resource.api_name[1:]
                return task_failed(self, env, name + ".SdkClientException", f"Unable to execute HTTP request: {ex}")
            return inherited(self, env, ex)

        kind._from_error = _from_error

    from_error_of(state_task_service_lambda.StateTaskServiceLambda, "Lambda", "AWSLambdaException", True)
    from_error_of(state_task_service_sqs.StateTaskServiceSqs, "SQS", "AmazonSQSException", False)
    from_error_of(state_task_service_aws_sdk.StateTaskServiceAwsSdk, None, None, True)

    def from_payload(stream: BinaryIO) -> Any:
        text = stream.read().decode("utf-8", errors="replace")
        try:
            return json.loads(text)
        except ValueError:
            return text

    lambda_eval_utils._from_payload = from_payload
    # The error name of an iteration goes through this class, even if it is a States.* error.
    custom_error_name.CustomErrorName.__init__ = ErrorName.__init__
    matches = error_equals_decl.ErrorEqualsDecl._eval_body

    def _eval_body(self: ErrorEqualsDecl, env: Environment) -> None:
        if env.stack[-1] is not None and env.stack[-1].error_name in UNCATCHABLE:
            named = [one.error_name for one in self.error_names]
            env.stack[-1] = env.stack[-1].error_name == "States.Runtime" and "States.Runtime" in named
        else:
            matches(self, env)

    error_equals_decl.ErrorEqualsDecl._eval_body = _eval_body

    describe_failure = FailureEventException.get_execution_failed_event_details

    def get_execution_failed_event_details(self: FailureEventException) -> dict[str, Any]:
        """moto adds the place of an error again at every Map around it."""
        error, cause = self.extract_error_cause_pair() or (None, None)
        if cause and cause.startswith("An error occurred while executing the state"):
            return {"error": error, "cause": cause}
        return describe_failure(self)

    FailureEventException.get_execution_failed_event_details = get_execution_failed_event_details

    def is_within_size_quota(value: Any) -> bool:
        text = value if isinstance(value, str) else to_json(value)
        return len(text.encode("utf-8", errors="replace")) <= 256 * 1024

    replace_in_engine("is_within_size_quota", is_within_size_quota)
