"""Uploads to S3. If an upload claims to be a form, as with curl's default type, moto looks for fields in it and stores nothing, or
only a field. S3 stores the bytes whatever their type is. Only a POST can be a form: a call of a query API, or an upload from a page.
"""

from __future__ import annotations

import io
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from werkzeug.wrappers import Request

FORM = "application/x-www-form-urlencoded"


def is_form(environ: dict[str, Any]) -> bool:
    if environ["REQUEST_METHOD"] != "POST":
        return False
    of_s3 = "/s3/aws4_request" in environ.get("HTTP_AUTHORIZATION", "") + environ.get("QUERY_STRING", "").replace("%2F", "/")
    return not (of_s3 and environ.get("CONTENT_TYPE", "").startswith(FORM))


def form_body(self: DomainDispatcherApplication, environ: dict[str, Any]) -> str | None:
    """Replaces moto's, which loses a body that is not text. It is read to find the service of a call that is not signed."""
    if not is_form(environ) or not environ.get("CONTENT_TYPE", "").startswith(FORM):
        return None
    body = environ["wsgi.input"].read()
    environ["wsgi.input"] = io.BytesIO(body)
    return body.decode("utf-8", "replace") or None


def fill_uploads() -> None:
    Request.want_form_data_parsed = property(lambda self: bool(self.environ.get("CONTENT_TYPE")) and is_form(self.environ))
    DomainDispatcherApplication._get_body = form_body
