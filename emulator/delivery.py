"""Sends answers: the right way in one piece, and every wrong way that a rule asks for."""

from __future__ import annotations

import base64
import random
import socket
import ssl
import struct
import time
from typing import Iterable, Iterator, Optional, Union

from .faults import RANDOM, Rule
from .wire import Response

HANG_SECONDS = 600.0
CLEAN_CLOSE_SECONDS = 1.0
ENDLESS_PIECE_BYTES = 64 * 1024


class CloseConnection(Exception):
    """The connection is to be closed now: clean (with TLS's own goodbye), by just closing, or by a reset."""

    def __init__(self, clean: bool = False, reset: bool = False):
        super().__init__()
        self.clean = clean
        self.reset = reset


def send(sock: socket.socket, response: Response) -> None:
    """Sends an answer. Raises OSError when the connection breaks."""
    for piece in _with_head(response.head(), response.pieces()):
        sock.sendall(piece)


def send_with_fault(sock: socket.socket, response: Response, rule: Rule) -> None:
    """Sends an answer as the rule says. Raises CloseConnection where the rule ends the connection, and OSError."""
    reset = rule.get("reset", False)
    if rule.get("endless", False):
        _send_endless(sock, response, rule)
    elif "processing" in rule:
        _send_while_processing(sock, response, rule.get("processing"))
    elif "raw_base64" in rule:
        _send_slowly(sock, (base64.b64decode(rule.get("raw_base64")),), rule.get("drip"))
        if rule.get("close", True):
            raise CloseConnection(clean=True)
    else:
        if rule.get("close", False):
            response.headers["Connection"] = "close"
        head, body = response.head(), response.pieces()
        if "cut_body" in rule:
            # Of what is left after many of them there is still something to cut.
            body = _cut(body, _cut_position(rule.get("cut_body"), len(response.body) // 2))
        if "drip_body" in rule:
            sock.sendall(head)
            _send_slowly(sock, body, rule.get("drip_body"))
        else:
            whole = _with_head(head, body)
            if "cut" in rule:
                whole = _cut(whole, _cut_position(rule.get("cut"), len(head) + len(response.body)))
            _send_slowly(sock, whole, rule.get("drip"))
        if "cut" in rule or "cut_body" in rule:
            if rule.get("stall", False):
                hang(sock)
            raise CloseConnection(reset=reset)
    if rule.get("close", False):
        raise CloseConnection(clean=True, reset=reset)


def hang(sock: socket.socket) -> None:
    """Sends nothing until the peer closes or ten minutes have passed; then raises CloseConnection."""
    deadline = time.monotonic() + HANG_SECONDS
    try:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            sock.settimeout(left)
            if not sock.recv(4096):
                break
    except OSError:
        pass
    raise CloseConnection()


def close(sock: socket.socket, clean: bool = True, reset: bool = False) -> None:
    """Closes a socket. clean: says goodbye in TLS's own way. reset: with a RST, losing what was not yet sent."""
    try:
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif clean and isinstance(sock, ssl.SSLSocket):
            sock.settimeout(CLEAN_CLOSE_SECONDS)
            sock.unwrap()
    except (OSError, ValueError):
        pass  # The peer is gone, or TLS had not been established.
    sock.close()


def _with_head(head: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
    # The first piece goes with the head: one packet for what is small.
    yield head + next(pieces, b"")
    yield from pieces


def _cut_position(position: Union[int, str], length: int) -> int:
    return random.randrange(max(1, length)) if position == RANDOM else position


def _cut(pieces: Iterable[bytes], length: int) -> Iterator[bytes]:
    """So many bytes of them."""
    for piece in pieces:
        if length <= len(piece):
            yield piece[:length]
            return
        yield piece
        length -= len(piece)


def _send_slowly(sock: socket.socket, pieces: Iterable[bytes], drip: Optional[dict]) -> None:
    if drip is None:
        for piece in pieces:
            sock.sendall(piece)
        return
    size = left = drip.get("bytes", 1)
    for piece in pieces:
        rest = memoryview(piece)
        while rest:
            sock.sendall(rest[:left])
            rest, left = rest[left:], left - len(rest[:left])
            if left == 0:
                time.sleep(drip.get("interval", 0))
                left = size


def _send_while_processing(sock: socket.socket, response: Response, processing: dict) -> None:
    body = b"".join(response.pieces())
    begin = body.find(b"?>") + len(b"?>") if body.startswith(b"<?xml") else 0
    response.headers["Transfer-Encoding"] = "chunked"
    sock.sendall(response.head())

    def send_chunk(data: bytes) -> None:
        if data:
            sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    send_chunk(body[:begin])
    for _ in range(processing.get("spaces", 1)):
        time.sleep(processing.get("interval", 0))
        send_chunk(b" ")
    send_chunk(body[begin:])
    sock.sendall(b"0\r\n\r\n")


def _send_endless(sock: socket.socket, response: Response, rule: Rule) -> None:
    text = rule.get("endless_text", " ").encode()
    piece = text * max(1, ENDLESS_PIECE_BYTES // len(text))
    response.headers["Connection"] = "close"
    if rule.get("chunked", False):
        response.headers["Transfer-Encoding"] = "chunked"
        piece = b"%x\r\n%s\r\n" % (len(piece), piece)
    else:
        # A length of None is left out of the head: the body ends when the connection does.
        response.headers["Content-Length"] = None
    sock.sendall(response.head())
    while True:
        sock.sendall(piece)
        time.sleep(rule.get("drip", {}).get("interval", 0))
