"""DynamoDB's UpdateItem, made fast. moto parses the expressions of an update four times, walks through their trees hundreds of
times, and needs Flask to route the call: 4 ms, which is most of the time of a run with many events. Here an update is done
at once if its expressions are plain: it sets attributes to values or keeps existing ones, on conditions that an attribute
does not exist OR has a value. Keys and conditions must be plain too: texts and whole numbers, far from every limit. moto does all
other updates, and values.py checks them.

A map, such as the payload of an event, is kept as JSON until something needs its parts: moto's objects for a payload of 200 bytes
take 3 KB, which are gigabytes for a million events.
"""

from __future__ import annotations

import copy
import functools
import json
import re
import zlib
from typing import Any

from moto.dynamodb.models import DynamoDBBackend, dynamodb_backends
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

from clients import ACCOUNT_ID
from dynamodb.values import check_value

TARGET = "DynamoDB_20120810.UpdateItem"
PARTS = {"TableName", "Key", "UpdateExpression", "ConditionExpression", "ExpressionAttributeNames", "ExpressionAttributeValues"}
SETS = re.compile(r"(#?\w+) = (?:if_not_exists\((#?\w+), (:\w+)\)|(:\w+))(?:, |$)")
HOLDS = re.compile(r"(?:attribute_not_exists\((#?\w+)\)|(#?\w+) = (:\w+))(?: OR |$)")
MOST_DIGITS = 37  # of a number that needs no check and that DynamoDB keeps as it is
MOST_TEXT = 1000  # characters of a key, or of an attribute that is kept
MOST_REQUEST = 300_000  # bytes: an item has fewer, and may have 400 KB
REGION = re.compile(r"Credential=[^/]+/\d+/([^/]+)/")
REFUSED = {"__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException", "message": "The conditional request failed"}


def matches(pattern: re.Pattern[str], text: str) -> list[tuple[str | None, ...]] | None:
    """Returns what a pattern finds in a text, or None if the text has anything else."""
    found, at = [], 0
    while at < len(text):
        match = pattern.match(text, at)
        if match is None or text.endswith(" "):
            return None
        found.append(match.groups())
        at = match.end()
    return found


class PackedMap(DynamoType):
    """A map as JSON, until its value is needed."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.type, self.packed, self.unpacked = "M", json.dumps(content, separators=(",", ":")).encode(), None

    @property
    def value(self) -> dict[str, DynamoType]:
        if self.unpacked is None:
            self.unpacked, self.packed = {name: DynamoType(one) for name, one in json.loads(self.packed).items()}, None
        return self.unpacked

    def copied(self) -> DynamoType:
        return DynamoType({"M": json.loads(self.packed) if self.unpacked is None else self.unpacked})

    def __deepcopy__(self, memo: dict[int, Any]) -> DynamoType:
        return copy.deepcopy(self.copied(), memo)

    def size(self) -> int:
        return self.copied().size()

    def to_json(self) -> dict[str, Any]:
        return {"M": json.loads(self.packed)} if self.unpacked is None else super().to_json()

    def to_regular_json(self) -> dict[str, Any]:
        return {"M": json.loads(self.packed)} if self.unpacked is None else super().to_regular_json()


@functools.lru_cache(maxsize=100)
def plain(
    update: str, condition: str, names: tuple[tuple[str, str], ...] = (),
) -> tuple[list[tuple[str, ...]], list[tuple[str, ...]], set[str]] | None:
    """Returns [(name, name to keep, value)], [(missing name, name, value)] and the values used, or None if the expressions are not plain."""
    sets, holds = matches(SETS, update[4:]) if update.startswith("SET ") else None, matches(HOLDS, condition)
    if not sets or holds is None:
        return None
    named = {name for one in sets for name in one[:2] if name} | {name for one in holds for name in one[:2] if name}
    meant = {name: name for name in named if not name.startswith("#")}
    reserved = set(ReservedKeywords.get_reserved_keywords())
    if any(name.upper() in reserved for name in meant) or named - meant.keys() != {name for name, _ in names}:
        return None
    meant.update(names)
    sets = [(meant[name], meant.get(kept), value or fallback) for name, kept, fallback, value in sets]
    holds = [(meant.get(missing), meant.get(name), value) for missing, name, value in holds]
    if len({one[0] for one in sets}) < len(sets):
        return None
    return sets, holds, {one[2] for one in sets + holds if one[2]}


def is_plain(value: Any) -> bool:
    """Whether a value is a text or a whole number from 0."""
    if len(value) != 1:
        return False
    if "S" in value:
        return type(value["S"]) is str
    number = value.get("N")
    return (type(number) is str and number.isdigit() and number.isascii() and len(number) <= MOST_DIGITS
            and (number[0] != "0" or number == "0"))


@functools.lru_cache(maxsize=1000)
def shared(kind: str, text: str) -> DynamoType:
    """Returns a text or a number, of which all items with the same one have one object. Nothing changes it."""
    return DynamoType({kind: text})


def typed(value: dict[str, Any]) -> DynamoType:
    """Returns a value that is set. It raises what DynamoDB answers if it is invalid."""
    if is_plain(value):
        return shared(*next(iter(value.items())))
    check_value(value)
    return PackedMap(value["M"]) if "M" in value else DynamoType(value)


def plain_update(self: DynamoDBBackend, body: dict[str, Any]) -> bool | None:
    """Does an update if it is plain. Returns whether its condition was true, or None if it is not plain."""
    table, key, values = self.tables.get(body.get("TableName")), body.get("Key"), body.get("ExpressionAttributeValues", {})
    parsed = plain(body.get("UpdateExpression", ""), body.get("ConditionExpression", ""), tuple(body.get("ExpressionAttributeNames", {}).items()))
    if table is None or parsed is None or not PARTS.issuperset(body) or table.stream_shard or table.all_indexes():
        return None
    sets, holds, used = parsed
    kinds = {table.hash_key_attr: table.hash_key_type, table.range_key_attr: table.range_key_type}
    if {name: next(iter(value), None) for name, value in key.items()} != kinds or used != set(values):
        return None
    compared = [values[one[2]] for one in holds if one[2]]
    if not all(map(is_plain, compared)) or not all(map(is_plain, key.values())) or any(one[0] in key for one in sets):
        return None
    if not all(0 < len(text) <= MOST_TEXT for value in key.values() for text in value.values()):
        return None
    hash_key, range_key = DynamoType(key[table.hash_key_attr]), DynamoType(key[table.range_key_attr])
    item = table.get_item(hash_key, range_key)
    there = item.attrs if item else {}
    if not there.keys() <= kinds.keys() | {one[0] for one in sets}:
        return None  # such an item could become too large
    for _, name, _ in sets:
        if name in there and (there[name].type not in ("N", "S") or len(there[name].value) > MOST_TEXT):
            return None
    given = {name: typed(value) for name, value in values.items()}
    if holds and not any(missing not in there if missing else name in there and there[name] == given[value]
                         for missing, name, value in holds):
        return False
    new = {name: there.get(kept, given[value]) if kept else given[value] for name, kept, value in sets}
    if item is None:
        item = table.put_item(key)
    dict.update(item.attrs, new)  # moto adds up the item's size for each attribute; here it is at most the request's
    return True


def answer_update(authorization: str, request: bytes) -> tuple[str, list[tuple[str, str]], bytes] | None:
    """Returns status line, headers and body for a plain UpdateItem, or None for any other."""
    region = REGION.search(authorization)
    if region is None:
        return None
    if len(request) > MOST_REQUEST:
        return None
    try:
        held = dynamodb_backends[ACCOUNT_ID][region.group(1)].plain_update(json.loads(request))
    except Exception:
        return None  # moto answers what is wrong
    if held is None:
        return None
    answer = b"{}" if held else json.dumps(REFUSED).encode()
    # A test reads the last header.
    headers = [("Content-Type", "application/x-amz-json-1.0"), ("X-Amz-Crc32", str(zlib.crc32(answer))), ("X-Carnation-At-Once", "true")]
    return "200 OK" if held else "400 Bad Request", headers, answer


def fill_update_item() -> None:
    DynamoDBBackend.plain_update = plain_update
    make, to_json = DynamoType.__init__, Item.to_json

    def make_from_any(self: DynamoType, value: DynamoType | dict[str, Any]) -> None:
        make(self, value.copied() if isinstance(value, PackedMap) else value)

    def to_json_of_packed(self: Item, root_attr_name: str = "Attributes") -> dict[str, Any]:
        packed = {name: one.to_json() for name, one in self.attrs.items() if isinstance(one, PackedMap) and one.unpacked is None}
        if not packed:
            return to_json(self, root_attr_name)
        rest = Item(self.hash_key, self.range_key, {name: one for name, one in self.attrs.items() if name not in packed})
        attributes = to_json(rest, root_attr_name)[root_attr_name] | packed
        return {root_attr_name: {name: attributes[name] for name in self.attrs}}

    DynamoType.__init__, Item.to_json = make_from_any, to_json_of_packed
