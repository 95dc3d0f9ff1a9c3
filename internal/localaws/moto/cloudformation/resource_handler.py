"""What CloudFormation's resource types have in common. Each type creates, updates and deletes its resource through the
service's own API, as AWS does. moto's own types support few properties and update fewer. The types are in resource_types/.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import botocore.exceptions

from clients import ACCOUNT_ID, own_client
from cloudformation.templates import invalid, text_of

if TYPE_CHECKING:
    from botocore.model import Shape
    from cloudformation.stacks import Stack

RESOURCE_TYPES = {}


class Failure(Exception):
    """Why a resource could not be created, updated or deleted. The stack's events show it.

    physical_id is the ID of a resource that exists although its creation failed: a nested stack.
    """

    def __init__(self, reason: str, physical_id: str = "") -> None:
        super().__init__(reason)
        self.physical_id = physical_id


def resource_type(name: str) -> Callable[[type[Handler]], type[Handler]]:
    def register(handler: type[Handler]) -> type[Handler]:
        handler.type_name = name
        RESOURCE_TYPES[name] = handler
        return handler

    return register


def check_types(template: dict[str, Any]) -> None:
    unknown = sorted({r["Type"] for r in template["Resources"].values()} - set(RESOURCE_TYPES))
    if unknown:
        raise invalid(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")


def coerce(shape: Shape, value: Any) -> Any:
    """Returns a template's value in the type that the API wants. A template's parameters are always text."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, dict):
        unknown = [name for name in value if name not in shape.members]
        if unknown:
            raise Failure(f"Properties validation failed: extraneous key [{', '.join(unknown)}] is not permitted")
        return {name: coerce(shape.members[name], one) for name, one in value.items()}
    if kind == "list" and isinstance(value, list):
        return [coerce(shape.member, one) for one in value]
    if kind == "map" and isinstance(value, dict):
        return {name: coerce(shape.value, one) for name, one in value.items()}
    try:
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("float", "double"):
            return float(value)
        if kind == "boolean":
            return {"true": True, "false": False}[text_of(value)]
    except (ValueError, KeyError, TypeError):
        raise Failure(f"Properties validation failed: {value!r} is not a valid {kind}")
    if kind == "string":
        return json.dumps(value) if isinstance(value, (dict, list)) else text_of(value)
    return value


def first_lower(value: Any) -> Any:
    """Returns a value with the spelling of the Step Functions API: logGroupArn instead of LogGroupArn."""
    if isinstance(value, dict):
        return {name[:1].lower() + name[1:]: first_lower(one) for name, one in value.items()}
    return [first_lower(one) for one in value] if isinstance(value, list) else value


def tag_map(tags: list[dict[str, str]] | None) -> dict[str, str]:
    return {tag["Key"]: text_of(tag["Value"]) for tag in tags or []}


# How the services say that a resource does not exist. A key that is pending deletion does not exist for CloudFormation.
GONE = frozenset({
    "404", "AWS.SimpleQueueService.NonExistentQueue", "KMSInvalidStateException", "NoSuchBucket", "NoSuchBucketPolicy", "NoSuchEntity",
    "NotFound", "NotFoundException", "QueueDoesNotExist", "ResourceNotFound", "ResourceNotFoundException", "StateMachineDoesNotExist",
})


def is_gone(error: Exception) -> bool:
    return isinstance(error, botocore.exceptions.ClientError) and error.response["Error"].get("Code") in GONE


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": name, "Value": value} for name, value in tags.items()]


class Handler:
    """One resource type. A change of a property in replaced_by creates a new resource."""

    service = None
    name_property = None
    replaced_by = ()
    taggable = False

    def __init__(self, stack: Stack, logical_id: str) -> None:
        self.stack, self.logical_id = stack, logical_id
        self.region = stack.region_name

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        client = own_client(self.service, self.region)
        model = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation])
        return getattr(client, operation)(**(coerce(model.input_shape, parameters) if parameters else {}))

    def exists(self, operation: str, **parameters: Any) -> bool:
        try:
            self.call(operation, **parameters)
        except botocore.exceptions.ClientError as error:
            if is_gone(error):
                return False
            raise
        return True

    def refuse_existing(self, name: str, operation: str, **parameters: Any) -> None:
        if self.exists(operation, **parameters):
            raise Failure(f"{name} already exists in this account and region")

    def arn(self, service: str, rest: str) -> str:
        return f"arn:{self.stack.partition}:{service}:{self.region}:{ACCOUNT_ID}:{rest}"

    def name(self, properties: dict[str, Any], length: int = 80) -> str:
        if self.name_property in properties:
            return properties[self.name_property]
        unique = "-" + uuid.uuid4().hex[:12].upper()
        return (f"{self.stack.name}-{self.logical_id}")[: length - len(unique)] + unique

    def create(self, properties: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Creates the resource. Returns its physical ID and its attributes."""
        raise NotImplementedError

    def update(self, physical_id: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """Updates the resource in place. Returns its attributes."""
        raise NotImplementedError

    def refuse_unknown(self, properties: dict[str, Any], *known: str) -> None:
        """Fails if there are properties that the type would drop."""
        unknown = sorted(set(properties) - set(known) - {"Tags"})
        if unknown:
            raise Failure(f"Properties validation failed: local AWS does not do {', '.join(unknown)} of {self.type_name}")

    def tag(self, physical_id: str, tags: dict[str, str], removed: list[str]) -> None:
        """Sets the tags of a taggable resource, and removes some."""
        raise NotImplementedError

    def refuse_missing(self, physical_id: str) -> None:
        """Fails if the resource does not exist, for types whose update would create it."""

    def missing(self, physical_id: str) -> Failure:
        return Failure(f"Resource of type '{self.type_name}' with identifier '{physical_id}' was not found. (HandlerErrorCode: NotFound)")

    def delete(self, physical_id: str, properties: dict[str, Any]) -> None:
        """Deletes the resource. An error that says that it does not exist counts as success."""
        raise NotImplementedError
