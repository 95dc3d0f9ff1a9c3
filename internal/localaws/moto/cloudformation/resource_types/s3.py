"""S3 buckets, of which moto drops most settings, and their policies."""

from __future__ import annotations

from typing import Any

from cloudformation.resource_handler import Failure, Handler, resource_type, tag_list, tag_map


@resource_type("AWS::S3::Bucket")
class Bucket(Handler):
    service = "s3"
    name_property = "BucketName"
    replaced_by = ("BucketName",)
    taggable = True
    # property: (call that sets it, its argument, call that resets it)
    settings = {
        "BucketEncryption": ("put_bucket_encryption", "ServerSideEncryptionConfiguration", "delete_bucket_encryption"),
        "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", "LifecycleConfiguration", "delete_bucket_lifecycle"),
        "OwnershipControls": ("put_bucket_ownership_controls", "OwnershipControls", "delete_bucket_ownership_controls"),
        "PublicAccessBlockConfiguration":
            ("put_public_access_block", "PublicAccessBlockConfiguration", "delete_public_access_block"),
        "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration", None),
    }

    def api_value(self, name: str, value: dict[str, Any]) -> dict[str, Any]:
        """Returns a value with the spelling of the API."""
        if name == "BucketEncryption":
            return {"Rules": [
                dict({n: v for n, v in rule.items() if n != "ServerSideEncryptionByDefault"},
                     ApplyServerSideEncryptionByDefault=rule["ServerSideEncryptionByDefault"])
                for rule in value["ServerSideEncryptionConfiguration"]
            ]}
        if name == "LifecycleConfiguration":
            return {"Rules": [
                dict({n: v for n, v in rule.items() if n not in ("Id", "ExpiredObjectDeleteMarker")}, ID=rule["Id"],
                     Filter={"Prefix": ""}, Expiration={"ExpiredObjectDeleteMarker": rule["ExpiredObjectDeleteMarker"]})
                for rule in value["Rules"]
            ]}
        return value

    def configure(self, bucket: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        unknown = set(new) - set(self.settings) - {"BucketName", "Tags"}
        if unknown:
            raise Failure(f"Bucket properties not supported here: {', '.join(sorted(unknown))}")
        for name, (put, argument, clear) in self.settings.items():
            if name in new:
                self.call(put, Bucket=bucket, **{argument: self.api_value(name, new[name])})
            elif name in old and clear:
                self.call(clear, Bucket=bucket)
        return {"Arn": f"arn:{self.stack.partition}:s3:::{bucket}"}

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        bucket = self.name(properties, 63).lower()
        self.refuse_existing(bucket, "head_bucket", Bucket=bucket)
        place = {} if self.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": self.region}}
        self.call("create_bucket", Bucket=bucket, **place)
        self.tag(bucket, tag_map(properties.get("Tags")), [])
        return bucket, self.configure(bucket, {}, properties)

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        if tags:
            self.call("put_bucket_tagging", Bucket=physical_id, Tagging={"TagSet": tag_list(tags)})
        elif removed:
            self.call("delete_bucket_tagging", Bucket=physical_id)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return self.configure(physical_id, old, new)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_bucket", Bucket=physical_id)  # fails if the bucket is not empty


@resource_type("AWS::S3::BucketPolicy")
class BucketPolicy(Handler):
    service = "s3"
    replaced_by = ("Bucket",)

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.call("put_bucket_policy", Bucket=properties["Bucket"], Policy=properties["PolicyDocument"])
        return properties["Bucket"], {}

    def refuse_missing(self, physical_id: str) -> None:
        if not self.exists("get_bucket_policy", Bucket=physical_id):
            raise self.missing(physical_id)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        return self.create(new)[1]

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_bucket_policy", Bucket=physical_id)
