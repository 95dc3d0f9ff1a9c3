"""Runs moto as the AWS services behind the endpoint of `carnation local`, and fills its gaps. moto 5.2.1 keeps S3, SQS,
DynamoDB and the other services in memory, and has a Step Functions engine. Each file here fills one gap, and says what
moto does and what AWS does. `carnation local` runs this folder. It sets MOTO_PORT to the port of its endpoint, where the
engine's tasks call and where moto's URLs point. The program prints one JSON line, {"port": n, "pid": n}, when it serves on
127.0.0.1:n. It ends when its standard input closes, which happens when its parent ends. If the Python installation cannot
run it, it prints one line on stderr that says why, and exits with code 3. With the argument "copies", it starts servers for
the tests: see copies.py.
"""

from __future__ import annotations

import gc

gc.disable()  # until main: what the modules create stays

import os
import sys
from typing import NoReturn

MOTO_VERSION = "5.2.1"
PYTHON_VERSION = (3, 10)
AT_START = {name for name in os.listdir("/dev/fd") if os.path.exists("/dev/fd/" + name)}  # open files: a shell or make can leave some to its children


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

import json
import logging
import signal
import threading

# These two come first: they change things that moto's services read when they are imported.
import clients
import patching

import copies
import gaps
import server
from stepfunctions import jsonpath


def exit_with_parent() -> None:
    """Ends the process when standard input closes."""
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


# A call of each service that CloudFormation uses, which changes nothing.
READS = {
    "cloudformation": "list_stacks", "cloudwatch": "describe_alarms", "dynamodb": "list_tables", "iam": "list_roles", "kms": "list_keys",
    "lambda": "list_functions", "logs": "describe_log_groups", "s3": "list_buckets", "scheduler": "list_schedules", "sns": "list_topics",
    "sqs": "list_queues", "stepfunctions": "list_state_machines",
}


def load_everything() -> None:
    """Does what each copy of this process would have to do for its first calls."""
    warm_up()
    for service, read in READS.items():
        getattr(clients.own_client(service, clients.USUAL_REGION), read)()


def warm_up() -> None:
    """Prepares what the first execution would have to wait for: two clients, and the JSONPath parser."""
    for service in ("lambda", "sqs"):
        clients.engine_client(clients.USUAL_REGION, service)
    jsonpath.parsed_path("$.items[*]")


def main() -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="moto: %(levelname)s %(message)s")
    for noisy in ("moto", "botocore", "urllib3", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    announce = sys.stdout
    sys.stdout = sys.stderr  # moto prints, and standard output is for the one line
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which stops this process
    has_copies = sys.argv[1:2] == ["copies"]
    if not has_copies:
        threading.Thread(target=exit_with_parent, daemon=True).start()

    # Each state of a run starts threads. The C library keeps the stacks of ended threads for the next ones, but only 40 MB of them,
    # and with the usual 8 MB for each it would give most back to the system at once.
    threading.stack_size(2 << 20)
    gaps.fill_gaps()
    application = server.application()
    if has_copies:
        load_everything()
    # The contents of tables and histories stay, so the collector would search them again and again for nothing.
    gc.freeze()
    gc.set_threshold(100_000, 50, 1000)
    gc.enable()
    if has_copies:
        copies.become_a_copy(AT_START)
        threading.Thread(target=exit_with_parent, daemon=True).start()
    http = server.bind(application)
    print(json.dumps({"port": http.server_port, "pid": os.getpid()}), file=announce, flush=True)
    threading.Thread(target=warm_up, daemon=True).start()
    http.serve_forever()


if __name__ == "__main__":
    main()
