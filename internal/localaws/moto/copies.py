"""Starts several servers from one process. To load moto takes some seconds, so a program that needs many local AWSs loads it once.
This process never serves, and has one thread. Each order is a line of JSON that comes through the socket on file descriptor 3. With an
environment, and the standard input, output and error of a server, it forks a copy of itself. With the call of an operation, it makes
the call and answers with a line of JSON. What the calls make is in all later copies.
"""

from __future__ import annotations

import gc
import itertools
import json
import os
import socket
import threading
from typing import Any

import clients
from moto.moto_api._internal import mock_random


def check_alone(at_start: set[str]) -> None:
    """Fails if this process has opened something that a copy would share with the others, or would not have."""
    shared = [name for name in os.listdir("/dev/fd") if name not in at_start and os.path.exists("/dev/fd/" + name)]
    if shared or threading.active_count() > 1:
        raise RuntimeError(f"open files {shared}, {threading.active_count()} threads: must be none and one")


def become_a_copy(at_start: set[str]) -> None:
    """Returns in each of the copies. Ends this process once the socket is closed and the copies have ended. at_start has the open
    files that this process got from its parent."""
    orders = socket.socket(fileno=3)
    processors = itertools.cycle(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())
    while True:
        check_alone(at_start)
        order, files, _, _ = socket.recv_fds(orders, 1 << 16, 3)
        while order and not order.endswith(b"\n"):
            order += orders.recv(1 << 16)
        if not order:
            break
        order = json.loads(order)
        if "operation" in order:
            orders.sendall(json.dumps(answer(**order), default=str).encode() + b"\n")
            continue
        gc.freeze()  # or the collector of each copy would look at what the calls made
        processor = next(processors, None)
        if os.fork() == 0:
            orders.close()
            if processor is not None:
                # Python runs one thread at a time. If threads of a copy run on several processors, they mostly wait for each other.
                os.sched_setaffinity(0, {processor})
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.environ.update(order["environment"])
            clients.set_endpoint_port(os.environ["MOTO_PORT"])
            mock_random.seed()  # or all copies would invent the same IDs
            return
        for file in files:
            os.close(file)
        while ended_copy(os.WNOHANG):
            pass
    while ended_copy(0):
        pass
    os._exit(0)


def answer(service: str, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Calls an operation, by the names of boto3. Returns its answer, or the error."""
    try:
        return {"answer": getattr(clients.own_client(service, clients.USUAL_REGION), operation)(**parameters)}
    except Exception as error:
        return {"error": f"{service} {operation}: {error}"}


def ended_copy(options: int) -> int:
    """Removes a copy that has ended from the system's list of processes. Returns its ID, or 0 if there is none."""
    try:
        return os.waitpid(-1, options)[0]
    except ChildProcessError:
        return 0
