"""Step Functions' Distributed Map, whose children are executions. moto runs the items inside their parent, has no Express
children, takes a failed child for one that answered null, ignores the tolerated failures, and lacks both ListExecutions of a
Map Run and its redrive. On AWS, each item or batch is an execution with its own history. More failures than tolerated end the
Map Run and stop the other children. A redrive of the parent continues the same Map Run: it redrives Standard children, starts
Express children again, and keeps the results of those that succeeded.
"""

from __future__ import annotations

import collections
import functools
import itertools
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from moto.stepfunctions import responses as sfn_responses
from moto.stepfunctions.exceptions import ResourceNotFound, ValidationException
from moto.stepfunctions.parser import models as engine_models
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.state.exec.state_map import state_map
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import distributed_iteration_component
from moto.stepfunctions.parser.asl.eval import program_state

from stepfunctions.definition import find_state
from stepfunctions.executions import new_execution, stop_now
from stepfunctions.history import as_json, now, page
from stepfunctions.item_batcher import child_inputs
from stepfunctions.item_reader import read_items
from stepfunctions.payload_templates import expression_filler, failed, fill, number, template_filler
from stepfunctions.redrive import redrive
from stepfunctions.result_writer import ResultWriter
from patching import take_over

if TYPE_CHECKING:
    from moto.core.responses import ActionResult
    from moto.stepfunctions.models import StateMachine
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.backend.execution import Execution
    from moto.stepfunctions.parser.models import StepFunctionsParserBackend

TOO_MANY = "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
COUNTED = {"running": ExecutionStatus.RUNNING, "succeeded": ExecutionStatus.SUCCEEDED, "failed": ExecutionStatus.FAILED,
           "timedOut": ExecutionStatus.TIMED_OUT, "aborted": ExecutionStatus.ABORTED}
MOST_AT_ONCE = 10000
EXPRESS_SECONDS = 300  # an Express execution may take five minutes
MAP_RUNS: dict[str, MapRun] = {}


class MapRun:
    """A Map Run over all redrives of its execution: the children, and how many items each has, by the place of their input.
    known is how many children there will be, if that is known before the items are read.
    """

    def __init__(self, parent: Execution, state_name: str, declared: dict[str, Any], known: int | None) -> None:
        processor = dict(declared["ItemProcessor"])
        self.express = processor.pop("ProcessorConfig").get("ExecutionType") == "EXPRESS"
        if self.express:
            processor["TimeoutSeconds"] = EXPRESS_SECONDS
        self.definition = json.dumps(processor)
        self.parent, self.state_name, self.label = parent, state_name, declared.get("Label") or str(uuid.uuid4())
        self.arn = f"{parent.state_machine.arn.replace(':stateMachine:', ':mapRun:')}/{self.label}:{uuid.uuid4()}"
        self.children: dict[int, Execution] = {}
        self.items: dict[int, int] = {}
        self.unsuccessful: set[int] = set()
        self.known, self.all_started, self.redrives, self.results_written = known, False, 0, False
        self.changed, self.running, self.stopped = threading.Condition(), 0, False
        self.status, self.start_date, self.stop_date, self.max_concurrency = "RUNNING", now(), None, 0
        self.left_out: list[tuple[int, str, int]] = []  # was to start when too many had failed
        self.tolerated_count: int | None = None
        self.tolerated_percentage: float | None = None
        MAP_RUNS[self.arn] = self

    def counts(self, sizes: dict[int, int] | None = None) -> dict[str, int]:
        """Returns how many children have which status, or how many items, if it gets the sizes of the children."""
        by_status: collections.Counter[ExecutionStatus] = collections.Counter()
        for index, child in list(self.children.items()):
            by_status[child.exec_status] += sizes[index] if sizes else 1
        answer = {name: by_status[status] for name, status in COUNTED.items()}
        started = sum(by_status.values())
        answer["total"] = started if self.all_started or self.known is None else max(self.known, started)
        answer["pending"] = answer["total"] - started
        ended_well = answer["succeeded"]
        answer["resultsWritten"] = started - answer["running"] if self.results_written else 0
        unsuccessful = started - answer["running"] - ended_well
        answer["pendingRedrive"] = unsuccessful if self.status == "RUNNING" and self.redrives else 0
        answer["failuresNotRedrivable"] = 0
        return answer

    def start_child(self, index: int, given: str) -> None:
        child = self.children.get(index)
        if child is not None and not self.express:
            redrive(child)
            return
        machine = self.parent.state_machine
        self.children[index] = new_execution(
            self.parent.account_id, self.parent.region_name, machine, self.parent.siblings, f"{machine.name}/{self.label}",
            str(uuid.uuid4()), given, map_run=self, on_end=functools.partial(self.child_ended, index))

    def child_ended(self, index: int, child: Execution) -> None:
        with self.changed:
            self.running -= 1
            if child.exec_status != ExecutionStatus.SUCCEEDED:
                self.unsuccessful.add(index)
            self.changed.notify_all()

    def too_many_failed(self) -> bool:
        """Says whether more items failed than tolerated. Every item of a batch that failed has failed."""
        lost = sum(self.items[index] for index in self.unsuccessful)
        if self.tolerated_count is None and self.tolerated_percentage is None:
            return lost > 0
        if self.tolerated_count is not None and lost > self.tolerated_count:
            return True
        if self.tolerated_percentage is None or not (self.all_started or self.known):
            return False  # a share of a total that is not known yet
        total = sum(self.items.values()) if self.all_started else self.known
        return lost * 100 > self.tolerated_percentage * total

    def to_run(self, inputs: Iterator[tuple[str, int]]) -> Iterator[tuple[int, str, int]]:
        """Yields what is to run, as place, input and number of items: first what a redrive repeats, then what was never started."""
        before = len(self.children)
        for index in sorted(self.children):
            if self.children[index].exec_status != ExecutionStatus.SUCCEEDED:
                yield index, self.children[index].execution_input, self.items[index]
        for index, (given, items) in enumerate(itertools.islice(inputs, before, None), start=before):
            yield index, given, items

    def execute(self, goes_on: Callable[[], bool], work: Iterator[tuple[int, str, int]]) -> bool:
        """Runs children. Returns whether all were started and have ended, with no more failures than tolerated."""
        self.stopped, self.left_out = False, []
        self.unsuccessful.clear()

        def may_go_on() -> bool:
            return goes_on() and not self.stopped and not self.too_many_failed()

        for index, given, items in work:
            with self.changed:
                while may_go_on() and self.running >= (self.max_concurrency or MOST_AT_ONCE):
                    self.changed.wait(0.2)
                if not may_go_on():
                    self.left_out.append((index, given, items))
                    break
                self.items[index] = items
                self.running += 1
                self.start_child(index, given)
        else:
            self.all_started = True
        with self.changed:
            while self.running and may_go_on():
                self.changed.wait(0.2)
            return self.all_started and not self.running and may_go_on()

    def abort(self) -> None:
        """Ends the Map Run because its execution was stopped. A redrive may follow at once."""
        if self.status == "RUNNING":
            self.status, self.stop_date = "ABORTED", now()
        self.stop()

    def stop(self) -> None:
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        for child in list(self.children.values()):
            stop_now(child, None, None)

    def items_of(self, child: Execution) -> int:
        return next((self.items[index] for index, one in list(self.children.items()) if one is child), 0)

    def in_order(self) -> list[Execution]:
        return [self.children[index] for index in sorted(self.children)]


def selected(env: Environment, template: Any, given: Any, items: Iterator[Any], source: str) -> Iterator[Any]:
    """Yields what ItemSelector makes of each item."""
    filler = template_filler(template)
    context = dict(env.states.context_object.context_object_data)
    for index, item in enumerate(items):
        context["Map"] = {"Item": {"Index": index, "Value": item, "Source": source}}
        yield filler(env, given, context)


def run_distributed_map(self: state_map.StateMap, env: Environment) -> None:
    """Replaces StateMap._eval_execution for a Distributed Map."""
    given, execution, journey = env.stack.pop(), env.event_manager.execution, env.event_manager.journey
    declared = find_state(json.loads(execution.state_machine.definition), self.name)
    self.max_concurrency_decl.eval(env)
    max_concurrency = env.stack.pop()
    listed = None
    if "ItemReader" not in declared:
        path = declared.get("ItemsPath", "$")
        listed = expression_filler("ItemsPath", path)(env, given, env.states.context_object.context_object_data)
        if not isinstance(listed, list):
            raise failed(env, "States.Runtime", f'Reference path "{path}" must point to array.')
    env.event_manager.add_event(env.event_history_context, HistoryEventType.MapStateStarted,
                                {"mapStateStartedEventDetails": {"length": len(listed or [])}})

    run = journey.take_map_run(self.name)
    if run is None:
        run = MapRun(execution, self.name, declared, None if listed is None or "ItemBatcher" in declared else len(listed))
        journey.map_runs.append(run)
        started = HistoryEventType.MapRunStarted, {"mapRunStartedEventDetails": {"mapRunArn": run.arn}}
    else:
        run.redrives += 1
        run.status, run.stop_date = "RUNNING", None
        details = {"mapRunArn": run.arn, "redriveCount": run.redrives}
        started = HistoryEventType.MapRunRedriven, {"mapRunRedrivenEventDetails": details}
    run.max_concurrency = max_concurrency
    env.event_manager.add_event(env.event_history_context, *started)
    try:
        output = finish_map_run(env, run, declared, given, listed)
    except FailureEventException as failure:
        run.status, run.stop_date = "FAILED", now()
        run.stop()
        error, cause = failure.extract_error_cause_pair()
        env.event_manager.add_event(env.event_history_context, HistoryEventType.MapRunFailed,
                                    {"mapRunFailedEventDetails": {"error": error, "cause": cause}})
        raise
    if not was_stopped(env):
        run.status, run.stop_date = "SUCCEEDED" if env.is_running() else "ABORTED", now()
    ended = HistoryEventType.MapRunSucceeded if env.is_running() else HistoryEventType.MapRunAborted
    env.event_manager.add_event(env.event_history_context, ended)
    env.stack.append(output)
    env.event_manager.add_event(env.event_history_context, HistoryEventType.MapStateSucceeded, update_source_event_id=False)


def was_stopped(env: Environment) -> bool:
    """Says whether somebody has stopped the execution. That has ended its Map Runs too, and a redrive may run them by now."""
    return isinstance(env.program_state(), program_state.ProgramStopped)


def finish_map_run(env: Environment, run: MapRun, declared: dict[str, Any], given: Any, listed: list[Any] | None) -> Any:
    """Runs the children that have not succeeded. Returns the output of the state, or None if the execution was stopped."""
    run.tolerated_count = number(declared, "ToleratedFailureCount", env, given)
    run.tolerated_percentage = number(declared, "ToleratedFailurePercentage", env, given)
    writer = ResultWriter(env, declared.get("ResultWriter"), given, run.arn, run.redrives)
    writer.begin()
    items, source = iter(listed or []), "STATE_DATA"
    if "ItemReader" in declared:
        reader = declared["ItemReader"]
        place = fill(reader["Parameters"], env, given)
        config = dict(reader["ReaderConfig"], MaxItems=number(reader["ReaderConfig"], "MaxItems", env, given, whole_from=0))
        items, source = read_items(env, place, config), f"S3://{place.get('Bucket')}/{place.get('Key')}"
    template = declared.get("ItemSelector", declared.get("Parameters"))
    if template is not None:
        items = selected(env, template, given, items, source)
    inputs = child_inputs(env, declared.get("ItemBatcher"), given, items)
    work = run.to_run(inputs)
    try:
        succeeded = run.execute(env.is_running, work)
        if was_stopped(env):
            return None
        run.stop()
        if not env.is_running():
            return None
        rest = itertools.chain(run.left_out, work)
        output = writer.finish(run.in_order(), (text for index, text, _ in rest if index not in run.children))
        run.results_written = writer.files is not None
        if not succeeded:
            raise failed(env, *TOO_MANY)
        return output
    finally:
        for generator in (work, inputs, items):
            getattr(generator, "close", lambda: None)()


class MapRunAnswers:
    """Replaces moto's responses of the same name."""

    def describe_map_run(self) -> str:
        run = map_run(self._get_param("mapRunArn"))
        answer = {"mapRunArn": run.arn, "executionArn": run.parent.exec_arn, "status": run.status, "startDate": run.start_date,
                  "stopDate": run.stop_date, "maxConcurrency": run.max_concurrency,
                  "toleratedFailurePercentage": float(run.tolerated_percentage or 0), "toleratedFailureCount": int(run.tolerated_count or 0),
                  "redriveCount": run.redrives, "itemCounts": run.counts(dict(run.items)), "executionCounts": run.counts()}
        return as_json(answer)

    def list_map_runs(self) -> ActionResult:
        execution = self.stepfunction_backend.describe_execution(self._get_param("executionArn"))
        runs, token = page(self, list(execution.journey.map_runs))
        listed = [{"mapRunArn": run.arn, "executionArn": execution.exec_arn, "startDate": run.start_date, "stopDate": run.stop_date,
                   "stateMachineArn": f"{execution.state_machine.arn}/{run.label}"} for run in runs]
        return sfn_responses.ActionResult({"mapRuns": listed, "nextToken": token})

    def update_map_run(self) -> ActionResult:
        run = map_run(self._get_param("mapRunArn"))
        if run.status != "RUNNING":
            raise ValidationException(f"Map Run {run.arn} is {run.status} and cannot be updated")
        with run.changed:
            for name, parameter in (("max_concurrency", "maxConcurrency"), ("tolerated_count", "toleratedFailureCount"),
                                    ("tolerated_percentage", "toleratedFailurePercentage")):
                if self._get_param(parameter) is not None:
                    setattr(run, name, self._get_param(parameter))
            run.changed.notify_all()
        return sfn_responses.ActionResult({})


def map_run(arn: str) -> MapRun:
    if arn not in MAP_RUNS:
        raise ResourceNotFound(arn)
    return MAP_RUNS[arn]


def fill_map_runs() -> None:
    backend = engine_models.StepFunctionsParserBackend
    machine_of = backend._get_state_machine_for_execution

    def _get_state_machine_for_execution(self: StepFunctionsParserBackend, execution_arn: str) -> StateMachine:
        return machine_of(self, re.sub("/[^:]*:", ":", execution_arn))  # in a child's ARN, the Map's label follows the name

    backend._get_state_machine_for_execution = _get_state_machine_for_execution
    run_inline_map = state_map.StateMap._eval_execution

    def _eval_execution(self: state_map.StateMap, env: Environment) -> None:
        distributed = isinstance(self.iteration_component, distributed_iteration_component.DistributedIterationComponent)
        (run_distributed_map if distributed else run_inline_map)(self, env)

    state_map.StateMap._eval_execution = _eval_execution
    take_over(sfn_responses.StepFunctionResponse, MapRunAnswers)
