"""Step Functions executions: how they start, end, are stopped and described. moto names an execution without a name "None", runs
a state machine only once (its deepcopy fails at a lock), waits for the running task before it stops, does not keep the
reason, and leaves executions running when their state machine is deleted. AWS gives a name, stops at once, and keeps the reason.
"""

from __future__ import annotations

import copy
import datetime
import functools
import logging
import threading
import time
import types
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.stepfunctions import responses as sfn_responses
from moto.stepfunctions.exceptions import ValidationException
from moto.stepfunctions.parser import models as engine_models
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.eval import program_state
from moto.stepfunctions.parser.asl.eval.event import event_manager
from moto.stepfunctions.parser.backend import execution as engine_execution
from moto.stepfunctions.parser.backend import execution_worker

from stepfunctions.archive import fill_archive, keep
from stepfunctions.execution_log import write_line
from stepfunctions.history import EXECUTION_DATA, as_json, now, page
from patching import take_over
from stepfunctions.redrive import Journey, redrive, redrive_answer, resume_execution

if TYPE_CHECKING:
    from moto.core.responses import ActionResult
    from moto.stepfunctions.models import StateMachine
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.backend.execution import BaseExecutionWorkerCommunication, Execution
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend
    from stepfunctions.map_runs import MapRun

log = logging.getLogger("carnation.moto")
START_LOCK = threading.Lock()

run_to_the_end = execution_worker.ExecutionWorker._execution_logic


def start_execution(
    self: StepFunctionsParserBackend, state_machine_arn: str, name: str | None = None,
    execution_input: str | None = None, trace_header: str | None = None,
) -> Execution:
    machine = self.describe_state_machine(state_machine_arn)
    name = str(uuid.uuid4()) if name is None else name
    self._validate_name(name)
    text = "{}" if execution_input is None else execution_input
    if len(text.encode("utf-8")) > 256 * 1024:
        raise ValidationException(
            "1 validation error detected: Value at 'input' failed to satisfy constraint: "
            "Member must have length less than or equal to 262144"
        )
    machine._validate_execution_input(text)
    with START_LOCK:
        existing = machine._handle_name_input_idempotency(name, text)
        if existing is not None:
            return existing
        return new_execution(self.account_id, self.region_name, machine, machine.executions, machine.name, name, text, trace_header)


def new_execution(
    account_id: str, region: str, machine: StateMachine, siblings: list[Execution], path: str, name: str,
    text: str, trace_header: str | None = None, map_run: MapRun | None = None,
    on_end: Callable[[Execution], None] | None = None,
) -> Execution:
    """Starts an execution of a state machine. If it belongs to a Map Run, it has the Map Run's definition. on_end is called when it has ended."""
    as_it_is = copy.copy(machine)  # a later update of the machine must not change this execution
    as_it_is.executions = []
    if map_run is not None:
        as_it_is.definition = map_run.definition
    execution = engine_execution.Execution(
        name=name,
        sm_type=as_it_is.sm_type,
        role_arn=as_it_is.roleArn,
        exec_arn=f"{machine.arn.split(':stateMachine:')[0]}:execution:{path}:{name}",
        account_id=account_id,
        region_name=region,
        state_machine=as_it_is,
        start_date=now(),
        cloud_watch_logging_session=None,
        input_data=text,
        trace_header=trace_header,
        activity_store={},
    )
    execution.end_lock, execution.journey = threading.RLock(), Journey()
    execution.redrive_count, execution.redrive_date, execution.redrive_token = 0, None, None
    execution.siblings, execution.map_run, execution.on_end = siblings, map_run, on_end
    execution.start()
    siblings.append(execution)
    return execution


def end_execution(
    execution: Execution, status: ExecutionStatus, output: Any = None, error: str | None = None,
    cause: str | None = None,
) -> None:
    """Only the first end counts: what a task does after its execution was stopped changes nothing."""
    with execution.end_lock:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        execution.output, execution.error, execution.cause = output, error, cause
        execution.stop_date = now()
        execution.exec_status = status
    if status == ExecutionStatus.SUCCEEDED:
        execution.journey.end()
        if execution.map_run is not None:
            archive_child(execution)
    if execution.on_end:
        execution.on_end(execution)


def archive_child(execution: Execution) -> None:
    """Takes from memory what only a redrive would need. AWS keeps no history of an Express child."""
    events = [] if execution.map_run.express else execution.exec_worker.env.event_manager._history_event_list
    keep(execution, events)
    execution.exec_worker = types.SimpleNamespace(env=None)


def run_execution(self: ExecutionWorker) -> None:
    """Replaces ExecutionWorker._execution_logic: an execution ends, whatever happens in the engine."""
    execution = self._execution_communication.execution
    self._execution_communication.worker = self
    try:
        if execution.redrive_count:
            resume_execution(self, execution.journey)
        else:
            run_to_the_end(self)
    except Exception as error:
        if execution.exec_worker is not self:
            return  # it was stopped, and redriven since
        log.error("execution %s: %s: %s", execution.name, type(error).__name__, error)
        end_execution(execution, ExecutionStatus.FAILED, error="States.Runtime", cause=str(error))


def reflect_end(self: BaseExecutionWorkerCommunication) -> None:
    """Replaces BaseExecutionWorkerCommunication.terminated."""
    execution, env = self.execution, self.worker.env
    if execution.exec_worker is not self.worker:
        return  # it was stopped while a task ran, and redriven since: the end of that task is not its end
    state = env.program_state()
    if isinstance(state, program_state.ProgramEnded):
        end_execution(execution, ExecutionStatus.SUCCEEDED, output=env.states.get_input())
    elif isinstance(state, program_state.ProgramTimedOut):
        env.event_manager.add_event(env.event_history_context, HistoryEventType.ExecutionTimedOut,
                                    {"executionTimedOutEventDetails": {}})
        end_execution(execution, ExecutionStatus.TIMED_OUT)
    elif isinstance(state, program_state.ProgramError):
        end_execution(execution, ExecutionStatus.FAILED, error=state.error.get("error"), cause=state.error.get("cause"))
    else:
        end_execution(execution, ExecutionStatus.ABORTED)


def stop_now(execution: Execution, error: str | None, cause: str | None) -> None:
    env = wait_for_environment(execution)
    with execution.end_lock:
        if execution.exec_status != ExecutionStatus.RUNNING:
            return
        details = {name: value for name, value in (("error", error), ("cause", cause)) if value}
        env.event_manager.add_event(event_manager.EventHistoryContext.of_program_start(), HistoryEventType.ExecutionAborted,
                                    {"executionAbortedEventDetails": details})
        end_execution(execution, ExecutionStatus.ABORTED, error=error, cause=cause)
    env.set_stop(stop_date=execution.stop_date, error=error, cause=cause)
    for map_run in execution.journey.map_runs:
        map_run.abort()


def wait_for_environment(execution: Execution) -> Environment:
    """Waits until the thread of a new execution has made its environment."""
    while execution.exec_worker.env is None or execution.exec_worker.env.next_state_name is None:
        if execution.exec_status != ExecutionStatus.RUNNING:
            break
        time.sleep(0.005)
    return execution.exec_worker.env


class StepFunctionsAnswers:
    """Replaces moto's responses of the same name."""

    def describe_execution(self) -> str:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        with execution.end_lock:  # an execution that ends meanwhile would have succeeded without an output
            answer = execution.to_describe_output()
            answer["status"] = execution.exec_status.value
        answer["input"] = execution.execution_input
        answer.update(redrive_answer(execution))
        answer["mapRunArn"] = execution.map_run and execution.map_run.arn
        if self._get_param("includedData") == "METADATA_ONLY":
            answer = {name: value for name, value in answer.items() if name not in EXECUTION_DATA}
        return as_json(answer)

    def list_executions(self) -> ActionResult:
        map_run_arn, wanted, redriven = (self._get_param(name) for name in ("mapRunArn", "statusFilter", "redriveFilter"))
        machine_arn = self._get_param("stateMachineArn") or map_run_arn.replace(":mapRun:", ":stateMachine:").split("/")[0]
        machine = self.stepfunction_backend.describe_state_machine(machine_arn)
        newest_first = [e for e in reversed(list(machine.executions))
                        if (e.map_run and e.map_run.arn) == map_run_arn and (not wanted or e.status == wanted)
                        and redriven in (None, "REDRIVEN" if e.redrive_count else "NOT_REDRIVEN")]
        executions, token = page(self, newest_first)
        listed = [
            {"executionArn": e.execution_arn, "stateMachineArn": e.state_machine_arn, "name": e.name, "status": e.status,
             "startDate": e.start_date, "stopDate": e.stop_date, "redriveCount": e.redrive_count, "redriveDate": e.redrive_date,
             "mapRunArn": map_run_arn, "itemCount": e.map_run and e.map_run.items_of(e)}
            for e in executions
        ]
        return sfn_responses.ActionResult({"executions": listed, "nextToken": token})

    def redrive_execution(self) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        token = self._get_param("clientToken")
        if token is None or token != execution.redrive_token:  # the same token is the same request
            redrive(execution)
            execution.redrive_token = token
        return sfn_responses.ActionResult({"redriveDate": execution.redrive_date})

    def stop_execution(self) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        stop_now(execution, self._get_param("error"), self._get_param("cause"))
        return sfn_responses.ActionResult({"stopDate": execution.stop_date})


def running_executions(self: StepFunctionsParserBackend, execution_status: ExecutionStatus | None = None) -> list[Execution]:
    """Replaces StepFunctionsParserBackend._get_executions, which is for the executions that a task token may belong to."""
    return [execution for machine in self.state_machines for execution in list(machine.executions)
            if execution.exec_status == ExecutionStatus.RUNNING and execution.exec_worker.env is not None]


def delete_state_machine(self: StepFunctionsParserBackend, arn: str) -> None:
    """AWS stops the executions of a deleted state machine. moto leaves them running."""
    self._validate_machine_arn(arn)
    for machine in [m for m in self.state_machines if m.arn == arn]:
        for execution in machine.executions:
            stop_now(execution, None, None)
        self.state_machines.remove(machine)


def fill_executions() -> None:
    fill_archive()
    backend = engine_models.StepFunctionsParserBackend
    backend.start_execution, backend.delete_state_machine = start_execution, delete_state_machine
    backend._get_executions = running_executions
    take_over(sfn_responses.StepFunctionResponse, StepFunctionsAnswers)
    engine_execution.BaseExecutionWorkerCommunication.terminated = reflect_end
    worker = execution_worker.ExecutionWorker
    make_environment = worker._get_evaluation_environment

    def _get_evaluation_environment(self: ExecutionWorker) -> Environment:
        env = make_environment(self)
        env.event_manager.when_full = lambda failure: env.set_error(failure)
        execution = self._execution_communication.execution
        env.event_manager.execution, env.event_manager.journey = execution, execution.journey
        env.event_manager.write_line = functools.partial(write_line, execution)
        described = env.states.context_object.context_object_data["Execution"]
        described["RedriveCount"] = execution.redrive_count
        # moto has an object there. AWS has a text such as 2025-03-26T20:14:13.192Z, which a redrive does not change:
        # https://docs.aws.amazon.com/step-functions/latest/dg/input-output-contextobject.html
        described["StartTime"] = execution.start_date.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return env

    worker._get_evaluation_environment, worker._execution_logic = _get_evaluation_environment, run_execution
