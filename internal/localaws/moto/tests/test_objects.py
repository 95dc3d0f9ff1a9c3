"""S3: checksums of uploads, what a listing shows, and versions."""

from __future__ import annotations

import base64
import hashlib
import unittest

from tests.service import REGION, client, refusal

BODY = b"x" * 1000
SHA256 = base64.b64encode(hashlib.sha256(BODY).digest()).decode()


class TestObjects(unittest.TestCase):
    def setUp(self) -> None:
        self.s3, self.bucket = client("s3"), self.id().rpartition(".")[2].replace("_", "-")[:60]
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": REGION})

    def test_a_wrong_checksum_is_refused(self) -> None:
        zeros = base64.b64encode(bytes(32)).decode()
        for more in ({"ChecksumSHA256": zeros}, {"ChecksumSHA1": zeros[:27] + "="}, {"ChecksumCRC32": "AAAAAA=="}, {"ContentMD5": zeros[:22] + "=="}):
            with self.subTest(more):
                self.assertEqual(refusal(self.s3.put_object, Bucket=self.bucket, Key="k", Body=BODY, **more)[0], "BadDigest")
        self.assertEqual(refusal(self.s3.head_object, Bucket=self.bucket, Key="k")[0], "404")

    def test_a_checksum_is_kept(self) -> None:
        for more in ({"ChecksumSHA256": SHA256}, {"ChecksumAlgorithm": "SHA256"}):
            with self.subTest(more):
                self.assertEqual(self.s3.put_object(Bucket=self.bucket, Key="k", Body=BODY, **more)["ChecksumSHA256"], SHA256)
                self.assertEqual(self.s3.head_object(Bucket=self.bucket, Key="k", ChecksumMode="ENABLED")["ChecksumSHA256"], SHA256)
                self.assertNotIn("ChecksumSHA256", self.s3.head_object(Bucket=self.bucket, Key="k"))
                got = self.s3.get_object_attributes(Bucket=self.bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize"])
                self.assertEqual((got["Checksum"]["ChecksumSHA256"], got["ObjectSize"]), (SHA256, 1000))
        self.s3.put_object(Bucket=self.bucket, Key="empty", Body=b"", ChecksumAlgorithm="CRC32")
        self.assertEqual(self.s3.head_object(Bucket=self.bucket, Key="empty", ChecksumMode="ENABLED")["ChecksumCRC32"], "AAAAAA==")

    def test_without_versioning_an_object_has_the_version_null(self) -> None:
        self.s3.put_object(Bucket=self.bucket, Key="k", Body=BODY)
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="k", VersionId="null")["Body"].read(), BODY)
        self.assertEqual(self.s3.head_object(Bucket=self.bucket, Key="k", VersionId="null")["ContentLength"], 1000)
        self.assertEqual(refusal(self.s3.head_object, Bucket=self.bucket, Key="none", VersionId="null")[0], "404")
        self.assertEqual(refusal(self.s3.head_object, Bucket=self.bucket, Key="k", VersionId="other")[0], "400")

    def test_conditions(self) -> None:
        tag = self.s3.put_object(Bucket=self.bucket, Key="k", Body=BODY, IfNoneMatch="*")["ETag"]
        for more in ({"IfNoneMatch": "*"}, {"IfMatch": '"other"'}):
            self.assertEqual(refusal(self.s3.put_object, Bucket=self.bucket, Key="k", Body=b"", **more)[0], "PreconditionFailed")
        self.assertEqual(refusal(self.s3.get_object, Bucket=self.bucket, Key="k", IfNoneMatch=tag)[0], "304")
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="k", Range="bytes=990-")["ContentRange"], "bytes 990-999/1000")
        self.assertEqual(refusal(self.s3.get_object, Bucket=self.bucket, Key="k", Range="bytes=1000-")[0], "InvalidRange")

    def test_listings(self) -> None:
        for key in ("a", "k/1", "k/2", "k/é ü+%.txt"):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=b"")
        keys = [one["Key"] for one in self.s3.list_objects_v2(Bucket=self.bucket, Prefix="k/")["Contents"]]
        self.assertEqual(keys, ["k/1", "k/2", "k/é ü+%.txt"])
        folder = self.s3.list_objects_v2(Bucket=self.bucket, Delimiter="/")
        self.assertEqual(([one["Key"] for one in folder["Contents"]], folder["CommonPrefixes"]), (["a"], [{"Prefix": "k/"}]))
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, PaginationConfig={"PageSize": 1})
        self.assertEqual([len(page["Contents"]) for page in pages], [1, 1, 1, 1])

    def test_versions(self) -> None:
        self.s3.put_bucket_versioning(Bucket=self.bucket, VersioningConfiguration={"Status": "Enabled"})
        versions = [self.s3.put_object(Bucket=self.bucket, Key="k", Body=str(n).encode())["VersionId"] for n in range(3)]
        self.assertEqual(self.s3.get_object(Bucket=self.bucket, Key="k", VersionId=versions[0])["Body"].read(), b"0")
        self.s3.delete_object(Bucket=self.bucket, Key="k")
        self.assertEqual(refusal(self.s3.get_object, Bucket=self.bucket, Key="k")[0], "NoSuchKey")
        self.assertEqual(refusal(self.s3.get_object, Bucket=self.bucket, Key="k", VersionId="none")[0], "NoSuchVersion")
        self.assertEqual(refusal(self.s3.delete_bucket, Bucket=self.bucket)[0], "BucketNotEmpty")
        pages = self.s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, PaginationConfig={"PageSize": 1})
        self.assertEqual(sum(len(page.get("Versions", [])) + len(page.get("DeleteMarkers", [])) for page in pages), 4)
