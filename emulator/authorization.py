"""Who sent a request: every rule of Signature Version 4, kept strictly, with AWS's words for what breaks it.

Independent of any client's code: the canonical request is rebuilt from the bytes that were received.
Error names of Athena: https://docs.aws.amazon.com/athena/latest/APIReference/CommonErrors.html
Error names of S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import base64
import calendar
import hashlib
import hmac
import re
import secrets
import time
from typing import Callable, Dict, Iterable, NamedTuple, Optional, Tuple

from . import sigv4
from .errors import AwsError
from .settings import ACCOUNT_ID, Settings
from .wire import Request, Signer

# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html: within five minutes; S3 and STS allow more.
ALLOWED_SKEW_MINUTES = {"athena": 5, "s3": 15, "sts": 15}
UNSIGNED_PAYLOADS = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")

_AMZ_DATE = re.compile(r"\d{8}T\d{6}Z\Z")
_CLAIMED_KEY = re.compile(r"AWS4-HMAC-SHA256 (?:.*[ ,])?Credential=([^/, ]+)/")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

# What went wrong: (Athena's code, S3's code and status, STS's code and status). Athena's status is always 403.
_CODES = {
    "missing": ("MissingAuthenticationTokenException", ("AccessDenied", 403), ("MissingAuthenticationToken", 403)),
    "incomplete": ("IncompleteSignatureException", ("AuthorizationHeaderMalformed", 400), ("IncompleteSignature", 400)),
    "scope": ("InvalidSignatureException", ("AuthorizationHeaderMalformed", 400), ("SignatureDoesNotMatch", 403)),
    "unknown key": ("UnrecognizedClientException", ("InvalidAccessKeyId", 403), ("InvalidClientTokenId", 403)),
    "token": ("UnrecognizedClientException", ("InvalidToken", 400), ("InvalidClientTokenId", 403)),
    "expired token": ("ExpiredTokenException", ("ExpiredToken", 400), ("ExpiredToken", 403)),
    "unsigned header": ("InvalidSignatureException", ("AccessDenied", 403), ("SignatureDoesNotMatch", 403)),
    "date": ("IncompleteSignatureException", ("AccessDenied", 403), ("IncompleteSignature", 400)),
    "skew": ("InvalidSignatureException", ("RequestTimeTooSkewed", 403), ("SignatureDoesNotMatch", 403)),
    "payload": ("InvalidSignatureException", ("XAmzContentSHA256Mismatch", 400), ("SignatureDoesNotMatch", 403)),
    "signature": ("InvalidSignatureException", ("SignatureDoesNotMatch", 403), ("SignatureDoesNotMatch", 403)),
}

# Where S3 says the same thing in words of its own.
_S3_MESSAGES = {
    "missing": "Access Denied",
    "unknown key": "The AWS Access Key Id you provided does not exist in our records.",
    "token": "The provided token is malformed or otherwise invalid.",
    "expired token": "The provided token has expired.",
    "unsigned header": "There were headers present in the request which were not signed",
    "date": "AWS authentication requires a valid Date or x-amz-date header",
    "skew": "The difference between the request time and the current time is too large.",
    "signature": "The request signature we calculated does not match the signature you provided. "
                 "Check your key and signing method.",
}


class Credentials(NamedTuple):
    """One access key that the emulator knows.

    session_token: None for a long-term key. expires: seconds since 1970, None for never. principal: the ARN of its holder.
    """

    access_key_id: str
    secret_access_key: str
    session_token: Optional[str]
    expires: Optional[float] = None
    principal: str = "arn:aws:iam::%s:user/emulator" % ACCOUNT_ID

    @classmethod
    def parse(cls, text: str) -> "Credentials":
        """Reads ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]. Raises ValueError."""
        parts = text.split(":", 2)
        if len(parts) < 2 or not all(parts):
            raise ValueError("credentials are ACCESS_KEY_ID:SECRET_ACCESS_KEY[:SESSION_TOKEN]")
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else None)


def amz_date(seconds: float) -> str:
    """Seconds since 1970 as YYYYMMDDTHHMMSSZ."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(seconds))


class Keys:
    """The access keys that may sign: those given, and those issued since. Safe to use from any thread."""

    def __init__(self, given: Iterable[Credentials], settings: Settings):
        self._given = {item.access_key_id: item for item in given}
        self._settings = settings
        self._issued: Dict[str, Credentials] = {}

    def find(self, access_key_id: str) -> Optional[Credentials]:
        """The key of that id, also when it has expired."""
        return self._given.get(access_key_id) or self._issued.get(access_key_id)

    def issue(self, role_arn: str, session_name: str, seconds: float) -> Credentials:
        """New credentials of a role, for so long, or for as long as the settings say."""
        lifetime = self._settings.credential_lifetime_seconds
        account, role = role_arn.split(":")[4], role_arn.rpartition("/")[2]
        issued = Credentials(
            "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode(), secrets.token_urlsafe(30),
            base64.b64encode(secrets.token_bytes(258)).decode(),
            self._settings.now() + (seconds if lifetime is None else lifetime),
            "arn:aws:sts::%s:assumed-role/%s/%s" % (account, role, session_name))
        self._issued[issued.access_key_id] = issued
        return issued

    def has_expired(self, credentials: Credentials) -> bool:
        """Whether a key's time is over, or the settings say so."""
        return credentials.access_key_id in self._settings.expired_access_keys or (
            credentials.expires is not None and credentials.expires <= self._settings.now())

    def clear(self) -> None:
        """Forgets what was issued."""
        self._issued.clear()


class Verifier:
    """Verifies requests against the keys it was given.

    region: the one to sign for; a request to S3 may also be signed for the region that bucket_region gives for it.
    """

    def __init__(self, keys: Keys, region: str, settings: Settings, bucket_region: Callable[[Request], str]):
        self._keys = keys
        self._region = region
        self._settings = settings
        self._bucket_region = bucket_region

    def verify(self, request: Request, service: str) -> Signer:
        """Returns who signed the request.

        service: ``athena``, ``s3`` or ``sts``. Raises AwsError with the service's own code and status.
        """
        authorization = request.fields.get("authorization")
        if authorization is None:
            raise self._refusal(service, "missing", "Missing Authentication Token")
        access_key_id, scope, signed, given = self._parse(service, authorization)
        credentials = self._keys.find(access_key_id)
        if credentials is None:
            raise self._refusal(service, "unknown key", "The security token included in the request is invalid.",
                                AWSAccessKeyId=access_key_id)
        self._check_token(service, credentials, request.fields.get("x-amz-security-token"))
        self._check_signed_headers(service, request.fields, signed)
        date = self._check_time(service, request.fields)
        self._check_scope(service, scope, date, request)
        payload = self._check_payload(service, request)

        uri = sigv4.canonical_uri_of_s3 if service == "s3" else sigv4.canonical_uri_of_service
        canonical = sigv4.canonical_request(request.method, uri(request.path), sigv4.canonical_query(request.query),
                                            sigv4.canonical_headers(request.headers, signed), signed, payload)
        text = sigv4.string_to_sign(date, "/".join(scope), canonical)
        key = sigv4.signing_key(credentials.secret_access_key, *scope[:3])
        if not hmac.compare_digest(sigv4.signature(key, text).encode(), given.encode("utf-8", "surrogateescape")):
            raise self._refusal(
                service, "signature",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
                "Access Key and signing method. Consult the service documentation for details.\n\n"
                "The Canonical String for this request should have been\n'%s'\n\n"
                "The String-to-Sign should have been\n'%s'\n" % (canonical, text),
                AWSAccessKeyId=access_key_id, StringToSign=text, SignatureProvided=given, CanonicalRequest=canonical)
        return Signer(access_key_id, scope[1])

    def claimed_signer(self, request: Request) -> Tuple[Optional[str], Optional[str]]:
        """The access key id that a request names as its signer's, and the ARN of whom it belongs to; None for what there
        is not. Whether the signature is right is verify()'s to say."""
        match = _CLAIMED_KEY.match(request.fields.get("authorization", ""))
        if match is None:
            return None, None
        credentials = self._keys.find(match.group(1))
        return match.group(1), None if credentials is None else credentials.principal

    @staticmethod
    def _refusal(service: str, what: str, message: str, **s3_members: str) -> AwsError:
        athena_code, s3_error, sts_error = _CODES[what]
        if service == "s3":
            return AwsError(s3_error[0], _S3_MESSAGES.get(what, message), s3_error[1], s3_members)
        if service == "sts":
            return AwsError(sts_error[0], message, sts_error[1])
        return AwsError(athena_code, message, 403)

    def _parse(self, service: str, authorization: str) -> Tuple[str, Tuple[str, ...], Tuple[str, ...], str]:
        """Takes the Authorization header apart: access key id, scope in four parts, signed headers, signature."""
        algorithm, _, rest = authorization.partition(" ")
        if algorithm != sigv4.ALGORITHM:
            raise self._refusal(service, "incomplete", "Authorization header requires the algorithm %s. Authorization=%s"
                                % (sigv4.ALGORITHM, algorithm))
        parameters = {}
        for part in rest.split(","):
            name, _, value = part.strip().partition("=")
            parameters[name] = value
        missing = [name for name in ("Credential", "SignedHeaders", "Signature") if not parameters.get(name)]
        if missing:
            raise self._refusal(service, "incomplete", " ".join(
                "Authorization header requires '%s' parameter." % name for name in missing))
        # An access key id holds no '/', the scope holds exactly three.
        access_key_id, *scope = parameters["Credential"].split("/")
        if len(scope) != 4 or not access_key_id:
            raise self._refusal(service, "incomplete", "Credential must have exactly 5 slash-delimited elements, e.g. "
                                "keyid/date/region/service/term, got '%s'" % parameters["Credential"])
        signed = tuple(parameters["SignedHeaders"].split(";"))
        if list(signed) != sorted(set(signed)) or any(name != name.lower() for name in signed):
            raise self._refusal(service, "incomplete", "SignedHeaders must be lower-case names in order, each once, got '%s'"
                                % parameters["SignedHeaders"])
        return access_key_id, tuple(scope), signed, parameters["Signature"]

    def _check_token(self, service: str, credentials: Credentials, token: Optional[str]) -> None:
        expected = credentials.session_token
        message = "The security token included in the request is invalid."
        if token is None and expected is not None:
            raise self._refusal(service, "unknown key", message, AWSAccessKeyId=credentials.access_key_id)
        if token is not None and (expected is None or not hmac.compare_digest(
                token.encode("utf-8", "surrogateescape"), expected.encode())):
            raise self._refusal(service, "token", message)
        if self._keys.has_expired(credentials):
            raise self._refusal(service, "expired token", "The security token included in the request is expired")

    def _check_signed_headers(self, service: str, fields: Dict[str, str], signed: Tuple[str, ...]) -> None:
        for name in ("host", *(name for name in fields if name == "content-type" or name.startswith("x-amz-"))):
            if name not in signed:
                raise self._refusal(service, "unsigned header",
                                    "'%s' must be a 'SignedHeader' in the AWS Authorization." % name,
                                    HeadersNotSigned=name)
        absent = [name for name in signed if name not in fields]
        if absent:
            raise self._refusal(service, "incomplete", "SignedHeaders names headers that were not sent: %s"
                                % ", ".join(absent))

    def _check_time(self, service: str, fields: Dict[str, str]) -> str:
        date = fields.get("x-amz-date", "")
        try:
            if not _AMZ_DATE.match(date):
                raise ValueError(date)
            sent = calendar.timegm(time.strptime(date, "%Y%m%dT%H%M%SZ"))
        except ValueError:
            raise self._refusal(service, "date", "Date must be in ISO-8601 'basic format'. Got '%s'. See "
                                "http://en.wikipedia.org/wiki/ISO_8601" % date) from None
        now = self._settings.now()
        minutes = ALLOWED_SKEW_MINUTES[service]
        if abs(now - sent) > minutes * 60:
            if sent < now:
                bound, words, sign = now - minutes * 60, "Signature expired: %s is now earlier than %s", "-"
            else:
                bound, words, sign = now + minutes * 60, "Signature not yet current: %s is still later than %s", "+"
            message = (words + " (%s %s %d min.)") % (date, amz_date(bound), amz_date(now), sign, minutes)
            raise self._refusal(service, "skew", message, RequestTime=date, MaxAllowedSkewMilliseconds=str(minutes * 60000),
                                ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))
        return date

    def _check_scope(self, service: str, scope: Tuple[str, ...], date: str, request: Request) -> None:
        scope_date, region, scope_service, term = scope
        if scope_date != date[:8]:
            raise self._refusal(service, "scope", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
                                "of date from HTTP: '%s' != '%s', from '%s'." % (scope_date, date[:8], date))
        if service == "s3":
            expected = self._bucket_region(request)
            if region not in (expected, self._region):
                raise self._refusal(service, "scope", "The authorization header is malformed; the region '%s' is wrong; "
                                    "expecting '%s'" % (region, expected), Region=expected)
        elif region != self._region:
            raise self._refusal(service, "scope", "Credential should be scoped to a valid region, not '%s'." % region)
        if scope_service != service:
            raise self._refusal(service, "scope", "Credential should be scoped to correct service: '%s'." % service)
        if term != "aws4_request":
            raise self._refusal(service, "scope", "Credential should be scoped with a valid terminator: 'aws4_request', "
                                "not '%s'." % term)

    def _check_payload(self, service: str, request: Request) -> str:
        """What the last line of the canonical request must be."""
        stated = request.fields.get("x-amz-content-sha256")
        if service == "s3":
            if stated is None:
                raise AwsError("InvalidRequest", "Missing required header for this request: x-amz-content-sha256", 400)
            if stated in UNSIGNED_PAYLOADS:
                # Stricter than S3, as SDKs are: they leave a payload unsigned only where TLS protects it.
                if request.body and not request.secure:
                    raise AwsError("InvalidRequest", "An unsigned payload is accepted only over https.", 400)
                return stated
            if not _SHA256.match(stated):
                raise AwsError("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, "
                               "STREAMING-UNSIGNED-PAYLOAD-TRAILER or a valid sha256 value.", 400)
        computed = hashlib.sha256(request.body).hexdigest() if request.body else sigv4.EMPTY_SHA256
        if stated is not None and stated != computed:
            raise self._refusal(service, "payload", "The provided 'x-amz-content-sha256' header does not match what was "
                                "computed.", ClientComputedContentSHA256=stated, S3ComputedContentSHA256=computed)
        return computed
