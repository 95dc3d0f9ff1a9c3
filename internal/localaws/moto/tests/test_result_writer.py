"""ResultWriter: what the files of a Map Run contain."""

from __future__ import annotations

import datetime
import json
import types
import unittest
from typing import IO, Any

from moto.stepfunctions.parser.api import ExecutionStatus
from stepfunctions import result_writer


def child(output: Any, status: ExecutionStatus = ExecutionStatus.SUCCEEDED) -> types.SimpleNamespace:
    moment = datetime.datetime(2026, 11, 26, 8, 0, 0, 5000, tzinfo=datetime.timezone.utc)
    env = types.SimpleNamespace(event_manager=types.SimpleNamespace(_history_event_list=[]))
    failed = status != ExecutionStatus.SUCCEEDED
    return types.SimpleNamespace(
        exec_arn="arn:e", execution_input='{"i":1}', name="n", redrive_count=0, redrive_date=None, start_date=moment, stop_date=moment,
        exec_status=status, output=None if failed else output, error="Bad" if failed else None, cause=None,
        state_machine=types.SimpleNamespace(arn="arn:m"), exec_worker=types.SimpleNamespace(env=env))


class Bucket:
    def __init__(self) -> None:
        self.objects: dict[str, str] = {}

    def put_object(self, Bucket: str, Key: str, Body: bytes | IO[bytes]) -> None:
        self.objects[Key] = (Body if isinstance(Body, bytes) else Body.read()).decode()


def write(children: list[Any], pending: list[str], transformation: str = "NONE", output_type: str = "JSON") -> tuple[Any, dict[str, str]]:
    bucket, writer = Bucket(), object.__new__(result_writer.ResultWriter)
    writer.env, writer.transformation, writer.map_run_arn = None, transformation, "arn:r"
    writer.files = result_writer.ResultFiles(bucket, "b", "p/uuid/", "arn:r", output_type)
    return writer.finish(children, pending), bucket.objects


class TestResultWriter(unittest.TestCase):
    def test_files(self) -> None:
        output, objects = write([child({"é": 1}), child(None, ExecutionStatus.FAILED), child([2])], ['{"i":9}'])
        self.assertEqual(output, {"MapRunArn": "arn:r", "ResultWriterDetails": {"Bucket": "b", "Key": "p/uuid/manifest.json"}})
        manifest = json.loads(objects["p/uuid/manifest.json"])
        self.assertEqual((manifest["DestinationBucket"], manifest["MapRunArn"]), ("b", "arn:r"))
        for status in ("SUCCEEDED", "FAILED", "PENDING"):
            key = f"p/uuid/{status}_0.json"
            self.assertEqual(manifest["ResultFiles"][status], [{"Key": key, "Size": len(objects[key].encode())}])
        succeeded, failed, pending = (json.loads(objects[f"p/uuid/{status}_0.json"]) for status in ("SUCCEEDED", "FAILED", "PENDING"))
        self.assertEqual([one["Output"] for one in succeeded], ['{"é":1}', "[2]"])
        self.assertEqual(pending, [{"Input": '{"i":9}', "InputDetails": {"Included": True}, "Status": "PENDING"}])
        self.assertEqual(failed, [{
            "Error": "Bad", "ExecutionArn": "arn:e", "Input": '{"i":1}', "InputDetails": {"Included": True}, "Name": "n",
            "OutputDetails": {"Included": True}, "RedriveCount": 0, "RedriveStatus": "REDRIVABLE", "StartDate": "2026-11-26T08:00:00.005Z",
            "StateMachineArn": "arn:m", "Status": "FAILED", "StopDate": "2026-11-26T08:00:00.005Z"}])

    def test_a_status_without_children_has_no_file(self) -> None:
        _, objects = write([], [])
        self.assertEqual(list(objects), ["p/uuid/manifest.json"])
        self.assertEqual(json.loads(objects["p/uuid/manifest.json"])["ResultFiles"], {"FAILED": [], "PENDING": [], "SUCCEEDED": []})

    def test_transformations(self) -> None:
        children = [child([1, 2]), child(3), child(0, ExecutionStatus.TIMED_OUT)]
        for transformation, want in (("COMPACT", [[1, 2], 3]), ("FLATTEN", [1, 2, 3])):
            with self.subTest(transformation):
                *good, bad = result_writer.transformed(children, transformation)
                self.assertEqual((good, bad["Status"]), (want, "TIMED_OUT"))
                _, objects = write(children, [], transformation, "JSONL")
                self.assertEqual([json.loads(line) for line in objects["p/uuid/SUCCEEDED_0.jsonl"].splitlines()], want)
                self.assertEqual(json.loads(objects["p/uuid/FAILED_0.jsonl"])["Status"], "TIMED_OUT")
