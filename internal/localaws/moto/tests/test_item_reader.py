"""ItemReader: what JSON, JSON Lines and CSV files give, whatever the parts in which they arrive."""

from __future__ import annotations

import io
import json
import pathlib
import types
import unittest
from typing import Any
from unittest import mock

import clients
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from stepfunctions import item_reader
from tests import service

FILES = pathlib.Path(__file__).parents[3] / "records/testdata/files.json"


def read(text: str | bytes, **config: Any) -> list[Any]:
    body = text if isinstance(text, bytes) else text.encode()
    return list(item_reader.read_stream(io.BytesIO(body), config))


class TestItemReader(unittest.TestCase):
    def test_files_give_the_records_that_the_command_reads(self) -> None:
        """The command is tested with the same files, so that a file gives the same records by whatever way it gets into a run."""
        for file in json.loads(FILES.read_text(encoding="utf-8")):
            for chunk in (1, 3, 1 << 20):
                with self.subTest(file["name"], chunk=chunk), mock.patch.object(item_reader, "CHUNK", chunk):
                    self.assertEqual(read(file["file"], InputType=file["format"], CSVHeaderLocation="FIRST_ROW"), file["records"])

    def test_json(self) -> None:
        for text, want in (
            ("[]", []), (' [ 1 , "a]," , {"b": [2, "\\""]} ] \n', [1, "a],", {"b": [2, '"']}]), ("\ufeff[12345,-1.5e3,null]", [12345, -1500.0, None]),
            ('["é€😀"]', ["é€😀"]),
        ):
            for chunk in (1, 2, 3, 7, 1 << 20):
                with self.subTest(text, chunk=chunk), mock.patch.object(item_reader, "CHUNK", chunk):
                    self.assertEqual(read(text, InputType="JSON"), want)

    def test_json_that_is_not_an_array(self) -> None:
        for text in ("", "  ", "{}", "7", "[", "[1", "[1,", "[1 2]", "[1,]", "[,1]", "[1]x", "[1] [2]", '["a', "[nope]"):
            for chunk in (1, 1 << 20):
                with self.subTest(text, chunk=chunk), mock.patch.object(item_reader, "CHUNK", chunk):
                    self.assertRaises(item_reader.UnreadableItems, read, text, InputType="JSON")

    def test_json_lines(self) -> None:
        text = '\ufeff{"a": 1}\n\n  \r\n"é"\n[2]'
        for chunk in (1, 3, 1 << 20):
            with self.subTest(chunk=chunk), mock.patch.object(item_reader, "CHUNK", chunk):
                self.assertEqual(read(text, InputType="JSONL"), [{"a": 1}, "é", [2]])
        for bad in ("{}\nnope\n", b'"\xff"\n'):
            with self.assertRaisesRegex(item_reader.UnreadableItems, "line [12] is not JSON"):
                read(bad, InputType="JSONL")

    def test_csv(self) -> None:
        text = 'a,b\r\n1,"x, ""y"""\r\n\r\n2\n3,4,5\n"line\nbreak",'
        want = [{"a": "1", "b": 'x, "y"'}, {"a": "2", "b": ""}, {"a": "3", "b": "4"}, {"a": "line\nbreak", "b": ""}]
        for chunk in (1, 5, 1 << 20):
            with self.subTest(chunk=chunk), mock.patch.object(item_reader, "CHUNK", chunk):
                self.assertEqual(read(text, InputType="CSV", CSVHeaderLocation="FIRST_ROW"), want)

    def test_csv_by_the_rules_of_the_page(self) -> None:
        """https://docs.aws.amazon.com/step-functions/latest/dg/example-csv-parse-dist-map.html"""
        for row, want in (
            ('abc,123,"This string contains commas, a double quotation marks (""), and a newline (\n)",{""MyKey"":""MyValue""},"[1,2,3]"',
             ["abc", "123", 'This string contains commas, a double quotation marks ("), and a newline (\n)', '{"MyKey":"MyValue"}', "[1,2,3]"]),
            (r"C:\\Program Files\\MyApp.exe,6534512", [r"C:\Program Files\MyApp.exe", "6534512"]),  # backslashes are kept by repeating them
            (r"a\bc,\n\,x,\"y\"", ["abc", "n,x", '"y"']),  # only with a backslash, a quotation mark and the delimiter; else they are removed
            (r'"a\b\\c","\"\","', ["ab\\c", '"",']),
            (r"end\,", ["end,"]), ("end\\", ["end"]),
            ('"",,""', ["", "", ""]), ('"""",x""y', ['"', 'x"y']),
            ('"Müller, ""Bär""","a\r\nb",c\r', ['Müller, "Bär"', "a\r\nb", "c"]),
            (" a , b ", [" a ", " b "]),
        ):
            for chunk in (1, 1 << 20):
                for end in ("\n", ""):
                    if row.endswith("\r") and not end:
                        continue
                    with self.subTest(row, chunk=chunk, end=end), mock.patch.object(item_reader, "CHUNK", chunk):
                        got = read(row + end, InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=list("abcdefg")[:len(want)])
                        self.assertEqual([list(one.values()) for one in got], [want])

    def test_csv_escapes_its_own_delimiter_only(self) -> None:
        got = read('a\\|b|c\\,d|"e|f"\n', InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=["x", "y", "z"], CSVDelimiter="PIPE")
        self.assertEqual(got, [{"x": "a|b", "y": "c,d", "z": "e|f"}])

    def test_csv_of_a_header_alone(self) -> None:
        for text in ("a,b", "a,b\n", "\ufeffa,b\r\n\r\n"):
            self.assertEqual(read(text, InputType="CSV", CSVHeaderLocation="FIRST_ROW"), [])
        self.assertEqual(read("", InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=["a"]), [])
        self.assertEqual(read("\ufeff\"a\",b\n1,2", InputType="CSV", CSVHeaderLocation="FIRST_ROW"), [{"a": "1", "b": "2"}])

    def test_an_object_without_lines(self) -> None:
        for text in ("", "\n", "\ufeff", "\r\n \r\n"):
            self.assertEqual(read(text, InputType="JSONL"), [])

    def test_nesting(self) -> None:
        for levels, kind in ((100, "JSONL"), (100, "JSON")):
            nested = '{"a":' * levels + "1" + "}" * levels
            self.assertEqual(len(read(f"[{nested}]" if kind == "JSON" else nested, InputType=kind)), 1)
        for text, kind in (("[" * 100_000, "JSONL"), ("[" * 100_000, "JSON")):
            with self.assertRaisesRegex(item_reader.UnreadableItems, "nested too deeply"):
                read(text, InputType=kind)

    def test_csv_with_a_given_header_and_a_delimiter(self) -> None:
        for delimiter, mark in item_reader.DELIMITERS.items():
            with self.subTest(delimiter):
                got = read(f"1{mark}2\n", InputType="CSV", CSVHeaderLocation="GIVEN", CSVHeaders=["x", "y"], CSVDelimiter=delimiter)
                self.assertEqual(got, [{"x": "1", "y": "2"}])

    def test_csv_that_cannot_be_read(self) -> None:
        for text, why in (("", "empty"), ("a,a\n1,2\n", "duplicates"), ("x" * 10240 + "\n1\n", "10 KiB"), ('a\n"b"c\n', "line 2 is not CSV: 'c' follows"),
                          ('a\n1\nb"c"\n', "line 3 is not CSV: a quotation mark is neither"), ('a\n"b\n\nc', "line 2 is not CSV: a quotation mark is not closed"),
                          ("a\nb\rc\n", "line 2 is not CSV: a carriage return")):
            with self.subTest(why), self.assertRaisesRegex(item_reader.UnreadableItems, why):
                read(text, InputType="CSV", CSVHeaderLocation="FIRST_ROW")

    def test_max_items(self) -> None:
        self.assertEqual([len(read("[1,2,3]", InputType="JSON", MaxItems=most)) for most in (None, 0, 1, 2.0, 9)], [3, 3, 1, 2, 3])

    def test_it_reads_no_more_than_it_needs(self) -> None:
        stream = io.BytesIO(b'{"n": 1}\n' * 1000)
        with mock.patch.object(item_reader, "CHUNK", 100):
            self.assertEqual(next(item_reader.read_stream(stream, {"InputType": "JSONL"})), {"n": 1})
        self.assertEqual(stream.tell(), 100)


class TestObjects(unittest.TestCase):
    """What S3 answers becomes items, or States.ItemReaderFailed with what S3 says."""

    def setUp(self) -> None:
        self.s3 = service.client("s3")
        self.s3.create_bucket(Bucket="sources", CreateBucketConfiguration={"LocationConstraint": service.REGION})
        self.addCleanup(self.remove)
        patch = mock.patch.object(clients, "ENDPOINT_URL", f"http://127.0.0.1:{service.port()}")
        patch.start()
        self.addCleanup(patch.stop)
        self.env = types.SimpleNamespace(aws_execution_details=types.SimpleNamespace(region=service.REGION), next_state_name="Map",
                                         event_history_context=types.SimpleNamespace(source_event_id=1))

    def remove(self) -> None:
        for one in self.s3.list_object_versions(Bucket="sources").get("Versions", []):
            self.s3.delete_object(Bucket="sources", Key=one["Key"], VersionId=one["VersionId"])
        self.s3.delete_bucket(Bucket="sources")

    def read(self, **place: str) -> list[Any]:
        return list(item_reader.read_items(self.env, {"Bucket": "sources", "Key": "k", **place}, {"InputType": "JSONL"}))

    def failure(self, **place: str) -> tuple[str, str]:
        with self.assertRaises(FailureEventException) as failed:
            self.read(**place)
        return failed.exception.extract_error_cause_pair()

    def test_versions(self) -> None:
        self.s3.put_bucket_versioning(Bucket="sources", VersioningConfiguration={"Status": "Enabled"})
        old, new = (self.s3.put_object(Bucket="sources", Key="k", Body=body)["VersionId"] for body in (b"1\n", b"2\n3"))
        self.assertEqual([self.read(VersionId=old), self.read(VersionId=new), self.read()], [[1], [2, 3], [2, 3]])
        error, cause = self.failure(VersionId="0" * 32)
        self.assertEqual(error, "States.ItemReaderFailed")
        self.assertRegex(cause, r"Error Code: NoSuchVersion\)")

    def test_what_is_not_there(self) -> None:
        for place, code in (({}, "NoSuchKey"), ({"Bucket": "none"}, "NoSuchBucket")):
            error, cause = self.failure(**place)
            self.assertEqual(error, "States.ItemReaderFailed")
            self.assertIn(f"(Service: Amazon S3; Status Code: 404; Error Code: {code})", cause)

    def test_what_cannot_be_read(self) -> None:
        for body, why in ((b'{}\n{"a"', "s3://sources/k: line 2 is not JSON"), (b"\xff", "line 1 is not JSON")):
            self.s3.put_object(Bucket="sources", Key="k", Body=body)
            error, cause = self.failure()
            self.assertEqual(error, "States.ItemReaderFailed")
            self.assertIn(why, cause)
        self.s3.put_object(Bucket="sources", Key="k", Body=b"")
        self.assertEqual(self.read(), [])
