"""What clients have sent: the last requests, and how many connections and requests there were at once."""

from __future__ import annotations

import collections
import hashlib
import re
import threading
import time
from typing import Any, Deque, Dict, List, Optional, Tuple
from urllib.parse import unquote_plus

from .wire import Request

CAPACITY = 20000
MAX_BODY_CHARACTERS = 2000

# What is good for a request by itself is not kept. An Authorization that is a signature is no such thing.
_SECRET_HEADERS = ("x-amz-security-token", "x-aws-ec2-metadata-token")
_SIGNATURE = "AWS4-HMAC-SHA256 "
_SECRET_MEMBER = re.compile(r"(?<![^&])(WebIdentityToken=)([^&]*)")


def digest(secret: str) -> str:
    """What stands in the log for a secret: the same for the same one, so that two can be told apart."""
    return "sha256:" + hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()[:16]


class Entry:
    """One request. status stays None where no answer was sent. signer: the access key id named in it, and whose it is."""

    __slots__ = ("number", "time", "connection", "service", "operation", "status", "fault", "authorized", "signer",
                 "_headers", "_body")

    def __init__(self, number: int, connection: int, service: str, operation: str, request: Request,
                 signer: Tuple[Optional[str], Optional[str]]):
        self.number = number
        self.time = time.time()
        self.connection = connection
        self.service = service
        self.operation = operation
        self.status: Optional[int] = None
        self.fault = False
        self.authorized = False
        self.signer = signer
        self._headers: List[Tuple[str, str]] = [
            (name, digest(value)) if name in _SECRET_HEADERS or (
                name == "authorization" and not value.startswith(_SIGNATURE)) else (name, value)
            for name, value in request.headers]
        body = request.body
        if service == "sts":
            text = body.decode("utf-8", "replace")
            body = _SECRET_MEMBER.sub(lambda match: match.group(1) + digest(unquote_plus(match.group(2))), text).encode()
        # A character takes at most four bytes; the rest of a large body is not kept alive.
        self._body = body[:4 * MAX_BODY_CHARACTERS]

    def as_dict(self) -> Dict[str, Any]:
        """The entry as /_emulator/log shows it."""
        return {
            "n": self.number, "time": self.time, "connection": self.connection, "service": self.service,
            "operation": self.operation, "status": self.status, "fault": self.fault, "authorized": self.authorized,
            "access_key_id": self.signer[0], "principal": self.signer[1],
            "body": self._body.decode("utf-8", "replace")[:MAX_BODY_CHARACTERS], "headers": dict(self._headers),
        }


class Journal:
    """Safe to use from any thread. A connection counts from its first request that is not for /_emulator/."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: Deque[Entry] = collections.deque(maxlen=CAPACITY)
        self._number = 0
        self._connection = 0
        self._opened = 0
        self._open = 0
        self._in_flight = 0
        self._max_in_flight = 0

    def open_connection(self) -> int:
        """Counts a connection and returns its number."""
        with self._lock:
            self._connection += 1
            self._opened += 1
            self._open += 1
            return self._connection

    def close_connection(self) -> None:
        """A counted connection has been closed."""
        with self._lock:
            self._open -= 1

    def begin(self, connection: int, service: str, operation: str, request: Request,
              signer: Tuple[Optional[str], Optional[str]]) -> Entry:
        """A request has been read; it is in flight until end()."""
        with self._lock:
            self._number += 1
            entry = Entry(self._number, connection, service, operation, request, signer)
            self._entries.append(entry)
            self._in_flight += 1
            self._max_in_flight = max(self._max_in_flight, self._in_flight)
            return entry

    def end(self) -> None:
        """A request in flight has been answered, or will not be."""
        with self._lock:
            self._in_flight -= 1

    def reset(self) -> None:
        """Forgets the requests; counts connections from those now open and requests at once from those in flight."""
        with self._lock:
            self._entries.clear()
            self._number = 0
            self._opened = self._open
            self._max_in_flight = self._in_flight

    def as_dict(self) -> Dict[str, Any]:
        """The log as /_emulator/log shows it."""
        with self._lock:
            entries = list(self._entries)
            counts = {"connections_opened": self._opened, "connections_open": self._open,
                      "max_in_flight": self._max_in_flight}
        return {**counts, "requests": [entry.as_dict() for entry in entries]}
