"""What tasks call. moto passes the parameters of states:startExecution and of aws-sdk tasks by the names that Step Functions
gives them, which differ from the service's in their first letter, so that they are lost. A task with a function's ARN as its
resource sends a string that looks like JSON as what it looks like, and its errors have no names. The answer of an invocation
lacks the id of its request.
https://docs.aws.amazon.com/step-functions/latest/dg/connect-stepfunctions.html
"""

from __future__ import annotations

import datetime
import json
import time
from typing import TYPE_CHECKING, Any

import botocore.exceptions
from botocore import xform_name
from botocore.response import StreamingBody
from moto.stepfunctions.parser.api import HistoryEventType, InvocationResponse
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils, state_task_lambda
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_aws_sdk,
    state_task_service_lambda,
    state_task_service_sfn,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task import StateTask

from clients import engine_client
from patching import take_over
from stepfunctions.definition import sdk_name
from stepfunctions.exact_json import to_json
from stepfunctions.task_errors import NO_ANSWER, answer_error, function_error, task_failed

if TYPE_CHECKING:
    from botocore.model import OperationModel, Shape
    from moto.stepfunctions.parser.asl.component.state.exec.state_task.service.resource import ResourceRuntimePart
    from moto.stepfunctions.parser.asl.eval.environment import Environment

invoke = lambda_eval_utils._invoke_lambda_function
LONGEST_WAIT = 1.0
INCLUDED = {"Included": True}


def to_request(value: Any, shape: Shape) -> Any:
    """Returns a parameter of an aws-sdk task as botocore takes it."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        members = {sdk_name(name): (name, member) for name, member in shape.members.items()}
        return {members[name][0]: to_request(one, members[name][1]) for name, one in value.items() if name in members}
    if kind == "list" and isinstance(value, list):
        return [to_request(one, shape.member) for one in value]
    if kind == "map" and isinstance(value, dict):
        return {name: to_request(one, shape.value) for name, one in value.items()}
    if kind == "blob" and not isinstance(value, bytes):
        return (value if isinstance(value, str) else to_json(value)).encode()
    if kind == "string" and not isinstance(value, str):
        return to_json(value)
    return value


def from_answer(value: Any, shape: Shape) -> Any:
    """Returns what an operation answered as a task gives it."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        return {sdk_name(name): from_answer(one, shape.members[name]) for name, one in value.items() if name in shape.members}
    if kind == "list" and isinstance(value, list):
        return [from_answer(one, shape.member) for one in value]
    if kind == "map" and isinstance(value, dict):
        return {name: from_answer(one, shape.value) for name, one in value.items()}
    if isinstance(value, StreamingBody):
        value = value.read()
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    return value


class SdkTask:
    """Replaces moto's method of tasks with an aws-sdk resource."""

    def _eval_service_task(
        self, env: Environment, resource_runtime_part: ResourceRuntimePart, normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        client = engine_client(resource_runtime_part.region, self._get_boto_service_name())
        operation: OperationModel = client.meta.service_model.operation_model(sdk_name(self.resource.api_action))
        request = to_request(normalised_parameters, operation.input_shape) if operation.input_shape else {}
        answer = getattr(client, xform_name(operation.name))(**request)
        answer.pop("ResponseMetadata", None)
        env.stack.append(from_answer(answer, operation.output_shape) if operation.output_shape else {})


def milliseconds(moment: datetime.datetime) -> int:
    return round(moment.timestamp() * 1000)


def description(child: dict[str, Any], parsed: bool) -> dict[str, Any]:
    """Returns what a task with .sync gives for the execution that it started: with sync:2, input and output are JSON values."""
    given = {"ExecutionArn": child["executionArn"], "InputDetails": INCLUDED, "Name": child["name"], "OutputDetails": INCLUDED,
             "StartDate": milliseconds(child["startDate"]), "StateMachineArn": child["stateMachineArn"], "Status": child["status"]}
    for name in ("input", "output"):
        if name in child:
            given[sdk_name(name)] = json.loads(child[name]) if parsed else child[name]
    for name in ("error", "cause", "redriveCount", "redriveStatus", "redriveStatusReason"):
        if name in child:
            given[sdk_name(name)] = child[name]
    if "stopDate" in child:
        given["StopDate"] = milliseconds(child["stopDate"])
    return dict(sorted(given.items()))


class StartExecutionTask:
    """Replaces moto's methods of tasks with the resource states:startExecution."""

    def _normalise_parameters(self, parameters: dict[str, Any], *names: str | None) -> None:
        pass

    def _eval_service_task(
        self, env: Environment, resource_runtime_part: ResourceRuntimePart, normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> None:
        client = engine_client(resource_runtime_part.region, "stepfunctions")
        given = normalised_parameters.get("Input", {})
        request = {"stateMachineArn": normalised_parameters["StateMachineArn"], "input": given if isinstance(given, str) else to_json(given)}
        if "Name" in normalised_parameters:
            request["name"] = normalised_parameters["Name"]
        answer = client.start_execution(**request)
        metadata = answer["ResponseMetadata"]
        env.stack.append({"ExecutionArn": answer["executionArn"], "SdkHttpMetadata": {"HttpStatusCode": metadata["HTTPStatusCode"]},
                          "SdkResponseMetadata": {"RequestId": metadata.get("RequestId", "")}, "StartDate": answer["startDate"].timestamp()})

    def _build_sync_resolver(
        self, env: Environment, resource_runtime_part: ResourceRuntimePart, normalised_parameters: dict[str, Any],
        state_credentials: Any,
    ) -> tuple[Any, str]:
        return engine_client(resource_runtime_part.region, "stepfunctions"), env.stack.pop()["ExecutionArn"]

    _build_sync2_resolver = _build_sync_resolver

    def _eval_sync(
        self, env: Environment, sync_resolver: tuple[Any, str], timeout_seconds: int | None, callback_endpoint: Any,
        heartbeat_endpoint: Any,
    ) -> Any:
        """Waits for the execution that the task started. It is stopped if the task is, or if the task's time is over."""
        client, arn = sync_resolver
        wait = 0.02
        while env.is_running():
            child = client.describe_execution(executionArn=arn)
            if child["status"] != "RUNNING":
                answer = description(child, parsed=self.resource.condition == "sync:2")
                if child["status"] != "SUCCEEDED":
                    raise FailureEventException(task_failed(self, env, "States.TaskFailed", to_json(answer)))
                return answer
            time.sleep(wait)
            wait = min(wait * 1.5, LONGEST_WAIT)
        try:
            client.stop_execution(executionArn=arn)
        except (*NO_ANSWER, botocore.exceptions.ClientError):
            pass  # AWS documents the same: it tries once
        return None


class InvocationAnswer(InvocationResponse, total=False):
    """What a task states:lambda:invoke gives. moto leaves out the id of the request, by which the log lines of the function can be found."""

    SdkResponseMetadata: dict[str, str]


def invoke_function(**task: Any) -> dict[str, Any]:
    answer = invoke(**task)
    if request_id := answer.get("ResponseMetadata", {}).get("RequestId"):
        answer["SdkResponseMetadata"] = {"RequestId": request_id}
    return answer


class FunctionTask:
    """Replaces moto's methods of tasks whose resource is a function's ARN."""

    def _from_error(self, env: Environment, ex: Exception) -> FailureEvent:
        if isinstance(ex, TimeoutError):
            kind, details = "LambdaFunctionTimedOut", {"error": "States.Timeout"}
        elif isinstance(ex, lambda_eval_utils.LambdaFunctionErrorException):
            kind, details = "LambdaFunctionFailed", dict(zip(("error", "cause"), function_error(ex.payload)))
        elif isinstance(ex, (*NO_ANSWER, botocore.exceptions.ClientError)):
            kind, details = "LambdaFunctionFailed", dict(zip(("error", "cause"), answer_error(ex, "Lambda", "AWSLambdaException")))
        else:
            return StateTask._from_error(self, env, ex)
        return FailureEvent(env=env, error_name=CustomErrorName(details["error"]), event_type=HistoryEventType(kind),
                            event_details={kind[:1].lower() + kind[1:] + "EventDetails": details})

    def _eval_execution(self, env: Environment) -> None:
        if self.parargs:
            self.parargs.eval(env=env)
        text = to_json(env.stack.pop())
        self.timeout.eval(env=env)
        seconds = env.stack.pop()
        details = {"resource": self.resource.resource_arn, "input": text, "inputDetails": {"truncated": False}}
        if not self.timeout.is_default_value():
            details["timeoutInSeconds"] = seconds
        context = env.event_history_context
        env.event_manager.add_event(context, HistoryEventType.LambdaFunctionScheduled, {"lambdaFunctionScheduledEventDetails": details})
        env.event_manager.add_event(context, HistoryEventType.LambdaFunctionStarted)
        self.resource.eval(env=env)
        region = env.stack.pop().region
        lambda_eval_utils.execute_lambda_function_integration(
            env, {"FunctionName": self.resource.resource_arn, "Payload": text.encode("utf-8", errors="replace")}, region, None)
        output = env.stack.pop()["Payload"]
        self._verify_size_quota(env=env, value=output)
        env.stack.append(output)
        details = {"output": to_json(output), "outputDetails": {"truncated": False}}
        env.event_manager.add_event(context, HistoryEventType.LambdaFunctionSucceeded, {"lambdaFunctionSucceededEventDetails": details})


def fill_integrations() -> None:
    take_over(state_task_service_aws_sdk.StateTaskServiceAwsSdk, SdkTask)
    take_over(state_task_service_sfn.StateTaskServiceSfn, StartExecutionTask)
    take_over(state_task_lambda.StateTaskLambda, FunctionTask)
    lambda_eval_utils._invoke_lambda_function, lambda_eval_utils.InvocationResponse = invoke_function, InvocationAnswer
    state_task_service_lambda._SUPPORTED_API_PARAM_BINDINGS["invoke"].add("InvocationType")
