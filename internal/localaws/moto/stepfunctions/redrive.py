"""Step Functions' redrive, which moto lacks. An execution that failed, timed out or was stopped continues in the state where it
ended, with that state's input and the definition it started with. A Map runs only the items that have no result.
"""

from __future__ import annotations

import copy
import threading
from typing import TYPE_CHECKING, Any

from moto.core.exceptions import AWSError
from moto.stepfunctions.parser.api import ExecutionStatus, HistoryEventType
from moto.stepfunctions.parser.asl.component.common.flow.start_at import StartAt
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration import inline_iteration_component, job
from moto.stepfunctions.parser.asl.component.state.state import CommonStateField
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser

from stepfunctions.history import HISTORY_LIMIT, now

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.backend.execution import Execution
    from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker
    from stepfunctions.map_runs import MapRun


class Journey:
    """Where an execution is: its state, that state's input, the results of its Map's items by index, and its Map Runs."""

    def __init__(self) -> None:
        self.state_name, self.input, self.finished, self.redriven, self.map_runs = None, None, {}, False, []
        self.resumable: dict[str, MapRun] = {}

    def end(self) -> None:
        """Forgets what only a redrive would need: the execution has succeeded."""
        self.input, self.finished = None, {}

    def redrive(self) -> None:
        self.redriven = True
        self.resumable = {run.state_name: run for run in self.map_runs if run.status != "SUCCEEDED"}

    def take_map_run(self, state_name: str) -> MapRun | None:
        """Returns the Map Run that a redrive continues when it enters a state, if there is one."""
        self.redriven = False
        return self.resumable.pop(state_name, None)


class ExecutionNotRedrivable(AWSError):
    TYPE = "ExecutionNotRedrivable"
    STATUS = 400


def redrive_answer(execution: Execution) -> dict[str, Any]:
    status = execution.exec_status
    answer = {"redriveCount": execution.redrive_count, "redriveDate": execution.redrive_date, "redriveStatus": "REDRIVABLE"}
    if status in (ExecutionStatus.RUNNING, ExecutionStatus.SUCCEEDED):
        answer["redriveStatus"] = "NOT_REDRIVABLE"
        answer["redriveStatusReason"] = f"Execution is {status.value} and cannot be redriven"
    elif len(execution.exec_worker.env.event_manager._history_event_list) >= HISTORY_LIMIT - 1:
        answer["redriveStatus"] = "NOT_REDRIVABLE"
        answer["redriveStatusReason"] = "Execution has reached the maximum number of history events and cannot be redriven"
    return answer


def redrive(execution: Execution) -> None:
    with execution.end_lock:
        answer = redrive_answer(execution)
        if answer["redriveStatus"] != "REDRIVABLE":
            raise ExecutionNotRedrivable(answer["redriveStatusReason"])
        history = execution.exec_worker.env.event_manager
        execution.redrive_count += 1
        execution.redrive_date = now()
        execution.stop_date = execution.error = execution.cause = execution.output = None
        execution.exec_status = ExecutionStatus.RUNNING
        execution.journey.redrive()
        worker = execution._get_start_execution_worker()
        worker.env = worker._get_evaluation_environment()
        # The history is the same, but its manager is new: tasks that still run have the old one.
        manager = worker.env.event_manager
        manager._history_event_list, manager._mutex = history._history_event_list, history._mutex
        manager.add_event(worker.env.event_history_context, HistoryEventType.ExecutionRedriven,
                          {"executionRedrivenEventDetails": {"redriveCount": execution.redrive_count}})
        execution.exec_worker = worker
        worker.start()


def resume_execution(worker: ExecutionWorker, journey: Journey) -> None:
    program = AmazonStateLanguageParser.parse(worker._evaluation_details.state_machine_details.definition)[0]
    if journey.state_name is not None:
        program = copy.copy(program)
        program.start_at = StartAt(journey.state_name)
        worker.env.states.reset(journey.input)
    program.eval(worker.env)
    worker._execution_communication.terminated()


class ResumedJobs(job.JobPool):
    """The items of a Map. A redrive leaves out those that have a result."""

    mine = threading.local()  # finished: results of the Map that this thread is about to run; manager: of its execution's history

    def __init__(self, job_program: Any, job_inputs: list[Any]) -> None:
        super().__init__(job_program, job_inputs)
        self.finished, self.manager = getattr(self.mine, "finished", {}), getattr(self.mine, "manager", None)
        self._closed_jobs.update(job.JobClosed(index, output) for index, output in self.finished.items())
        self._open_jobs[:] = [one for one in self._open_jobs if one.job_index not in self.finished]

    def close_job(self, job: job.Job) -> None:
        with self._mutex:
            # Once the Map has failed or the execution was stopped, its other items are cut off, and what they return is not a
            # result: the history does not have it, and a redrive runs them again.
            ended = self._is_terminated() or getattr(self.manager, "closed", False)
            if not ended and not isinstance(job.job_output, Exception):
                self.finished[job.job_index] = job.job_output
        super().close_job(job)


def fill_redrive() -> None:
    enter, run_map = CommonStateField._eval_body, inline_iteration_component.InlineIterationComponent._eval_body

    def enter_state(self: CommonStateField, env: Environment) -> None:
        journey = env.event_manager.journey
        # What a stopped execution still does is not part of its journey.
        ended = getattr(env.event_manager, "closed", False)
        if not env.is_frame() and not ended and not (journey.redriven and journey.state_name == self.name):
            journey.state_name, journey.input, journey.finished = self.name, env.states.get_input(), {}
        enter(self, env)

    def run_inline_map(self: inline_iteration_component.InlineIterationComponent, env: Environment) -> None:
        journey, name = env.event_manager.journey, env.stack[-1].state_name
        outermost = name == journey.state_name
        if outermost and not journey.redriven:
            journey.finished = {}
        ResumedJobs.mine.finished, ResumedJobs.mine.manager = journey.finished if outermost else {}, env.event_manager
        journey.redriven = journey.redriven and not outermost
        run_map(self, env)

    CommonStateField._eval_body = enter_state
    inline_iteration_component.InlineIterationComponent._eval_body = run_inline_map
    inline_iteration_component.JobPool = ResumedJobs
