"""S3 objects of many megabytes. moto keeps them in files, but reads and writes each as a whole: a GetObject has the object in memory
while its client reads it, a GetObject of a range reads all of it, and the end of a multipart upload has it in memory four times.
Here a large object is sent and put together piece by piece.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import gc
import hashlib
import io
import os
import re
import tempfile
import threading
import urllib.parse
from collections.abc import Iterator
from typing import Any

from moto.s3 import models as s3_models
from moto.s3.models import FakeKey, FakeMultipart, s3_backends
from moto.s3.responses import S3Response
from moto.s3.utils import compute_checksum

from clients import ACCOUNT_ID

LARGE = 8 << 20
PIECE = 1 << 20
RANGE = re.compile(r"bytes=(\d+)-(\d*)")
PLAIN_QUERY = re.compile(r"versionId|x-id|X-Amz-.*")

reading = threading.local()  # empty: while a response is made whose body is sent from a file


class PartsInOneFile:
    """The content of a completed upload. moto deletes its parts before it makes the object."""

    def __init__(self, parts: list[FakeKey]) -> None:
        self.file = tempfile.SpooledTemporaryFile(parts[0]._max_buffer_size)
        for part in parts:
            for piece in pieces(part, 0, part.size - 1):
                self.file.write(piece)
        self.size = self.file.tell()


@contextlib.contextmanager
def opened(key: FakeKey) -> Iterator[Any]:
    """Opens the content of an object, with a place of its own. It can be read even if the object is deleted meanwhile."""
    with key.lock:
        buffer = key._value_buffer
        if not buffer._rolled:
            file: Any = io.BytesIO(buffer._file.getvalue())
        else:
            buffer.flush()
            file = Content(os.dup(buffer.fileno()))
    try:
        yield file
    finally:
        file.close()


class Content:
    """Reads a file that others read and write, too."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.at = descriptor, 0

    def seek(self, at: int) -> None:
        self.at = at

    def read(self, size: int) -> bytes:
        data = os.pread(self.descriptor, size, self.at)
        self.at += len(data)
        return data

    def close(self) -> None:
        os.close(self.descriptor)


def large_object(environ: dict[str, Any]) -> FakeKey | None:
    """Returns the large object that a request asks for, or None if moto answers it."""
    query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    credential = environ.get("HTTP_AUTHORIZATION", "") + "".join(query.get("X-Amz-Credential", []))
    if environ.get("REQUEST_METHOD") != "GET" or "/s3/aws4_request" not in credential:
        return None
    if not all(PLAIN_QUERY.fullmatch(name) for name in query) or not RANGE.fullmatch(environ.get("HTTP_RANGE", "bytes=0-")):
        return None
    path = environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace")
    bucket, _, name = path.lstrip("/").partition("/")
    backend = s3_backends[ACCOUNT_ID]["aws"]
    if bucket not in backend.buckets or not name:
        return None
    key = backend.get_object(bucket, name, version_id=query.get("versionId", [None])[0])
    return key if isinstance(key, FakeKey) and key.size >= LARGE else None


def part_of(environ: dict[str, Any], size: int) -> tuple[int, int] | None:
    """Returns the first and the last byte that a request asks for, or None if the object has no such bytes."""
    first, last = RANGE.fullmatch(environ.get("HTTP_RANGE", "bytes=0-")).groups()
    begin, end = int(first), min(int(last or size - 1), size - 1)
    return (begin, end) if begin <= end else None


def answer_head(app: Any, environ: dict[str, Any], run: Any, key: FakeKey) -> tuple[str, dict[str, str], int, int] | None:
    """Returns the status line, the headers, and the first and last byte of an answer with a large object. None if moto refuses it."""
    part = part_of(environ, key.size)
    if part is None:
        return None
    reading.empty = True
    try:
        status, headers, _ = run(app, {name: value for name, value in environ.items() if name != "HTTP_RANGE"})
    finally:
        reading.empty = False
    if not status.startswith("200"):
        return None
    named = {name.lower(): value for name, value in headers}
    begin, end = part
    named["content-length"] = str(end - begin + 1)
    if "HTTP_RANGE" in environ:
        status = "206 PARTIAL CONTENT"
        named["content-range"] = f"bytes {begin}-{end}/{key.size}"
        if end - begin + 1 < key.size:
            named = {name: value for name, value in named.items() if not name.startswith("x-amz-checksum-")}
    return status, named, begin, end


def pieces(key: FakeKey, begin: int, end: int) -> Iterator[bytes]:
    with opened(key) as file:
        file.seek(begin)
        left = end - begin + 1
        while left and (piece := file.read(min(PIECE, left))):
            left -= len(piece)
            yield piece


class Multipart:
    """Replaces moto's method of the same name."""

    def complete(self, body: Iterator[tuple[int, str]]) -> tuple[Any, str, tuple[str, str, int] | None]:
        """Checks the parts, and returns their content in a file."""
        parts: list[FakeKey] = []
        for number, etag in body:
            part = self.parts.get(number)
            if part is None or part.etag.replace('"', "") != etag.replace('"', ""):
                raise s3_models.InvalidPart()
            if parts and parts[-1].contentsize < s3_models.S3_UPLOAD_PART_MIN_SIZE:
                raise s3_models.EntityTooSmall()
            parts.append(part)
        if not parts:
            raise s3_models.MalformedXML
        gc.collect()  # the requests that brought the parts: they came at once, so that the collector took each for one that is still needed
        digest = hashlib.md5(b"".join(bytes.fromhex(part.etag.replace('"', "")) for part in parts), usedforsecurity=False)
        return PartsInOneFile(parts), f"{digest.hexdigest()}-{len(parts)}", self.checksum(parts)

    def checksum(self, parts: list[FakeKey]) -> tuple[str, str, int] | None:
        """Returns the type and the value of the checksum, and the number of parts that it is made of."""
        algorithm = self.metadata.get("x-amz-checksum-algorithm")
        if not algorithm:
            return None  # moto computes one that nobody asked for
        kind = self.metadata.get("x-amz-checksum-type") or ("FULL_OBJECT" if algorithm == "CRC64NVME" else "COMPOSITE")
        if kind == "COMPOSITE":
            of_parts = b"".join(compute_checksum(part.value, algorithm, encode_base64=False) for part in parts)
            return kind, compute_checksum(of_parts, algorithm).decode(), len(parts)
        if algorithm == "CRC32":
            crc = 0
            for part in parts:
                for piece in pieces(part, 0, part.size - 1):
                    crc = binascii.crc32(piece, crc)
            return kind, base64.b64encode(crc.to_bytes(4, "big")).decode(), 1
        return kind, compute_checksum(b"".join(part.value for part in parts), algorithm).decode(), 1


def decoded(body: io.BufferedIOBase | bytes) -> bytes:
    """Returns the content of an upload in chunks without signatures. moto copies all of it for each chunk."""
    stream, content = io.BytesIO(body) if isinstance(body, bytes) else body, bytearray()
    while length := int(stream.readline().split(b";")[0].strip() or b"0", 16):
        content += stream.read(length)
        stream.readline()
    return bytes(content)


def fill_large_objects() -> None:
    read_value, write_value = FakeKey.value.fget, FakeKey.value.fset

    def value(self: FakeKey) -> bytes:
        return b"" if getattr(reading, "empty", False) and self.size >= LARGE else read_value(self)

    def set_value(self: FakeKey, content: Any) -> None:
        if isinstance(content, PartsInOneFile):
            self._value_buffer.close()
            self._value_buffer, self.contentsize = content.file, content.size
            return
        if len(content) > self._max_buffer_size:
            self._value_buffer.rollover()  # or it would be in memory once more
        write_value(self, content)

    FakeKey.value = property(value, set_value)
    FakeMultipart.complete, FakeMultipart.checksum = Multipart.complete, Multipart.checksum
    S3Response._handle_encoded_body = lambda self, body: decoded(body) if body else b""
