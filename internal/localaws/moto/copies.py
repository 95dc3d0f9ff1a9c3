"""Starts several servers from one process. To load moto takes some seconds, so a program that needs many local AWSs loads it once.
This process never serves, and has one thread. For each line of JSON that comes through the socket on file descriptor 3, with the
environment of a server and its standard input, output and error, it forks a copy of itself.
"""

from __future__ import annotations

import json
import os
import socket
import threading

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
    check_alone(at_start)
    orders = socket.socket(fileno=3)
    while True:
        order, files, _, _ = socket.recv_fds(orders, 1 << 16, 3)
        while order and not order.endswith(b"\n"):
            order += orders.recv(1 << 16)
        if not order:
            break
        if os.fork() == 0:
            orders.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            os.environ.update(json.loads(order))
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


def ended_copy(options: int) -> int:
    """Removes a copy that has ended from the system's list of processes. Returns its ID, or 0 if there is none."""
    try:
        return os.waitpid(-1, options)[0]
    except ChildProcessError:
        return 0
