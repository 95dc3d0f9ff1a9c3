"""Versions and aliases of Lambda functions. moto publishes a version although nothing has changed, gives a number a second time
after a version was deleted, lets an update change a version, deletes a version that an alias refers to, shares the resource policy
between versions, and ignores CodeSha256, RevisionId and the parameters of paging. Here, these do what Lambda documents.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from __future__ import annotations

import copy
import json
import re
import urllib.parse
import uuid
from typing import TYPE_CHECKING, Any

from moto.awslambda import models as lambda_models
from moto.awslambda import responses as lambda_responses
from moto.awslambda.exceptions import (
    InvalidParameterValueException,
    LambdaClientError,
    PreconditionFailedException,
    UnknownFunctionException,
)
from moto.awslambda.policy import Policy

from patching import take_over

if TYPE_CHECKING:
    from moto.awslambda.models import LambdaAlias, LambdaFunction
    from moto.core.responses import TYPE_RESPONSE

LATEST = "$LATEST"
LAST_NUMBERS = {}  # of versions, by region and function; Lambda never gives a number twice, even if the function is created again


def not_done(parameter: str) -> LambdaClientError:
    return InvalidParameterValueException(f"Local AWS does not do {parameter}.")


def conflict(message: str) -> LambdaClientError:
    error = LambdaClientError("ResourceConflictException", message)
    error.code = 409
    return error


def split_name(name_or_arn: str) -> tuple[str, str | None]:
    """Returns the function and the qualifier, or None, that a name, an ARN or a part of an ARN names."""
    name, _, qualifier = name_or_arn.rpartition("function:")[2].partition(":")
    return name, qualifier or None


def function_and_qualifier(name_or_arn: str, given: str | None) -> tuple[str, str | None]:
    name, qualifier = split_name(name_or_arn)
    if given and qualifier and given != qualifier:
        raise InvalidParameterValueException("The derived qualifier from the function name does not match the specified qualifier.")
    return name, qualifier or given or None


def source_of(function: LambdaFunction) -> dict[str, Any]:
    """What makes a version new: code and configuration."""
    names = ("FunctionArn", "LastModified", "RevisionId", "Version")
    return {name: value for name, value in function.get_configuration().items() if name not in names}


def page(items: list[Any], marker: str | None, size: str | None, what: str) -> dict[str, Any]:
    """Returns the part of a list that a request asks for."""
    start, size = int(marker or 0), int(size or 50)
    answer = {what: items[start:start + size]}
    if start + size < len(items):
        answer["NextMarker"] = str(start + size)
    return answer


class Versions:
    """Replaces methods of moto's LambdaStorage."""

    def get_function_by_name_or_arn_with_qualifier(self, name_or_arn: str, qualifier: str | None = None) -> LambdaFunction:
        return self.get_function_by_name_with_qualifier(*function_and_qualifier(name_or_arn, qualifier))

    def get_function_by_name_or_arn_forbid_qualifier(self, name_or_arn: str) -> LambdaFunction:
        name, qualifier = split_name(name_or_arn)
        if qualifier not in (None, LATEST):
            raise InvalidParameterValueException(f"This operation is permitted on Lambda functions only. {qualifier} is a version or an alias.")
        return self.get_function_by_name_forbid_qualifier(name)

    def publish_version(self, name_or_arn: str, description: str = "") -> LambdaFunction:
        function = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
        versions, source = self._functions[function.function_name]["versions"], source_of(function)
        if versions and versions[-1].source == source:
            return versions[-1]
        key = (self.region_name, function.function_name)
        LAST_NUMBERS[key] = LAST_NUMBERS.get(key, 0) + 1
        version = copy.copy(function)
        version.set_version(LAST_NUMBERS[key])
        version.source, version.code, version.environment_vars = source, dict(function.code), dict(function.environment_vars)
        version.policy, version.event_invoke_config, version.url_config = Policy(version), [], None
        version.description = description or function.description
        versions.append(version)
        self._arns[version.function_arn] = version
        return version

    def list_versions_by_function(self, name_or_arn: str) -> list[LambdaFunction]:
        function = self.get_function_by_name_or_arn_forbid_qualifier(name_or_arn)
        newest = copy.copy(function)
        newest.function_arn += ":" + LATEST
        return [newest, *self._functions[function.function_name]["versions"]]

    def del_function(self, name_or_arn: str, qualifier: str | None = None) -> None:
        name, qualifier = function_and_qualifier(name_or_arn, qualifier)
        function = self.get_function_by_name_with_qualifier(name, qualifier)
        group, aliases = self._functions[name], self._get_function_aliases(name)
        if qualifier == LATEST:
            raise InvalidParameterValueException("$LATEST version cannot be deleted without deleting the function.")
        if qualifier is None:
            for one in [group["latest"], *group["versions"]]:
                self._arns.pop(one.function_arn, None)
            aliases.clear()
            del self._functions[name]
            return
        if qualifier in aliases:
            raise InvalidParameterValueException("Deletion of aliases is not currently supported.")
        using = sorted(alias.name for alias in aliases.values() if alias.function_version == qualifier)
        if using:
            raise conflict(f"Unable to delete version because the following aliases reference it: [{', '.join(using)}]")
        group["versions"].remove(function)
        self._arns.pop(function.function_arn, None)


class Functions:
    """Replaces methods of moto's LambdaBackend."""

    def update_function_code(self, function_name: str, qualifier: str | None, body: dict[str, Any]) -> dict[str, Any]:
        function = self._lambdas.get_function_by_name_or_arn_forbid_qualifier(function_name)
        refuse_revision(body)
        answer = function.update_function_code(body)
        if body.get("Publish") and not body.get("DryRun"):
            return self.publish_version(function_name).get_configuration()
        return answer

    def update_function_configuration(self, function_name: str, qualifier: str | None, body: dict[str, Any]) -> dict[str, Any]:
        function = self._lambdas.get_function_by_name_or_arn_forbid_qualifier(function_name)
        refuse_revision(body)
        return function.update_configuration(body)

    def reserved_concurrency(self, function_name: str) -> int | None:
        return self._lambdas.get_function_by_name_forbid_qualifier(function_name).reserved_concurrency


def refuse_revision(body: dict[str, Any]) -> None:
    if body.get("RevisionId"):
        raise not_done("RevisionId")


class Answers:
    """Replaces methods of moto's LambdaResponse."""

    def function_in_path(self) -> str:
        return urllib.parse.unquote(self.path.split("/functions/", 1)[1].split("/")[0])

    def alias_in_path(self) -> str:
        return urllib.parse.unquote(self.path.rsplit("/", 1)[1])

    def publish_version(self) -> TYPE_RESPONSE:
        name, body = self.function_in_path(), json.loads(self.body or "{}")
        refuse_revision(body)
        if body.get("PublishTo"):
            raise not_done("PublishTo")
        wanted, found = body.get("CodeSha256"), self.backend.get_function(name).code_sha_256
        if wanted and wanted != found:
            raise InvalidParameterValueException(
                f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({found}). "
                "Please try again with the CodeSHA256 in $LATEST.")
        version = self.backend.publish_version(name, body.get("Description", ""))
        return 201, {"status": 201}, json.dumps(version.get_configuration())

    def list_versions_by_function(self) -> str:
        versions = [one.get_configuration() for one in self.backend.list_versions_by_function(self.function_in_path())]
        return json.dumps(page(versions, self._get_param("Marker"), self._get_param("MaxItems"), "Versions"))

    def _set_configuration_qualifier(self, configuration: dict[str, Any], function_name: str, qualifier: str | None) -> dict[str, Any]:
        qualifier = function_and_qualifier(function_name, qualifier)[1]
        if qualifier is not None:  # a version's ARN has it, and that of an alias is in the answer for the alias
            configuration["FunctionArn"] = ":".join(configuration["FunctionArn"].split(":")[:7] + [qualifier])
        return configuration

    def create_alias(self) -> TYPE_RESPONSE:
        name, body = self.function_in_path(), json.loads(self.body)
        refuse_routing(body)
        if not re.fullmatch(r"(?!^[0-9]+$)[a-zA-Z0-9-_]{1,128}", body["Name"]):
            raise lambda_models.ValidationException(
                body["Name"], "name", "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)")
        self.check_version(name, body.get("FunctionVersion"))
        alias = self.backend.create_alias(
            name=body["Name"], function_name=split_name(name)[0], function_version=body["FunctionVersion"],
            description=body.get("Description", ""), routing_config=None)
        return 201, {"status": 201}, json.dumps(alias_json(alias))

    def check_version(self, name: str, version: str | None) -> None:
        """Refuses a version that does not exist, and an alias in place of a version."""
        if version != LATEST and not re.fullmatch("[0-9]+", version or ""):
            raise lambda_models.ValidationException(
                version, "functionVersion", "Member must satisfy regular expression pattern: (\\$LATEST|[0-9]+)")
        try:
            self.backend.get_function(split_name(name)[0], version)
        except UnknownFunctionException:
            self.backend.get_function(split_name(name)[0])  # says so if there is no such function at all
            raise InvalidParameterValueException(f"Function version {version} does not exist: publish it first")

    def get_alias(self) -> TYPE_RESPONSE:
        alias = self.backend.get_alias(name=self.alias_in_path(), function_name=split_name(self.function_in_path())[0])
        return 200, {}, json.dumps(alias_json(alias))

    def update_alias(self) -> TYPE_RESPONSE:
        name, body = split_name(self.function_in_path())[0], json.loads(self.body)
        refuse_routing(body)
        alias = self.backend.get_alias(name=self.alias_in_path(), function_name=name)
        if body.get("RevisionId") not in (None, alias.revision_id):
            raise PreconditionFailedException(
                "The RevisionId provided does not match the latest RevisionId. Call the GetFunction/GetAlias API to retrieve the latest "
                "RevisionId")
        if "FunctionVersion" in body:
            self.check_version(name, body["FunctionVersion"])
        alias.update(body.get("Description"), body.get("FunctionVersion"), None)
        alias.revision_id = str(uuid.uuid4())
        return 200, {}, json.dumps(alias_json(alias))

    def delete_alias(self) -> TYPE_RESPONSE:
        self.backend.delete_alias(name=self.alias_in_path(), function_name=split_name(self.function_in_path())[0])
        return 204, {"status": 204}, ""

    def list_aliases(self) -> TYPE_RESPONSE:
        wanted = self._get_param("FunctionVersion")
        aliases = [alias_json(one) for one in self.backend.list_aliases(self.function_in_path()) if wanted in (None, one.function_version)]
        return 200, {}, json.dumps(page(aliases, self._get_param("Marker"), self._get_param("MaxItems"), "Aliases"))


def refuse_routing(body: dict[str, Any]) -> None:
    if (body.get("RoutingConfig") or {}).get("AdditionalVersionWeights"):
        raise not_done("RoutingConfig")


def alias_json(alias: LambdaAlias) -> dict[str, Any]:
    return {name: value for name, value in alias.to_json().items() if value is not None}


def fill_versions() -> None:
    take_over(lambda_models.LambdaStorage, Versions)
    take_over(lambda_models.LambdaBackend, Functions)
    take_over(lambda_responses.LambdaResponse, Answers)
