"""Where programs on EC2 and in containers find credentials: the instance metadata service, version 2, and the container
endpoint.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
import time
from email.utils import formatdate
from typing import Any, Dict, Optional, Tuple

from .authorization import Credentials, Keys
from .errors import AwsError
from .settings import ACCOUNT_ID, Settings
from .wire import Request, Response

PREFIX = "/latest/"
CONTAINER_PATH = "/v1/credentials"
ROLE = "AthenaEmulatorRole"
ROLE_ARN = "arn:aws:iam::%s:role/%s" % (ACCOUNT_ID, ROLE)
CONTAINER_ROLE_ARN = "arn:aws:iam::%s:role/AthenaEmulatorContainerRole" % ACCOUNT_ID
INSTANCE_ID = "i-0123456789abcdef0"
MAX_TOKEN_SECONDS = 21600
CREDENTIAL_SECONDS = 6 * 3600

# New credentials are there so long before the old ones end; where these live but short, in the second half of their time.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
RENEW_SECONDS = 300.0

TOKEN_HEADER = "x-aws-ec2-metadata-token"
TTL_HEADER = "x-aws-ec2-metadata-token-ttl-seconds"

_META_DATA = PREFIX + "meta-data/"
_CREDENTIALS = _META_DATA + "iam/security-credentials/"
_DOCUMENT = PREFIX + "dynamic/instance-identity/document"
_OPERATIONS = {PREFIX + "api/token": "Metadata.Token", _CREDENTIALS: "Metadata.Role", _CREDENTIALS + ROLE:
               "Metadata.Credentials", _DOCUMENT: "Metadata.Document"}


class CurrentCredentials:
    """The credentials of one role, replaced before they expire. Safe to use from any thread."""

    def __init__(self, keys: Keys, role_arn: str, session_name: str, settings: Settings):
        self._keys = keys
        self._role_arn = role_arn
        self._session_name = session_name
        self._settings = settings
        self._lock = threading.Lock()
        self._current: Optional[Credentials] = None
        self._issued = 0.0
        self._lifetime: Optional[float] = None

    def get(self, stale: bool = False) -> Tuple[Credentials, float]:
        """Credentials, and when they were issued: those given before, until some time before they expire, or until the
        setting of their lifetime changes. stale: those given before in any case."""
        with self._lock:
            now, lifetime = self._settings.now(), self._settings.credential_lifetime_seconds
            current = self._current
            # A reset has forgotten the keys.
            if current is None or current.expires is None or self._keys.find(current.access_key_id) is None or (
                    not stale and (lifetime != self._lifetime or current.expires - now <= min(
                        RENEW_SECONDS, (current.expires - self._issued) / 2))):
                current = self._current = self._keys.issue(self._role_arn, self._session_name, CREDENTIAL_SECONDS)
                self._issued, self._lifetime = now, lifetime
            return current, self._issued


def _described(credentials: Credentials) -> Dict[str, Any]:
    return {"AccessKeyId": credentials.access_key_id, "SecretAccessKey": credentials.secret_access_key,
            "Token": credentials.session_token, "Expiration": _iso(credentials.expires or 0.0)}


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class MetadataService:
    """The instance metadata service. Version 1, which asks for no token, is refused."""

    def __init__(self, keys: Keys, region: str, settings: Settings):
        self._settings = settings
        self._credentials = CurrentCredentials(keys, ROLE_ARN, INSTANCE_ID, settings)
        self._lock = threading.Lock()
        # When each token ends.
        self._tokens: Dict[str, float] = {}
        zone = region + "a"
        self._documents: Dict[str, str] = {
            _META_DATA + "placement/region": region,
            _META_DATA + "placement/availability-zone": zone,
            _META_DATA + "instance-id": INSTANCE_ID,
            _META_DATA + "iam/info": json.dumps({
                "Code": "Success", "InstanceProfileArn": ROLE_ARN.replace(":role/", ":instance-profile/")}),
            _DOCUMENT: json.dumps({"accountId": ACCOUNT_ID, "availabilityZone": zone, "instanceId": INSTANCE_ID,
                                   "region": region, "version": "2017-09-30"}),
            _CREDENTIALS: ROLE,
        }

    @staticmethod
    def operation_name(request: Request) -> Optional[str]:
        """``Metadata.`` and what is asked for, None for a request to another service."""
        if not request.path.startswith(PREFIX):
            return None
        return _OPERATIONS.get(request.path, "Metadata.Get")

    def verify(self, request: Request, operation: str) -> None:
        """Raises AwsError unless the request has a token that holds, or asks for one."""
        if operation == "Metadata.Token":
            return
        with self._lock:
            ends = self._tokens.get(request.fields.get(TOKEN_HEADER, ""))
        if ends is None or ends <= self._settings.now():
            raise AwsError("Unauthorized", "a token is needed", 401)

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request. Raises AwsError."""
        if operation == "Metadata.Token":
            return self._token(request)
        if request.method not in ("GET", "HEAD"):
            raise AwsError("Method Not Allowed", "only GET", 405)
        if operation == "Metadata.Credentials":
            credentials, issued = self._credentials.get(self._settings.metadata_stale)
            text = json.dumps({"Code": "Success", "LastUpdated": _iso(issued), "Type": "AWS-HMAC",
                               **_described(credentials)})
        else:
            # With and without a slash at the end, as programs have it either way.
            found = next((self._documents[path] for path in (request.path, request.path + "/", request.path.rstrip("/"))
                          if path in self._documents), None)
            if found is None:
                raise AwsError("Not Found", "there is no such document", 404)
            text = found
        answer = self._answer(200, text)
        if request.method == "HEAD":
            answer.content_length, answer.body = len(answer.body), b""
        return answer

    def refuse(self, error: AwsError, request: Request) -> Response:
        """The service's answer to a request that an error ended."""
        return self._answer(error.status, "%d - %s: %s" % (error.status, error.code, error.message))

    def _token(self, request: Request) -> Response:
        if request.method != "PUT":
            raise AwsError("Method Not Allowed", "only PUT", 405)
        if "x-forwarded-for" in request.fields:
            raise AwsError("Forbidden", "tokens are not for proxies", 403)
        ttl = request.fields.get(TTL_HEADER, "")
        if not (ttl.isascii() and ttl.isdigit() and 1 <= int(ttl) <= MAX_TOKEN_SECONDS):
            raise AwsError("Bad Request", "%s must be 1 to %d" % (TTL_HEADER, MAX_TOKEN_SECONDS), 400)
        token = secrets.token_urlsafe(40)
        with self._lock:
            self._tokens[token] = self._settings.now() + int(ttl)
        answer = self._answer(200, token)
        answer.headers[TTL_HEADER] = ttl
        return answer

    def _answer(self, status: int, text: str) -> Response:
        return Response(status, {"Content-Type": "text/plain", "Server": "EC2ws",
                                 "Date": formatdate(self._settings.now(), usegmt=True)}, text.encode())


class ContainerService:
    """The endpoint that AWS_CONTAINER_CREDENTIALS_FULL_URI names. token: what the Authorization header must be."""

    def __init__(self, keys: Keys, token: str, settings: Settings):
        self._token = token
        self._settings = settings
        self._credentials = CurrentCredentials(keys, CONTAINER_ROLE_ARN, "container", settings)

    @staticmethod
    def operation_name(request: Request) -> Optional[str]:
        """``Container.Credentials``, None for a request to another service."""
        return "Container.Credentials" if request.path == CONTAINER_PATH else None

    def verify(self, request: Request, operation: str) -> None:
        """Raises AwsError unless the token is right."""
        given = request.fields.get("authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(given, self._token.encode()):
            raise AwsError("AccessDenied", "The authorization token is missing or wrong.", 401)

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request that is authorized. Raises AwsError."""
        if request.method != "GET":
            raise AwsError("MethodNotAllowed", "only GET", 405)
        return self._answer(200, {"RoleArn": CONTAINER_ROLE_ARN, **_described(self._credentials.get()[0])})

    def refuse(self, error: AwsError, request: Request) -> Response:
        """The endpoint's answer to a request that an error ended."""
        return self._answer(error.status, {"code": error.code, "message": error.message})

    def _answer(self, status: int, value: Dict[str, Any]) -> Response:
        return Response(status, {"Content-Type": "application/json",
                                 "Date": formatdate(self._settings.now(), usegmt=True)}, json.dumps(value).encode())
