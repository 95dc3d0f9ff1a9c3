"""The whole program, served in a thread, for tests that call it as its clients do."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import clients
import gaps
import server

if TYPE_CHECKING:
    from botocore.client import BaseClient

REGION = clients.USUAL_REGION


@functools.cache
def port() -> int:
    gaps.fill_gaps()
    http = server.bind(server.application())
    threading.Thread(target=http.serve_forever, daemon=True).start()
    return http.server_port


def client(service: str) -> BaseClient:
    return clients.client_for(service, REGION, f"http://127.0.0.1:{port()}", "test")


def refusal(call: Any, **parameters: Any) -> tuple[str, str]:
    """Returns code and message of the error that a call ends with, or ("", "") if it succeeds."""
    try:
        call(**parameters)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"], error.response["Error"]["Message"]
    return "", ""
