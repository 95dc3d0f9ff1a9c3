"""The account of the local AWS, and the clients of its parts. CloudFormation calls moto within this process, without HTTP. The
tasks of the Step Functions engine call the endpoint of `carnation local`, which runs the functions, and sign with a key
of their own, which the endpoint records. moto's engine creates a client for every call, which takes 50 ms, with a
connection pool of 10, which would hold back a wider Map.
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import boto3
import botocore.auth
import botocore.session
from botocore.config import Config

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse
    from botocore.client import BaseClient

ACCOUNT_ID = "123456789012"
USUAL_REGION = "eu-central-2"  # the region that `carnation local` tells its clients
ENDPOINT_URL = ""  # of `carnation local`

# moto reads these when it is imported. Every access key belongs to the one account: a laptop has no IAM users.
os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT_ID
for profile_setting in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL"):
    os.environ.pop(profile_setting, None)

# moto makes sessions too, and each would read the descriptions of the services again.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)

OWN_URL = "http://127.0.0.1"  # nothing connects to it
CLIENTS = {}
CLIENTS_LOCK = threading.Lock()
SESSION = boto3.session.Session()


def set_endpoint_port(port: str) -> None:
    global ENDPOINT_URL
    os.environ["MOTO_PORT"] = port  # moto reads it
    ENDPOINT_URL = "http://127.0.0.1:" + port


set_endpoint_port(os.environ.get("MOTO_PORT", "5000"))


class CredentialScope(botocore.auth.SigV4Auth):
    """Puts into a request what is read of a signature here: access key, region and service. Nobody checks the rest."""

    def add_auth(self, request: AWSRequest) -> None:
        scope = f"{self.credentials.access_key}/20260101/{self._region_name}/{self._service_name}/aws4_request"
        request.headers["Authorization"] = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=none"


botocore.auth.AUTH_TYPE_MAPS["carnation"] = CredentialScope


def client_for(service: str, region: str, endpoint_url: str, access_key: str, signature_version: str | None = None) -> BaseClient:
    key = (service, region, endpoint_url, access_key)
    with CLIENTS_LOCK:
        if key not in CLIENTS:
            CLIENTS[key] = SESSION.client(
                service,
                region_name=region,
                endpoint_url=endpoint_url,
                aws_access_key_id=access_key,
                aws_secret_access_key="carnation",
                config=Config(
                    user_agent="carnation",  # botocore would make a long one for each call
                    parameter_validation=False,
                    retries={"total_max_attempts": 1},  # the state machine retries, visibly
                    connect_timeout=5,
                    read_timeout=910,  # longer than a Lambda function can run: the state's TimeoutSeconds decides
                    max_pool_connections=200,
                    s3={"addressing_style": "path"},
                    signature_version=signature_version,
                ),
            )
        return CLIENTS[key]


def answer_own_calls(answer: Callable[[AWSPreparedRequest], AWSResponse]) -> None:
    """Has a function answer the calls of own clients."""
    SESSION.events.register("before-send", lambda request, **_: answer(request) if request.url.startswith(OWN_URL + "/") else None)


def own_client(service: str, region: str) -> BaseClient:
    return client_for(service, region, OWN_URL, "cloudformation", "carnation")


def engine_client(region: str, service: str, state_credentials: Any = None) -> BaseClient:
    access_key = os.environ.get("CARNATION_ENGINE_ACCESS_KEY_ID") or "carnation-engine"
    return client_for(service, region, ENDPOINT_URL, access_key, "carnation")
