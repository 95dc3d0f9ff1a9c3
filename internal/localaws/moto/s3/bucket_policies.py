"""S3 bucket policies. moto ignores conditions, so a policy that denies plain HTTP denies everything. Local AWS checks no
permissions, and speaks plain HTTP on the loopback interface.
"""

from __future__ import annotations

from moto.iam.access_control import PermissionResult
from moto.s3 import models as s3_models


def fill_bucket_policies() -> None:
    s3_models.FakeBucket.get_permission = lambda self, action, resource: PermissionResult.NEUTRAL
