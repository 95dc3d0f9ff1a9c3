"""Step Functions state machines. moto does not read DefinitionS3Location, and drops logging, tracing and encryption."""

from __future__ import annotations

import json
from typing import Any

import botocore.exceptions

from clients import own_client
from cloudformation.resource_handler import Failure, Handler, first_lower, resource_type, tag_list
from cloudformation.templates import text_of


@resource_type("AWS::StepFunctions::StateMachine")
class StateMachine(Handler):
    service = "stepfunctions"
    name_property = "StateMachineName"
    replaced_by = ("StateMachineName", "StateMachineType")
    taggable = True

    def definition(self, properties: dict[str, Any]) -> str:
        if "DefinitionS3Location" in properties:
            bucket, key = properties["DefinitionS3Location"]["Bucket"], properties["DefinitionS3Location"]["Key"]
            version = {"VersionId": properties["DefinitionS3Location"]["Version"]} if "Version" in properties["DefinitionS3Location"] else {}
            try:
                text = own_client("s3", self.region).get_object(Bucket=bucket, Key=key, **version)["Body"].read().decode()
            except botocore.exceptions.ClientError as error:
                raise Failure(f"DefinitionS3Location s3://{bucket}/{key}: {error.response['Error']['Message']}")
        else:
            text = properties.get("DefinitionString") or json.dumps(properties["Definition"])
        for name, value in properties.get("DefinitionSubstitutions", {}).items():
            text = text.replace(f"${{{name}}}", text_of(value))
        return text

    def api_properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        self.refuse_unknown(properties, "Definition", "DefinitionString", "DefinitionS3Location", "DefinitionSubstitutions", "EncryptionConfiguration",
                            "LoggingConfiguration", "RoleArn", "StateMachineName", "StateMachineType", "TracingConfiguration")
        wanted = {"definition": self.definition(properties), "roleArn": properties["RoleArn"]}
        for name in ("LoggingConfiguration", "TracingConfiguration", "EncryptionConfiguration"):
            if name in properties:
                wanted[name[:1].lower() + name[1:]] = first_lower(properties[name])
        return wanted

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = self.name(properties)
        arn = self.arn("states", "stateMachine:" + name)
        self.refuse_existing(name, "describe_state_machine", stateMachineArn=arn)
        self.call("create_state_machine", name=name, type=properties.get("StateMachineType", "STANDARD"),
                  tags=first_lower(properties.get("Tags", [])), **self.api_properties(properties))
        return arn, {"Arn": arn, "Name": name}

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        wanted = self.api_properties(new)
        cleared = {"loggingConfiguration": {"level": "OFF"}, "tracingConfiguration": {"enabled": False}}
        self.call("update_state_machine", stateMachineArn=physical_id, **dict(cleared, **wanted))
        return {"Arn": physical_id, "Name": physical_id.rsplit(":", 1)[1]}

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        if tags:
            self.call("tag_resource", resourceArn=physical_id, tags=first_lower(tag_list(tags)))
        if removed:
            self.call("untag_resource", resourceArn=physical_id, tagKeys=removed)

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        self.call("delete_state_machine", stateMachineArn=physical_id)
