"""DynamoDB's checks of values, keys and sizes. moto keeps a number as the text that was sent, takes any text for a number, fails on
a key that is no number, counts an item's size its own way, and leaves half of an update behind when the item becomes too large.
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

from __future__ import annotations

import copy
import decimal
import functools
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from moto.dynamodb.exceptions import (
    DynamodbException,
    ItemSizeTooLarge,
    ItemSizeToUpdateTooLarge,
    KeyIsEmptyStringException,
    MockValidationException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, LimitedSizeDict
from moto.dynamodb.models.table import Table
from moto.dynamodb.responses import DynamoHandler

if TYPE_CHECKING:
    from moto.dynamodb.models.dynamo_type import Item

MOST_BYTES = 400 * 1024  # of an item
MOST_DIGITS = 38
MOST_LEVELS = 32
MOST_OF_EXPRESSION = 4096
KEY_BYTES = {"HASH": 2048, "RANGE": 1024}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)
EXACT = decimal.Context(prec=300, Emax=9999, Emin=-9999)
SETS = {"SS": "string", "NS": "number", "BS": "binary"}
TYPES = frozenset({"S", "N", "B", "BOOL", "NULL", "M", "L", *SETS})


def normal_number(text: str) -> str:
    """Returns a number as DynamoDB returns it: all of its digits, without an exponent or a zero too many."""
    if not NUMBER.fullmatch(text):
        raise MockValidationException(f"The parameter cannot be converted to a numeric value: {text}")
    number = EXACT.create_decimal(text)
    if not number:
        return "0"
    _, digits, exponent = number.as_tuple()
    if number.adjusted() > 125:
        raise MockValidationException("Number overflow. Attempting to store a number with magnitude larger than supported range")
    if number.adjusted() < -130:
        raise MockValidationException("Number underflow. Attempting to store a number with magnitude smaller than supported range")
    significant = "".join(map(str, digits)).strip("0")
    if len(significant) > MOST_DIGITS:
        raise MockValidationException("Attempting to store more than 38 significant digits in a Number")
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def check_set(kind: str, members: list[Any]) -> list[Any]:
    if not members:
        raise MockValidationException(f"One or more parameter values were invalid: An {SETS[kind]} set  may not be empty")
    if kind == "NS":
        members = [normal_number(one) for one in members]
    if len(set(members)) < len(members):
        shown = ", ".join(map(str, members))
        raise MockValidationException(f"One or more parameter values were invalid: Input collection [{shown}] contains duplicates.")
    return members


def check_value(value: Any, levels: int = 1) -> None:
    """Checks an attribute value, and makes its numbers normal."""
    kinds = [kind for kind in value if kind in TYPES] if isinstance(value, dict) else []
    if len(kinds) != 1:
        fault = "has more than one datatypes set" if kinds else "is empty"
        raise MockValidationException(f"Supplied AttributeValue {fault}, must contain exactly one of the supported datatypes")
    kind, content = kinds[0], value[kinds[0]]
    wanted = {"S": str, "N": str, "M": dict, "L": list, "BOOL": bool, "NULL": bool, "SS": list, "NS": list, "BS": list}.get(kind)
    members = content if kind in ("SS", "NS") and isinstance(content, list) else []
    if wanted and not isinstance(content, wanted) or not all(isinstance(one, str) for one in members):
        raise DynamodbException("com.amazon.coral.service#SerializationException", f"{type(content).__name__} can not be converted to {kind}")
    if levels > MOST_LEVELS:
        raise MockValidationException("Nesting Levels have exceeded supported limits")
    if kind == "N":
        value["N"] = normal_number(content)
    elif kind == "NULL" and not content:
        raise MockValidationException("One or more parameter values were invalid: Null attribute value types must have the value of true")
    elif kind in SETS:
        value[kind] = check_set(kind, content)
    elif kind in ("M", "L"):
        for one in content.values() if kind == "M" else content:
            check_value(one, levels + 1)


def check_placeholders(request: dict[str, Any]) -> None:
    """Checks that the names and values in the expressions of a request are defined. moto fails on a name that is not."""
    for sign, parameter, thing in (
        ("#", "ExpressionAttributeNames", "attribute name used in the document path is not defined; attribute name: "),
        (":", "ExpressionAttributeValues", "attribute value used in expression is not defined; attribute value: "),
    ):
        defined = request.get(parameter) or {}
        for name in defined:
            if not re.fullmatch(sign + r"\w+", name, re.ASCII):
                raise MockValidationException(f'{parameter} contains invalid key: Syntax error; key: "{name}"')
        for expression, text in request.items():
            if expression.endswith("Expression") and isinstance(text, str):
                for name in re.findall(sign + r"\w+", text):
                    if name not in defined:
                        raise MockValidationException(f"Invalid {expression}: An expression {thing}{name}")


def check_values(request: Any) -> None:
    """Checks every attribute value of a request, wherever it is."""
    if isinstance(request, list):
        for one in request:
            check_values(one)
    if not isinstance(request, dict):
        return
    check_placeholders(request)
    for name, part in request.items():
        if name in ("Item", "Key", "ExpressionAttributeValues", "ExclusiveStartKey") and isinstance(part, dict):
            for one in part.values():
                check_value(one)
        elif name == "Keys" and isinstance(part, list):
            for key in part:
                for one in key.values():
                    check_value(one)
        elif name == "Value" and isinstance(part, dict):
            check_value(part)
        elif name == "AttributeValueList":
            for one in part:
                check_value(one)
        elif name.endswith("Expression") and isinstance(part, str) and len(part.encode()) > MOST_OF_EXPRESSION:
            raise MockValidationException(f"Invalid {name}: Expression size has exceeded the maximum allowed size;")
        else:
            check_values(part)


def byte_size(value: Any) -> int:
    return len(value if isinstance(value, bytes) else str(value).encode())


def check_key_value(name: str, role: str, value: dict[str, Any]) -> None:
    content = next(iter(value.values()))
    if content in ("", b""):
        raise KeyIsEmptyStringException(name)
    if byte_size(content) > KEY_BYTES[role]:
        part = "hashkey has exceeded the maximum size limit of" if role == "HASH" else "rangekey has exceeded the maximum size limit of "
        raise MockValidationException(f"One or more parameter values were invalid: Size of {part}{KEY_BYTES[role]} bytes")


def key_roles(table: Table) -> dict[str, tuple[str, str]]:
    """Returns {name: (HASH or RANGE, type)} of a table's key."""
    roles = {table.hash_key_attr: ("HASH", table.hash_key_type)}
    if table.range_key_attr:
        roles[table.range_key_attr] = ("RANGE", table.range_key_type)
    return roles


def check_key(table: Table, key: dict[str, Any]) -> None:
    roles = key_roles(table)
    if {name: next(iter(value), None) for name, value in key.items()} != {name: kind for name, (_, kind) in roles.items()}:
        raise MockValidationException("The provided key element does not match the schema")
    for name, (role, _) in roles.items():
        check_key_value(name, role, key[name])


def check_item_key(table: Table, item: dict[str, Any]) -> None:
    """Checks the key in an item. moto says which part is missing or has the wrong type."""
    for name, (role, kind) in key_roles(table).items():
        if kind in item.get(name, {}):
            check_key_value(name, role, item[name])


def size_of(value: DynamoType) -> int:
    """https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html"""
    content = value.value
    if value.type == "N":
        digits = len(content.lstrip("-").replace(".", "").strip("0"))
        return (digits + 1) // 2 + 1 + content.startswith("-")
    if value.type in ("BOOL", "NULL"):
        return 1
    if value.type == "L":
        return 3 + sum(1 + size_of(one) for one in content)
    if value.type == "M":
        return 3 + sum(1 + byte_size(name) + size_of(one) for name, one in content.items())
    if value.type in SETS:
        return sum(size_of(DynamoType({value.type[0]: one})) for one in content)
    return byte_size(content)


def item_size(attributes: dict[str, DynamoType]) -> int:
    return sum(byte_size(name) + size_of(value) for name, value in attributes.items())


def calculated(sign: int) -> Callable[[DynamoType, DynamoType], DynamoType]:
    """moto rounds a sum to 28 digits, and a difference to a binary fraction."""

    def calculate(self: DynamoType, other: DynamoType) -> DynamoType:
        if self.type != "N" or other.type != "N":
            raise MockValidationException("An operand in the update expression has an incorrect data type")
        total = EXACT.add(EXACT.create_decimal(self.value), EXACT.multiply(decimal.Decimal(sign), EXACT.create_decimal(other.value)))
        return DynamoType({"N": normal_number(str(total))})

    return calculate


def checked(action: Callable[[DynamoHandler], Any], keys: Callable[[dict[str, Any]], Iterable[tuple[str, dict[str, Any], bool]]]) -> Any:
    """Returns an action that checks its request first. keys returns (table, key or item, whether it is an item) of all keys."""

    @functools.wraps(action)
    def check(self: DynamoHandler) -> Any:
        check_values(self.body)
        for name, key, is_item in keys(self.body):
            (check_item_key if is_item else check_key)(self.dynamodb_backend.get_table(name), key)
        return action(self)

    return check


def transaction_keys(body: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any], bool]]:
    for part in body.get("TransactItems", []):
        for one in part.values():
            yield one["TableName"], one.get("Item") or one["Key"], "Item" in one


def batch_keys(body: dict[str, Any]) -> Iterable[tuple[str, dict[str, Any], bool]]:
    for name, requests in body.get("RequestItems", {}).items():
        if isinstance(requests, dict):
            yield from ((name, key, False) for key in requests["Keys"])
            continue
        for request in requests:
            for one in request.values():
                yield name, one.get("Item") or one["Key"], "Item" in one


ACTIONS = {
    "put_item": lambda body: [(body["TableName"], body["Item"], True)],
    "update_item": lambda body: [(body["TableName"], body["Key"], False)],
    "get_item": lambda body: [(body["TableName"], body["Key"], False)],
    "delete_item": lambda body: [(body["TableName"], body["Key"], False)],
    "query": lambda body: [],
    "scan": lambda body: [],
    "batch_get_item": batch_keys,
    "batch_write_item": batch_keys,
    "transact_get_items": transaction_keys,
    "transact_write_items": transaction_keys,
}


def fill_values() -> None:
    put, update = Table.put_item, DynamoDBBackend.update_item

    def put_item(self: Table, item_attrs: dict[str, Any], *args: Any, **kwargs: Any) -> Item:
        if item_size({name: DynamoType(value) for name, value in item_attrs.items()}) > MOST_BYTES:
            raise ItemSizeTooLarge
        return put(self, item_attrs, *args, **kwargs)

    def update_item(self: DynamoDBBackend, table_name: str, key: dict[str, Any], *args: Any, **kwargs: Any) -> Item:
        """An update that fails changes nothing."""
        table = self.get_table(table_name)
        hash_key = DynamoType(key[table.hash_key_attr])
        range_key = DynamoType(key[table.range_key_attr]) if table.range_key_attr else None
        before = table.get_item(hash_key, range_key)
        attributes = copy.deepcopy(dict(before.attrs)) if before else None
        try:
            item = update(self, table_name, key, *args, **kwargs)
            if item_size(item.attrs) > MOST_BYTES:
                raise ItemSizeToUpdateTooLarge
        except Exception:
            if before is None:
                table.delete_item(hash_key, range_key)
            else:
                before.attrs = LimitedSizeDict()
                dict.update(before.attrs, attributes)
            raise
        return item

    LimitedSizeDict.__setitem__ = dict.__setitem__  # it counts the whole item at each attribute, and not as DynamoDB does
    DynamoType.__add__, DynamoType.__sub__ = calculated(1), calculated(-1)
    Table.put_item, DynamoDBBackend.update_item = put_item, update_item
    for name, keys in ACTIONS.items():
        setattr(DynamoHandler, name, checked(getattr(DynamoHandler, name), keys))
