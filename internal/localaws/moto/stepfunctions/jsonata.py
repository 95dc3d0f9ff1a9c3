"""JSONata in Step Functions. moto evaluates it in a Java program that it does not have. This is the part of the language that
checks and rearranges values: paths with indexes, operators, conditions, variables, arrays, objects, regular expressions, and the
functions in FUNCTIONS. CreateStateMachine refuses the rest: predicates, wildcards, functions of one's own, and other functions.

On AWS an error in any field of a state, also in Output, is one that the Retry and Catch of the state see. moto evaluates Output
after them. https://docs.aws.amazon.com/step-functions/latest/dg/transforming-data.html, https://docs.jsonata.org
"""

from __future__ import annotations

import base64
import decimal
import functools
import json
import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.component.common.catch.catch_outcome import CatchOutcome
from moto.stepfunctions.parser.asl.component.common.error_name.custom_error_name import CustomErrorName
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEvent, FailureEventException
from moto.stepfunctions.parser.asl.component.common.string.string_expression import StringJSONata
from moto.stepfunctions.parser.asl.component.state.exec.execute_state import ExecutionState
from moto.stepfunctions.parser.asl.parse.preprocessor import Preprocessor

from stepfunctions.exact_json import to_json

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment

Node = Callable[[dict[str, Any]], Any]  # evaluates a part of an expression, with the variables that are bound

NOTHING = type("Nothing", (), {"__repr__": lambda self: "nothing"})()  # JSONata's undefined


class JSONataError(ValueError):
    """An expression that cannot be parsed, or not evaluated."""


class Sequence(list):
    """What a path finds in several places. One of a single value is that value, unlike an array."""


def plain(value: Any) -> Any:
    if isinstance(value, Sequence):
        return NOTHING if not value else value[0] if len(value) == 1 else list(value)
    return value


def kind(value: Any) -> str:
    for name, types in (("boolean", bool), ("number", (int, float)), ("string", str), ("array", list), ("object", dict)):
        if isinstance(value, types):
            return name
    return "null" if value is None else "function"


def is_true(value: Any) -> bool:
    return any(map(is_true, value)) if isinstance(value, list) else value is not NOTHING and bool(value)


def same(a: Any, b: Any) -> bool:
    if a is NOTHING or b is NOTHING or kind(a) != kind(b):
        return False
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return a == b


def text(value: Any) -> str:
    return value if isinstance(value, str) else to_json(whole(value))


def whole(value: Any) -> Any:
    """Writes 2.0 as 2 and 2e20 with all its zeros, as JavaScript does: https://tc39.es/ecma262/#sec-numeric-types-number-tostring. From
    1e21 on it writes an exponent. All digits of such a double would be more than the number had."""
    if isinstance(value, list):
        return [whole(one) for one in value]
    if isinstance(value, dict):
        return {name: whole(one) for name, one in value.items()}
    return int(decimal.Decimal(repr(value))) if type(value) is float and value.is_integer() and abs(value) < 1e21 else value


def expect(what: str, types: tuple[str, ...], *values: Any) -> None:
    for value in values:
        if value is not NOTHING and kind(value) not in types:
            raise JSONataError(f"{what} takes {' or '.join(types)}, not {text(value)[:100]}")


def arithmetic(name: str, apply: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def calculate(a: Any, b: Any) -> Any:
        expect(name, ("number",), a, b)
        return NOTHING if a is NOTHING or b is NOTHING else apply(a, b)
    return calculate


def order(name: str, apply: Callable[[Any, Any], bool]) -> Callable[[Any, Any], Any]:
    def compare(a: Any, b: Any) -> Any:
        expect(name, ("number", "string"), a, b)
        if a is NOTHING or b is NOTHING:
            return NOTHING
        expect(name, (kind(a),), b)
        return apply(a, b)
    return compare


def divide(a: Any, b: Any) -> Any:
    if b == 0:
        raise JSONataError("a division by 0")
    return a / b


OPERATORS = {
    "+": (50, arithmetic("+", lambda a, b: a + b)), "-": (50, arithmetic("-", lambda a, b: a - b)),
    "*": (60, arithmetic("*", lambda a, b: a * b)), "/": (60, arithmetic("/", divide)),
    "&": (50, lambda a, b: "".join(text(one) for one in (a, b) if one is not NOTHING)),
    "=": (40, same), "!=": (40, lambda a, b: a is not NOTHING and b is not NOTHING and not same(a, b)),
    "<": (40, order("<", lambda a, b: a < b)), "<=": (40, order("<=", lambda a, b: a <= b)),
    ">": (40, order(">", lambda a, b: a > b)), ">=": (40, order(">=", lambda a, b: a >= b)),
    "and": (30, lambda a, b: is_true(a) and is_true(b)), "or": (25, lambda a, b: is_true(a) or is_true(b)),
}


def of(types: tuple[str, ...], apply: Callable[..., Any]) -> Callable[..., Any]:
    """A function whose first argument has one of these types. It gives nothing for nothing."""
    def call(*arguments: Any) -> Any:
        expect("the function", types, *arguments[:1])
        return NOTHING if NOTHING in arguments[:1] else apply(*arguments)
    return call


def of_numbers(apply: Callable[[list[Any]], Any]) -> Callable[[Any], Any]:
    def call(values: Any) -> Any:
        values = values if isinstance(values, list) else [] if values is NOTHING else [values]
        expect("the function", ("number",), *values)
        return apply(values) if values else NOTHING
    return call


def fail(message: Any = "$error() function evaluated") -> Any:
    raise JSONataError(text(message))


def contains(value: str, part: Any) -> bool:
    expect("$contains", ("string", "function"), part)  # a regular expression is a function
    return part in value if isinstance(part, str) else part.search(value) is not None


FUNCTIONS = {
    "$type": lambda value: NOTHING if value is NOTHING else kind(value),
    "$exists": lambda value: value is not NOTHING,
    "$not": lambda value: NOTHING if value is NOTHING else not is_true(value),
    "$count": lambda value: len(value) if isinstance(value, list) else 0 if value is NOTHING else 1,
    "$sum": of_numbers(sum), "$min": of_numbers(min), "$max": of_numbers(max),
    "$floor": of(("number",), math.floor), "$ceil": of(("number",), math.ceil),
    "$length": of(("string",), len),
    "$contains": of(("string",), contains),
    "$string": lambda value: NOTHING if value is NOTHING else text(value),
    "$base64encode": of(("string",), lambda value: base64.b64encode(value.encode()).decode()),
    "$error": fail,
}

TOKEN = re.compile(r"""\s*(?:(?P<number>\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
    |(?P<variable>\$\w+)|(?P<name>[A-Za-z_]\w*)|(?P<symbol>:=|!=|<=|>=|[-=<>+*/&?:;,.()\[\]{}])|(?P<end>$))""", re.VERBOSE)
REGEX = re.compile(r"\s*/((?:\\.|\[(?:\\.|[^\]\\])*\]|[^\\/\[])+)/([im]*)")
WORDS = {"true": True, "false": False, "null": None}


def find_name(value: Any, name: str) -> Any:
    if isinstance(value, list):
        found = Sequence()
        for one in value:
            inside = find_name(one, name)
            found.extend(inside if isinstance(inside, list) else [] if inside is NOTHING else [inside])
        return plain(found)
    return value.get(name, NOTHING) if isinstance(value, dict) else NOTHING


def pick(value: Any, index: Any) -> Any:
    values = value if isinstance(value, list) else [] if value is NOTHING else [value]
    at = math.floor(index) + (len(values) if index < 0 else 0)
    return values[at] if 0 <= at < len(values) else NOTHING


def follow(value: Any, steps: list[tuple[str, list[Any]]]) -> Any:
    """Follows a path. A step from several places finds what is at each of them, in one list."""
    if value is NOTHING:
        return NOTHING
    places = value if isinstance(value, list) else [value]
    for number, (name, indexes) in enumerate(steps):
        found = []
        for place in places:
            result = find_name(place, name)
            for index in indexes:
                result = pick(result, index)
            if result is not NOTHING:
                found.append(result)
        if number == len(steps) - 1 and len(found) == 1 and isinstance(found[0], list):
            return found[0]  # an array stays one, even with a single element
        places = Sequence()
        for result in found:
            places.extend(result if isinstance(result, list) else [result])
    return plain(places)


def bind(name: str, node: Node, scope: dict[str, Any]) -> Any:
    scope[name] = node(scope)
    return scope[name]


class Parser:
    """Parses by the binding power of operators."""

    def __init__(self, source: str) -> None:
        self.source, self.at = source, 0
        self.kind = self.token = ""
        self.advance()

    def advance(self) -> str:
        before, found = self.token, TOKEN.match(self.source, self.at)
        if not found:
            raise JSONataError(f"local AWS does not know the JSONata at {self.source[self.at:self.at + 40]!r}")
        self.start, self.at, self.kind = self.at, found.end(), found.lastgroup or ""
        self.token = found.group(self.kind)
        return before

    def skip(self, symbol: str) -> None:
        if self.kind != "symbol" or self.token != symbol:
            raise JSONataError(f"expected {symbol!r} and found {self.token!r} in the JSONata {self.source!r}")
        self.advance()

    def has(self, *symbols: str) -> bool:
        return self.kind == "symbol" and self.token in symbols

    def whole(self) -> Node:
        node = self.expression(0)
        if self.kind != "end":
            raise JSONataError(f"local AWS does not know what {self.token!r} means in the JSONata {self.source!r}")
        return node

    def expression(self, power: int) -> Node:
        left = self.operand()
        while self.kind in ("symbol", "name"):
            if self.token in OPERATORS and OPERATORS[self.token][0] > power:
                binding, apply = OPERATORS[self.advance()]
                left = functools.partial(lambda a, b, apply, scope: apply(a(scope), b(scope)), left, self.expression(binding), apply)
            elif self.has("?") and power < 20:
                self.advance()
                yes = self.expression(0)
                self.skip(":")
                no = self.expression(0)
                left = functools.partial(lambda test, yes, no, scope: (yes if is_true(test(scope)) else no)(scope), left, yes, no)
            else:
                break
        return left

    def operand(self) -> Node:
        node = self.primary()
        steps, first = [], []
        while self.has(".", "["):
            if self.advance() == ".":
                if self.kind != "name":
                    raise JSONataError(f"local AWS knows only names after a point, not {self.token!r}, in the JSONata {self.source!r}")
                steps.append((self.advance(), []))
            else:
                sign = "-" if self.has("-") and self.advance() else ""
                if self.kind != "number":
                    raise JSONataError(f"local AWS knows only numbers in [], not {self.token!r}, in the JSONata {self.source!r}")
                (steps[-1][1] if steps else first).append(json.loads(sign + self.advance()))
                self.skip("]")
        if not steps and not first:
            return node
        return lambda scope: follow(functools.reduce(pick, first, node(scope)), steps)

    def primary(self) -> Node:
        if self.kind == "symbol" and self.token == "/":
            return self.regex()
        if self.has("-"):
            self.advance()
            operand = self.expression(70)
            return lambda scope: OPERATORS["-"][1](0, operand(scope))
        if self.has("("):
            return self.block()
        if self.has("["):
            return self.array()
        if self.has("{"):
            return self.object()
        kind, token = self.kind, self.advance()
        if kind == "number":
            return lambda scope: json.loads(token)
        if kind == "string":
            value = json.loads(strict=False, s=token if token[0] == '"' else '"' + token[1:-1].replace("\\'", "'").replace('"', '\\"') + '"')
            return lambda scope: value
        if kind == "name" and token in WORDS:
            return lambda scope: WORDS[token]
        if kind == "variable" and self.has("("):
            return self.call(token)
        if kind == "variable" and self.has(":="):
            self.advance()
            return functools.partial(bind, token, self.expression(10))
        if kind == "variable":
            return lambda scope: scope.get(token, NOTHING)
        raise JSONataError(f"local AWS does not know what {token!r} means in the JSONata {self.source!r}")

    def regex(self) -> Node:
        found = REGEX.match(self.source, self.start)
        if not found:
            raise JSONataError(f"no regular expression at {self.source[self.start:self.start + 40]!r}")
        self.at = found.end()
        self.advance()
        # In JavaScript, $ is the very end. In Python it is also before a last line break.
        pattern = re.sub(r"\\.|\[(?:\\.|[^\]\\])*\]|\$", lambda part: r"\Z" if part.group() == "$" else part.group(), found.group(1))
        compiled = re.compile(pattern, re.IGNORECASE if "i" in found.group(2) else 0)
        return lambda scope: compiled

    def several(self, end: str, separator: str) -> list[Node]:
        self.advance()
        nodes = []
        while not self.has(end):
            nodes.append(self.expression(0))
            if not self.has(end):
                self.skip(separator)
        self.advance()
        return nodes

    def block(self) -> Node:
        nodes = self.several(")", ";")

        def evaluate(scope: dict[str, Any]) -> Any:
            inner, value = dict(scope), NOTHING
            for node in nodes:
                value = node(inner)
            return value
        return evaluate

    def array(self) -> Node:
        nodes = []
        self.advance()
        while not self.has("]"):
            nested = self.has("[")
            nodes.append((self.expression(0), nested))
            if not self.has("]"):
                self.skip(",")
        self.advance()

        def evaluate(scope: dict[str, Any]) -> Any:
            values = []
            for node, nested in nodes:
                value = node(scope)
                if value is not NOTHING:
                    values.extend(value if isinstance(value, list) and not nested else [value])
            return values
        return evaluate

    def object(self) -> Node:
        pairs = []
        self.advance()
        while not self.has("}"):
            name = self.expression(0)
            self.skip(":")
            pairs.append((name, self.expression(0)))
            if not self.has("}"):
                self.skip(",")
        self.advance()

        def evaluate(scope: dict[str, Any]) -> Any:
            made = {}
            for name, node in pairs:
                key, value = name(scope), node(scope)
                expect("a name in an object", ("string",), key)
                if value is not NOTHING:
                    made[key] = value
            return made
        return evaluate

    def call(self, name: str) -> Node:
        if name not in FUNCTIONS:
            raise JSONataError(f"local AWS does not have the function {name} of JSONata: it has {', '.join(sorted(FUNCTIONS))}")
        arguments = self.several(")", ",")

        def evaluate(scope: dict[str, Any]) -> Any:
            try:
                return FUNCTIONS[name](*(argument(scope) for argument in arguments))
            except TypeError as error:
                raise JSONataError(f"{name}: {error}") from error
        return evaluate


@functools.lru_cache(maxsize=200)
def parsed(expression: str) -> Node:
    return Parser(expression).whole()


def evaluate(expression: str, variables: dict[str, Any]) -> Any:
    """Returns the value of an expression. It raises JSONataError for one that has none."""
    value = parsed(expression)(dict(variables))
    if value is NOTHING:
        raise JSONataError(f"The JSONata expression '{expression}' returned nothing (undefined).")
    if kind(value) == "function":
        raise JSONataError(f"The JSONata expression '{expression}' returned an unsupported result type.")
    return whole(value)


def evaluate_field(self: StringJSONata, env: Environment) -> None:
    """Replaces StringJSONata._eval_body."""
    variables = {"$" + name: value for name, value in (env.variable_store._outer_scope | env.variable_store._inner_scope).items()}
    try:
        env.stack.append(evaluate(self.expression, variables | {"$states": env.states._states_data}))
    except JSONataError as error:
        details = {"error": "States.QueryEvaluationError", "cause": str(error)}
        if env.next_state_name:
            details["state"] = env.next_state_name
        raise FailureEventException(FailureEvent(
            env=env, error_name=CustomErrorName(details["error"]), event_type=HistoryEventType.EvaluationFailed,
            event_details={"evaluationFailedEventDetails": details})) from error


def fill_jsonata() -> None:
    make, attempt, leave = StringJSONata.__init__, ExecutionState._evaluate_with_timeout, ExecutionState._eval_state_output

    def make_and_parse(self: StringJSONata, expression: str) -> None:
        make(self, expression)
        parsed(self.expression)

    def attempt_with_output(self: ExecutionState, env: Environment) -> None:
        depth = len(env.stack)
        try:
            attempt(self, env)
            if self.output:
                self.output.eval(env=env)
        except Exception:
            del env.stack[depth:]
            raise

    def leave_with_output(self: ExecutionState, env: Environment) -> None:
        if not self.output or isinstance(env.stack[-1], CatchOutcome):
            leave(self, env)

    def make_with_scopes(self: Preprocessor) -> None:
        self._query_language_per_scope = []  # moto's is one list for all definitions, which are parsed by several threads

    Preprocessor.__init__ = make_with_scopes
    StringJSONata.__init__ = make_and_parse
    StringJSONata._eval_body = evaluate_field
    ExecutionState._evaluate_with_timeout = attempt_with_output
    ExecutionState._eval_state_output = leave_with_output
