"""The payload templates of a Distributed Map: ItemSelector, BatchInput, and the parameters of ItemReader and ResultWriter.
moto evaluates a template with a new environment for each item, and copies the Map's whole input into it. For a file with a
million records that takes an hour. Here a template is prepared once, and filled for each item.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.parse.intrinsic.intrinsic_parser import IntrinsicParser
from moto.stepfunctions.parser.asl.utils.json_path import NoSuchJsonPathError

from stepfunctions.engine import copy_json
from stepfunctions.exact_json import to_json
from stepfunctions.jsonpath import extract_json

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment

    # It gets the environment of the state, the state's input, and the context object.
    Filler = Callable[[Environment, Any, dict[str, Any]], Any]

NAMES_ONLY = re.compile(r"\$(?:\.[A-Za-z_]\w*)+")


def failed(env: Environment, error: str, cause: str) -> FailureEventException:
    """Returns the exception that fails a state. Retry and Catch match its error."""
    details = {"taskFailedEventDetails": {"error": error, "cause": cause}}
    return FailureEventException(FailureEvent(env=env, error_name=CustomErrorName(error), event_type=HistoryEventType.TaskFailed,
                                              event_details=details))


def value_at(path: str, data: Any) -> Any:
    """Returns what extract_json does. Names alone need no JSONPath, which takes thirty times as long."""
    if path == "$":
        return data
    if NAMES_ONLY.fullmatch(path):
        found = data
        for name in path.split(".")[1:]:
            if not isinstance(found, dict) or name not in found:
                break
            found = found[name]
        else:
            return found
    return extract_json(path, data)


def value_or_failure(env: Environment, field: str, path: str, data: Any) -> Any:
    try:
        return value_at(path, data)
    except NoSuchJsonPathError:
        # AWS documents States.ParameterPathFailure for this, and fails with States.Runtime:
        # https://github.com/localstack/localstack/issues/11951
        raise failed(env, "States.Runtime", f"The JSONPath '{path}' specified for the field '{field}' "
                                            f"could not be found in the input '{to_json(data)}'")


def in_context(path: str) -> str | None:
    """Returns the path inside the context object if that is where a path points."""
    return path[1:] if path.startswith("$$") else None


def path_filler(field: str, path: str) -> Filler:
    context_path = in_context(path)
    if context_path is not None:
        return lambda env, given, context: value_or_failure(env, field, context_path, context)
    return lambda env, given, context: value_or_failure(env, field, path, given)


def intrinsic_filler(text: str) -> Filler:
    function, _ = IntrinsicParser.parse(text)

    def fill(env: Environment, given: Any, context: dict[str, Any]) -> Any:
        frame = env.open_inner_frame()
        try:
            frame.states.context_object.context_object_data.update(context)
            frame.states._states_data["input"] = given
            frame.stack.append(given)
            try:
                function.eval(frame)
            except FailureEventException:
                raise
            except NoSuchJsonPathError as missing:
                raise failed(env, "States.Runtime", str(missing))
            except Exception as error:
                raise failed(env, "States.IntrinsicFailure", f"The function '{text}' had the following error: {error}")
            return frame.stack[-1]
        finally:
            env.delete_frame(frame)

    return fill


@functools.lru_cache(maxsize=500)
def expression_filler(field: str, text: str) -> Filler:
    return intrinsic_filler(text) if text.startswith("States.") else path_filler(field, text)


def template_filler(template: Any) -> Filler:
    """Returns the function that fills a template. What it returns may share parts with the state's input."""
    if isinstance(template, dict):
        fillers = [(name[:-2], expression_filler(name, value)) if name.endswith(".$") else (name, template_filler(value))
                   for name, value in template.items()]
        return lambda env, given, context: {name: filler(env, given, context) for name, filler in fillers}
    if isinstance(template, list):
        fillers = [template_filler(value) for value in template]
        return lambda env, given, context: [filler(env, given, context) for filler in fillers]
    return lambda env, given, context: template


def fill(template: Any, env: Environment, given: Any) -> Any:
    """Fills a template that is needed once."""
    return copy_json(template_filler(template)(env, given, env.states.context_object.context_object_data))


def number(declared: dict[str, Any], name: str, env: Environment, given: Any, whole_from: int | None = None) -> float | None:
    """Returns a number that a field gives, such as MaxItems, or that the field with Path after its name points to. If there is a
    whole_from, it must be an integer from there.
    """
    if name in declared:
        return declared[name]
    field = name + "Path"
    if field not in declared:
        return None
    path = declared[field]
    value = expression_filler(field, path)(env, given, env.states.context_object.context_object_data)
    if isinstance(value, str) and re.fullmatch(r"\d+(\.\d+)?", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value < (whole_from or 0) \
            or whole_from is not None and value != int(value):
        raise failed(env, "States.Runtime", f'The {field} field refers to value "{to_json(value)}" which is not a valid number: {path}')
    return value
