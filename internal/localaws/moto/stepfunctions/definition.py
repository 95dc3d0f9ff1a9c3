"""What a state machine's definition may say. moto accepts fields that it then ignores (a Retry of a Pass state, a Lambda
parameter that it does not know), and variables, which it cannot evaluate. JSONata is run in some types of states. AWS refuses a definition with a field
that it does not know. Here, a definition is refused if AWS refuses it, or if local AWS does not do what it says. What is
accepted is done. https://docs.aws.amazon.com/step-functions/latest/dg/statemachine-structure.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from botocore.exceptions import UnknownServiceError
from moto.core.exceptions import AWSError
from moto.stepfunctions.parser.asl.component.intrinsic.functionname.state_function_name_types import StatesFunctionNameType
from moto.stepfunctions.parser.asl.component.state.choice.comparison.comparison_operator_type import ComparisonOperatorType
from moto.stepfunctions.parser.asl.component.state.exec.state_task.service import (
    state_task_service_dynamodb,
    state_task_service_lambda,
    state_task_service_sfn,
    state_task_service_sns,
    state_task_service_sqs,
)
from moto.stepfunctions.parser.asl.parse.intrinsic.intrinsic_parser import IntrinsicParser

from clients import SESSION

if TYPE_CHECKING:
    from botocore.model import Shape


class InvalidDefinition(AWSError):
    """moto's has no error code."""

    TYPE = "InvalidDefinition"
    STATUS = 400


TIMESTAMP = r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)"
PLACE = {"InputPath", "OutputPath"}
NEXT = {"Next", "End"}
RESULT = {"ResultPath", "ResultSelector"}
CAUGHT = {"Retry", "Catch"}
DISTRIBUTED = {"ItemReader", "ItemBatcher", "ResultWriter", "ToleratedFailureCount", "ToleratedFailureCountPath",
               "ToleratedFailurePercentage", "ToleratedFailurePercentagePath", "Label"}
SELECTED = {"ItemsPath", "ItemSelector", "Parameters"}
STATES = {
    "Task": NEXT | PLACE | RESULT | CAUGHT | {"Resource", "Parameters", "TimeoutSeconds", "TimeoutSecondsPath", "HeartbeatSeconds",
                                              "HeartbeatSecondsPath"},
    "Pass": NEXT | PLACE | {"ResultPath", "Parameters", "Result"},
    "Choice": PLACE | {"Choices", "Default"},
    "Wait": NEXT | PLACE | {"Seconds", "SecondsPath", "Timestamp", "TimestampPath"},
    "Succeed": PLACE,
    "Fail": {"Error", "ErrorPath", "Cause", "CausePath"},
    "Parallel": NEXT | PLACE | RESULT | CAUGHT | {"Branches", "Parameters"},
    "Map": NEXT | PLACE | RESULT | CAUGHT | SELECTED | DISTRIBUTED | {"ItemProcessor", "Iterator", "MaxConcurrency", "MaxConcurrencyPath"},
}
PROGRAM = {"Comment", "StartAt", "States", "QueryLanguage"}
TEMPLATES = ("Parameters", "ItemSelector", "ResultSelector", "BatchInput")
# The fields of the states that jsonata.py runs.
JSONATA_STATES = {"Task": NEXT | CAUGHT | {"Resource", "Arguments", "Output", "TimeoutSeconds"}, "Pass": NEXT | {"Output"}, "Fail": {"Error", "Cause"}}
JSONATA = "JSONata here (QueryLanguage may be JSONata in a Task, a Pass or a Fail state)"
NOT_RUN = {"Assign": "variables", "Arguments": JSONATA, "Output": JSONATA, "Items": JSONATA, "Condition": JSONATA,
           "Credentials": "tasks in another role than the state machine's"}
OPERATORS = {operator.name for operator in ComparisonOperatorType}
FUNCTIONS = set(StatesFunctionNameType.__members__)
ERROR_NAMES = {"States." + name for name in (
    "ALL", "BranchFailed", "DataLimitExceeded", "ExceedToleratedFailureThreshold", "HeartbeatTimeout", "Http.Socket", "IntrinsicFailure",
    "ItemReaderFailed", "NoChoiceMatched", "ParameterPathFailure", "Permissions", "QueryEvaluationError", "ResultPathMatchFailure",
    "ResultWriterFailed", "Runtime", "TaskFailed", "Timeout")}
# The largest and the smallest value of each field that is a number.
NUMBERS = {
    "TimeoutSeconds": (1, 99999999), "HeartbeatSeconds": (1, 99999999), "Seconds": (0, 99999999), "MaxConcurrency": (0, None),
    "ToleratedFailureCount": (0, None), "MaxItems": (0, 100_000_000), "MaxItemsPerBatch": (1, None), "MaxInputBytesPerBatch": (1, 262144),
    "IntervalSeconds": (1, 99999999), "MaxAttempts": (0, 99999999), "MaxDelaySeconds": (1, 31622400),
}

WAIT = "waitForTaskToken"
# For each integration: how it may wait, the parameters that it must have, and all parameters.
INTEGRATIONS = {
    "lambda:invoke": (("", WAIT), ("FunctionName",), state_task_service_lambda._SUPPORTED_API_PARAM_BINDINGS["invoke"] | {"InvocationType"}),
    "sqs:sendMessage": (("", WAIT), ("QueueUrl", "MessageBody"), state_task_service_sqs._SUPPORTED_API_PARAM_BINDINGS["sendmessage"]),
    "sns:publish": (("", WAIT), ("Message",), state_task_service_sns._SUPPORTED_API_PARAM_BINDINGS["publish"]),
    "states:startExecution": (("", "sync", "sync:2", WAIT), ("StateMachineArn",),
                              state_task_service_sfn._SUPPORTED_API_PARAM_BINDINGS["startexecution"]),
} | {f"dynamodb:{action}": (("",), ("TableName",), state_task_service_dynamodb._SUPPORTED_API_PARAM_BINDINGS[action.lower()])
     for action in ("getItem", "putItem", "updateItem", "deleteItem")}
# Services that local AWS serves, whose names are those of botocore.
SDK_SERVICES = {"cloudformation", "cloudwatch", "dynamodb", "iam", "kms", "lambda", "s3", "sfn", "sns", "sqs"}


def invalid(problem: str, path: str) -> NoReturn:
    raise InvalidDefinition(f"Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: {problem} at {path or '/'}'")


def not_run(what: str, path: str) -> NoReturn:
    raise InvalidDefinition(f"Invalid State Machine Definition: 'local AWS does not run {what}, at {path}'")


def check_fields(declared: Any, allowed: Iterable[str], path: str, needed: Iterable[str] = ()) -> None:
    if not isinstance(declared, dict):
        invalid("Expected value of type Object", path)
    for name, value in declared.items():
        if name in NOT_RUN and name not in allowed:
            not_run(NOT_RUN[name], f"{path}/{name}")
        if name not in allowed:
            invalid("Field is not supported", f"{path}/{name}")
        if name == "QueryLanguage" and value != "JSONPath":
            not_run(JSONATA, f"{path}/{name}")
        if name in NUMBERS:
            least, most = NUMBERS[name]
            if isinstance(value, bool) or not isinstance(value, int) or value < least or (most is not None and value > most):
                invalid(f"{name} is {json.dumps(value)}: must be an integer from {least}" + (f" to {most}" if most else ""), f"{path}/{name}")
        if name + "Path" in declared and name != "Result":
            invalid(f"Only one of {name} and {name}Path may be there", path)
        if name.endswith("Path"):
            check_path(value, f"{path}/{name}", may_be_null=name in ("InputPath", "OutputPath", "ResultPath"))
            if name not in ("InputPath", "OutputPath", "ErrorPath", "CausePath") and value is not None:
                check_one_place(value, f"{path}/{name}")
        if name in TEMPLATES:
            check_template(value, f"{path}/{name}")
    for name in needed:
        if name not in declared:
            invalid(f"The field {name!r} is required but was missing", path)


def check_path(value: Any, path: str, may_be_null: bool = False) -> None:
    if value is None and may_be_null:
        return
    if not isinstance(value, str) or not value.startswith(("$", "States.")):
        invalid("The value must be a valid JSONPath or a valid intrinsic function call", path)
    outside_quotes = re.sub(r"'(?:\\.|[^'\\])*'", "", value)
    if re.search(r"(^|[\s(,])\$[A-Za-z_]", outside_quotes):
        not_run("variables", path)
    if value.startswith("States."):
        for name in re.findall(r"States\.(\w+)", outside_quotes):
            if name not in FUNCTIONS:
                invalid(f"States.{name} is not an intrinsic function", path)
        if re.search(r"\bnull\b", outside_quotes):
            not_run("null in an intrinsic function", path)
        try:
            IntrinsicParser.parse(value)
        except Exception:
            invalid("The value must be a valid JSONPath or a valid intrinsic function call", path)


def check_one_place(value: str, path: str) -> None:
    """Refuses what is not a reference path, which names one place."""
    outside_quotes = re.sub(r"'(?:\\.|[^'\\])*'", "", value)
    if not value.startswith("$") or re.search(r"[*?,:@]|\.\.", outside_quotes):
        invalid(f"{value} is not a reference path", path)


def check_template(template: Any, path: str) -> None:
    if isinstance(template, dict):
        for name, value in template.items():
            if name.endswith(".$"):
                check_path(value, f"{path}/{name}")
            else:
                check_template(value, f"{path}/{name}")
    elif isinstance(template, list):
        for index, value in enumerate(template):
            check_template(value, f"{path}[{index}]")


def check_parameters(template: Any, allowed: Iterable[str], path: str) -> None:
    for name in template if isinstance(template, dict) else ():
        if name.removesuffix(".$") not in allowed:
            invalid(f"The field {name.removesuffix('.$')!r} is not supported by Step Functions", f"{path}/{name}")


def check_sdk_parameters(template: Any, shape: Shape | None, path: str) -> None:
    """Refuses a parameter that the operation does not have: botocore would drop it."""
    kind = shape and shape.type_name
    if kind == "list" and isinstance(template, list):
        for value in template:
            check_sdk_parameters(value, shape.member, path)
    if kind == "structure" and isinstance(template, dict):
        members = {sdk_name(name): member for name, member in shape.members.items()}
        check_parameters(template, members, path)
        for name, value in template.items():
            if name in members:
                check_sdk_parameters(value, members[name], f"{path}/{name}")


def sdk_name(member: str) -> str:
    """Returns how Step Functions names a member of a request or an answer."""
    return member[:1].upper() + member[1:]


def check_resource(state: dict[str, Any], express: bool, path: str) -> None:
    resource, where = state["Resource"], f"{path}/Resource"
    if not isinstance(resource, str):
        invalid("Expected value of type String", where)
    waits = ""
    integration = re.fullmatch(r"arn:[\w-]+:states:::(.+)", resource)
    if integration:
        name, _, waits = integration[1].partition(".")
        if name in INTEGRATIONS:
            ways, needed, parameters = INTEGRATIONS[name]
            if waits not in ways:
                invalid(f"The resource provided {resource} is not recognized", where)
            check_parameters(state.get("Parameters"), parameters, f"{path}/Parameters")
            for one in needed:
                if not {one, one + ".$"} & set(state.get("Parameters") or ()):
                    invalid(f"The field {one!r} is required but was missing", f"{path}/Parameters")
        elif name.startswith("aws-sdk:") and waits in ("", WAIT):
            check_sdk_resource(state, name, path)
        else:
            not_run(resource, where)
    elif re.fullmatch(r"arn:[\w-]+:states:[\w-]*:\d*:activity:.+", resource):
        not_run("activities", where)
    elif not re.fullmatch(r"arn:[\w-]+:lambda:[\w-]*:\d*:function:[\w-]+(:[\w$-]+)?", resource):
        invalid(f"The resource provided {resource} is not recognized", where)
    if waits and express:
        invalid(f"Express state machine does not support '.{waits}' service integration", where)
    for name in ("HeartbeatSeconds", "HeartbeatSecondsPath"):
        if name in state and waits != WAIT:
            not_run(f"{name} of a task without .{WAIT}", f"{path}/{name}")
    timeout, heartbeat = state.get("TimeoutSeconds"), state.get("HeartbeatSeconds")
    if timeout and heartbeat and heartbeat >= timeout:
        invalid("HeartbeatSeconds must be smaller than TimeoutSeconds", path)


def check_sdk_resource(state: dict[str, Any], name: str, path: str) -> None:
    parts = name.split(":")
    if len(parts) != 3 or parts[1] not in SDK_SERVICES:
        not_run(f"{name} (services: {', '.join(sorted(SDK_SERVICES))})", f"{path}/Resource")
    service, action = parts[1:]
    try:
        model = SESSION._session.get_service_model("stepfunctions" if service == "sfn" else service)
    except UnknownServiceError:
        not_run(name, f"{path}/Resource")
    operation = sdk_name(action)
    if operation not in model.operation_names:
        invalid(f"The resource provided {state['Resource']} is not recognized", f"{path}/Resource")
    check_sdk_parameters(state.get("Parameters"), model.operation_model(operation).input_shape, f"{path}/Parameters")


def check_errors(declared: list[Any], kind: str, path: str, names: set[str], jsonata: bool) -> None:
    allowed = {"Retry": {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy", "Comment"},
               "Catch": {"ErrorEquals", "Next", "Comment", "Output" if jsonata else "ResultPath"}}[kind]
    if not isinstance(declared, list):
        invalid("Expected value of type Array", path)
    for index, one in enumerate(declared):
        where = f"{path}[{index}]"
        check_fields(one, allowed, where, ("ErrorEquals", "Next") if kind == "Catch" else ("ErrorEquals",))
        if not isinstance(one["ErrorEquals"], list) or not one["ErrorEquals"]:
            invalid("ErrorEquals must be an array that is not empty", where)
        for error in one["ErrorEquals"]:
            if not isinstance(error, str) or (error.startswith("States.") and error not in ERROR_NAMES):
                invalid(f"{error} is not a name of an error of Step Functions", f"{where}/ErrorEquals")
        if "States.ALL" in one["ErrorEquals"] and (len(one["ErrorEquals"]) > 1 or index < len(declared) - 1):
            invalid("States.ALL must be alone in ErrorEquals, and the last of its list", where)
        rate = one.get("BackoffRate", 1)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or rate < 1:
            invalid(f"BackoffRate is {json.dumps(rate)}: must be a number from 1", where)
        if kind == "Catch":
            check_target(one["Next"], names, f"{where}/Next")


def check_target(name: Any, names: set[str], path: str) -> None:
    if name not in names:
        raise InvalidDefinition(f"Invalid State Machine Definition: 'MISSING_TRANSITION_TARGET: Missing target: {name} at {path}'")


def check_rule(rule: Any, path: str, names: set[str], outermost: bool = True) -> None:
    check_fields(rule, OPERATORS | {"And", "Or", "Not", "Variable", "Comment"} | ({"Next"} if outermost else set()), path,
                 ("Next",) if outermost else ())
    if outermost:
        check_target(rule["Next"], names, f"{path}/Next")
    inner = [rule["Not"]] if "Not" in rule else rule.get("And", rule.get("Or", []))
    operators = [name for name in rule if name in OPERATORS or name in ("And", "Or", "Not")]
    if len(operators) != 1:
        invalid("A choice rule must have one operator", path)
    if "Variable" in rule:
        check_path(rule["Variable"], f"{path}/Variable")
        check_operand(operators[0], rule[operators[0]], f"{path}/{operators[0]}")
    for index, one in enumerate(inner):
        check_rule(one, f"{path}/{operators[0]}[{index}]", names, outermost=False)


def check_operand(operator: str, value: Any, path: str) -> None:
    """Refuses a value of another type than the operator's. check_fields has read the paths."""
    if operator.endswith("Path"):
        if value.startswith("$$"):
            not_run(f"{operator} with a path into the context object", path)
        return
    kind = "Boolean" if operator.startswith("Is") else next(one for one in ("String", "Numeric", "Boolean", "Timestamp") if operator.startswith(one))
    fits = {"String": isinstance(value, str), "Boolean": isinstance(value, bool), "Timestamp": re.fullmatch(TIMESTAMP, str(value)),
            "Numeric": isinstance(value, (int, float)) and not isinstance(value, bool)}
    if not fits[kind]:
        invalid(f"{operator} is {json.dumps(value)}: must be a {kind} value", path)


def check_map(state: dict[str, Any], path: str, seen: set[str], express: bool, inside_inline: bool) -> None:
    if ("ItemProcessor" in state) == ("Iterator" in state):
        invalid("A Map state must have one of ItemProcessor and Iterator", path)
    field = "ItemProcessor" if "ItemProcessor" in state else "Iterator"
    processor = state[field]
    config = processor.get("ProcessorConfig", {}) if isinstance(processor, dict) else {}
    check_fields(config, {"Mode", "ExecutionType"}, f"{path}/{field}/ProcessorConfig")
    mode, kind = config.get("Mode", "INLINE"), config.get("ExecutionType")
    if mode not in ("INLINE", "DISTRIBUTED"):
        invalid(f"Mode is {mode}: must be INLINE or DISTRIBUTED", f"{path}/{field}/ProcessorConfig")
    distributed = mode == "DISTRIBUTED"
    if distributed != (kind is not None) or kind not in (None, "STANDARD", "EXPRESS") or (distributed and field == "Iterator"):
        invalid("ExecutionType must be STANDARD or EXPRESS in an ItemProcessor whose Mode is DISTRIBUTED, and nowhere else", f"{path}/{field}")
    if "ItemSelector" in state and "Parameters" in state:
        invalid("Only one of ItemSelector and Parameters may be there", path)
    for name in DISTRIBUTED & set(state):
        if not distributed:
            invalid(f"The field {name!r} is not supported in a Map whose Mode is INLINE", f"{path}/{name}")
    if distributed:
        if express:
            invalid("Express state machine does not support a Map whose Mode is DISTRIBUTED", path)
        if inside_inline:
            not_run("a Distributed Map inside an Inline Map", path)
        check_distributed(state, path)
    check_program(processor, f"{path}/{field}", PROGRAM | {"ProcessorConfig"}, seen, express=kind == "EXPRESS" or express,
                  inside_inline=not distributed)


def check_distributed(state: dict[str, Any], path: str) -> None:
    percentage = state.get("ToleratedFailurePercentage", 0)
    if isinstance(percentage, bool) or not isinstance(percentage, (int, float)) or not 0 <= percentage <= 100:
        invalid(f"ToleratedFailurePercentage is {json.dumps(percentage)}: must be a number from 0 to 100", path)
    if not re.fullmatch(r"[\w.-]{1,40}", state.get("Label", "none")):
        invalid("Label must have 1 to 40 letters, digits, dots, hyphens and underscores", f"{path}/Label")
    if "ItemReader" in state:
        check_reader(state["ItemReader"], f"{path}/ItemReader")
        if "ItemsPath" in state:
            not_run("ItemsPath together with ItemReader", f"{path}/ItemsPath")
    if "ItemBatcher" in state:
        where, batcher = f"{path}/ItemBatcher", state["ItemBatcher"]
        limits = {"MaxItemsPerBatch", "MaxItemsPerBatchPath", "MaxInputBytesPerBatch", "MaxInputBytesPerBatchPath"}
        check_fields(batcher, limits | {"BatchInput"}, where)
        if not limits & set(batcher):
            invalid("ItemBatcher must have MaxItemsPerBatch, MaxInputBytesPerBatch or both", where)
    if "ResultWriter" in state:
        check_writer(state["ResultWriter"], f"{path}/ResultWriter")


def check_reader(reader: Any, path: str) -> None:
    check_fields(reader, {"Resource", "Parameters", "ReaderConfig"}, path, ("Resource", "Parameters", "ReaderConfig"))
    if not re.fullmatch(r"arn:[\w-]+:states:::s3:getObject", str(reader["Resource"])):
        not_run(f"an ItemReader of {reader['Resource']} (it must be arn:aws:states:::s3:getObject)", f"{path}/Resource")
    check_parameters(reader["Parameters"], {"Bucket", "Key", "VersionId"}, f"{path}/Parameters")
    where, config = f"{path}/ReaderConfig", reader["ReaderConfig"]
    if isinstance(config, dict):
        for name in {"ItemsPointer", "Transformation", "ManifestType"} & set(config):
            not_run(f"{name} of an ItemReader", f"{where}/{name}")
    of_csv = {"CSVHeaderLocation", "CSVHeaders", "CSVDelimiter"}
    check_fields(config, of_csv | {"InputType", "MaxItems", "MaxItemsPath"}, where, ("InputType",))
    kind = config["InputType"]
    if kind not in ("CSV", "JSON", "JSONL"):
        not_run(f"an ItemReader whose InputType is {kind} (it must be CSV, JSON or JSONL)", f"{where}/InputType")
    if kind != "CSV" and of_csv & set(config):
        invalid(f"{', '.join(sorted(of_csv & set(config)))} may be there only if InputType is CSV", where)
    if kind == "CSV":
        location, headers = config.get("CSVHeaderLocation"), config.get("CSVHeaders")
        if location not in ("FIRST_ROW", "GIVEN"):
            invalid("CSVHeaderLocation must be FIRST_ROW or GIVEN", where)
        if (location == "GIVEN") != (headers is not None):
            invalid("CSVHeaders must be there if CSVHeaderLocation is GIVEN, and only then", where)
        if headers is not None and not (isinstance(headers, list) and headers and all(isinstance(name, str) for name in headers)):
            invalid("CSVHeaders must be an array of strings", where)
        if config.get("CSVDelimiter", "COMMA") not in ("COMMA", "PIPE", "SEMICOLON", "SPACE", "TAB"):
            invalid("CSVDelimiter must be COMMA, PIPE, SEMICOLON, SPACE or TAB", where)


def check_writer(writer: Any, path: str) -> None:
    check_fields(writer, {"Resource", "Parameters", "WriterConfig"}, path)
    to_s3 = "Resource" in writer
    if to_s3 != ("Parameters" in writer) or not writer:
        invalid("ResultWriter must have Resource and Parameters, WriterConfig, or all three", path)
    if to_s3:
        if not re.fullmatch(r"arn:[\w-]+:states:::s3:putObject", str(writer["Resource"])):
            invalid(f"The resource provided {writer['Resource']} is not recognized", f"{path}/Resource")
        check_parameters(writer["Parameters"], {"Bucket", "Prefix"}, f"{path}/Parameters")
    config, where = writer.get("WriterConfig", {}), f"{path}/WriterConfig"
    check_fields(config, {"Transformation", "OutputType"}, where)
    if config.get("Transformation", "NONE") not in ("NONE", "COMPACT", "FLATTEN"):
        invalid("Transformation must be NONE, COMPACT or FLATTEN", where)
    if config.get("OutputType", "JSON") not in ("JSON", "JSONL"):
        invalid("OutputType must be JSON or JSONL", where)
    if config.get("OutputType") == "JSONL" and not to_s3:
        not_run("OutputType JSONL without Resource", f"{where}/OutputType")


def check_state(name: str, state: Any, path: str, names: set[str], seen: set[str], express: bool, inside_inline: bool) -> None:
    kind = state.get("Type") if isinstance(state, dict) else None
    if kind not in STATES:
        invalid(f"Type is {json.dumps(kind)}: must be one of {', '.join(STATES)}", path)
    jsonata = state.get("QueryLanguage") == "JSONata" and kind in JSONATA_STATES
    if jsonata:  # from here on, as if it were JSONPath
        state = {name: value for name, value in state.items() if name != "QueryLanguage"}
    check_fields(state, (JSONATA_STATES if jsonata else STATES)[kind] | {"Type", "Comment", "QueryLanguage"}, path, {"Task": ("Resource",), "Choice": ("Choices",),
                                                                                   "Parallel": ("Branches",)}.get(kind, ()))
    if not 1 <= len(name) <= 80:
        invalid("A state's name must have 1 to 80 characters", path)
    if name in seen:
        raise InvalidDefinition(f"Invalid State Machine Definition: 'DUPLICATE_STATE_NAME: Duplicate State name: {name} at {path}'")
    seen.add(name)
    if "Next" in STATES[kind]:
        if ("Next" in state) == (state.get("End") is True):
            invalid("A state must have one of Next and End", path)
        if "Next" in state:
            check_target(state["Next"], names, f"{path}/Next")
    for field in CAUGHT & set(state):
        check_errors(state[field], field, f"{path}/{field}", names, jsonata)
    if jsonata and kind == "Task":
        state = {name: value for name, value in state.items() if name != "Arguments"} | {"Parameters": state.get("Arguments")}
    if kind == "Task":
        check_resource(state, express, path)
    elif kind == "Choice":
        for index, rule in enumerate(state["Choices"]):
            check_rule(rule, f"{path}/Choices[{index}]", names)
        if "Default" in state:
            check_target(state["Default"], names, f"{path}/Default")
    elif kind == "Wait":
        if len({"Seconds", "SecondsPath", "Timestamp", "TimestampPath"} & set(state)) != 1:
            invalid("A Wait state must have one of Seconds, SecondsPath, Timestamp and TimestampPath", path)
    elif kind == "Parallel":
        for index, branch in enumerate(state["Branches"]):
            check_program(branch, f"{path}/Branches[{index}]", PROGRAM, seen, express, inside_inline)
    elif kind == "Map":
        check_map(state, path, seen, express, inside_inline)


def check_program(program: Any, path: str, allowed: set[str], seen: set[str], express: bool = False, inside_inline: bool = False) -> None:
    check_fields(program, allowed, path, ("StartAt", "States"))
    states = program["States"]
    if not isinstance(states, dict) or not states:
        invalid("States must be an object that is not empty", path)
    check_target(program["StartAt"], set(states), f"{path}/StartAt")
    for name, state in states.items():
        check_state(name, state, f"{path}/States/{name}", set(states), seen, express, inside_inline)


def check_definition(text: str) -> None:
    """Raises InvalidDefinition if a definition is wrong, or says something that local AWS does not do."""
    try:
        program = json.loads(text)
    except ValueError as error:
        raise InvalidDefinition(f"Invalid State Machine Definition: 'INVALID_JSON_DESCRIPTION: {error}'")
    check_program(program, "", PROGRAM | {"Version", "TimeoutSeconds"}, set())
    if program.get("Version", "1.0") != "1.0":
        invalid("Version must be 1.0", "/Version")


def find_state(program: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Returns the declaration of a state, at any depth. A name is unique in a definition."""
    states = program["States"]
    if name in states:
        return states[name]
    for state in states.values():
        inner = [state[field] for field in ("ItemProcessor", "Iterator") if field in state] + state.get("Branches", [])
        for one in inner:
            found = find_state(one, name)
            if found is not None:
                return found
    return None


def without_comments(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: without_comments(one) for name, one in value.items() if name != "Comment"}
    return [without_comments(one) for one in value] if isinstance(value, list) else value


def for_grammar(program: dict[str, Any]) -> dict[str, Any]:
    """Returns a definition as moto's grammar can read it. It knows comments in some places only, and not all fields of a
    Distributed Map, which map_runs.py reads from the definition itself.
    """
    plain = {name: value for name, value in program.items() if name != "Comment"}
    plain["States"] = {}
    for state_name, state in program["States"].items():
        state = {name: without_comments(value) if name in ("Retry", "Catch", "Choices") else value
                 for name, value in state.items() if name != "Comment"}
        for field in {"ItemProcessor", "Iterator"} & set(state):
            state[field] = for_grammar(state[field])
        if state.get("ItemProcessor", {}).get("ProcessorConfig", {}).get("Mode") == "DISTRIBUTED":
            state["ItemProcessor"]["ProcessorConfig"] = {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
            state = {name: value for name, value in state.items() if name not in DISTRIBUTED | SELECTED}
        if "Branches" in state:
            state["Branches"] = [for_grammar(branch) for branch in state["Branches"]]
        plain["States"][state_name] = state
    return plain
