"""Filter patterns of CloudWatch Logs: terms, and conditions on JSON. moto knows terms only, and finds everything with a pattern that
it does not know. Patterns of space-delimited events, `[ip, user, ...]`, are refused here.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

import functools
import json
import operator
import re
from collections.abc import Callable
from typing import Any

Test = Callable[[Any], bool]
TERM = re.compile(r'\s*([?-]?)(?:"((?:[^"\\]|\\.)*)"|%((?:[^%\\]|\\.)*)%|(\w+))(?=\s|$)')
TOKEN = re.compile(r'\s*(?:(?P<selector>\$[^\s=!<>()&|]*)|(?P<operator>&&|\|\||!=|<=|>=|[=<>()])|"(?P<text>(?:[^"\\]|\\.)*)"'
                   r'|%(?P<regex>(?:[^%\\]|\\.)*)%|(?P<word>[^\s=!<>()&|"%]+))')
STEP = re.compile(r'\.([\w-]+)|\[(\d+|\*)\]|\[["\']([^"\']+)["\']\]|\.\[["\']([^"\']+)["\']\]')
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
REGEX = re.compile(r"(?:[\w:#=@/;,\-^$?\[\]{}|*+. ]|\\[dDsSwW]|\\x[0-9a-fA-F]{2}|\\[^\w\s])*", re.ASCII)
COMPARISONS = {"=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class InvalidPattern(ValueError):
    """Why a filter pattern cannot be used."""


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def searching(regex: str) -> Callable[[str], bool]:
    if not REGEX.fullmatch(regex):
        raise InvalidPattern(f"the regular expression %{regex}% has something that CloudWatch Logs does not support")
    try:
        compiled = re.compile(regex, re.ASCII)
    except re.error as error:
        raise InvalidPattern(f"the regular expression %{regex}% is invalid: {error}")
    return lambda text: compiled.search(text) is not None


def terms(pattern: str) -> Test:
    """Terms: all of them, none of those with a minus, or any of those with a question mark."""
    wanted, excluded, optional, at = [], [], [], 0
    while pattern[at:].strip():
        match = TERM.match(pattern, at)
        if match is None:
            raise InvalidPattern("a term with other characters than letters, digits and _ must be in double quotes")
        sign, quoted, regex, word = match.groups()
        term = unescaped(quoted) if quoted is not None else word
        test = searching(regex) if regex is not None else contains(term)
        {"": wanted, "-": excluded, "?": optional}[sign].append(test)
        at = match.end()
    if optional and not wanted and not excluded:
        return lambda line: any(test(line) for test in optional)
    # AWS ignores terms with a question mark beside others.
    return lambda line: all(test(line) for test in wanted) and not any(test(line) for test in excluded)


def contains(term: str) -> Callable[[str], bool]:
    return lambda text: term in text


def values_at(document: Any, steps: list[str | int]) -> list[Any]:
    """Returns what a selector finds: nothing, a value, or several of an array with [*]."""
    found = [document]
    for step in steps:
        following = []
        for one in found:
            if step == "*":
                following += one if isinstance(one, list) else []
            elif isinstance(step, int):
                following += one[step: step + 1] if isinstance(one, list) else []
            elif isinstance(one, dict) and step in one:
                following.append(one[step])
        found = following
    return found


def selector(text: str) -> list[str | int]:
    steps, at = [], 1
    while at < len(text):
        match = STEP.match(text, at)
        if match is None:
            raise InvalidPattern(f"the selector {text} is invalid")
        name, index, quoted, dotted = match.groups()
        steps.append(name or quoted or dotted or ("*" if index == "*" else int(index)))
        at = match.end()
    if not steps:
        raise InvalidPattern("a selector must name a property: $.name")
    return steps


class Conditions:
    """Reads the conditions of a JSON pattern."""

    def __init__(self, text: str) -> None:
        self.tokens, at = [], 0
        while text[at:].strip():
            match = TOKEN.match(text, at)
            if match is None:
                raise InvalidPattern(f"cannot be read from: {text[at:].strip()}")
            self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            at = match.end()
        self.at = 0

    def next(self) -> tuple[str | None, str]:
        token = self.tokens[self.at] if self.at < len(self.tokens) else (None, "")
        self.at += 1
        return token

    def found(self, sign: str) -> bool:
        if self.at < len(self.tokens) and self.tokens[self.at] == ("operator", sign):
            self.at += 1
            return True
        return False

    def read(self) -> Test:
        test = self.alternatives()
        if self.at < len(self.tokens):
            raise InvalidPattern(f"cannot be read from: {self.tokens[self.at][1]}")
        return test

    def alternatives(self) -> Test:
        tests = [self.conjunction()]
        while self.found("||"):
            tests.append(self.conjunction())
        return lambda document: any(test(document) for test in tests)

    def conjunction(self) -> Test:
        tests = [self.condition()]
        while self.found("&&"):
            tests.append(self.condition())
        return lambda document: all(test(document) for test in tests)

    def condition(self) -> Test:
        if self.found("("):
            test = self.alternatives()
            if not self.found(")"):
                raise InvalidPattern("a ) is missing")
            return test
        kind, text = self.next()
        if kind != "selector":
            raise InvalidPattern("a condition must begin with a selector: $.name")
        steps = selector(text)
        kind, sign = self.next()
        if kind == "word":
            return self.state(steps, sign.upper(), self.next()[1].upper())
        if sign not in COMPARISONS:
            raise InvalidPattern(f"{sign or 'the end'} must be a comparison")
        return self.comparison(steps, sign, *self.next())

    def state(self, steps: list[str | int], first: str, second: str) -> Test:
        tests = {
            "IS NULL": lambda document: any(one is None for one in values_at(document, steps)),
            "IS TRUE": lambda document: any(one is True for one in values_at(document, steps)),
            "IS FALSE": lambda document: any(one is False for one in values_at(document, steps)),
            "NOT EXISTS": lambda document: not values_at(document, steps),
        }
        if f"{first} {second}" not in tests:
            raise InvalidPattern(f"{first} {second} must be one of {', '.join(tests)}")
        return tests[f"{first} {second}"]

    def comparison(self, steps: list[str | int], sign: str, kind: str | None, value: str) -> Test:
        compare = COMPARISONS[sign]
        if kind == "word" and NUMBER.fullmatch(value):
            number = float(value)
            return lambda document: any(
                isinstance(one, (int, float)) and not isinstance(one, bool) and compare(one, number) for one in values_at(document, steps))
        if kind not in ("word", "text", "regex") or sign not in ("=", "!="):
            raise InvalidPattern(f"{sign} {value}: must compare with a number, or with = or != with a text")
        matches = searching(value) if kind == "regex" else wildcard(unescaped(value) if kind == "text" else value)
        return lambda document: any(isinstance(one, str) and matches(one) is (sign == "=") for one in values_at(document, steps))


def wildcard(text: str) -> Callable[[str], bool]:
    compiled = re.compile(".*".join(map(re.escape, text.split("*"))), re.DOTALL)
    return lambda found: compiled.fullmatch(found) is not None


def on_json(test: Test) -> Test:
    def matches(line: str) -> bool:
        try:
            document = json.loads(line)
        except ValueError:
            return False
        return isinstance(document, (dict, list)) and test(document)

    return matches


@functools.lru_cache(maxsize=100)
def filter_of(pattern: str) -> Callable[[str], bool]:
    """Returns whether a line matches a pattern, as a function."""
    pattern = pattern.strip()
    if pattern.startswith("{"):
        if not pattern.endswith("}"):
            raise InvalidPattern("a pattern that begins with { must end with }")
        return on_json(Conditions(pattern[1:-1]).read())
    if pattern.startswith("["):
        raise InvalidPattern("local AWS does not do patterns of space-delimited events")
    return terms(pattern)
