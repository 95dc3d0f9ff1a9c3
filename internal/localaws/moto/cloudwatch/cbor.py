"""Smithy's protocol RPC v2 CBOR, with which AWS's SDK for Go 2 calls CloudWatch. moto speaks JSON and the query protocol only, so
a call is translated to JSON, and its answer back. https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
import struct
from typing import TYPE_CHECKING, Any

from moto.core.utils import get_service_model

if TYPE_CHECKING:
    from botocore.model import Shape

PATH = re.compile(r"/service/(GraniteServiceVersion20100801)/operation/(\w+)")
UNENDING = 31  # the additional information of an item that ends with a break
BREAK = 0xFF
EPOCH = 1  # the tag of a time in seconds


class Malformed(ValueError):
    """The body of a request is not CBOR."""


class Reader:
    """Reads data items. https://www.rfc-editor.org/rfc/rfc8949"""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise Malformed("the body ends too early")
        self.at += count
        return self.data[self.at - count: self.at]

    def ends(self) -> bool:
        """Whether an item without a length ends here."""
        if self.data[self.at: self.at + 1] == bytes([BREAK]):
            self.at += 1
            return True
        return False

    def argument(self, information: int) -> int:
        if information < 24:
            return information
        if information > 27:
            raise Malformed(f"additional information {information}")
        return int.from_bytes(self.take(1 << (information - 24)), "big")

    def item(self) -> Any:
        first = self.take(1)[0]
        kind, information = first >> 5, first & 31
        if kind == 7:
            return self.simple(information)
        unending = information == UNENDING and kind in (2, 3, 4, 5)
        count = 0 if unending else self.argument(information)
        if kind == 0:
            return count
        if kind == 1:
            return -1 - count
        if kind in (2, 3):
            if unending:
                parts = []
                while not self.ends():
                    parts.append(self.item())
                return (b"" if kind == 2 else "").join(parts)
            found = self.take(count)
            return found if kind == 2 else found.decode()
        if kind == 4:
            made = []
            while not self.ends() if unending else len(made) < count:
                made.append(self.item())
            return made
        if kind == 5:
            pairs = []
            while not self.ends() if unending else len(pairs) < count:
                pairs.append((self.item(), self.item()))
            return dict(pairs)
        return self.item()  # a tag: a time is its seconds, as in JSON

    def simple(self, information: int) -> Any:
        if information in (20, 21):
            return information == 21
        if information in (22, 23):
            return None
        formats = {25: ">e", 26: ">f", 27: ">d"}
        if information not in formats:
            raise Malformed(f"simple value {information}")
        return struct.unpack(formats[information], self.take(1 << (information - 24)))[0]


def head(kind: int, count: int) -> bytes:
    if count < 24:
        return bytes([kind << 5 | count])
    size = next(n for n in range(4) if count < 1 << (8 << n))
    return bytes([kind << 5 | 24 + size]) + count.to_bytes(1 << size, "big")


def encoded(value: Any, shape: Shape | None) -> bytes:
    """Returns the data item of a value of an answer in JSON. Its shape tells times, floats and bytes apart."""
    kind = shape.type_name if shape else ""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, dict):
        members = []
        for name, one in value.items():
            inner = shape.value if kind == "map" else shape.members.get(name) if kind == "structure" else None
            members.append(encoded(name, None) + encoded(one, inner))
        return head(5, len(members)) + b"".join(members)
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(encoded(one, shape.member if kind == "list" else None) for one in value)
    if kind == "timestamp":
        return head(6, EPOCH) + b"\xfb" + struct.pack(">d", value)
    if kind in ("float", "double") or isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if kind == "blob":
        data = base64.b64decode(value)
        return head(2, len(data)) + data
    text = value.encode()
    return head(3, len(text)) + text


def json_default(value: Any) -> str:
    return base64.b64encode(value).decode()  # bytes are the only items that JSON does not have


def as_json(environ: dict[str, Any], body: bytes) -> str | None:
    """Turns a request in CBOR into one in JSON. Returns its operation, or None if it is not in CBOR."""
    match = PATH.fullmatch(environ.get("PATH_INFO", ""))
    if match is None or environ.get("HTTP_SMITHY_PROTOCOL") != "rpc-v2-cbor":
        return None
    if environ.pop("HTTP_CONTENT_ENCODING", "") == "gzip":
        body = gzip.decompress(body)
    request = Reader(body).item() if body else {}
    text = json.dumps(request, default=json_default).encode()
    environ.update({
        "PATH_INFO": "/", "RAW_URI": "/", "REQUEST_URI": "/", "HTTP_X_AMZ_TARGET": ".".join(match.groups()),
        "CONTENT_TYPE": "application/x-amz-json-1.0", "CONTENT_LENGTH": str(len(text)), "wsgi.input": io.BytesIO(text),
    })
    return match.group(2)


def from_json(
    operation: str, status: str, headers: list[tuple[str, str]], body: bytes,
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Turns an answer in JSON into one in CBOR."""
    answer = json.loads(body) if body else {}
    failed = not status.startswith("2")
    shape = None if failed else get_service_model("cloudwatch").operation_model(operation).output_shape
    if failed:
        answer.setdefault("message", answer.get("Message", ""))
    kept = [(name, value) for name, value in headers if name.lower() not in ("content-type", "content-length")]
    return status, kept + [("Content-Type", "application/cbor"), ("Smithy-Protocol", "rpc-v2-cbor")], encoded(answer, shape)


def refused(reason: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Returns the answer to a request that is not CBOR."""
    answer = {"__type": "com.amazonaws.cloudwatch#SerializationException", "message": f"The body must be CBOR: {reason}"}
    return from_json("", "400 Bad Request", [], json.dumps(answer).encode())
