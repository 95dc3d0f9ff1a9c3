"""S3's checksums. moto keeps a checksum only if the request names its algorithm, and checks none. AWS refuses an upload whose checksum
or Content-MD5 is wrong, and keeps a checksum that comes with it. CRC32C and CRC64NVME are kept without a check.
https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING, Any

from moto.s3 import responses as s3_responses
from moto.s3.exceptions import S3ClientError

if TYPE_CHECKING:
    from moto.core.common_types import TYPE_RESPONSE
    from moto.s3.responses import S3Response

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
COMPUTED = {
    "CRC32": lambda data: binascii.crc32(data).to_bytes(4, "big"),
    "SHA1": lambda data: hashlib.sha1(data, usedforsecurity=False).digest(),
    "SHA256": lambda data: hashlib.sha256(data).digest(),
}
TRAILER = re.compile(rb"x-amz-checksum-(\w+):([\w+/]+={0,2})")


def given_checksum(response: S3Response) -> tuple[str, str] | None:
    """Returns algorithm and value of the checksum that comes with an upload, in a header or after the body."""
    for algorithm in ALGORITHMS:
        value = response.headers.get("x-amz-checksum-" + algorithm.lower())
        if value:
            return algorithm, value
    if response.headers.get("x-amz-trailer"):
        found = TRAILER.search(response.raw_body[-300:])
        if found:
            return found.group(1).decode().upper(), found.group(2).decode()
    return None


def check_body(response: S3Response, given: tuple[str, str] | None) -> None:
    body = response.body or b""
    body = body.encode() if isinstance(body, str) else body
    if given and given[0] in COMPUTED and base64.b64encode(COMPUTED[given[0]](body)).decode() != given[1]:
        raise S3ClientError("BadDigest", f"The {given[0]} you specified did not match the calculated checksum.")
    digest = response.headers.get("Content-MD5")
    if digest and base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode() != digest:
        raise S3ClientError("BadDigest", "The Content-MD5 you specified did not match what we received.")


def fill_checksums() -> None:
    response = s3_responses.S3Response
    checksum, put = response._get_checksum, response.put_object

    def put_object(self: S3Response) -> TYPE_RESPONSE:
        check_body(self, given_checksum(self))
        return put(self)

    def _get_checksum(self: S3Response, response_headers: dict[str, Any]) -> tuple[str, str | None]:
        given = given_checksum(self)
        if given is None:
            return checksum(self, response_headers)
        response_headers["x-amz-checksum-" + given[0].lower()] = given[1]
        return given

    response.put_object, response._get_checksum = put_object, _get_checksum
