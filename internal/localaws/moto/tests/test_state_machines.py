"""The state machines of this project in the engine, with functions and queues that answer what a test says: nonsense, for most.

No answer of a function may end a run in a way from which a redrive, with functions that work again, does not go on.
"""

from __future__ import annotations

import io
import json
import pathlib
import threading
import time
import types
import unittest
from collections.abc import Callable
from typing import Any
from unittest import mock

import botocore.exceptions
import clients
from moto.stepfunctions.parser.asl.component.common.retry import retrier_decl
from moto.stepfunctions.parser.models import stepfunctions_parser_backends
from patching import replace_in_engine
from stepfunctions import archive, executions, integrations, item_reader, map_runs, redrive
from tests import service

FOLDER = pathlib.Path(__file__).resolve().parents[4] / "state-machine"
ARN = "arn:aws:states:eu-central-2:123456789012:stateMachine:"
KEPT = {"sequence_no": 0, "random_value": "r", "current_time": 1, "start_seq": 1, "end_seq": 4, "retry_attempt": 0}
NAMES = (["", "\0", "A" * 100_000, "A" * 91, "two words", "ü", "a\n", 7, None, True, [], {}, ["Name"], "<x>"], ["Name", "A" * 90, "a.b_c-9"])

retrier_decl.time = types.SimpleNamespace(sleep=lambda seconds: None)  # retries do not wait


def new_item(number: int) -> dict[str, Any]:
    return {"event": dict(KEPT, sequence_no=number)}


def claim(number: int, attempt: int) -> dict[str, Any]:
    return {"event": dict(KEPT, sequence_no=number, retry_attempt=attempt), "receipt_handle": f"handle-{number}"}


class AWS:
    """Answers the calls of the engine, and keeps what was sent, deleted and released."""

    def __init__(self, functions: dict[str, Any]) -> None:
        self.functions, self.refused, self.requests = functions, set(), []
        self.parked, self.buried, self.deleted, self.released = [], [], [], []
        self.order, self.meta = [], service.client("sqs").meta

    def invoke(self, FunctionName: str, Payload: Any, **_: Any) -> dict[str, Any]:
        request = json.loads(Payload)
        self.requests.append(request)
        answer = self.functions["Insert" if request["operation"] in ("InsertItems", "InsertShard") else request["operation"]]
        if callable(answer):
            answer = answer(request)
        result = {"StatusCode": 200, "ExecutedVersion": "$LATEST", "ResponseMetadata": {"HTTPStatusCode": 200, "HTTPHeaders": {}, "RequestId": f"r-{len(self.requests)}"}}
        if isinstance(answer, Exception):
            result["FunctionError"] = "Unhandled"
            answer = {"errorType": str(answer), "errorMessage": "m"}
        return result | {"Payload": io.BytesIO(json.dumps(answer).encode())}

    def call(self, operation: str) -> None:
        self.order.append(operation)
        if operation in self.refused:
            raise botocore.exceptions.ClientError({"Error": {"Code": "Refused", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 400}}, operation)

    def send_message(self, QueueUrl: str, MessageBody: str, MessageAttributes: dict[str, Any], **_: Any) -> dict[str, Any]:
        self.call("send " + QueueUrl)
        error = MessageAttributes["Error"]["StringValue"]
        (self.parked if QueueUrl == "retry" else self.buried).append((json.loads(MessageBody), error, MessageAttributes["ExecutionArn"]["StringValue"]))
        return {"MessageId": "id", "ResponseMetadata": {"HTTPStatusCode": 200}}

    def get_object(self, Bucket: str, Key: str, VersionId: str) -> dict[str, Any]:
        self.order.append(f"read {Bucket}/{Key} {VersionId}")
        return {"Body": io.BytesIO(self.functions["object"])}

    def delete_message(self, QueueUrl: str, ReceiptHandle: str) -> dict[str, Any]:
        self.call("delete " + QueueUrl)
        self.deleted.append(ReceiptHandle)
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}

    def change_message_visibility(self, QueueUrl: str, ReceiptHandle: str, VisibilityTimeout: int) -> dict[str, Any]:
        self.call("release " + QueueUrl)
        self.released.append(ReceiptHandle)
        return {"ResponseMetadata": {"HTTPStatusCode": 200}}


def run_backend() -> Any:
    return stepfunctions_parser_backends[clients.ACCOUNT_ID][clients.USUAL_REGION]


def running_execution() -> Any:
    """The execution that runs, which is no child of a Map Run. It can call a function before it is in the list of executions."""
    for _ in range(1000):
        running = [e for machine in run_backend().state_machines for e in machine.executions if e.exec_status.value == "RUNNING" and not e.map_run]
        if running:
            execution, = running
            return execution
        time.sleep(0.01)
    raise TimeoutError("no execution runs")


class Run:
    """A run of a state machine, to its end."""

    aws: AWS  # that answers the engine at the moment

    def __init__(self, machine: str, aws: AWS, given: dict[str, Any], express: bool = False) -> None:
        definition = (FOLDER / f"carnation-{machine}.asl.json").read_text()
        for name, value in {
            "Partition": "aws", "GenerateDataFunctionArn": "generate-data", "InsertDataFunctionArn": "insert-data", "PlanShardsFunctionArn": "plan-shards",
            "RetryQueueUrl": "retry", "DeadLetterQueueUrl": "dead", "MaxReceiveCount": "3", "ShardExecutionType": "EXPRESS" if express else "STANDARD",
            "EventsBucket": "b", "EventsPrefix": "events/",
        }.items():
            definition = definition.replace("${%s}" % name, value)
        self.backend = run_backend()
        name = f"m{time.time_ns()}"
        self.backend.create_state_machine(name=name, definition=definition, roleArn=f"arn:aws:iam::{clients.ACCOUNT_ID}:role/r", tags=None, publish=None,
                                          loggingConfiguration=None, tracingConfiguration=None, encryptionConfiguration=None, version_description=None)
        self.wait(aws, lambda: self.backend.start_execution(ARN + name, None, json.dumps(given)))

    def wait(self, aws: AWS, start: Callable[[], Any]) -> None:
        Run.aws = aws
        self.execution = start() or self.execution
        deadline = time.monotonic() + 60
        while self.execution.exec_status.value == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.005)
        self.error, self.cause, self.output = self.execution.error, self.execution.cause, self.execution.output

    def redrive(self, aws: AWS) -> None:
        self.wait(aws, lambda: redrive.redrive(self.execution))

    def started(self) -> list[Any]:
        """The children of a distributed run."""
        return [child for run in self.execution.journey.map_runs for child in run.children.values()]


def setUpModule() -> None:
    service.port()  # fills the gaps
    replace_in_engine("boto_client_for", lambda *_, **__: Run.aws)
    integrations.engine_client = item_reader.engine_client = lambda *_: Run.aws


def tearDownModule() -> None:
    replace_in_engine("boto_client_for", clients.engine_client)
    integrations.engine_client = item_reader.engine_client = clients.engine_client


CRASHED = RuntimeError("Runtime.ExitError")
PLAN = {"start_seq": 1, "end_seq": 6, "failure_rate": 0, "claimers": 1, "claim_until": 0, "shard_size": 2, "current_time": 1, "seed": "s"}
RANGE = {"start_seq": 1, "end_seq": 4}


def insert_all(request: dict[str, Any]) -> dict[str, Any]:
    answer = {"inserted": len(request["items"]), "dead": 0}
    return answer | ({"returned": 0} if request["operation"] == "InsertShard" else {"failed": []})


def fail_all(error: Any) -> Any:
    return lambda request: {"inserted": 0, "dead": 0, "failed": [dict(item, error=error) for item in request["items"]]}


def generate_shard(request: dict[str, Any]) -> dict[str, Any]:
    shard, plan = request["shard"], request["plan"]
    if shard < plan["claimers"]:
        return {"items": [claim(90, 1), claim(91, 3), claim(92, 2)], "generated": 0, "claimed": 3}
    first = plan["start_seq"] + (shard - plan["claimers"]) * plan["shard_size"]
    items = [new_item(n) for n in range(first, min(first + plan["shard_size"], plan["end_seq"]))]
    return {"items": items, "generated": len(items), "claimed": 0}


def add_up(request: dict[str, Any]) -> dict[str, Any]:
    sums = [sum(numbers) for numbers in zip([0, 0, 0], *request["results"]["first"], *request["results"]["last"])]
    return {"inserted": sums[0], "failed": sums[1] + sums[2], "returned": sums[1], "dead": sums[2]}


def insert_records(request: dict[str, Any]) -> dict[str, Any]:
    return {"inserted": len(request["records"]), "returned": 0, "dead": 0}


def inline(*items: Any, **functions: Any) -> AWS:
    items = items or (new_item(1), new_item(2), new_item(3))
    return AWS({"GenerateRun": {"items": list(items), "generated": 3, "claimed": 0, "max_concurrency": 10}, "Insert": insert_all} | functions)


def distributed(**functions: Any) -> AWS:
    planned = {"plan": PLAN, "first": [0], "then": [1, 2, 3], "max_concurrency": 3}
    return AWS({"PlanRun": planned, "GenerateShard": generate_shard, "Insert": insert_all, "InsertRecords": insert_records, "AddUpShards": add_up} | functions)


SOURCE = {"uri": "s3://b/k", "bucket": "b", "key": "k", "etag": '"e"', "format": "JSONL", "batch_size": 2}
# Inputs of own events, with a part of the plan, and the kind of the object. Each has three records.
OWN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"events": [{"n": 0}, {"n": 1}, {"n": 2}], "failure_rate": 0.5}, {"events": {"records": 3, "batch_size": 2}}, ""),
    ({"source": {"bucket": "b", "key": "k"}}, {"source": SOURCE}, "JSONL"),
    ({"source": {"bucket": "b", "key": "k", "format": "JSONL"}, "time": 7}, {"source": SOURCE | {"version_id": "v"}}, "JSONL"),
    ({"source": {"bucket": "b", "key": "k", "format": "JSON", "version_id": "v"}}, {"source": SOURCE | {"format": "JSON", "version_id": "v"}}, "JSON"),
    ({"source": {"bucket": "b", "key": "k", "format": "CSV"}}, {"source": SOURCE | {"format": "CSV"}}, "CSV"),
]


def own(planned: dict[str, Any], claimers: int, **functions: Any) -> AWS:
    plan = PLAN | {"start_seq": 0, "end_seq": 0, "claimers": claimers, "failure_rate": 0.5}
    answer = {"plan": plan, "first": list(range(claimers)), "then": [], "time": 7, "max_concurrency": 3}
    return distributed(**{"PlanRun": answer | planned} | functions)


# Answers that are not even an object of the right kind.
NONSENSE = [None, [], {}, "done", 7, True, "<html>502 Bad Gateway</html>", {"items": 7}, {"items": None}, {"items": "x"}, {"inserted": None, "failed": 3}, [[1]]]


class TestInline(unittest.TestCase):
    def test_only_a_short_name_of_safe_characters_is_the_name_of_an_error(self) -> None:
        for error in sum(NAMES, []):
            many = 30 if len(str(error)) > 50 else 2  # 30 long names do not fit the state
            aws = inline(*[new_item(n + 1) for n in range(many)], Insert=fail_all(error))
            run = Run("state-machine", aws, {"start_seq": 1, "end_seq": 1 + many})
            self.assertEqual((run.error, run.cause), ("Carnation.EventsFailed", f"{many} of {many} events failed and are in the retry queue"), str(error)[:50])
            want = error if error in NAMES[1] else "Carnation.InvalidAnswer"
            self.assertEqual([parked[1] for parked in aws.parked], [want] * many, str(error)[:50])

    def test_the_error_of_a_crash_is_one_too(self) -> None:
        for error in [name for name in NAMES[0] if isinstance(name, str) and name] + NAMES[1]:
            aws = inline(Insert=RuntimeError(error))
            run = Run("state-machine", aws, RANGE)
            want = error if error in NAMES[1] else "Carnation.InvalidAnswer"
            self.assertEqual((run.error, [parked[1] for parked in aws.parked]), ("Carnation.EventsFailed", [want] * 3), error[:50])

    def test_a_nonsense_answer_about_an_event_makes_it_a_failed_one(self) -> None:
        for answer in [*NONSENSE, {"inserted": 0, "failed": []}, {"inserted": "1"}, {"inserted": 2}, {"inserted": -1}, {"inserted": 0, "failed": [{}]}, {"failed": [[]]},
                       {"inserted": 0, "dead": 0}, {"dead": 2}, {"dead": "1"}, {"dead": True}, {"dead": [1]}]:
            aws = inline(Insert=lambda request, answer=answer: answer if request["items"][0]["event"]["sequence_no"] == 2 else insert_all(request))
            run = Run("state-machine", aws, RANGE)
            self.assertEqual((run.cause, [parked[1] for parked in aws.parked]), ("1 of 3 events failed and are in the retry queue", ["Carnation.InvalidAnswer"]), str(answer))

    def test_the_history_has_the_id_of_each_invocation(self) -> None:
        run = Run("state-machine", inline(new_item(1)), {"start_seq": 1, "end_seq": 2})
        outputs = [json.loads(e["taskSucceededEventDetails"]["output"]) for e in archive.history(run.execution) or
                   run.execution.exec_worker.env.event_manager._history_event_list if e["type"] == "TaskSucceeded"]
        self.assertEqual([output["SdkResponseMetadata"] for output in outputs], [{"RequestId": "r-1"}, {"RequestId": "r-2"}])

    def test_your_own_events_are_the_new_ones(self) -> None:
        given = {"events": [{"n": n} for n in range(3)], "failure_rate": 0.5, "time": 7}
        aws = inline(claim(9, 1), *[new_item(n) for n in (1, 2, 3)])
        run = Run("state-machine", aws, given)
        self.assertEqual(run.output, {"inserted": 4, "failed": 0})
        asked, *inserts = aws.requests
        self.assertEqual((asked["input"], asked["started"][:2]), (given, "20"))
        self.assertEqual({(request["failure_rate"], request["run"], len(request)) for request in inserts}, {(0.5, run.execution.exec_arn, 5 - 1)})
        for answer in ([new_item(1), new_item(2)], [new_item(n) for n in (1, 2, 3, 4)], [claim(n, 1) for n in (1, 2, 3)], []):
            good = inline().functions["GenerateRun"]
            run = Run("state-machine", inline(GenerateRun=good | {"items": answer}), given)
            self.assertEqual(run.error, "States.QueryEvaluationError", str(answer))
            run.redrive(inline())
            self.assertEqual(run.output, {"inserted": 3, "failed": 0}, str(answer))

    def test_a_dead_event_is_not_returned(self) -> None:
        def insert(request: dict[str, Any]) -> dict[str, Any]:
            number = request["items"][0]["event"]["sequence_no"]
            return insert_all(request) if number == 1 else {"inserted": 0, "dead": 1, "failed": []} if number in (2, 8) else fail_all("Name")(request)
        for items, cause in (((new_item(1), new_item(2), new_item(3), claim(8, 3), claim(9, 3)), "4 of 5 events failed: 1 are in the retry queue, 3 in the dead-letter queue"),
                             ((new_item(1), new_item(2), new_item(1)), "1 of 3 events failed: 0 are in the retry queue, 1 in the dead-letter queue")):
            aws = inline(*items, Insert=insert)
            self.assertEqual(Run("state-machine", aws, {"events": [{}, {}, {}]}).cause, cause)
            self.assertEqual([one[0]["sequence_no"] for one in aws.parked + aws.buried], [3, 9][:len(items) - 3])

    def test_a_redrive_asks_generate_data_again(self) -> None:
        good = inline().functions["GenerateRun"]
        for answer in [*NONSENSE, good | {"items": []}, good | {"items": [new_item(1)]}, good | {"items": good["items"] + [new_item(4)]}, good | {"items": [1, 2, 3]},
                       good | {"items": [claim(1, 1), new_item(2), new_item(3)]}, good | {"items": [{"event": {}}] * 3}, good | {"max_concurrency": 0},
                       good | {"max_concurrency": "10"}, good | {"max_concurrency": 1.5}, good | {"max_concurrency": None}, [good]]:
            run = Run("state-machine", inline(GenerateRun=answer), RANGE)
            self.assertEqual(run.error, "States.QueryEvaluationError", str(answer))
            run.redrive(inline())
            self.assertEqual(run.output, {"inserted": 3, "failed": 0}, str(answer))

    def test_claims_without_retries_left_are_buried(self) -> None:
        items = [new_item(1), claim(2, 1), claim(3, 3), claim(4, 2), claim(5, 4)]
        for insert, error in ((fail_all("Name"), "Name"), (CRASHED, "Runtime.ExitError")):
            aws = inline(*items, Insert=insert)
            run = Run("state-machine", aws, {"start_seq": 1, "end_seq": 2, "AWS_STEP_FUNCTIONS_STARTED_BY_EXECUTION_ID": "arn"})
            self.assertEqual((run.error, run.cause), ("Carnation.EventsFailed", "5 of 5 events failed: 3 are in the retry queue, 2 in the dead-letter queue"))
            self.assertEqual(sorted(one[0]["sequence_no"] for one in aws.buried), [3, 5])
            for event, name, arn in aws.parked + aws.buried:
                self.assertEqual((event["retry_attempt"], name, arn), (0, error, run.execution.exec_arn))
            self.assertEqual(([one[0]["sequence_no"] for one in aws.parked], sorted(aws.released), sorted(aws.deleted)), ([1], ["handle-2", "handle-4"], ["handle-3", "handle-5"]))

    def test_one_that_cannot_be_buried_is_released_and_is_not_deleted(self) -> None:
        aws = inline(claim(3, 3), Insert=fail_all("Name"))
        aws.refused = {"send dead"}
        run = Run("state-machine", aws, {"start_seq": 0, "end_seq": 0})
        self.assertEqual((run.cause, aws.released, aws.deleted), ("1 of 1 events failed and are in the retry queue", ["handle-3"], []))

    def test_one_that_cannot_be_deleted_is_buried_all_the_same(self) -> None:
        aws = inline(claim(3, 3), Insert=fail_all("Name"))
        aws.refused = {"delete retry"}
        run = Run("state-machine", aws, {"start_seq": 0, "end_seq": 0})
        self.assertEqual((run.cause, len(aws.buried)), ("1 of 1 events failed: 0 are in the retry queue, 1 in the dead-letter queue", 1))
        self.assertEqual(aws.order, ["send dead"] + ["delete retry"] * 5)

    def test_a_redrive_parks_what_could_not_be_parked(self) -> None:
        aws = inline(Insert=fail_all("Name"))
        aws.refused = {"send retry"}
        run = Run("state-machine", aws, RANGE)
        self.assertEqual((run.error, aws.parked), ("SQS.AmazonSQSException", []))
        aws.refused = set()
        run.redrive(aws)
        self.assertEqual((run.cause, len(aws.parked)), ("3 of 3 events failed and are in the retry queue", 3))


    def test_what_an_item_does_after_its_run_was_stopped_is_no_result_for_a_redrive(self) -> None:
        def stop_at_the_first(request: dict[str, Any]) -> Any:
            if request["items"][0]["event"]["sequence_no"] == 1:
                execution = running_execution()
                env = execution.exec_worker.env
                stop = env.set_stop  # the items notice the end only after this
                env.set_stop = lambda **details: (time.sleep(0.3), stop(**details))
                threading.Thread(target=executions.stop_now, args=(execution, None, None)).start()
                while execution.exec_status.value == "RUNNING":
                    time.sleep(0.005)
                return CRASHED
            return insert_all(request)
        run = Run("state-machine", inline(Insert=stop_at_the_first), RANGE)
        self.assertEqual(run.execution.exec_status.value, "ABORTED")
        time.sleep(0.5)  # meanwhile the items of the stopped run end
        inserted = []

        def keep(request: dict[str, Any]) -> Any:
            inserted.append(request["items"][0]["event"]["sequence_no"])
            return insert_all(request)
        run.redrive(inline(Insert=keep))
        self.assertEqual((run.output, run.error), ({"inserted": 3, "failed": 0}, None))
        self.assertIn(1, inserted)


class TestDistributed(unittest.TestCase):
    def redriven(self, express: bool = False, **functions: Any) -> Run:
        """A run that fails with these functions, and goes on with good ones."""
        run = Run("distributed", distributed(**functions), {"start_seq": 1, "end_seq": 6}, express)
        self.assertNotIn(run.error, (None, "Carnation.EventsFailed"), str(functions))
        run.redrive(distributed())
        self.assertEqual(run.output, {"inserted": 8, "failed": 0}, f"{functions} {run.error} {run.cause}")
        return run

    def test_a_run(self) -> None:
        for express in (False, True):
            self.assertEqual(Run("distributed", distributed(), {"start_seq": 1, "end_seq": 6}, express).output, {"inserted": 8, "failed": 0})

    def test_a_redrive_asks_plan_shards_again(self) -> None:
        good = distributed().functions["PlanRun"]
        for answer in [*NONSENSE, good | {"first": 7}, good | {"first": [], "then": []}, good | {"then": [1, 2]}, good | {"max_concurrency": -1}, good | {"plan": None},
                       good | {"plan": PLAN | {"end_seq": 5}}, good | {"plan": PLAN | {"start_seq": "1"}}]:
            self.redriven(PlanRun=answer)

    def test_a_redrive_asks_generate_data_again(self) -> None:
        for express in (False, True):
            for answer in [*NONSENSE, {"items": []}, {"items": [new_item(3)]}, {"items": [new_item(3)] * 3}, {"items": [claim(3, 1), claim(4, 1)]}, {"items": [3, 4]}]:
                self.redriven(express, GenerateShard=lambda request, answer=answer: answer if request["shard"] == 2 else generate_shard(request))

    def test_a_shard_that_claims_has_claims_only(self) -> None:
        for answer in (7, {"items": [new_item(3)]}, {"items": [claim(90, 1), 7]}):
            self.redriven(GenerateShard=lambda request, answer=answer: answer if request["shard"] == 0 else generate_shard(request))

    def test_a_redrive_asks_insert_data_again(self) -> None:
        good = {"inserted": 2, "returned": 0, "dead": 0, "failed": []}
        for express in (False, True):
            for answer in [*NONSENSE, CRASHED, good | {"inserted": 1}, good | {"inserted": 3}, good | {"inserted": -1, "returned": 3}, good | {"inserted": 3, "returned": -1},
                           good | {"inserted": 3, "dead": -1}, good | {"inserted": "2"}, good | {"inserted": 1.5, "returned": 0.5}, good | {"inserted": 1.5, "dead": 0.5}, good | {"returned": 0.5, "dead": 1.5, "inserted": 0}, good | {"returned": None}, [good],
                           {"inserted": 2}, good | {"inserted": True, "returned": 1}, good | {"inserted": [2]} | {"returned": []}]:
                self.redriven(express, Insert=lambda request, answer=answer: answer if request["items"][0]["event"]["sequence_no"] == 3 else insert_all(request))

    def test_a_redrive_asks_for_the_sum_again(self) -> None:
        good = {"inserted": 8, "failed": 0, "returned": 0, "dead": 0}
        for answer in [*NONSENSE, good | {"inserted": 4}, good | {"failed": None}, good | {"failed": 1}, good | {"inserted": "8"}, good | {"returned": -1, "dead": 1}]:
            self.redriven(AddUpShards=answer)

    def test_a_transient_failure_is_retried(self) -> None:
        for failures, want in ((1, 8), (2, 8)):
            calls = []

            def flaky(request: dict[str, Any], failures: int = failures, calls: list[int] = calls) -> Any:
                if request["items"][0]["event"]["sequence_no"] == 3:
                    calls.append(1)
                    if len(calls) <= failures:
                        return CRASHED
                return insert_all(request)
            run = Run("distributed", distributed(Insert=flaky), {"start_seq": 1, "end_seq": 6})
            self.assertEqual((run.output, len(calls)), ({"inserted": want, "failed": 0}, failures + 1))

    def test_what_a_stopped_shard_still_does_does_not_end_its_redrive(self) -> None:
        goes_on = threading.Event()

        def until_stopped(request: dict[str, Any]) -> Any:
            number = request["items"][0]["event"]["sequence_no"]
            if number == 1:
                goes_on.wait(10)
            return CRASHED if number == 3 else insert_all(request)

        def slowly(request: dict[str, Any]) -> Any:
            if request["items"][0]["event"]["sequence_no"] == 1:
                goes_on.set()
                time.sleep(0.5)  # meanwhile the task of the stopped shard ends
            return insert_all(request)
        run = Run("distributed", distributed(Insert=until_stopped), {"start_seq": 1, "end_seq": 6})
        self.assertEqual(run.error, "States.ExceedToleratedFailureThreshold")
        run.redrive(distributed(Insert=slowly))
        self.assertEqual((run.output, run.error), ({"inserted": 8, "failed": 0}, None))

    def test_a_stopped_run_that_notices_it_late_does_not_stop_its_redrive(self) -> None:
        execute, stopped, redriven, noticed = map_runs.MapRun.execute, threading.Event(), threading.Event(), threading.Event()

        def late(self: map_runs.MapRun, goes_on: Callable[[], bool], work: Any) -> bool:
            done = execute(self, goes_on, work)
            if not self.redrives:
                redriven.wait(10)
                threading.Timer(0.3, noticed.set).start()  # meanwhile this run ends
            return done

        def stop(request: dict[str, Any]) -> Any:
            executions.stop_now(running_execution(), None, None)
            stopped.set()
            return CRASHED

        def slowly(request: dict[str, Any]) -> Any:
            redriven.set()
            noticed.wait(10)
            return insert_all(request)
        with mock.patch.object(map_runs.MapRun, "execute", late):
            run = Run("distributed", distributed(Insert=stop), {"start_seq": 1, "end_seq": 6})
            self.assertEqual(run.execution.exec_status.value, "ABORTED")
            self.assertTrue(stopped.wait(10))
            run.redrive(distributed(Insert=slowly))
        self.assertEqual((run.output, run.error), ({"inserted": 8, "failed": 0}, None))

    def test_claims_of_failed_invocations_are_buried_or_come_back(self) -> None:
        for answer, error in ((CRASHED, "Runtime.ExitError"), (RuntimeError("two words"), "Carnation.InvalidAnswer"), ({"inserted": 9}, "States.QueryEvaluationError")):
            aws = distributed(Insert=lambda request, answer=answer: answer if "receipt_handle" in request["items"][0] else insert_all(request))
            run = Run("distributed", aws, {"start_seq": 1, "end_seq": 6})
            self.assertEqual((run.error, run.cause), ("Carnation.EventsFailed", "3 of 8 events failed: 2 are in the retry queue, 1 in the dead-letter queue"))
            self.assertEqual([(one[0]["sequence_no"], one[0]["retry_attempt"], one[1], one[2]) for one in aws.buried], [(91, 0, error, run.execution.exec_arn)])
            self.assertEqual((aws.deleted, aws.released, aws.parked), (["handle-91"], [], []))

    def test_one_that_cannot_be_buried_comes_back(self) -> None:
        aws = distributed(Insert=lambda request: CRASHED if "receipt_handle" in request["items"][0] else insert_all(request))
        aws.refused = {"send dead"}
        run = Run("distributed", aws, {"start_seq": 1, "end_seq": 6})
        self.assertEqual((run.cause, aws.deleted), ("3 of 8 events failed and are in the retry queue", []))

    def test_your_own_events(self) -> None:
        lines, listed = b'{"n":0}\n\n{"n":1}\r\n{"n":2}', b'[{"n":0},{"n":1}, {"n":2}]'
        for claimers in (0, 1):
            for express in (False, True):
                for given, planned, content in OWN:
                    content = {"CSV": b'n\n0\n1\n2\n', "JSON": listed}.get(content, lines)
                    aws = own(planned, claimers, object=content)
                    run = Run("distributed", aws, given, express)
                    self.assertEqual(run.output, {"inserted": 3 + 3 * claimers, "failed": 0}, f"{given} {run.error} {run.cause}")
                    operations = [request["operation"] for request in aws.requests]
                    self.assertEqual(operations, ["PlanRun"] + ["GenerateShard", "InsertShard"] * claimers + ["InsertRecords"] * 2 + ["AddUpShards"])
                    batches = sorted((request for request in aws.requests if request["operation"] == "InsertRecords"), key=lambda one: one["records"][0]["index"])
                    number = str if "CSV" in str(given) else int
                    source = planned["source"]["uri"] if "source" in planned else "input"
                    self.assertEqual([one.pop("records") for one in batches], [[{"index": 0, "record": {"n": number(0)}}, {"index": 1, "record": {"n": number(1)}}],
                                                                            [{"index": 2, "record": {"n": number(2)}}]])
                    self.assertEqual(batches, [{"operation": "InsertRecords", "source": source, "time": 7, "failure_rate": 0.5, "run": run.execution.exec_arn}] * 2)
                    asked = aws.requests[-1]
                    self.assertEqual((asked.get("source"), asked.get("records")), (planned.get("source"), None if "source" in planned else 3))
                    self.assertEqual(asked["results"], {"first": [[3, 0, 0]] * claimers, "last": [[2, 0, 0], [1, 0, 0]]})
                    self.assertEqual(aws.order, [] if "events" in given else [f"read b/k {planned['source'].get('version_id', 'null')}"])

    def test_own_events_of_nothing(self) -> None:
        for given, planned, _ in OWN[:2]:
            if "events" in given:
                given, planned = {"events": []}, {"events": {"records": 0, "batch_size": 2}}
            self.assertEqual(Run("distributed", own(planned, 0, object=b""), given).output, {"inserted": 0, "failed": 0})

    def test_a_redrive_asks_again_how_to_read_own_events(self) -> None:
        for given, planned, _ in OWN:
            wrong = [*NONSENSE, {"plan": PLAN}, {"time": None}, {"time": "7"}, {"first": [0]}, {"then": [0]}, {"max_concurrency": 0}]
            if "events" in planned:
                wrong += [{"events": None}, {"events": {"records": 2, "batch_size": 2}}, {"events": {"records": 3, "batch_size": 0}}]
            else:
                source = planned["source"]
                wrong += [{"source": None}] + [{"source": source | part} for part in ({"bucket": "c"}, {"key": "l"}, {"uri": "input"}, {"uri": "s3://b/l"}, {"format": "XML"},
                                                                                   {"format": "JSON" if source["format"] == "CSV" else "CSV"}, {"batch_size": 0})]
            good = own(planned, 0).functions["PlanRun"]
            content = {"CSV": b"n\n0\n", "JSON": b'[{"n":0}]'}.get(planned.get("source", {}).get("format"), b'{"n":0}')
            for part in wrong:
                answer = good | part if isinstance(part, dict) and part and "items" not in part and "inserted" not in part else part
                run = Run("distributed", own(planned, 0, object=content, PlanRun=answer), given)
                self.assertEqual(run.error, "States.QueryEvaluationError", str(answer))
                run.redrive(own(planned, 0, object=content))
                self.assertEqual(run.output, {"inserted": 3 if "events" in given else 1, "failed": 0}, str(answer))

    def test_a_redrive_asks_insert_data_about_the_batch_again(self) -> None:
        good = {"inserted": 2, "returned": 0, "dead": 0}
        for express in (False, True):
            for answer in [*NONSENSE, CRASHED, good | {"inserted": 1}, good | {"inserted": 3}, good | {"inserted": -1, "returned": 3}, good | {"inserted": "2"},
                           good | {"inserted": 1.5, "dead": 0.5}, good | {"inserted": 3, "dead": -1}, good | {"dead": None}, [good], {"inserted": 2}]:
                given, planned, _ = OWN[0]
                asked = []

                def insert(request: dict[str, Any], answer: Any = answer, asked: list[int] = asked) -> Any:
                    asked.append(request["records"][0]["index"])
                    return answer if request["records"][0]["index"] == 0 else insert_records(request)
                run = Run("distributed", own(planned, 0, InsertRecords=insert), given, express)
                self.assertEqual((run.error, asked.count(0)), ("States.ExceedToleratedFailureThreshold", 3), str(answer))
                run.redrive(own(planned, 0))
                self.assertEqual(run.output, {"inserted": 3, "failed": 0}, str(answer))

    def test_a_redrive_asks_for_the_sum_of_own_events_again(self) -> None:
        given, planned, _ = OWN[0]
        for answer in [*NONSENSE, {"inserted": 2, "failed": 0, "returned": 0, "dead": 0}, {"inserted": 3, "failed": 1, "returned": 0, "dead": 0}]:
            run = Run("distributed", own(planned, 0, AddUpShards=answer), given)
            self.assertEqual(run.error, "States.QueryEvaluationError", str(answer))
            run.redrive(own(planned, 0))
            self.assertEqual(run.output, {"inserted": 3, "failed": 0}, str(answer))

    def test_what_the_shards_say_reaches_the_cause(self) -> None:
        aws = distributed(Insert=lambda request: {"inserted": 0, "returned": len(request["items"]) - 1, "dead": 1, "failed": []})
        run = Run("distributed", aws, {"start_seq": 1, "end_seq": 6})
        self.assertEqual(run.cause, "8 of 8 events failed: 4 are in the retry queue, 4 in the dead-letter queue")
