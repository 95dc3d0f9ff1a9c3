"""JSON whose numbers keep all their digits. Python's json keeps those of integers, and makes a double of any other number: of
12345678901234567890.5 it keeps 17 digits, and of 1E400 infinity, which is not JSON. The data of states passes here many times. What a
double holds stays a plain float, which costs nothing. What it does not hold is a float that also knows its text.

AWS documents numbers as doubles (https://states-language.net/spec.html#data), and may change digits that come after the 15th.
"""

from __future__ import annotations

import decimal
import json
import sys
import uuid
from typing import Any

MOST_DIGITS = 300_000  # of an integer: more than a state can have, and few enough that Python can read and write them in a second
SURE = 16  # characters: 15 digits and a point are always kept
MARK = uuid.uuid4().hex  # around the text of a number, where the encoder wants a string

seen = False  # whether there ever was an exact number: until then, no value has to be searched for one


class ExactNumber(float):
    """A number with more digits, or a larger exponent, than a double has."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> ExactNumber:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return ExactNumber, (self.text,)

    def __copy__(self) -> ExactNumber:
        return self

    def __deepcopy__(self, memo: Any) -> ExactNumber:
        return self


def number_of(text: str) -> float:
    """Returns a number of JSON that is not an integer."""
    global seen
    value = float(text)
    if len(text) <= SURE and "e" not in text and "E" not in text:
        return value
    try:
        if decimal.Decimal(text) == decimal.Decimal(repr(value)):
            return value
    except decimal.InvalidOperation:
        pass  # an exponent that is too large for a decimal, too
    seen = True
    return ExactNumber(text)


DECODER = json.JSONDecoder(parse_float=number_of)


def other_type(value: Any) -> Any:
    if isinstance(value, Exact):
        return value.marked
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class Exact:
    """Stands for an exact number while it is encoded."""

    def __init__(self, text: str) -> None:
        self.marked = MARK + text + MARK


def with_marks(value: Any) -> Any:
    """Returns a value in which something stands for each exact number, or the value itself if it has none."""
    kind = type(value)
    if kind is dict:
        changed = {name: marked for name, one in value.items() if (marked := with_marks(one)) is not one}
        return {**value, **changed} if changed else value
    if kind is list:
        marked = [with_marks(one) for one in value]
        return marked if any(a is not b for a, b in zip(marked, value)) else value
    return Exact(value.text) if kind is ExactNumber else value


def to_json(value: Any, separators: Any = None) -> str:
    """Returns JSON as AWS writes it into histories and strings: compact, without escapes for characters."""
    marked = with_marks(value) if seen else value
    text = json.dumps(marked, default=other_type, ensure_ascii=False, separators=(",", ":"))
    return text.replace(f'"{MARK}', "").replace(f'{MARK}"', "") if marked is not value else text


def fill_exact_json() -> None:
    json._default_decoder = DECODER  # of json.loads
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(MOST_DIGITS)
