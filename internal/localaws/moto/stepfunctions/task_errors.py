"""The names of the errors of tasks, which Retry and Catch match. moto ends the whole execution when the endpoint does not
answer, and when a function's answer is not JSON. AWS names each of these errors after the service.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, BinaryIO

import botocore.exceptions
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import (
    FailureEvent,
    FailureEventException,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_dynamodb,
    state_task_service_lambda,
    state_task_service_sfn,
    state_task_service_sns,
    state_task_service_sqs,
)

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment

NO_ANSWER = (botocore.exceptions.BotoCoreError, OSError)
# The names of services in errors of aws-sdk tasks, where they are not just the resource's with a capital letter.
SDK_NAMES = {"cloudformation": "CloudFormation", "cloudwatch": "CloudWatch", "dynamodb": "DynamoDb"}


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


def answer_error(error: Exception, service: str, generic: str, keeps_code: bool = True) -> tuple[str, str]:
    """Returns the error name and cause of a call that a service refused or did not answer."""
    if not isinstance(error, botocore.exceptions.ClientError):
        return service + ".SdkClientException", f"Unable to execute HTTP request: {error}"
    name = service_error(error, service, generic) if keeps_code else f"{service}.{generic}"
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    message, code = (error.response.get("Error", {}).get(one) for one in ("Message", "Code"))
    return name, f"{message} (Service: {service}; Status Code: {status}; Error Code: {code})"


def fill_task_errors() -> None:
    def from_error_of(kind: type, service: str | None, generic: str | None, keeps_code: bool = True) -> None:
        inherited = kind._from_error

        def _from_error(self: Any, env: Environment, ex: Exception) -> FailureEvent:
            if isinstance(ex, lambda_eval_utils.LambdaFunctionErrorException):
                return task_failed(self, env, *function_error(ex.payload))
            if isinstance(ex, FailureEventException):
                return ex.failure_event
            if isinstance(ex, (*NO_ANSWER, botocore.exceptions.ClientError)) and not isinstance(ex, TimeoutError):
                sdk_service = self.resource.api_name[:1].upper() + self.resource.api_name[1:]
                name = service or SDK_NAMES.get(self.resource.api_name, sdk_service)
                return task_failed(self, env, *answer_error(ex, name, generic or name, keeps_code))
            return inherited(self, env, ex)

        kind._from_error = _from_error

    from_error_of(state_task_service_lambda.StateTaskServiceLambda, "Lambda", "AWSLambdaException")
    from_error_of(state_task_service_sqs.StateTaskServiceSqs, "SQS", "AmazonSQSException", keeps_code=False)
    from_error_of(state_task_service_sns.StateTaskServiceSns, "SNS", "AmazonSNSException")
    from_error_of(state_task_service_dynamodb.StateTaskServiceDynamoDB, "DynamoDB", "AmazonDynamoDBException")
    from_error_of(state_task_service_sfn.StateTaskServiceSfn, "StepFunctions", "AWSStepFunctionsException")
    from_error_of(state_task_service_aws_sdk.StateTaskServiceAwsSdk, None, None)

    def from_payload(stream: BinaryIO) -> Any:
        text = stream.read().decode("utf-8", errors="replace")
        try:
            return json.loads(text)
        except ValueError:
            return text

    lambda_eval_utils._from_payload = from_payload
    describe_failure = FailureEventException.get_execution_failed_event_details

    def get_execution_failed_event_details(self: FailureEventException) -> dict[str, Any]:
        """moto adds the place of an error again at every Map around it."""
        error, cause = self.extract_error_cause_pair() or (None, None)
        if cause and cause.startswith("An error occurred while executing the state"):
            return {"error": error, "cause": cause}
        return describe_failure(self)

    FailureEventException.get_execution_failed_event_details = get_execution_failed_event_details
