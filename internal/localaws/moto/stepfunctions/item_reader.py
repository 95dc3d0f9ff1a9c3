"""ItemReader: the items of a Distributed Map from an S3 object. moto reads the whole object, knows neither JSON Lines nor a
delimiter, skips the last items if there is a header, and sorts the columns. Here, as on AWS, the object is read while the
items run, so that a file of millions of records needs little memory.
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
"""

from __future__ import annotations

import codecs
import csv
import itertools
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from clients import engine_client
from stepfunctions.payload_templates import failed

if TYPE_CHECKING:
    from typing import Protocol

    from moto.stepfunctions.parser.asl.eval.environment import Environment

    class Stream(Protocol):
        def read(self, size: int) -> bytes: ...

CHUNK = 1 << 20
HEADER_LIMIT = 10 * 1024
ITEM_LIMIT = 8 * 1024 * 1024
DELIMITERS = {"COMMA": ",", "PIPE": "|", "SEMICOLON": ";", "SPACE": " ", "TAB": "\t"}


class UnreadableItems(Exception):
    """The object is not what its InputType says."""


def json_array(stream: Stream) -> Iterator[Any]:
    """Yields the elements of a JSON array."""
    decode, decoder, text, at, ended = codecs.getincrementaldecoder("utf-8-sig")().decode, json.JSONDecoder(), "", 0, False
    begun = False

    def more() -> None:
        nonlocal text, at, ended
        chunk = stream.read(CHUNK)
        ended = not chunk
        text, at = text[at:] + decode(chunk, ended), 0

    def character() -> str:
        """Moves to the next character that is not white space, and returns it."""
        nonlocal at
        while True:
            while at < len(text) and text[at] in " \t\r\n":
                at += 1
            if at < len(text):
                return text[at]
            if ended:
                raise UnreadableItems("the JSON array does not end")
            more()

    more()
    first = character() if text or not ended else ""
    if first != "[":
        raise UnreadableItems("Attempting to map over non-iterable node." if first else "the object is empty")
    at += 1
    while True:
        mark = character()
        if mark == "]":
            at += 1
            break
        if begun:
            if mark != ",":
                raise UnreadableItems(f"the JSON array has {mark!r} where a comma or its end must be")
            at += 1
            character()
        begun = True
        while True:
            try:
                value, end = decoder.raw_decode(text, at)
                # A value at the end of a chunk, such as 1 or 1., may continue in the next one.
                if ended or len(text) - at > ITEM_LIMIT or text[end:end + 1] in tuple(",] \t\r\n"):
                    break
            except json.JSONDecodeError as error:
                if ended or len(text) - at > ITEM_LIMIT:
                    raise UnreadableItems(f"the JSON array has an element that is not JSON: {error.msg}")
            more()
        at = end
        yield value
    while not ended or text[at:].strip():
        if text[at:].strip():
            raise UnreadableItems("there is more after the JSON array")
        at = len(text)
        more()


def lines(stream: Stream) -> Iterator[bytes]:
    rest = b""
    while chunk := stream.read(CHUNK):
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def json_lines(stream: Stream) -> Iterator[Any]:
    """Yields the value of each line that is not empty."""
    for position, line in enumerate(lines(stream), start=1):
        try:
            text = line.decode("utf-8-sig" if position == 1 else "utf-8").strip()
            if text:
                yield json.loads(text)
        except ValueError:
            raise UnreadableItems(f"line {position} is not JSON")


def csv_rows(stream: Stream, config: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yields an object of strings for each row. A row may be shorter or longer than the header."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    csv.field_size_limit(ITEM_LIMIT)
    rows = csv.reader((decoder.decode(line + b"\n") for line in lines(stream)),
                      delimiter=DELIMITERS[config.get("CSVDelimiter", "COMMA")], strict=True)
    try:
        header = config["CSVHeaders"] if config["CSVHeaderLocation"] == "GIVEN" else next(rows, None)
        if header is None:
            raise UnreadableItems("the object is empty: it must begin with a header row")
        if sum(len(name.encode()) + 1 for name in header) > HEADER_LIMIT:
            raise UnreadableItems("CSV headers cannot be larger than 10 KiB.")
        if len(set(header)) < len(header):
            raise UnreadableItems("CSV headers cannot contain duplicates.")
        for row in rows:
            if row:
                yield dict(itertools.zip_longest(header, row[:len(header)], fillvalue=""))
    except csv.Error as error:
        raise UnreadableItems(f"line {rows.line_num} is not CSV: {error}")


def read_stream(stream: Stream, config: dict[str, Any]) -> Iterator[Any]:
    kind, most = config["InputType"], config.get("MaxItems")
    items = json_array(stream) if kind == "JSON" else json_lines(stream) if kind == "JSONL" else csv_rows(stream, config)
    return itertools.islice(items, int(most) if most else None)


def read_items(env: Environment, place: dict[str, Any], config: dict[str, Any]) -> Iterator[Any]:
    """Yields the items of the object at place (Bucket, Key, VersionId). The state machine's role reads it."""
    where = f"s3://{place.get('Bucket')}/{place.get('Key')}"
    try:
        stream = engine_client(env.aws_execution_details.region, "s3").get_object(**place)["Body"]
        try:
            yield from read_stream(stream, config)
        finally:
            stream.close()
    except UnreadableItems as error:
        raise failed(env, "States.ItemReaderFailed", f"{where}: {error}")
    except UnicodeDecodeError:
        raise failed(env, "States.ItemReaderFailed", f"{where}: the object is not UTF-8")
    except botocore.exceptions.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        code, message = (error.response.get("Error", {}).get(name) for name in ("Code", "Message"))
        raise failed(env, "States.ItemReaderFailed",
                     f"{where}: {message} (Service: Amazon S3; Status Code: {status}; Error Code: {code})")
    except (botocore.exceptions.BotoCoreError, OSError) as error:
        raise failed(env, "States.ItemReaderFailed", f"{where}: {error}")
