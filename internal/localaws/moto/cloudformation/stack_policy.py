"""Stack policies, which moto keeps and does not apply. A stack that has one allows an update only of what its policy allows.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/protect-stack-resources.html
"""

from __future__ import annotations

import fnmatch
import json
from typing import Any

from cloudformation.templates import invalid

KNOWN = {"Effect", "Action", "NotAction", "Principal", "Resource", "NotResource", "Condition", "Sid"}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def check_policy(text: str) -> None:
    """Refuses a policy that is not one."""
    try:
        statements = as_list(json.loads(text)["Statement"])
        for statement in statements:
            unknown = set(statement) - KNOWN
            if unknown or statement["Effect"] not in ("Allow", "Deny"):
                raise ValueError
            for operator, conditions in statement.get("Condition", {}).items():
                if operator not in ("StringEquals", "StringLike") or set(conditions) != {"ResourceType"}:
                    raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError):
        raise invalid("Error validating stack policy: Invalid stack policy")


def matches(patterns: Any, value: str) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in as_list(patterns))


def applies(statement: dict[str, Any], action: str, logical_id: str, resource_type: str) -> bool:
    resource = f"LogicalResourceId/{logical_id}"
    if "Action" in statement and not matches(statement["Action"], action):
        return False
    if "NotAction" in statement and matches(statement["NotAction"], action):
        return False
    if "Resource" in statement and not matches(statement["Resource"], resource):
        return False
    if "NotResource" in statement and matches(statement["NotResource"], resource):
        return False
    for operator, conditions in statement.get("Condition", {}).items():
        wanted = as_list(conditions["ResourceType"])
        if not (matches(wanted, resource_type) if operator == "StringLike" else resource_type in wanted):
            return False
    return True


def refusal(text: str, action: str, logical_id: str, resource_type: str) -> str | None:
    """Returns why a policy refuses an action on a resource, or None. An empty text is no policy."""
    if not text:
        return None
    allowed = False
    for number, statement in enumerate(as_list(json.loads(text)["Statement"]), 1):
        if applies(statement, action, logical_id, resource_type):
            if statement["Effect"] == "Deny":
                return f"Action denied by stack policy: Statement [#{number}] does not allow [{action}] for resource [LogicalResourceId/{logical_id}]"
            allowed = True
    return None if allowed else f"Action not allowed by stack policy: no statement allows [{action}] for resource [LogicalResourceId/{logical_id}]"
