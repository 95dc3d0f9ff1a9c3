"""The HTTP server. werkzeug's closes the connection after every answer, and writes a stack trace when moto fails. This one
keeps connections open. When moto fails, it writes one line to stderr and answers with an error of the service's own form.
"""

from __future__ import annotations

import functools
import gc
import html
import http.client
import http.server
import io
import json
import logging
import sys
import urllib.parse
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO

import moto.core.errors
import moto.core.responses
import moto.core.utils
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from moto.core.botocore_stubber import MockRawResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

import clients
from awslambda.functions import CODE_PATH, function_code
from cloudwatch import cbor
from dynamodb.update_item import TARGET, answer_update
from s3 import large_objects

if TYPE_CHECKING:
    from werkzeug.serving import BaseWSGIServer
    from wsgiref.types import WSGIApplication

LARGE_BODY = 1 << 20
MOST_UNCOLLECTED = 64 << 20
uncollected: list[int] = []  # sizes of large bodies since the last collection

log = logging.getLogger("carnation.moto")


class Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for an answer instead of one for each header
    disable_nagle_algorithm = True

    def log(self, *args: Any) -> None:
        pass

    def log_request(self, *args: Any) -> None:
        pass

    def address_string(self) -> str:
        return self.client_address[0]

    def run_wsgi(self) -> None:
        if self.headers.get("Expect", "").lower() == "100-continue":
            self.send_response_only(100)
            self.end_headers()
            self.wfile.flush()
        body = answer = None
        if self.headers.get("X-Amz-Target") == TARGET and self.headers.get("Content-Length"):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            answer = answer_update(self.headers.get("Authorization", ""), body)
        if answer is None:
            environ = self.make_environ()
            if body is None and "wsgi.input_terminated" in environ:
                body = environ["wsgi.input"].read()
                environ["CONTENT_LENGTH"] = str(len(body))
            elif body is None:
                body = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
            environ["wsgi.input"] = io.BytesIO(body)
            environ["wsgi.input_terminated"] = True  # or werkzeug would copy the body piece by piece
            if self.send_large_object(environ):
                return
            answer = answer_in_its_protocol(self.server.app, environ, body)
            if len(body) >= LARGE_BODY:
                # moto's objects for a request point to each other, and would keep its body until the collector comes.
                uncollected.append(len(body))
                del body
                environ.clear()
                if sum(uncollected) >= MOST_UNCOLLECTED:
                    uncollected.clear()
                    gc.collect()
        status, headers, answer = answer
        code, _, reason = status.partition(" ")
        self.send_response_only(int(code), reason)
        named = {name.lower() for name, _ in headers}
        for name, value in headers:
            self.send_header(name, value)
        if "date" not in named:
            self.send_header("Date", self.date_time_string())
        if "content-length" not in named and int(code) not in (204, 304):
            self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)
        self.wfile.flush()


    def send_large_object(self, environ: dict[str, Any]) -> bool:
        """Answers a request for a large object piece by piece. Returns whether it was one."""
        key = large_objects.large_object(environ)
        head = key and large_objects.answer_head(self.server.app, environ, answer_to, key)
        if not head:
            return False
        status, headers, begin, end = head
        code, _, reason = status.partition(" ")
        self.send_response_only(int(code), reason)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        try:
            for piece in large_objects.pieces(key, begin, end):
                self.wfile.write(piece)
            self.wfile.flush()
        except OSError:
            self.close_connection = True  # the client has read enough
        return True


def answer_in_its_protocol(
    app: WSGIApplication, environ: dict[str, Any], body: bytes,
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Runs the application, which does not know CBOR. Returns status line, headers and body."""
    try:
        operation = cbor.as_json(environ, body)
    except (cbor.Malformed, ValueError, TypeError, EOFError, OSError) as error:
        return cbor.refused(str(error))
    answer = answer_to(app, environ)
    return answer if operation is None else cbor.from_json(operation, *answer)


def answer_to(app: WSGIApplication, environ: dict[str, Any]) -> tuple[str, list[tuple[str, str]], bytes]:
    """Runs the application. Returns status line, headers and body."""
    started = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        started[:] = [status, headers]
        return lambda data: None

    path = environ.get("PATH_INFO", "")
    if path.startswith(CODE_PATH):
        code = function_code(path)
        if code is None:
            return "404 Not Found", [("Content-Type", "text/plain")], b"no such function\n"
        return "200 OK", [("Content-Type", "application/zip")], code
    try:
        parts = app(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            if hasattr(parts, "close"):
                parts.close()
        return started[0], started[1], body
    except NotImplementedError:
        operation = (environ.get("HTTP_X_AMZ_TARGET") or "").rpartition(".")[2] or form_action(environ) or action_of(environ)
        return failure(environ, "400 Bad Request", "UnsupportedOperation", f"Local AWS does not do {operation}.")
    except Exception as error:
        log.error("%s: %s: %s", action_of(environ), type(error).__name__, error)
        return failure(environ, "500 Internal Server Error", "InternalFailure", f"{type(error).__name__}: {error}")


def answer_within(app: WSGIApplication, request: AWSPreparedRequest) -> AWSResponse:
    """Answers a request of a client in this process."""
    url = urllib.parse.urlsplit(request.url)
    target = url.path + ("?" + url.query if url.query else "")
    body = request.body or b""
    if not isinstance(body, bytes):
        body = body.encode() if isinstance(body, str) else body.read()
    environ = {
        "REQUEST_METHOD": request.method, "SCRIPT_NAME": "", "PATH_INFO": urllib.parse.unquote_to_bytes(url.path).decode("latin-1"),
        "QUERY_STRING": url.query, "REQUEST_URI": target, "RAW_URI": target, "REMOTE_ADDR": "127.0.0.1", "SERVER_NAME": url.hostname,
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": url.netloc, "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True, "wsgi.errors": sys.stderr,
        "wsgi.multithread": True, "wsgi.multiprocess": False, "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        name = name.upper().replace("-", "_")
        environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + name] = value.decode() if isinstance(value, bytes) else value
    status, headers, answer = answer_in_its_protocol(app, environ, body)
    return AWSResponse(request.url, int(status.split()[0]), dict(headers), MockRawResponse(b"" if request.method == "HEAD" else answer))


def action_of(environ: dict[str, Any]) -> str:
    return environ.get("HTTP_X_AMZ_TARGET") or f"{environ.get('REQUEST_METHOD')} {environ.get('PATH_INFO', '')}"


def form_action(environ: dict[str, Any]) -> str:
    """Returns the Action of a request in the query protocol, or an empty text."""
    body = environ["wsgi.input"]
    body.seek(0)
    return (urllib.parse.parse_qs(body.read(200).decode("latin-1")).get("Action") or [""])[0]


def failure(environ: dict[str, Any], status: str, code: str, message: str) -> tuple[str, list[tuple[str, str]], bytes]:
    """Returns an error in the form of the service."""
    if "json" in environ.get("CONTENT_TYPE", "") or "HTTP_X_AMZ_TARGET" in environ:
        body = json.dumps({"__type": code, "message": message}).encode()
        return status, [("Content-Type", "application/x-amz-json-1.1"), ("X-Amzn-ErrorType", code)], body
    error = f"<Code>{code}</Code><Message>{html.escape(message)}</Message>"
    if "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", ""):
        body = f"<Error>{error}</Error>"
    else:
        kind = "Sender" if status.startswith("4") else "Receiver"
        body = f"<ErrorResponse><Error><Type>{kind}</Type>{error}</Error></ErrorResponse>"
    return status, [("Content-Type", "text/xml")], body.encode()


def parse_headers(
    lines: BinaryIO, _class: type[http.client.HTTPMessage] = http.client.HTTPMessage,
) -> http.client.HTTPMessage:
    """Replaces http.client's, which uses the e-mail parser and takes longer than an update."""
    headers = _class()
    for _ in range(200):
        line = lines.readline(65537)
        if len(line) > 65536:
            raise http.client.LineTooLong("header line")
        if line in (b"\r\n", b"\n", b""):
            return headers
        name, _, value = line.decode("iso-8859-1").partition(":")
        headers.set_raw(name, value.strip())
    raise http.client.HTTPException("got more than 200 headers")


def add_request_id(headers: dict[str, str]) -> str:
    """Replaces moto's, which draws 52 characters one by one."""
    headers["x-amzn-requestid"] = str(uuid.uuid4())
    return headers["x-amzn-requestid"]


def application() -> DomainDispatcherApplication:
    """Returns moto's services, to which CloudFormation's calls go from now on."""
    # moto lists all of botocore's services for each service that it serves.
    moto.core.utils.create_loader = functools.cache(moto.core.utils.create_loader)
    # moto lists the methods of a service for each request.
    moto.core.responses.method_names_from_class = functools.cache(moto.core.responses.method_names_from_class)
    # moto makes a session, and a table of all errors of a service, for each error that it answers with.
    moto.core.utils.Session = functools.cache(moto.core.utils.Session)
    moto.core.errors.ErrorLookupFactory = functools.cache(moto.core.errors.ErrorLookupFactory)
    moto.core.responses.gen_amzn_requestid_long = add_request_id
    # moto reads its own source folder twice, under a lock, to route a request.
    find_backend = functools.lru_cache(maxsize=None)(DomainDispatcherApplication.get_backend_for_host)
    DomainDispatcherApplication.get_backend_for_host = find_backend
    services = DomainDispatcherApplication(create_backend_app)
    clients.answer_own_calls(functools.partial(answer_within, services))
    return services


def bind(application: DomainDispatcherApplication) -> BaseWSGIServer:
    """Returns a server of moto's services on a free port of the loopback interface."""
    http.client.parse_headers = parse_headers
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    server.daemon_threads = True
    return server
