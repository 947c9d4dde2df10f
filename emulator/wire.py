"""HTTP/1.1 as bytes: requests in, responses out. Knows neither Athena nor S3.

A reader of its own, because http.server parses headers with the email package, which costs more than all the rest of a
request here.
"""

from __future__ import annotations

import socket
from http import HTTPStatus
from typing import BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Tuple, Union

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 1024 * 1024 * 1024
RECEIVE_BYTES = 256 * 1024

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class BadRequest(Exception):
    """What came is not HTTP that can be answered by a service; the connection cannot be used any further."""

    def __init__(self, status: int, message: str):
        super().__init__(message)
        self.status = status


class Signer(NamedTuple):
    """Whose key signed a request, and for which region."""

    access_key_id: str
    region: str


class Request:
    """One request as it came.

    method: as sent. path, query: the two halves of the request target, still percent-encoded; query is '' where
    there is none. headers: (lower-case name, value without surrounding white space) in the order received; bytes
    that are not UTF-8 are kept as surrogate escapes. fields: the same by name, repeated ones joined with ','.
    body: after any chunked coding has been removed. secure: whether it came over TLS. signer: who signed it, once that
    has been verified (authorization.py).
    """

    __slots__ = ("method", "path", "query", "headers", "fields", "body", "secure", "keep_alive", "signer")

    def __init__(self, method: str, target: str, headers: List[Tuple[str, str]], body: bytes = b"",
                 secure: bool = False, keep_alive: bool = True):
        self.method = method
        self.path, _, self.query = target.partition("?")
        self.headers = headers
        fields: Dict[str, str] = {}
        for name, value in headers:
            fields[name] = fields[name] + "," + value if name in fields else value
        self.fields = fields
        self.body: Union[bytes, bytearray] = body
        self.secure = secure
        self.keep_alive = keep_alive
        self.signer: Optional[Signer] = None


class FileSlice:
    """A part of an open file as the body of a response. The slice owns the file and closes it."""

    def __init__(self, file: BinaryIO, offset: int, length: int):
        self._file = file
        self._offset = offset
        self._length = length

    def __len__(self) -> int:
        return self._length

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in pieces that fit into memory."""
        with self._file as file:
            file.seek(self._offset)
            left = self._length
            while left > 0:
                piece = file.read(min(left, RECEIVE_BYTES))
                if not piece:
                    return
                left -= len(piece)
                yield piece


class Response:
    """What is to be sent. headers is a dict in the order to send, None for a header to be left out; Content-Length is added
    by head() where it is missing.

    content_length is set only by an answer to HEAD, which states the length of a body that it does not carry.
    """

    __slots__ = ("status", "headers", "body", "content_length")

    def __init__(self, status: int, headers: Dict[str, Optional[str]], body: Union[bytes, FileSlice] = b"",
                 content_length: Optional[int] = None):
        self.status = status
        self.headers = headers
        self.body = body
        self.content_length = content_length

    def head(self) -> bytes:
        """Status line and headers, up to and with the empty line. A header whose value is None is left out."""
        lines = ["HTTP/1.1 %d %s" % (self.status, _REASONS.get(self.status, "Unknown"))]
        has_length = self.status == 204
        for name, value in self.headers.items():
            lowered = name.lower()
            if lowered == "content-length" or lowered == "transfer-encoding":
                has_length = True
            if value is not None:
                lines.append(name + ": " + value)
        if not has_length:
            length = len(self.body) if self.content_length is None else self.content_length
            lines.append("Content-Length: %d" % length)
        lines.append("\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")

    def pieces(self) -> Iterator[bytes]:
        """The body, in pieces that fit into memory."""
        return iter((self.body,)) if isinstance(self.body, bytes) else self.body.pieces()


class RequestReader:
    """Reads one request after the other from a socket."""

    def __init__(self, sock: socket.socket, secure: bool):
        self._socket = sock
        self._secure = secure
        self._buffer = bytearray()

    def read(self) -> Optional[Request]:
        """The next request, or None when the peer has closed between two requests.

        Raises BadRequest for what is not HTTP/1.1 and OSError when the connection breaks.
        """
        head = self._read_head()
        if head is None:
            return None
        lines = head.decode("utf-8", "surrogateescape").split("\r\n")
        parts = lines[0].split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[1].startswith("/"):
            raise BadRequest(400, "malformed request line")
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            # RFC 9112, 5.1 and 5.2: neither white space before the colon nor folded lines are accepted.
            if not colon or not name or name != name.strip():
                raise BadRequest(400, "malformed header line")
            headers.append((name.lower(), value.strip(" \t")))
        request = Request(parts[0], parts[1], headers, secure=self._secure)
        connection = request.fields.get("connection", "").lower()
        request.keep_alive = "close" not in connection and (parts[2] != "HTTP/1.0" or "keep-alive" in connection)
        request.body = self._read_body(request.fields)
        return request

    def _receive(self) -> None:
        piece = self._socket.recv(RECEIVE_BYTES)
        if not piece:
            raise _broken_off()
        self._buffer += piece

    def _read_head(self) -> Optional[bytes]:
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end >= 0:
                if end > MAX_HEAD_BYTES:
                    raise BadRequest(431, "request head too large")
                return self._take(end, 4)
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequest(431, "request head too large")
            if self._buffer:
                self._receive()
                continue
            piece = self._socket.recv(RECEIVE_BYTES)
            if not piece:
                return None
            self._buffer += piece

    def _take(self, count: int, skip: int = 0) -> bytes:
        while len(self._buffer) < count + skip:
            self._receive()
        taken = bytes(self._buffer[:count])
        del self._buffer[:count + skip]
        return taken

    def _take_large(self, count: int) -> bytearray:
        """The next bytes, more than the buffer holds, in the only copy that is made of them."""
        taken = bytearray(count)
        position = len(self._buffer)
        taken[:position] = self._buffer
        self._buffer.clear()
        with memoryview(taken) as rest:
            while position < count:
                received = self._socket.recv_into(rest[position:])
                if received == 0:
                    raise _broken_off()
                position += received
        return taken

    def _take_line(self) -> bytes:
        while True:
            end = self._buffer.find(b"\r\n")
            if end >= 0:
                return self._take(end, 2)
            if len(self._buffer) > MAX_HEAD_BYTES:
                raise BadRequest(400, "line too long in a chunked body")
            self._receive()

    def _read_body(self, fields: Dict[str, str]) -> Union[bytes, bytearray]:
        coding = fields.get("transfer-encoding")
        length_text = fields.get("content-length")
        if coding is not None:
            if coding.lower() != "chunked" or length_text is not None:
                raise BadRequest(400, "unacceptable Transfer-Encoding")
            self._invite_body(fields)
            return self._read_chunks()
        if length_text is None:
            return b""
        if not (length_text.isascii() and length_text.isdigit()):
            raise BadRequest(400, "malformed Content-Length")
        length = int(length_text)
        if length > MAX_BODY_BYTES:
            raise BadRequest(413, "request body too large")
        if length <= len(self._buffer):
            return self._take(length)
        self._invite_body(fields)
        return self._take_large(length)

    def _invite_body(self, fields: Dict[str, str]) -> None:
        # curl waits a second for this before it sends a large body (RFC 9110, 10.1.1).
        if fields.get("expect", "").lower() == "100-continue":
            self._socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while True:
            try:
                size = int(self._take_line().split(b";")[0], 16)
            except ValueError:
                raise BadRequest(400, "malformed chunk") from None
            if size < 0 or len(body) + size > MAX_BODY_BYTES:
                raise BadRequest(413, "request body too large")
            if size == 0:
                while self._take_line():
                    pass
                return bytes(body)
            body += self._take(size)
            if self._take(2) != b"\r\n":
                raise BadRequest(400, "malformed chunk")


def _broken_off() -> ConnectionError:
    return ConnectionError("the peer closed in the middle of a request")
