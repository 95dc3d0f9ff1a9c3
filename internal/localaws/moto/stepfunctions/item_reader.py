"""ItemReader: the items of a Distributed Map from an S3 object. moto reads the whole object, knows neither JSON Lines nor a
delimiter, skips the last items if there is a header, and sorts the columns. Here, as on AWS, the object is read while the
items run, so that a file of millions of records needs little memory.
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
"""

from __future__ import annotations

import codecs
import functools
import itertools
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from clients import engine_client
from stepfunctions.exact_json import DECODER
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
    decode, decoder, text, at, ended = codecs.getincrementaldecoder("utf-8-sig")().decode, DECODER, "", 0, False
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
            except RecursionError:
                raise UnreadableItems("the JSON array has an element that is nested too deeply")
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
        except RecursionError:
            raise UnreadableItems(f"line {position} is nested too deeply")


@functools.cache
def parts_of_rows(delimiter: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Returns what matches the next part of a field: outside of quotation marks, and within them. An escaped character has a group."""
    escape = rf"\\([\\\"{re.escape(delimiter)}])?"
    return re.compile(rf'[^\\"{re.escape(delimiter)}\r]+|{escape}|"|{re.escape(delimiter)}|\r'), re.compile(rf'[^\\"]+|{escape}|(?:"")|"')


class Rows:
    """The rows of a CSV file, each a list of texts, by the rules that Step Functions documents. What they leave open is refused: a
    single quotation mark within a field, text after a closing one, and a carriage return that does not end a line.
    https://docs.aws.amazon.com/step-functions/latest/dg/example-csv-parse-dist-map.html
    """

    def __init__(self, stream: Stream, delimiter: str) -> None:
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.lines = (decoder.decode(line + b"\n") for line in lines(stream))
        self.delimiter, self.number, self.ended_with_return = delimiter, 0, False

    def without_end(self, line: str) -> str:
        self.ended_with_return = line.endswith("\r\n")
        return line[:-2] if self.ended_with_return else line[:-1]

    def bad(self, number: int, why: str) -> UnreadableItems:
        return UnreadableItems(f"line {number} is not CSV: {why}")

    def __iter__(self) -> Iterator[list[str]]:
        for line in self.lines:
            self.number += 1
            text = self.without_end(line)
            if not text:
                continue
            yield text.split(self.delimiter) if not any(mark in text for mark in '"\\\r') else self.fields(text)

    def fields(self, text: str) -> list[str]:
        """Returns the fields of a row that begins with this line."""
        outside, inside = parts_of_rows(self.delimiter)
        fields, field, at, first, closed = [], [], 0, self.number, False
        while at < len(text):
            part = outside.match(text, at)
            found, at = part.group(), part.end()
            if found == self.delimiter:
                fields.append("".join(field))
                field, closed = [], False
            elif closed:
                raise self.bad(self.number, f"{found[:20]!r} follows a closing quotation mark")
            elif found == "\r":
                raise self.bad(self.number, "a carriage return does not end the line")
            elif found != '"':
                field.append(part.group(1) or "" if found[0] == "\\" else found)
            elif any(field):
                if text[at:at + 1] != '"':
                    raise self.bad(self.number, "a quotation mark is neither doubled nor at the beginning of a field")
                field.append('"')
                at += 1
            else:
                closed = True
                text, at = self.quoted(text, at, field, inside, first)
        return [*fields, "".join(field)]

    def quoted(self, text: str, at: int, field: list[str], inside: re.Pattern[str], first: int) -> tuple[str, int]:
        """Reads a field after its opening quotation mark, over as many lines as it has. Returns the line with its end, and the place after it."""
        size = 0
        while True:
            while at < len(text):
                part = inside.match(text, at)
                found, at = part.group(), part.end()
                if found == '"':
                    return text, at
                field.append('"' if found == '""' else part.group(1) or "" if found[0] == "\\" else found)
                size += len(found)
            line = next(self.lines, None)
            if line is None or size > ITEM_LIMIT:
                raise self.bad(first, "a quotation mark is not closed")
            field.append("\r\n" if self.ended_with_return else "\n")
            self.number += 1
            text, at = self.without_end(line), 0


def csv_rows(stream: Stream, config: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Yields an object of strings for each row. A row may be shorter or longer than the header."""
    rows = iter(Rows(stream, DELIMITERS[config.get("CSVDelimiter", "COMMA")]))
    header = config["CSVHeaders"] if config["CSVHeaderLocation"] == "GIVEN" else next(rows, None)
    if header is None:
        raise UnreadableItems("the object is empty: it must begin with a header row")
    if sum(len(name.encode()) + 1 for name in header) > HEADER_LIMIT:
        raise UnreadableItems("CSV headers cannot be larger than 10 KiB.")
    if len(set(header)) < len(header):
        raise UnreadableItems("CSV headers cannot contain duplicates.")
    for row in rows:
        yield dict(itertools.zip_longest(header, row[:len(header)], fillvalue=""))


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
