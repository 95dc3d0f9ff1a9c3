"""The errors of states by Step Functions' own names, and which errors a Retry or a Catch matches. moto ends an execution with
States.Runtime for most of them, takes a missed heartbeat for a timeout, and lets States.TaskFailed match only errors of tasks.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common import parargs
from moto.stepfunctions.parser.asl.component.common.error_name import custom_error_name, error_equals_decl
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.error_name import ErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.path import items_path, result_path
from moto.stepfunctions.parser.asl.component.common.string import string_expression
from moto.stepfunctions.parser.asl.component.state.exec.state_task import state_task
from moto.stepfunctions.parser.asl.eval.callback.callback import HeartbeatTimeoutError
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

from patching import replace_in_engine
from stepfunctions.exact_json import to_json
from stepfunctions.jsonpath import parsed_path
from stepfunctions.payload_templates import failed

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.component.common.error_name.error_equals_decl import ErrorEqualsDecl
    from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
    from moto.stepfunctions.parser.asl.eval.environment import Environment

DATA_LIMIT = 256 * 1024
# No wildcard matches them. States.Runtime can be caught by its own name, States.DataLimitExceeded cannot be caught.
TERMINAL = ("States.DataLimitExceeded", "States.Runtime")


def matches(named: Collection[str], error: str | None) -> bool:
    """Says whether an ErrorEquals matches an error."""
    if error in TERMINAL:
        return error == "States.Runtime" and error in named
    if "States.ALL" in named or error in named:
        return True
    if error == "States.HeartbeatTimeout" and "States.Timeout" in named:
        return True
    return "States.TaskFailed" in named and error != "States.Timeout"


def is_within_size_quota(value: Any) -> bool:
    text = value if isinstance(value, str) else to_json(value)
    return len(text.encode("utf-8", errors="replace")) <= DATA_LIMIT


def applies(path: str, state_input: Any) -> bool:
    """Says whether a ResultPath can be applied to an input: each name on its way must be in an object, each index in an array."""
    at = state_input
    for step in steps(path):
        if isinstance(step, int):
            if not isinstance(at, list) or step >= len(at):
                return False
            at = at[step]
        elif not isinstance(at, dict):
            return False
        elif step not in at:
            return True  # it is created there
        else:
            at = at[step]
    return True


def steps(path: str) -> list[str | int]:
    """Returns the names and indexes of a reference path."""
    found: list[str | int] = []
    expression = parsed_path(path)[0]
    while hasattr(expression, "left"):
        right = expression.right
        found.append(right.fields[0] if hasattr(right, "fields") else getattr(right, "indices", (getattr(right, "index", 0),))[0])
        expression = expression.left
    return found[::-1]


def fill_state_errors() -> None:
    # The error name of an iteration goes through this class, even if it is a States.* error.
    custom_error_name.CustomErrorName.__init__ = ErrorName.__init__
    replace_in_engine("is_within_size_quota", is_within_size_quota)

    def match(self: ErrorEqualsDecl, env: Environment) -> None:
        error = env.stack.pop()
        env.stack.append(matches([one.error_name for one in self.error_names], error and error.error_name))

    error_equals_decl.ErrorEqualsDecl._eval_body = match

    from_error = state_task.StateTask._from_error

    def from_task_error(self: state_task.StateTask, env: Environment, ex: Exception) -> FailureEvent:
        if not isinstance(ex, HeartbeatTimeoutError):
            return from_error(self, env, ex)
        details = {"resource": self._get_sfn_resource(), "resourceType": self._get_sfn_resource_type(), "error": "States.HeartbeatTimeout"}
        return FailureEvent(env=env, error_name=CustomErrorName("States.HeartbeatTimeout"), event_type=HistoryEventType.TaskTimedOut,
                            event_details={"taskTimedOutEventDetails": details})

    state_task.StateTask._from_error = from_task_error

    def eval_parameters(self: parargs.Parameters, env: Environment) -> None:
        self.template_eval_component.eval(env=env)
        if not is_within_size_quota(env.stack[-1]):
            raise failed(env, "States.DataLimitExceeded",
                         f"The input of the state after Parameters is larger than the limit of {DATA_LIMIT} bytes.")

    parargs.Parameters._eval_body = eval_parameters

    apply = result_path.ResultPath._eval_body

    def eval_result_path(self: result_path.ResultPath, env: Environment) -> None:
        if self.result_path_src not in (None, "$") and not applies(self.result_path_src, env.states._states_data["input"]):
            raise failed(env, "States.ResultPathMatchFailure",
                         f"Unable to apply step \"{self.result_path_src}\" to input {to_json(env.states.get_input())}")
        apply(self, env)

    result_path.ResultPath._eval_body = eval_result_path

    eval_function = string_expression.StringIntrinsicFunction._eval_body

    def eval_intrinsic(self: string_expression.StringIntrinsicFunction, env: Environment) -> None:
        try:
            eval_function(self, env)
        except (FailureEventException, NoSuchJsonPathError):
            raise
        except Exception as error:
            raise failed(env, "States.IntrinsicFailure",
                         f"The function '{self.intrinsic_function_derivation}' had the following error: {error}")

    string_expression.StringIntrinsicFunction._eval_body = eval_intrinsic

    eval_items_path = items_path.ItemsPath._eval_body

    def eval_items(self: EvalComponent, env: Environment) -> None:
        eval_items_path(self, env)
        if not isinstance(env.stack[-1], list):
            raise failed(env, "States.Runtime", f'Reference path "{self.string_sampler.literal_value}" must point to array.')

    items_path.ItemsPath._eval_body = eval_items
