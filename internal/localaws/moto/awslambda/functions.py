"""Lambda functions: moto keeps them, and `carnation local` runs them. moto drops LoggingConfig and KMSKeyArn, answers with a
code location that does not exist, accepts an object that does not exist as an empty zip, and does not change the
architecture when the code is updated. AWS keeps what it is given, and GetFunction's Code.Location is a URL of the zip.
moto accepts environment variables that Lambda reserves, and settings that local AWS does not act on: they are refused.
"""

from __future__ import annotations

import urllib.parse
import weakref
from typing import TYPE_CHECKING, Any

from moto.awslambda import models as lambda_models
from moto.awslambda.exceptions import InvalidParameterValueException, LambdaClientError
from moto.s3.exceptions import S3ClientError

import clients
from awslambda.versions import not_done
from clients import ACCOUNT_ID

if TYPE_CHECKING:
    from moto.awslambda.models import LambdaBackend, LambdaFunction
    from moto.s3.models import FakeKey

CODE_PATH = "/_carnation/function-code/"

# A function cannot set these: https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
RESERVED = {
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}
VARIABLES_SIZE = 4096
# Settings that would change how a function runs, and that local AWS does not act on.
NOT_DONE = (
    "CapacityProviderConfig", "CodeSigningConfigArn", "DeadLetterConfig", "DurableConfig", "FileSystemConfigs", "ImageConfig",
    "Layers", "TenancyConfig", "VpcConfig",
)


def check_settings(spec: dict[str, Any]) -> None:
    """Refuses what Lambda refuses, and what local AWS does not do."""
    for name in NOT_DONE:
        value = spec.get(name)
        if any(value.values()) if isinstance(value, dict) else value:
            raise not_done(name)
    if (spec.get("SnapStart") or {}).get("ApplyOn", "None") != "None":
        raise not_done("SnapStart")
    if spec.get("PackageType", "Zip") != "Zip":
        raise not_done(f"PackageType {spec['PackageType']}")
    if not spec.get("Runtime", "provided").startswith("provided"):
        raise InvalidParameterValueException(f"Runtime is {spec['Runtime']}: local AWS runs only provided.al2 and provided.al2023")
    variables = (spec.get("Environment") or {}).get("Variables") or {}
    reserved = sorted(RESERVED & set(variables))
    if reserved:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment variables you have provided contains "
            f"reserved keys that are currently not supported for modification. Reserved keys used in this request: {', '.join(reserved)}")
    if sum(len(name.encode()) + len(value.encode()) for name, value in variables.items()) > VARIABLES_SIZE:
        raise InvalidParameterValueException(
            "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded "
            f"the {VARIABLES_SIZE // 1024}KB limit.")


def fill_functions() -> None:
    function = lambda_models.LambdaFunction
    initialise, configuration, configure = function.__init__, function.get_configuration, function.update_configuration
    code_answer, update_code = function.get_code, function.update_function_code
    read_content, contents = lambda_models._s3_content, weakref.WeakKeyDictionary()
    backend = lambda_models.LambdaBackend
    create = backend.create_function

    def __init__(self: LambdaFunction, account_id: str, spec: dict[str, Any], region: str, version: int = 1) -> None:
        initialise(self, account_id, spec, region, version)
        self.logging_config = spec.get("LoggingConfig") or {}
        self.kms_key_arn = spec.get("KMSKeyArn") or None

    def get_configuration(self: LambdaFunction, on_create: bool = False) -> dict[str, Any]:
        answer = configuration(self, on_create)
        default = {"LogFormat": "Text", "LogGroup": "/aws/lambda/" + self.function_name}
        answer["LoggingConfig"] = dict(default, **self.logging_config)
        if self.kms_key_arn:
            answer["KMSKeyArn"] = self.kms_key_arn
        return answer

    def update_configuration(self: LambdaFunction, config_updates: dict[str, Any]) -> dict[str, Any]:
        check_settings(config_updates)
        changes = dict(config_updates)
        self.logging_config = changes.pop("LoggingConfig", self.logging_config)
        self.kms_key_arn = changes.pop("KMSKeyArn", self.kms_key_arn) or None
        self.tracing_config = changes.pop("TracingConfig", self.tracing_config)
        if "EphemeralStorage" in changes:
            self.ephemeral_storage = changes.pop("EphemeralStorage")["Size"]
        if "Environment" in changes:
            changes["Environment"] = {"Variables": changes["Environment"].get("Variables", {})}
        configure(self, changes)
        self.last_modified = lambda_models.iso_8601_datetime_with_nanoseconds()
        return self.get_configuration()

    def update_function_code(self: LambdaFunction, updated_spec: dict[str, Any]) -> dict[str, Any]:
        if "S3Key" in updated_spec:  # moto accepts an object that does not exist as an empty zip
            bucket, key = updated_spec["S3Bucket"], updated_spec["S3Key"]
            try:
                found = lambda_models.s3_backends[ACCOUNT_ID][self.partition].get_object(bucket, key)
            except S3ClientError:
                found = None
            if found is None:
                raise InvalidParameterValueException(f"Error occurred while GetObject: s3://{bucket}/{key} does not exist")
        update_code(self, updated_spec)
        if updated_spec.get("Architectures"):
            self.architectures = updated_spec["Architectures"]
        self.last_modified = lambda_models.iso_8601_datetime_with_nanoseconds()
        return self.get_configuration()

    def get_code(self: LambdaFunction) -> dict[str, Any]:
        answer = code_answer(self)
        answer["Code"] = {
            "RepositoryType": "S3",
            "Location": f"{clients.ENDPOINT_URL}{CODE_PATH}{self.region}/{self.function_name}:{self.version}",
        }
        answer.pop("Concurrency", None)
        reserved = lambda_models.lambda_backends[ACCOUNT_ID][self.region].reserved_concurrency(self.function_name)  # of all versions
        if reserved is not None:  # 0 is a reservation too, which stops a function
            answer["Concurrency"] = {"ReservedConcurrentExecutions": int(reserved)}
        return answer

    def create_function(self: LambdaBackend, spec: dict[str, Any]) -> LambdaFunction:
        if spec.get("FunctionName") in self._lambdas._functions:
            error = LambdaClientError("ResourceConflictException", "Function already exist: " + spec["FunctionName"])
            error.code = 409
            raise error
        check_settings(spec)
        return create(self, spec)

    def content(key: FakeKey) -> tuple[bytes, int, str, str]:
        """Returns what moto wants to know of a zip, which it would read twice for each function. All functions share the bytes."""
        if key not in contents:
            contents[key] = read_content(key)
        return contents[key]

    lambda_models._s3_content = content
    for method in (__init__, get_configuration, update_configuration, update_function_code, get_code):
        setattr(function, method.__name__, method)
    backend.create_function = create_function


def function_code(path: str) -> bytes | None:
    """Returns the zip of a version of a function as it is deployed now, or None."""
    region, _, name = urllib.parse.unquote(path[len(CODE_PATH):]).partition("/")
    try:
        return lambda_models.lambda_backends[ACCOUNT_ID][region].get_function(name).code_bytes
    except Exception:
        return None
