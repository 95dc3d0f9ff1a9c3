"""Runs `aws` commands for the tests, one after the other in each of a few processes.

An aws command spends most of its time on loading its code and its descriptions of the services. These processes load them
once. They run the code of the installed `aws`, so a test still sees what a user sees.

usage: aws_server.py SOCKET PROCESSES

A client connects to the Unix socket, and sends its standard input, output and error as file descriptors, the length of a
request in four bytes, and the request: {"arguments": [...], "environment": {...}, "folder": "..."}. The answer is the exit
code in one byte. The processes end when standard input does.
"""

import gc
import json
import os
import socket
import sys
import traceback

import awscli.clidriver
import botocore.hooks
import botocore.session

SERVICES = ("cloudformation", "dynamodb", "kms", "s3", "sqs", "stepfunctions", "sts")


def remember() -> None:
    """Keep what each command would find out again about the hundreds of event handlers of awscli: half of its time."""
    names: dict[str, str] = {}
    find = botocore.hooks.EventAliaser._alias_event_name

    def look(self: botocore.hooks.EventAliaser, name: str) -> str:
        if name not in names:
            names[name] = find(self, name)
        return names[name]

    botocore.hooks.EventAliaser._alias_event_name = look
    botocore.hooks.accepts_kwargs = lambda handler: True  # they all do, or awscli would not start


def load() -> None:
    """Load what most commands need, and have the commands share it."""
    remember()
    session = awscli.clidriver.create_clidriver().session
    loader = session.get_component("data_loader")
    botocore.session.create_loader = lambda search_path_string=None: loader
    for service in SERVICES:
        session.create_client(service, "eu-central-2", aws_access_key_id="a", aws_secret_access_key="b")
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)  # a command ends before its garbage matters


def receive(connection: socket.socket) -> tuple[dict, list[int]]:
    """Return a client's request and its file descriptors."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    while len(message) < 4 or len(message) < 4 + int.from_bytes(message[:4], "big"):
        part = connection.recv(1 << 20)
        if not part:
            raise ConnectionError("the client was killed")
        message += part
    return json.loads(message[4:]), descriptors


def run(arguments: list[str]) -> int:
    """Run a command in this process and return its exit code."""
    sys.argv = ["aws", *arguments]
    try:
        return awscli.clidriver.main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 255


def answer(connection: socket.socket, data_path: str, nothing: int) -> None:
    """Run the command of a client."""
    request, descriptors = receive(connection)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"], AWS_DATA_PATH=data_path)
    code = run(request["arguments"])
    sys.stdout.flush()
    sys.stderr.flush()
    for number in range(3):  # the client's files end when nobody has them open any more
        os.dup2(nothing, number)
    connection.sendall(bytes([code & 255]))


def work(listener: socket.socket) -> None:
    """Run the commands of clients for ever."""
    data_path = os.environ["AWS_DATA_PATH"]  # awscli has set it
    nothing = os.open(os.devnull, os.O_RDWR)
    while True:
        connection, _ = listener.accept()
        with connection:
            try:
                answer(connection, data_path, nothing)
            except OSError:  # the client was killed; perhaps even its folder is gone
                for number in range(3):
                    os.dup2(nothing, number)
                sys.stdout.flush()  # what it did not read must not reach the next client
                sys.stderr.flush()


def main() -> None:
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    os.setpgid(0, 0)
    for _ in range(int(sys.argv[2])):
        if os.fork() == 0:
            work(listener)
    print("ready", flush=True)
    sys.stdin.buffer.read()
    os.killpg(0, 9)


main()
