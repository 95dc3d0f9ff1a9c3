"""S3 versions. An object of a bucket without versioning has the version null. moto knows it by that name in GetObject, and not in
HeadObject. https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.s3.responses import S3Response

if TYPE_CHECKING:
    from moto.core.common_types import TYPE_RESPONSE


def fill_object_versions() -> None:
    head_object = S3Response.head_object

    def head(self: S3Response, bucket_name: str, query: dict[str, Any], key_name: str, headers: dict[str, Any]) -> TYPE_RESPONSE:
        if query.get("versionId") == ["null"] and not self.backend.get_bucket(bucket_name).is_versioned:
            query = {name: value for name, value in query.items() if name != "versionId"}
        return head_object(self, bucket_name, query, key_name, headers)

    S3Response.head_object = head
