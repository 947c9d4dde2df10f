"""AWS Signature Version 4, the sums only: canonical request, string to sign, signature.

The rules are at https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html; who may do
what with them is in authorization.py. Text that came from the wire may hold surrogate escapes, which stand for bytes
that are not UTF-8 and count as those bytes.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from typing import Iterable, List, Sequence, Tuple
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def canonical_uri_of_service(path: str) -> str:
    """The canonical URI for every service but S3.

    path: as sent. Dot segments and empty segments go (RFC 3986, 5.2.4), then what was sent is encoded once more, so that
    what went over the wire encoded once counts as encoded twice.
    """
    # quote() leaves letters, digits and _.-~ alone: exactly what AWS calls unreserved.
    return quote(_bytes(normalized_path(path)), safe="/")


def canonical_uri_of_s3(path: str) -> str:
    """The canonical URI for S3: no normalization, each segment encoded exactly once however the client spelled it."""
    return "/".join(quote(unquote_to_bytes(_bytes(segment)), safe="") for segment in path.split("/"))


def normalized_path(path: str) -> str:
    """path without '.', '..' and empty segments; a trailing '/' stays."""
    segments: List[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    normalized = "/" + "/".join(segments)
    if segments and path.endswith(("/", "/.", "/..")):
        normalized += "/"
    return normalized


def canonical_query(query: str) -> str:
    """The canonical query string: every name and value decoded and encoded anew, sorted by name, then by value.

    query: as sent, without '?'. '+' is a plus sign, not a space; a name without '=' gets one.
    """
    pairs = []
    for parameter in query.split("&"):
        if parameter:
            name, _, value = parameter.partition("=")
            pairs.append((quote(unquote_to_bytes(_bytes(name)), safe=""), quote(unquote_to_bytes(_bytes(value)), safe="")))
    return "&".join("%s=%s" % pair for pair in sorted(pairs))


def canonical_headers(headers: Iterable[Tuple[str, str]], signed: Sequence[str]) -> str:
    """The canonical header lines, each with its line end.

    headers: (name, value) in the order received; values of a repeated name are joined with ',' in that order, and every
    run of white space becomes one space. signed: lower-case names in the order of SignedHeaders.
    """
    values: dict = {name: [] for name in signed}
    for name, value in headers:
        name = name.lower()
        if name in values:
            values[name].append(" ".join(value.split()))
    return "".join("%s:%s\n" % (name, ",".join(values[name])) for name in signed)


def canonical_request(method: str, uri: str, query: str, headers: str, signed: Sequence[str], payload_sha256: str) -> str:
    """Puts the canonical parts together. The text has no line end at its end."""
    return "\n".join((method, uri, query, headers, ";".join(signed), payload_sha256))


def string_to_sign(amz_date: str, scope: str, canonical: str) -> str:
    """amz_date: YYYYMMDDTHHMMSSZ. scope: date/region/service/aws4_request."""
    return "\n".join((ALGORITHM, amz_date, scope, hashlib.sha256(_bytes(canonical)).hexdigest()))


@functools.lru_cache(maxsize=64)
def signing_key(secret_access_key: str, date: str, region: str, service: str) -> bytes:
    """The key derived for one day, region and service. date: YYYYMMDD."""
    key = ("AWS4" + secret_access_key).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """The signature of a string to sign, in lower-case hexadecimal digits."""
    return hmac.digest(key, _bytes(text), "sha256").hex()
