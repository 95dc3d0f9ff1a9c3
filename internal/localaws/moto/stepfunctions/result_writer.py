"""ResultWriter: the results of a Distributed Map's children, in S3 or in the state's output. moto writes a manifest that
names no results, and drops them.
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

from __future__ import annotations

import datetime
import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

import botocore.exceptions
from moto.stepfunctions.parser.api import ExecutionStatus

from clients import engine_client
from stepfunctions.exact_json import to_json
from stepfunctions.payload_templates import failed, fill
from stepfunctions.redrive import redrive_answer

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from moto.stepfunctions.parser.asl.eval.environment import Environment
    from moto.stepfunctions.parser.backend.execution import Execution

INCLUDED = {"Included": True}
IN_MEMORY = 1 << 20


def timestamp(moment: datetime.datetime) -> str:
    return moment.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def with_metadata(child: Execution) -> dict[str, Any]:
    """Returns the result of a child as the transformation NONE gives it."""
    redriven = redrive_answer(child)
    result = {"ExecutionArn": child.exec_arn, "Input": child.execution_input, "InputDetails": INCLUDED, "Name": child.name,
              "OutputDetails": INCLUDED, "RedriveCount": child.redrive_count, "RedriveStatus": redriven["redriveStatus"],
              "StartDate": timestamp(child.start_date), "StateMachineArn": child.state_machine.arn, "Status": child.exec_status.value}
    optional = {"Output": to_json(child.output) if child.exec_status == ExecutionStatus.SUCCEEDED else None, "Error": child.error,
                "Cause": child.cause, "RedriveStatusReason": redriven.get("redriveStatusReason"),
                "StopDate": timestamp(child.stop_date) if child.stop_date else None}
    result.update((name, value) for name, value in optional.items() if value is not None)
    return dict(sorted(result.items()))


def transformed(children: Iterable[Execution], transformation: str) -> Iterator[Any]:
    """Yields the results of children. A child that failed is always given with its metadata."""
    for child in children:
        if transformation == "NONE" or child.exec_status != ExecutionStatus.SUCCEEDED:
            yield with_metadata(child)
        elif transformation == "FLATTEN" and isinstance(child.output, list):
            yield from child.output
        else:
            yield child.output


class ResultFiles:
    """The files of a Map Run in S3: manifest.json, and one file for each status that a child has. moto has no multipart
    limit, so a file is never split.
    """

    def __init__(self, s3: BaseClient, bucket: str, folder: str, map_run_arn: str, output_type: str) -> None:
        self.s3, self.bucket, self.folder, self.map_run_arn = s3, bucket, folder, map_run_arn
        self.output_type = output_type
        self.files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}

    def put(self, name: str, body: bytes | IO[bytes]) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self.folder + name, Body=body)

    def put_manifest(self) -> str:
        manifest = {"DestinationBucket": self.bucket, "MapRunArn": self.map_run_arn, "ResultFiles": self.files}
        self.put("manifest.json", json.dumps(manifest).encode())
        return self.folder + "manifest.json"

    def put_results(self, status: str, results: Iterable[Any]) -> None:
        """Writes the file of a status, unless it has no results."""
        opening, between, closing = ("", "\n", "\n") if self.output_type == "JSONL" else ("[", ",", "]")
        with tempfile.SpooledTemporaryFile(IN_MEMORY) as body:
            for result in results:
                body.write((between if body.tell() else opening).encode() + to_json(result).encode("utf-8", errors="replace"))
            if body.tell() == 0:
                return
            body.write(closing.encode())
            size = body.tell()
            body.seek(0)
            name = f"{status}_0.{self.output_type.lower()}"
            self.put(name, body)
        self.files[status] = [{"Key": self.folder + name, "Size": size}]


class ResultWriter:
    """What a state's ResultWriter says, for one attempt of a Map Run."""

    def __init__(self, env: Environment, declared: dict[str, Any] | None, given: Any, map_run_arn: str, redrives: int) -> None:
        self.env, declared = env, declared or {"WriterConfig": {"Transformation": "COMPACT"}}
        config = declared.get("WriterConfig", {})
        self.transformation = config.get("Transformation", "NONE")
        self.map_run_arn, self.files = map_run_arn, None
        if "Resource" in declared:
            parameters = fill(declared["Parameters"], env, given)
            prefix = parameters.get("Prefix") or ""
            folder = prefix + ("/" if prefix and not prefix.endswith("/") else "") + map_run_arn.rsplit(":", 1)[1] + "/"
            if redrives:
                folder += f"Redrive-{redrives}/"
            client = engine_client(env.aws_execution_details.region, "s3")
            self.files = ResultFiles(client, parameters.get("Bucket"), folder, map_run_arn, config.get("OutputType", "JSON"))

    def write(self, action: Any) -> Any:
        try:
            return action()
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError, OSError) as error:
            raise failed(self.env, "States.ResultWriterFailed",
                         f"Failed to write results into bucket [bucket: {self.files.bucket}, key: {self.files.folder}]. {error}")

    def begin(self) -> None:
        """Writes a manifest before the first child starts, as AWS does, so that a missing bucket does not waste the whole run."""
        if self.files is not None:
            self.write(self.files.put_manifest)

    def finish(self, children: list[Execution], pending: Iterable[str]) -> Any:
        """Writes the results. pending are the inputs of children that were not started. Returns the output of the state."""
        if self.files is None:
            return list(transformed(children, self.transformation))
        succeeded = [child for child in children if child.exec_status == ExecutionStatus.SUCCEEDED]
        unsuccessful = [child for child in children if child.exec_status != ExecutionStatus.SUCCEEDED]

        def put() -> str:
            self.files.put_results("SUCCEEDED", transformed(succeeded, self.transformation))
            self.files.put_results("FAILED", transformed(unsuccessful, "NONE"))
            self.files.put_results("PENDING", ({"Input": text, "InputDetails": INCLUDED, "Status": "PENDING"} for text in pending))
            return self.files.put_manifest()

        key = self.write(put)
        return {"MapRunArn": self.map_run_arn, "ResultWriterDetails": {"Bucket": self.files.bucket, "Key": key}}
