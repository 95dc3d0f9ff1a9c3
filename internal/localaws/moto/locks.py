"""Locks for moto's backends. The server answers each request in a thread of its own, and the backends change plain dicts and
lists. Without locks, two receives could return the same message, and two updates of an item could both see no createdUnixTime.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.awslambda.models import LambdaBackend
from moto.cloudwatch.models import CloudWatchBackend
from moto.dynamodb.models import DynamoDBBackend
from moto.iam.models import IAMBackend
from moto.kms.models import KmsBackend
from moto.logs.models import LogsBackend
from moto.sns.models import SNSBackend


def serialise(backend: type, waiting: Iterable[str] = ()) -> threading.RLock:
    """Lets only one thread at a time into the methods of a backend, except into those that wait for something. Returns the lock."""
    lock = threading.RLock()

    def one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def locked(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return method(*args, **kwargs)

        return locked

    for name, method in list(vars(backend).items()):
        if inspect.isfunction(method) and not name.startswith("_") and name not in waiting:
            setattr(backend, name, one_at_a_time(method))
    return lock


def fill_locks() -> None:
    for backend in (CloudWatchBackend, DynamoDBBackend, IAMBackend, KmsBackend, LambdaBackend, LogsBackend, SNSBackend):
        serialise(backend)
