"""Lambda functions, their versions and aliases. An update changes code and settings, and resets what the template no longer has."""

from __future__ import annotations

from typing import Any

from clients import own_client
from cloudformation.resource_handler import Failure, Handler, resource_type, tag_map


@resource_type("AWS::Lambda::Function")
class Function(Handler):
    service = "lambda"
    name_property = "FunctionName"
    replaced_by = ("FunctionName", "PackageType")
    taggable = True
    code_properties = ("Code", "Architectures")

    def api_properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        wanted = {n: v for n, v in properties.items() if n not in ("ReservedConcurrentExecutions", "Tags")}
        for name in ("ZipFile", "S3ObjectVersion"):
            if name in wanted.get("Code", {}):
                raise Failure(f"Code.{name} is not supported here: name an S3Bucket and an S3Key")
        if "KmsKeyArn" in wanted:
            wanted["KMSKeyArn"] = wanted.pop("KmsKeyArn")
        return wanted

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties, 64)
        self.refuse_existing(name, "get_function", FunctionName=name)
        wanted = dict(self.api_properties(properties), FunctionName=name, Tags=tag_map(properties.get("Tags")))
        arn = self.call("create_function", **wanted)["FunctionArn"]
        try:
            self.reserve(name, properties)
        except Exception:
            self.delete(name, {})
            raise
        return name, {"Arn": arn}

    def reserve(self, name: str, properties: dict[str, Any]) -> None:
        if "ReservedConcurrentExecutions" in properties:
            reserved = properties["ReservedConcurrentExecutions"]
            self.call("put_function_concurrency", FunctionName=name, ReservedConcurrentExecutions=reserved)
        else:
            self.call("delete_function_concurrency", FunctionName=name)

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        before, after = self.api_properties(old), self.api_properties(new)
        if any(before.get(n) != after.get(n) for n in self.code_properties):
            code = dict(after["Code"], Architectures=after.get("Architectures", ["x86_64"]))
            self.call("update_function_code", FunctionName=physical_id, **code)
        cleared = {"Description": "", "Environment": {"Variables": {}}, "MemorySize": 128, "Timeout": 3, "KMSKeyArn": ""}
        cleared["TracingConfig"] = {"Mode": "PassThrough"}
        cleared["LoggingConfig"] = {"LogFormat": "Text"}
        settings = {n: v for n, v in cleared.items() if n in before and n not in after}
        settings.update({n: v for n, v in after.items() if n not in self.code_properties and n != "FunctionName"})
        self.call("update_function_configuration", FunctionName=physical_id, **settings)
        self.reserve(physical_id, new)
        return {"Arn": self.arn("lambda", "function:" + physical_id)}

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        arn = self.arn("lambda", "function:" + physical_id)
        if tags:
            self.call("tag_resource", Resource=arn, Tags=tags)
        if removed:
            self.call("untag_resource", Resource=arn, TagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_function", FunctionName=physical_id)


def refuse_unknown(properties: dict[str, Any], *known: str) -> None:
    unknown = sorted(set(properties) - set(known))
    if unknown:
        raise Failure(f"Properties not supported here: {', '.join(unknown)}")


@resource_type("AWS::Lambda::Version")
class Version(Handler):
    """A published version. Every change of its properties publishes another.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-version.html
    """

    service = "lambda"
    replaced_by = ("CodeSha256", "Description", "FunctionName")

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        refuse_unknown(properties, *self.replaced_by)
        function = properties["FunctionName"]
        pages = own_client(self.service, self.region).get_paginator("list_versions_by_function").paginate(FunctionName=function)
        before = {one["Version"] for page in pages for one in page["Versions"]}
        published = self.call("publish_version", **properties)
        if published["Version"] in before:
            raise Failure(f"A version for this Lambda function exists ( {published['Version']} ). "
                          "Modify the function to create a new version. (HandlerErrorCode: AlreadyExists)")
        return published["FunctionArn"], {"FunctionArn": published["FunctionArn"], "Version": published["Version"]}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_function", FunctionName=physical_id)


@resource_type("AWS::Lambda::Alias")
class Alias(Handler):
    service = "lambda"
    replaced_by = ("FunctionName", "Name")

    def check(self, properties: dict[str, Any]) -> None:
        refuse_unknown(properties, "Description", "FunctionName", "FunctionVersion", "Name", "RoutingConfig")

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self.check(properties)
        self.refuse_existing(properties["Name"], "get_alias", FunctionName=properties["FunctionName"], Name=properties["Name"])
        arn = self.call("create_alias", **properties)["AliasArn"]
        return arn, {"AliasArn": arn}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        self.check(new)
        self.call("update_alias", **dict({"Description": ""}, **new))
        return {"AliasArn": physical_id}

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_alias", FunctionName=properties["FunctionName"], Name=properties["Name"])
