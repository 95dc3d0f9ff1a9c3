"""Step Functions' Distributed Map, whose children are executions. moto runs the items inside their parent, has no Express
children, takes a failed child for one that answered null, and lacks both ListExecutions of a Map Run and its redrive. On
AWS, each item is an execution with its own history. More failures than tolerated (here: any) end the Map Run and stop the other
children. A redrive of the parent continues the same Map Run: it redrives Standard children, starts Express children again, and
keeps the results of those that succeeded.
"""

from __future__ import annotations

import collections
import json
import re
import threading
import uuid
from typing import TYPE_CHECKING, Any

from moto.stepfunctions import responses as sfn_responses
from moto.stepfunctions.exceptions import ResourceNotFound
from moto.stepfunctions.parser import models as engine_models
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import distributed_iteration_component
from moto.stepfunctions.parser.asl.eval.states import ItemData, MapData

from stepfunctions.executions import new_execution, stop_now
from stepfunctions.history import now
from patching import take_over
from stepfunctions.redrive import redrive

if TYPE_CHECKING:
    from moto.core.responses import ActionResult
    from moto.stepfunctions.models import StateMachine
    from moto.stepfunctions.parser.asl.component.eval_component import EvalComponent
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.backend.execution import Execution
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

TOO_MANY = "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
COUNTED = ("succeeded", "failed", "timedOut", "aborted")
MAP_RUNS = {}


class MapRun:
    """A Map Run over all redrives of its execution: the children, by the index of their item."""

    def __init__(self, parent: Execution, state_name: str, items: list[Any]) -> None:
        declared = json.loads(parent.state_machine.definition)["States"][state_name]
        processor = dict(declared["ItemProcessor"])
        self.express = processor.pop("ProcessorConfig").get("ExecutionType") == "EXPRESS"
        self.definition = json.dumps(processor)
        self.parent, self.state_name, self.label = parent, state_name, declared.get("Label") or str(uuid.uuid4())
        self.arn = f"{parent.state_machine.arn.replace(':stateMachine:', ':mapRun:')}/{self.label}:{uuid.uuid4()}"
        self.items, self.children, self.redrives = items, {}, 0
        self.changed, self.running, self.failed, self.stopped = threading.Condition(), 0, False, False
        self.status, self.start_date, self.stop_date, self.max_concurrency = "RUNNING", now(), None, 0
        MAP_RUNS[self.arn] = self

    def counts(self) -> dict[str, int]:
        by_status = collections.Counter(child.exec_status for child in list(self.children.values()))
        answer = {name: by_status[status] for name, status in zip(COUNTED, (
            ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.ABORTED))}
        answer["running"] = by_status[ExecutionStatus.RUNNING]
        answer["total"] = len(self.items)
        answer["pending"] = len(self.items) - sum(by_status.values())
        answer["resultsWritten"] = 0
        return answer

    def start_child(self, index: int, given: Any) -> None:
        child = self.children.get(index)
        if child is not None and not self.express:
            redrive(child)
            return
        machine = self.parent.state_machine
        self.children[index] = new_execution(
            self.parent.account_id, self.parent.region_name, machine, self.parent.siblings, f"{machine.name}/{self.label}",
            str(uuid.uuid4()), json.dumps(given), map_run=self, on_end=self.child_ended)

    def child_ended(self, child: Execution) -> None:
        with self.changed:
            self.running -= 1
            self.failed = self.failed or child.exec_status != ExecutionStatus.SUCCEEDED
            self.changed.notify_all()

    def execute(self, env: Environment, selector: EvalComponent | None) -> bool:
        """Runs all children that have not succeeded. Returns whether all have succeeded then."""
        todo = collections.deque(index for index in range(len(self.items))
                                 if index not in self.children or self.children[index].exec_status != ExecutionStatus.SUCCEEDED)
        with self.changed:
            self.failed, self.stopped, most = False, False, self.max_concurrency or 10000
            while env.is_running() and not self.failed and not self.stopped and (todo or self.running):
                if todo and self.running < most:
                    index = todo.popleft()
                    self.running += 1
                    self.start_child(index, selected(env, selector, index, self.items[index]))
                else:
                    self.changed.wait(0.2)
            succeeded = not (self.failed or todo or self.running)
        self.stop()
        return succeeded

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
        for child in list(self.children.values()):
            stop_now(child, None, None)


def selected(env: Environment, selector: EvalComponent | None, index: int, item: Any) -> Any:
    """Returns the input of a child: what ItemSelector makes of its item."""
    if selector is None:
        return item
    whole_input, frame = env.stack[-1], env.open_inner_frame()
    try:
        frame.states.context_object.context_object_data["Map"] = MapData(Item=ItemData(Index=index, Value=item))
        frame.states._states_data["input"] = whole_input
        frame.stack.append(whole_input)
        selector.eval(frame)
        return frame.stack[-1]
    finally:
        env.delete_frame(frame)


def run_distributed_map(self: distributed_iteration_component.DistributedIterationComponent, env: Environment) -> None:
    """Replaces DistributedIterationComponent._eval_body."""
    declared = env.stack.pop()
    execution, journey = env.event_manager.execution, env.event_manager.journey
    redriven = journey.redriven and journey.map_runs and journey.map_runs[-1].state_name == declared.state_name
    journey.redriven = False
    if not redriven:
        journey.map_runs.append(MapRun(execution, declared.state_name, declared.input_items))
    run = journey.map_runs[-1]
    if not redriven:
        started = HistoryEventType.MapRunStarted, {"mapRunStartedEventDetails": {"mapRunArn": run.arn}}
    else:
        run.redrives += 1
        run.status, run.stop_date = "RUNNING", None
        details = {"mapRunArn": run.arn, "redriveCount": run.redrives}
        started = HistoryEventType.MapRunRedriven, {"mapRunRedrivenEventDetails": details}
    run.max_concurrency = declared.max_concurrency
    env.event_manager.add_event(env.event_history_context, *started)
    succeeded = run.execute(env, declared.item_selector or declared.parameters)
    run.stop_date = now()
    if succeeded:
        run.status = "SUCCEEDED"
        env.event_manager.add_event(env.event_history_context, HistoryEventType.MapRunSucceeded)
        env.stack.append([run.children[index].output for index in range(len(run.items))])
        return
    if not env.is_running():
        run.status = "ABORTED"
        env.event_manager.add_event(env.event_history_context, HistoryEventType.MapRunAborted)
        env.stack.append([])
        return
    run.status = "FAILED"
    details = dict(zip(("error", "cause"), TOO_MANY))
    env.event_manager.add_event(env.event_history_context, HistoryEventType.MapRunFailed, {"mapRunFailedEventDetails": details})
    raise FailureEventException(FailureEvent(env=env, error_name=CustomErrorName(TOO_MANY[0]), event_type=HistoryEventType.MapRunFailed,
                                             event_details={"mapRunFailedEventDetails": details}))


class MapRunAnswers:
    """Replaces moto's responses of the same name."""

    def describe_map_run(self) -> ActionResult:
        run = MAP_RUNS.get(self._get_param("mapRunArn"))
        if run is None:
            raise ResourceNotFound()
        answer = {"mapRunArn": run.arn, "executionArn": run.parent.exec_arn, "status": run.status, "startDate": run.start_date,
                  "stopDate": run.stop_date, "maxConcurrency": run.max_concurrency, "toleratedFailurePercentage": 0.0,
                  "toleratedFailureCount": 0, "redriveCount": run.redrives, "itemCounts": run.counts(), "executionCounts": run.counts()}
        return sfn_responses.ActionResult({name: value for name, value in answer.items() if value is not None})

    def list_map_runs(self) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        listed = [{"mapRunArn": run.arn, "executionArn": execution.exec_arn, "startDate": run.start_date, "stopDate": run.stop_date,
                   "stateMachineArn": f"{execution.state_machine.arn}/{run.label}"} for run in execution.journey.map_runs]
        return sfn_responses.ActionResult({"mapRuns": listed})


def fill_map_runs() -> None:
    backend = engine_models.StepFunctionsParserBackend
    machine_of = backend._get_state_machine_for_execution

    def _get_state_machine_for_execution(self: StepFunctionsParserBackend, execution_arn: str) -> StateMachine:
        return machine_of(self, re.sub("/[^:]*:", ":", execution_arn))  # in a child's ARN, the Map's label follows the name

    backend._get_state_machine_for_execution = _get_state_machine_for_execution
    distributed_iteration_component.DistributedIterationComponent._eval_body = run_distributed_map
    take_over(sfn_responses.StepFunctionResponse, MapRunAnswers)
