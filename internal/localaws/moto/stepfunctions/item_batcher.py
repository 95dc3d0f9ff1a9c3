"""ItemBatcher: several items in one child of a Distributed Map. moto does not know the field. A batch ends before it has more
items or more bytes than the state says, and never is larger than the input of an execution may be.
https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itembatcher.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from stepfunctions.exact_json import to_json
from stepfunctions.payload_templates import failed, fill, number

if TYPE_CHECKING:
    from moto.stepfunctions.parser.asl.eval.environment import Environment

INPUT_LIMIT = 256 * 1024


class TooLarge(Exception):
    """The input of a child would be larger than an input may be."""


def size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", errors="replace"))


def single(items: Iterable[Any]) -> Iterator[tuple[str, int]]:
    """Yields the input of a child for each item, and 1, the number of its items."""
    for index, item in enumerate(items):
        text = to_json(item)
        if size(text) > INPUT_LIMIT:
            raise TooLarge(f"item {index} has {size(text)} bytes: the input of a child workflow can have {INPUT_LIMIT}")
        yield text, 1


def batches(items: Iterable[Any], most_items: int | None, most_bytes: int | None, batch_input: Any = None) -> Iterator[tuple[str, int]]:
    """Yields the input of a child for each batch, and the number of its items."""
    start = '{"Items":[' if batch_input is None else '{"BatchInput":' + to_json(batch_input) + ',"Items":['
    limit = min(most_bytes or INPUT_LIMIT, INPUT_LIMIT)
    texts: list[str] = []
    total = empty = size(start) + len("]}")
    for index, item in enumerate(items):
        text = to_json(item)
        length = size(text) + 1  # with its comma
        if texts and (len(texts) == most_items or total + length - 1 > limit):
            yield start + ",".join(texts) + "]}", len(texts)
            texts, total = [], empty
        if total + length - 1 > limit:
            raise TooLarge(f"a batch with item {index} alone has {total + length - 1} bytes: a batch can have {limit}")
        texts.append(text)
        total += length
    if texts:
        yield start + ",".join(texts) + "]}", len(texts)


def child_inputs(env: Environment, declared: dict[str, Any] | None, given: Any, items: Iterable[Any]) -> Iterator[tuple[str, int]]:
    """Yields the input of each child as JSON, and the number of its items. declared is the state's ItemBatcher, if it has one."""
    try:
        if declared is None:
            yield from single(items)
            return
        most_items, most_bytes = (number(declared, name, env, given, whole_from=1) for name in ("MaxItemsPerBatch", "MaxInputBytesPerBatch"))
        batch_input = fill(declared["BatchInput"], env, given) if "BatchInput" in declared else None
        yield from batches(items, most_items and int(most_items), most_bytes and int(most_bytes), batch_input)
    except TooLarge as error:
        raise failed(env, "States.DataLimitExceeded", str(error))
