"""Who sent a request: every rule of Signature Version 4, kept strictly, with AWS's words for what breaks it.

Independent of any client's code: the canonical request is rebuilt from the bytes that were received.
Error names of Athena: https://docs.aws.amazon.com/athena/latest/APIReference/CommonErrors.html
Error names of S3: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
"""

from __future__ import annotations

import calendar
import hashlib
import hmac
import re
import time
from typing import Dict, NamedTuple, Optional, Tuple

from . import sigv4
from .errors import AwsError
from .settings import Settings
from .wire import Request

ALLOWED_SKEW_SECONDS = 15 * 60
UNSIGNED_PAYLOADS = ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER")

_AMZ_DATE = re.compile(r"\d{8}T\d{6}Z\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

# What went wrong: (Athena's code, S3's code, S3's status). Athena's status is always 403.
_CODES = {
    "missing": ("MissingAuthenticationTokenException", "AccessDenied", 403),
    "incomplete": ("IncompleteSignatureException", "AuthorizationHeaderMalformed", 400),
    "scope": ("InvalidSignatureException", "AuthorizationHeaderMalformed", 400),
    "unknown key": ("UnrecognizedClientException", "InvalidAccessKeyId", 403),
    "token": ("UnrecognizedClientException", "InvalidToken", 400),
    "expired token": ("ExpiredTokenException", "ExpiredToken", 400),
    "unsigned header": ("InvalidSignatureException", "AccessDenied", 403),
    "date": ("IncompleteSignatureException", "AccessDenied", 403),
    "skew": ("InvalidSignatureException", "RequestTimeTooSkewed", 403),
    "payload": ("InvalidSignatureException", "XAmzContentSHA256Mismatch", 400),
    "signature": ("InvalidSignatureException", "SignatureDoesNotMatch", 403),
}

# Where the two services say the same thing in different words.
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
    """One access key that the emulator knows. session_token is None for a long-term key."""

    access_key_id: str
    secret_access_key: str
    session_token: Optional[str]

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


class Verifier:
    """Verifies requests for one region against the credentials it was given."""

    def __init__(self, credentials: Dict[str, Credentials], region: str, settings: Settings):
        self._credentials = credentials
        self._region = region
        self._settings = settings

    def verify(self, request: Request, service: str) -> str:
        """Returns the access key id whose holder signed the request.

        service: ``athena`` or ``s3``. Raises AwsError with the service's own code and status.
        """
        authorization = request.fields.get("authorization")
        if authorization is None:
            raise self._refusal(service, "missing", "Missing Authentication Token")
        access_key_id, scope, signed, given = self._parse(service, authorization)
        credentials = self._credentials.get(access_key_id)
        if credentials is None:
            raise self._refusal(service, "unknown key", "The security token included in the request is invalid.",
                                AWSAccessKeyId=access_key_id)
        self._check_token(service, credentials, request.fields.get("x-amz-security-token"))
        self._check_signed_headers(service, request.fields, signed)
        date = self._check_time(service, request.fields)
        self._check_scope(service, scope, date)
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
        return access_key_id

    @staticmethod
    def _refusal(service: str, what: str, message: str, **s3_members: str) -> AwsError:
        athena_code, s3_code, s3_status = _CODES[what]
        if service == "s3":
            return AwsError(s3_code, _S3_MESSAGES.get(what, message), s3_status, s3_members)
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
        if credentials.access_key_id in self._settings.expired_access_keys:
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
        if abs(now - sent) > ALLOWED_SKEW_SECONDS:
            if sent < now:
                bound, words, sign = now - ALLOWED_SKEW_SECONDS, "Signature expired: %s is now earlier than %s", "-"
            else:
                bound, words, sign = now + ALLOWED_SKEW_SECONDS, "Signature not yet current: %s is still later than %s", "+"
            message = (words + " (%s %s 15 min.)") % (date, amz_date(bound), amz_date(now), sign)
            raise self._refusal(service, "skew", message, RequestTime=date, MaxAllowedSkewMilliseconds="900000",
                                ServerTime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)))
        return date

    def _check_scope(self, service: str, scope: Tuple[str, ...], date: str) -> None:
        scope_date, region, scope_service, term = scope
        if scope_date != date[:8]:
            raise self._refusal(service, "scope", "Date in Credential scope does not match YYYYMMDD from ISO-8601 version "
                                "of date from HTTP: '%s' != '%s', from '%s'." % (scope_date, date[:8], date))
        if region != self._region:
            if service == "s3":
                raise self._refusal(service, "scope", "The authorization header is malformed; the region '%s' is wrong; "
                                    "expecting '%s'" % (region, self._region), Region=self._region)
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
                # SDKs leave the payload unsigned only where TLS protects it.
                if not request.secure:
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
