"""S3 objects of many megabytes: sent and put together piece by piece, and the same bytes, headers and errors as small ones."""

from __future__ import annotations

import hashlib
import io
import random
import unittest
import urllib.request
from typing import Any
from unittest import mock

from boto3.s3.transfer import TransferConfig
from s3 import large_objects
from tests.service import REGION, client, refusal

MB = 1 << 20
CONTENT = random.Random(7).randbytes(11 * MB + 3)


class TestLargeObjects(unittest.TestCase):
    def setUp(self) -> None:
        self.s3 = client("s3")
        self.s3.create_bucket(Bucket="large", CreateBucketConfiguration={"LocationConstraint": REGION})
        self.addCleanup(self.remove)

    def remove(self) -> None:
        for one in self.s3.list_object_versions(Bucket="large").get("Versions", []):
            self.s3.delete_object(Bucket="large", Key=one["Key"], VersionId=one["VersionId"])
        self.s3.delete_bucket(Bucket="large")

    def get(self, **more: Any) -> tuple[dict[str, Any], bytes]:
        answer = self.s3.get_object(Bucket="large", Key="k ü", **more)
        return answer, answer["Body"].read()

    def upload(self, part_size: int = 8 * MB, **more: Any) -> None:
        config = TransferConfig(multipart_threshold=8 * MB, multipart_chunksize=part_size)
        self.s3.upload_fileobj(io.BytesIO(CONTENT), "large", "k ü", Config=config, ExtraArgs=more)

    def check_content(self) -> None:
        with mock.patch.object(large_objects, "pieces", side_effect=large_objects.pieces) as pieces:
            answer, body = self.get()
            self.assertEqual((answer["ContentLength"], body == CONTENT), (len(CONTENT), True))
            for given, want in (("bytes=0-0", CONTENT[:1]), ("bytes=5-8388700", CONTENT[5:8388701]), (f"bytes={11 * MB - 2}-", CONTENT[11 * MB - 2:]),
                                (f"bytes=1-{len(CONTENT) + 9}", CONTENT[1:])):
                answer, body = self.get(Range=given)
                self.assertEqual((answer["ResponseMetadata"]["HTTPStatusCode"], answer["ContentLength"], body == want), (206, len(want), True), given)
                self.assertTrue(answer["ContentRange"].endswith(f"/{len(CONTENT)}"))
            self.assertEqual(pieces.call_count, 5)
        self.assertEqual(self.get(Range="bytes=-3")[1], CONTENT[-3:])  # moto's
        self.assertEqual(refusal(self.get, Range=f"bytes={len(CONTENT)}-")[0], "InvalidRange")

    def test_one_upload(self) -> None:
        self.s3.put_object(Bucket="large", Key="k ü", Body=CONTENT, ContentType="text/csv", Metadata={"a": "b"})
        self.check_content()
        answer, _ = self.get()
        self.assertEqual(answer["ETag"], f'"{hashlib.md5(CONTENT).hexdigest()}"')
        self.assertEqual((answer["ContentType"], answer["Metadata"]), ("text/csv", {"a": "b"}))
        head = self.s3.head_object(Bucket="large", Key="k ü")
        self.assertEqual((head["ETag"], head["ContentLength"]), (answer["ETag"], len(CONTENT)))

    def test_an_upload_in_parts(self) -> None:
        for algorithm in ("CRC32", "SHA256", None):
            with self.subTest(algorithm):
                self.upload(5 * MB, **({"ChecksumAlgorithm": algorithm} if algorithm else {}))
                self.check_content()
                parts = [hashlib.md5(CONTENT[at:at + 5 * MB]).digest() for at in range(0, len(CONTENT), 5 * MB)]
                self.assertEqual(self.get()[0]["ETag"], f'"{hashlib.md5(b"".join(parts)).hexdigest()}-3"')
                self.get(ChecksumMode="ENABLED")  # the client compares it

    def test_parts_that_do_not_fit(self) -> None:
        upload = self.s3.create_multipart_upload(Bucket="large", Key="k ü")["UploadId"]
        etags = [self.s3.upload_part(Bucket="large", Key="k ü", UploadId=upload, PartNumber=n, Body=b"x" * 100)["ETag"] for n in (1, 2)]
        for parts, code in (([], "MalformedXML"), ([(1, '"0"')], "InvalidPart"), ([(3, etags[0])], "InvalidPart"),
                            ([(1, etags[0]), (2, etags[1])], "EntityTooSmall")):
            with self.subTest(code):
                given = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in parts]}
                self.assertEqual(refusal(self.s3.complete_multipart_upload, Bucket="large", Key="k ü", UploadId=upload, MultipartUpload=given)[0], code)
        given = {"Parts": [{"PartNumber": 1, "ETag": etags[0]}]}
        self.s3.complete_multipart_upload(Bucket="large", Key="k ü", UploadId=upload, MultipartUpload=given)
        self.assertEqual(self.get()[1], b"x" * 100)

    def test_versions(self) -> None:
        self.s3.put_bucket_versioning(Bucket="large", VersioningConfiguration={"Status": "Enabled"})
        self.upload()
        first = self.s3.head_object(Bucket="large", Key="k ü")["VersionId"]
        second = self.s3.put_object(Bucket="large", Key="k ü", Body=b"small")["VersionId"]
        answer, body = self.get(VersionId=first)
        self.assertEqual((answer["VersionId"], body == CONTENT), (first, True))
        self.assertEqual(self.get()[0]["VersionId"], second)
        head = self.s3.head_object(Bucket="large", Key="k ü", VersionId=first)
        self.assertEqual((head["VersionId"], head["ContentLength"], head["ETag"]), (first, len(CONTENT), answer["ETag"]))

    def test_it_is_read_as_it_was_when_the_read_began(self) -> None:
        self.s3.put_object(Bucket="large", Key="k ü", Body=CONTENT)
        body = self.s3.get_object(Bucket="large", Key="k ü")["Body"]
        begin = body.read(10)
        self.s3.put_object(Bucket="large", Key="k ü", Body=b"x" * 9 * MB)
        self.s3.delete_object(Bucket="large", Key="k ü")
        self.assertEqual(begin + body.read(), CONTENT)

    def test_a_presigned_url(self) -> None:
        self.s3.put_object(Bucket="large", Key="k ü", Body=CONTENT)
        url = self.s3.generate_presigned_url("get_object", {"Bucket": "large", "Key": "k ü"})
        with urllib.request.urlopen(url) as answer:
            self.assertEqual(answer.read(), CONTENT)

    def test_conditions(self) -> None:
        etag = self.s3.put_object(Bucket="large", Key="k ü", Body=CONTENT)["ETag"]
        self.assertEqual(refusal(self.get, IfNoneMatch=etag)[0], "304")
        self.assertEqual(refusal(self.get, IfMatch='"0"')[0], "PreconditionFailed")
        self.assertEqual(self.get(IfMatch=etag, Range="bytes=7-9")[1], CONTENT[7:10])  # as the AWS CLI downloads

    def test_head_of_nothing(self) -> None:
        self.assertEqual(refusal(self.s3.head_object, Bucket="large", Key="none")[0], "404")
        self.assertEqual(refusal(self.s3.head_object, Bucket="none", Key="none")[0], "404")

    def test_chunks(self) -> None:
        self.assertEqual(large_objects.decoded(b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAA\r\n\r\n"), b"abcde")
        self.assertEqual(large_objects.decoded(b"0\r\n\r\n"), b"")
