"""AWS STS over the Query protocol: credentials for a role, that the other services accept until they expire.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html,
https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html,
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html;
errors: https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
import uuid
from email.utils import formatdate
from typing import Any, Callable, Dict, List, Optional, Tuple
from urllib.parse import parse_qsl

from . import markup
from .authorization import Credentials, Keys, Verifier
from .errors import AwsError
from .model import Integer, Shape, String, Violations
from .settings import ACCOUNT_ID, Settings
from .wire import Request, Response, Signer

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
VERSION = "2011-06-15"
DEFAULT_SECONDS = 3600
CHAINED_SECONDS = 3600

_ROLE = re.compile(r"(arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+)(?::(.+))?\Z")

_ROLE_ARN = String(20, 2048, "[\u0009\u000A\u000D\u0020-\u007E\u0085\u00A0-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]+")
_SESSION_NAME = String(2, 64, r"[\w+=,.@-]*")
_DURATION = Integer(900, 43200)

# Members by operation; the first two of those that assume a role are required. What is not named is ignored.
_MEMBERS: Dict[str, Tuple[Tuple[str, ...], Dict[str, Shape]]] = {
    "AssumeRole": (("RoleArn", "RoleSessionName"), {
        "RoleArn": _ROLE_ARN, "RoleSessionName": _SESSION_NAME, "DurationSeconds": _DURATION,
        "ExternalId": String(2, 1224, r"[\w+=,.@:\/-]*")}),
    "AssumeRoleWithWebIdentity": (("RoleArn", "RoleSessionName", "WebIdentityToken"), {
        "RoleArn": _ROLE_ARN, "RoleSessionName": _SESSION_NAME, "DurationSeconds": _DURATION,
        "WebIdentityToken": String(4, 20000)}),
    "GetCallerIdentity": ((), {}),
}

Pairs = List[Tuple[str, Any]]


def parse_role(text: str) -> Tuple[str, Optional[str]]:
    """Reads ARN[:EXTERNAL_ID]. Raises ValueError."""
    match = _ROLE.match(text)
    if match is None:
        raise ValueError("a role is arn:aws:iam::ACCOUNT:role/NAME[:EXTERNAL_ID]")
    return match.group(1), match.group(2)


def _form(request: Request) -> Dict[str, str]:
    text = request.query if request.method == "GET" else request.body.decode("utf-8", "replace")
    return dict(parse_qsl(text, keep_blank_values=True))


def operation_name(request: Request) -> Optional[str]:
    """``STS.`` and the Action of a request of the Query protocol, None for any other request."""
    is_form = request.fields.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if request.path != "/" or not (request.method == "GET" or (request.method == "POST" and is_form)):
        return None
    action = _form(request).get("Action")
    return None if action is None else "STS." + action


class StsService:
    """Answers STS's requests.

    roles: the external id that each demands, or None, by ARN.
    """

    def __init__(self, keys: Keys, verifier: Verifier, roles: Dict[str, Optional[str]], settings: Settings):
        self._keys = keys
        self._verifier = verifier
        self._roles = roles
        self._settings = settings
        self._operations: Dict[str, Callable[[Request, Dict[str, Any]], Pairs]] = {
            "AssumeRole": self._assume_role,
            "AssumeRoleWithWebIdentity": self._assume_role_with_web_identity,
            "GetCallerIdentity": self._get_caller_identity,
        }

    def verify(self, request: Request, operation: str) -> Optional[Signer]:
        """Who signed a request; the one operation that nobody signs has None. Raises AwsError."""
        if operation == "STS.AssumeRoleWithWebIdentity":
            return None
        return self._verifier.verify(request, "sts")

    def handle(self, operation: str, request: Request) -> Response:
        """Carries out a request that is authorized. Raises AwsError."""
        action, form = operation[len("STS."):], _form(request)
        handler = self._operations.get(action)
        if handler is None or form.get("Version") != VERSION:
            raise AwsError("InvalidAction", "Could not find operation %s for version %s"
                           % (action, form.get("Version", "NO_VERSION_SPECIFIED")), 400)
        result = handler(request, _validated(action, form))
        return self._answer(200, request, action + "Response", [
            (action + "Result", result), ("ResponseMetadata", [("RequestId", str(uuid.uuid4()))])])

    def refuse(self, error: AwsError, request: Request) -> Response:
        """STS's answer to a request that an error ended."""
        members = [("Type", "Sender" if error.status < 500 else "Receiver"), ("Code", error.code), ("Message", error.message)]
        return self._answer(error.status, request, "ErrorResponse", [
            ("Error", members), ("RequestId", str(uuid.uuid4()))])

    def _answer(self, status: int, request: Request, name: str, value: Pairs) -> Response:
        identity = next(item for pair, item in _flat(value) if pair == "RequestId")
        headers: Dict[str, Optional[str]] = {"x-amzn-RequestId": identity,
                                             "Date": formatdate(self._settings.now(), usegmt=True)}
        wanted = self._settings.sts_format or (
            "json" if "application/json" in request.fields.get("accept", "") else "xml")
        if wanted == "json":
            headers["Content-Type"] = "application/json"
            shown = _as_dict(value)
            body = json.dumps(shown if name == "ErrorResponse" else {name: shown}).encode()
        else:
            headers["Content-Type"] = "text/xml"
            body = markup.element(name, _with_iso_times(value), NAMESPACE).encode()
        return Response(status, headers, body)

    def _assume_role(self, request: Request, members: Dict[str, Any]) -> Pairs:
        assert request.signer is not None
        caller = self._keys.find(request.signer.access_key_id)
        assert caller is not None
        role = members["RoleArn"]
        external_id = self._roles.get(role)
        if role not in self._roles or external_id not in (None, members.get("ExternalId")):
            raise AwsError("AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s"
                           % (caller.principal, role), 403)
        seconds = members.get("DurationSeconds", DEFAULT_SECONDS)
        if caller.expires is not None and seconds > CHAINED_SECONDS:
            raise _validation_error("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by "
                                    "role chaining")
        return self._issued(role, members["RoleSessionName"], seconds)

    def _assume_role_with_web_identity(self, request: Request, members: Dict[str, Any]) -> Pairs:
        claims = _claims(members["WebIdentityToken"])
        if claims["exp"] <= self._settings.now():
            raise AwsError("ExpiredTokenException", "Token expired: current date/time %d must be before the expiration "
                           "date/time %d" % (self._settings.now(), claims["exp"]), 400)
        role = members["RoleArn"]
        if role not in self._roles:
            raise AwsError("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
        audience = claims.get("aud")
        return self._issued(role, members["RoleSessionName"], members.get("DurationSeconds", DEFAULT_SECONDS)) + [
            ("SubjectFromWebIdentityToken", str(claims.get("sub", ""))),
            ("Audience", str(audience[0] if isinstance(audience, list) and audience else audience or "")),
            ("Provider", str(claims.get("iss", "")))]

    def _issued(self, role: str, session_name: str, seconds: int) -> Pairs:
        issued = self._keys.issue(role, session_name, seconds)
        return [("Credentials", [("AccessKeyId", issued.access_key_id), ("SecretAccessKey", issued.secret_access_key),
                                 ("SessionToken", issued.session_token), ("Expiration", issued.expires)]),
                ("AssumedRoleUser", [("AssumedRoleId", _user_id(issued)), ("Arn", issued.principal)])]

    def _get_caller_identity(self, request: Request, members: Dict[str, Any]) -> Pairs:
        assert request.signer is not None
        caller = self._keys.find(request.signer.access_key_id)
        assert caller is not None
        return [("Arn", caller.principal), ("UserId", _user_id(caller)), ("Account", ACCOUNT_ID)]


def _user_id(credentials: Credentials) -> str:
    """An id as IAM makes them, the same for a role or user each time."""
    kind, name, *session = credentials.principal.rpartition(":")[2].split("/")
    digest = base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:17]
    return ":".join([("AIDA" if kind == "user" else "AROA") + digest, *session])


def _claims(token: str) -> Dict[str, Any]:
    """What a JSON Web Token says; its signature is not looked at. Raises AwsError InvalidIdentityToken."""
    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if not isinstance(claims["exp"], (int, float)):
            raise ValueError("exp")
        return claims
    except (ValueError, KeyError, TypeError):
        raise AwsError("InvalidIdentityToken", "The ID Token provided is not a valid JWT. (You may see this error if you sent "
                       "an Access Token)", 400) from None


def _validation_error(message: str) -> AwsError:
    return AwsError("ValidationError", message, 400)


def _validated(action: str, form: Dict[str, str]) -> Dict[str, Any]:
    """The members of a request that the table names. Raises AwsError ValidationError."""
    required, shapes = _MEMBERS[action]
    violations, members = Violations(), {}
    for name, shape in shapes.items():
        path = name[0].lower() + name[1:]
        if name not in form:
            if name in required:
                violations.add("null", path, "Member must not be null")
            continue
        value: Any = form[name]
        if isinstance(shape, Integer):
            if not re.match(r"-?\d{1,9}\Z", value):
                raise AwsError("MalformedInput", "Invalid input", 400)
            value = int(value)
        shape.check(value, path, violations)
        members[name] = value
    violations.raise_if_any(_validation_error)
    return members


def _flat(value: Pairs) -> Pairs:
    return [pair for name, item in value for pair in ([(name, item)] + (_flat(item) if isinstance(item, list) else []))]


def _as_dict(value: Any) -> Any:
    """Pairs as JSON has them; times are whole seconds since 1970."""
    if isinstance(value, list):
        return {name: _as_dict(item) for name, item in value}
    return int(value) if isinstance(value, float) else value


def _with_iso_times(value: Any) -> Any:
    if isinstance(value, list):
        return [(name, _with_iso_times(item)) for name, item in value]
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(value)) if isinstance(value, float) else value
