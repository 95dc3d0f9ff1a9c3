"""Runs `aws` commands for the tests, each in a fork of this process.

An aws command spends most of its time on loading its code and its descriptions of the services. This process loads them once.
It runs the code of the installed `aws`, so a test still sees what a user sees.

A client connects to the Unix socket at the path sys.argv[1], and sends one message: its standard input, output and error as
file descriptors, and {"arguments": [...], "environment": {...}, "folder": "..."}. The answer is the exit code as one byte. The
process ends when its standard input does.
"""

import gc
import json
import os
import signal
import socket
import sys
import threading
import traceback

import awscli.clidriver
import botocore.session

SERVICES = ("cloudformation", "dynamodb", "kms", "s3", "sqs", "stepfunctions", "sts")


def load() -> None:
    """Load what most commands need, and have the commands share it."""
    session = awscli.clidriver.create_clidriver().session
    loader = session.get_component("data_loader")
    botocore.session.create_loader = lambda search_path_string=None: loader
    for service in SERVICES:
        session.create_client(service, "eu-central-2", aws_access_key_id="a", aws_secret_access_key="b")
    gc.collect()
    gc.freeze()  # so that a fork copies less memory


def serve(connection: socket.socket) -> None:
    """Run the command of one client in this process, which ends with it."""
    message, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 3)
    size = int.from_bytes(message[:4], "big")
    while len(message) < 4 + size:
        message += connection.recv(1 << 20)
    request = json.loads(message[4:])
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["folder"])
    data_path = os.environ["AWS_DATA_PATH"]  # awscli has set it
    os.environ.clear()
    os.environ.update(request["environment"], AWS_DATA_PATH=data_path)
    code = 255
    try:
        sys.argv = ["aws", *request["arguments"]]
        code = awscli.clidriver.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        connection.sendall(bytes([code & 255]))
        os._exit(code & 255)


def main() -> None:
    load()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children

    def end_with_input() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=end_with_input, daemon=True).start()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            serve(connection)
        connection.close()


main()
