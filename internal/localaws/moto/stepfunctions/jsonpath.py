"""JSONPath and States.Format in Step Functions. On AWS, a path that can name only one place gives its value, and any other path
gives a list, which may be empty. moto decides by the number of matches: `$.a[0].b` gives a list of one value, and
`$[*].a[*]` over nothing is an error. It also makes a parser for every path, which takes 25 ms. In a format, AWS reads `\\{`
as a brace. moto takes it for a field of Python's str.format, and keeps the backslash as JSON has it, which is twice.
"""

from __future__ import annotations

import functools
import re
import threading
from typing import TYPE_CHECKING, Any

import jsonpath_ng
from jsonpath_ng.ext.parser import ExtendedJsonPathParser
from moto.stepfunctions.parser.asl.component.common.path import result_path
from moto.stepfunctions.parser.asl.component.intrinsic.function.statesfunction.generic.string_format import StringFormat
from moto.stepfunctions.parser.asl.utils import json_path

from patching import replace_in_engine
from stepfunctions.exact_json import ExactNumber, to_json

if TYPE_CHECKING:
    from jsonpath_ng import JSONPath
    from moto.stepfunctions.parser.asl.eval.environment import Environment

PATHS = {}
PATHS_LOCK = threading.Lock()


@functools.cache
def parser() -> ExtendedJsonPathParser:
    return ExtendedJsonPathParser()


def parsed_path(path: str) -> tuple[JSONPath, JSONPath | None]:
    """Returns a parsed path and its one_place_part. The lock is there because all workers of a Map would parse a new path at once, with one parser."""
    if path not in PATHS:
        with PATHS_LOCK:
            if path not in PATHS:
                expression = parser().parse(path)
                PATHS[path] = expression, one_place_part(expression)
    return PATHS[path]


def names_one_place(expression: JSONPath) -> bool:
    if isinstance(expression, jsonpath_ng.Child):
        return names_one_place(expression.left) and names_one_place(expression.right)
    if isinstance(expression, jsonpath_ng.Fields):
        return len(expression.fields) == 1 and expression.fields[0] != "*"
    if isinstance(expression, jsonpath_ng.Index):
        return len(getattr(expression, "indices", (0,))) == 1
    return isinstance(expression, (jsonpath_ng.Root, jsonpath_ng.This))


def one_place_part(expression: JSONPath) -> JSONPath | None:
    """Returns the longest beginning of a path that names one place. That place must exist, even if what follows matches nothing."""
    while not names_one_place(expression):
        if not isinstance(expression, jsonpath_ng.Child):
            return None
        expression = expression.left
    return expression


def extract_json(path: str, data: Any) -> Any:
    expression, beginning = parsed_path(path)
    matches = expression.find(data)
    if beginning is expression:
        if not matches:
            raise json_path.NoSuchJsonPathError(json_path=path, data=data)
        return matches[0].value
    if not matches and beginning is not None and not beginning.find(data):
        raise json_path.NoSuchJsonPathError(json_path=path, data=data)
    return [match.value for match in matches]


def eval_format(self: StringFormat, env: Environment) -> None:
    self.argument_list.eval(env=env)
    text, *values = env.stack.pop()
    parts = [re.sub(r"\\+([{}'])", r"\1", part) for part in text.split("{}")]
    if len(parts) != len(values) + 1:
        raise ValueError(f"States.Format has {len(values)} values for the {len(parts) - 1} places of {text!r}")
    written = (to_json(value) if isinstance(value, ExactNumber) else self._to_str_repr(value) for value in values)
    env.stack.append(parts[0] + "".join(value + part for value, part in zip(written, parts[1:])))


def fill_jsonpath() -> None:
    replace_in_engine("extract_json", extract_json)
    StringFormat._eval_body = eval_format
    result_path.parse = lambda path: parsed_path(path)[0]
