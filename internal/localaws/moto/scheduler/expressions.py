"""When the expression of a schedule says that it is due. rate(...) and at(...) are followed. A cron(...) is accepted, and never due.
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import datetime
import math
import re
import zoneinfo

RATE = re.compile(r"rate\(\s*([1-9]\d*)\s+(minute|hour|day)s?\s*\)")
AT = re.compile(r"at\(\s*(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\s*\)")
CRON = re.compile(r"cron\(\s*\S+(?:\s+\S+){5}\s*\)")
SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


class Invalid(ValueError):
    """The expression or its time zone is none."""


def check(expression: str, timezone: str) -> None:
    try:
        zoneinfo.ZoneInfo(timezone)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise Invalid(f"Invalid Schedule Expression Timezone {timezone}.")
    if not RATE.fullmatch(expression) and not CRON.fullmatch(expression):
        try:
            moment(expression, timezone)
        except ValueError:
            raise Invalid(f"Invalid Schedule Expression {expression}.")


def moment(expression: str, timezone: str) -> float:
    """Returns the time of an at(...)."""
    found = AT.fullmatch(expression)
    if found is None:
        raise ValueError(expression)
    return datetime.datetime.fromisoformat(found[1]).replace(tzinfo=zoneinfo.ZoneInfo(timezone)).timestamp()


def due(expression: str, timezone: str, start: float, after: float, end: float | None) -> float | None:
    """Returns when a schedule that starts at a time is next due: at or after a time, and not after its end. None if never."""
    rate = RATE.fullmatch(expression)
    if rate:
        period = int(rate[1]) * SECONDS[rate[2]]
        at = start + period * max(0, math.ceil((after - start) / period))
    elif AT.fullmatch(expression):
        at = moment(expression, timezone)
        if at < after:
            return None
    else:
        return None
    return None if end is not None and at > end else at
