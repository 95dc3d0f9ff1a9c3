"""Runs moto as the AWS services behind Carnation's local endpoint, and fills moto's gaps.

moto 5.2.1 keeps S3, SQS, DynamoDB and the rest in memory, and has a Step Functions engine. Its CloudFormation creates
few of the properties that Carnation's templates set, deletes a nested stack to update it, and its engine runs a state
machine once. Each file here fills one named gap, and says what moto does and what AWS does.

`carnation local` runs this directory. MOTO_PORT in its environment is the port of that endpoint: the engine's tasks call
there, and the URLs that moto hands out point there. It prints one JSON line, {"port": n}, when it serves on
127.0.0.1:n, and exits when its standard input closes, which is when its parent is gone. Exit code 3: the Python
installation cannot run it, with one line on stderr that says why.
"""

from __future__ import annotations

import sys
from typing import NoReturn

MOTO_VERSION = "5.2.1"
PYTHON_VERSION = (3, 10)


def refuse(found: str) -> NoReturn:
    """Ends the process if moto is not the exact version whose internals are changed here."""
    needed = f"moto[server] {MOTO_VERSION} on Python {PYTHON_VERSION[0]}.{PYTHON_VERSION[1]} or newer"
    sys.stderr.write(f"moto: found {found}, need {needed}; run: make tools\n")
    sys.exit(3)


if sys.version_info < PYTHON_VERSION:
    refuse(f"Python {sys.version_info.major}.{sys.version_info.minor}")
try:
    import moto

    if moto.__version__ != MOTO_VERSION:
        refuse("moto " + moto.__version__)
    import antlr4  # moto loads these late: find out now if one is missing
    import flask_cors
    import jsonpath_ng.ext
    import werkzeug.serving
    import yaml
except ImportError as missing:
    refuse(f"no Python module {missing.name} ({sys.executable})")

import gc
import json
import logging
import os
import signal
import threading

# These two come first: what they do at import must be done before moto's services are imported.
import clients
import patching

import locks
import server
from awslambda import functions
from cloudformation import api
from dynamodb import update_item
from s3 import bucket_policies
from sqs import message_move_tasks, queues
from stepfunctions import engine, executions, history, jsonpath, map_runs, redrive, task_errors
from moto.core.config import default_user_config


def exit_with_parent() -> None:
    """Ends the process when standard input closes."""
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def warm_up() -> None:
    """Does what the first execution would wait for, while nobody waits: two clients, and the JSONPath parser."""
    for service in ("lambda", "sqs"):
        clients.engine_client(clients.USUAL_REGION, service)
    jsonpath.parsed_path("$.items[*]")


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="moto: %(levelname)s %(message)s")
    for noisy in ("moto", "botocore", "urllib3", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    announce = sys.stdout
    sys.stdout = sys.stderr  # moto prints; standard output is for the one line
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which stops this one when it is done
    threading.Thread(target=exit_with_parent, daemon=True).start()

    default_user_config["stepfunctions"]["execute_state_machine"] = True
    api.fill_api()
    functions.fill_functions()
    update_item.fill_update_item()
    locks.fill_locks()  # after the functions and tables, as it locks what is in their place
    message_move_tasks.fill_message_move_tasks()  # before the queues, which lock what is there
    queues.fill_queues()
    bucket_policies.fill_bucket_policies()
    engine.fill_engine()
    jsonpath.fill_jsonpath()
    task_errors.fill_task_errors()
    history.fill_history()
    executions.fill_executions()
    redrive.fill_redrive()
    map_runs.fill_map_runs()

    # What tables and histories hold stays, and the collector would look through all of it again and again.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    http = server.bind()
    clients.OWN_URL = f"http://127.0.0.1:{http.server_port}"
    print(json.dumps({"port": http.server_port}), file=announce, flush=True)
    threading.Thread(target=warm_up, daemon=True).start()
    http.serve_forever()


if __name__ == "__main__":
    main()
