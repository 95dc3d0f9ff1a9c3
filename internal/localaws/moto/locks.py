"""Threads.

The server answers each request in a thread of its own, and moto's backends change plain dicts and lists: two receives
could hand out one message, two updates of one item could each see no createdUnixTime.
"""

import functools
import inspect
import threading

from moto.awslambda.models import LambdaBackend
from moto.cloudwatch.models import CloudWatchBackend
from moto.dynamodb.models import DynamoDBBackend
from moto.iam.models import IAMBackend
from moto.kms.models import KmsBackend
from moto.logs.models import LogsBackend
from moto.sns.models import SNSBackend


def serialise(backend, waiting=()):
    """Lets one thread at a time into a backend class, except into the methods that wait for something."""
    lock = threading.RLock()

    def one_at_a_time(method):
        @functools.wraps(method)
        def locked(*args, **kwargs):
            with lock:
                return method(*args, **kwargs)

        return locked

    for name, method in list(vars(backend).items()):
        if inspect.isfunction(method) and not name.startswith("_") and name not in waiting:
            setattr(backend, name, one_at_a_time(method))
    return lock


def fill_locks():
    for backend in (CloudWatchBackend, DynamoDBBackend, IAMBackend, KmsBackend, LambdaBackend, LogsBackend, SNSBackend):
        serialise(backend)
