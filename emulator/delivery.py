"""Sends answers: the right way in one piece, and every wrong way that a rule asks for."""

from __future__ import annotations

import base64
import socket
import ssl
import struct
import time
from typing import Optional

from .faults import Rule
from .wire import FileSlice, Response

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
    head = response.head()
    if isinstance(response.body, FileSlice):
        pieces = response.body.pieces()
        # The first piece goes with the head: one packet for what is small.
        sock.sendall(head + next(pieces, b""))
        for piece in pieces:
            sock.sendall(piece)
    else:
        sock.sendall(head + response.body)


def send_with_fault(sock: socket.socket, response: Response, rule: Rule) -> None:
    """Sends an answer as the rule says. Raises CloseConnection where the rule ends the connection, and OSError."""
    reset = rule.get("reset", False)
    if rule.get("endless", False):
        _send_endless(sock, response, rule)
    elif "raw_base64" in rule:
        _send_slowly(sock, base64.b64decode(rule.get("raw_base64")), rule.get("drip"))
        if rule.get("close", True):
            raise CloseConnection(clean=True)
    else:
        if rule.get("close", False):
            response.headers["Connection"] = "close"
        head, body = response.head(), response.whole_body()
        cut = rule.get("cut")
        if cut is None and rule.get("cut_body") is not None:
            cut = len(head) + rule.get("cut_body")
        if cut is not None:
            _send_slowly(sock, (head + body)[:cut], rule.get("drip"))
            raise CloseConnection(reset=reset)
        if "drip_body" in rule:
            sock.sendall(head)
            _send_slowly(sock, body, rule.get("drip_body"))
        else:
            _send_slowly(sock, head + body, rule.get("drip"))
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


def _send_slowly(sock: socket.socket, data: bytes, drip: Optional[dict]) -> None:
    if drip is None:
        sock.sendall(data)
        return
    size = drip.get("bytes", 1)
    for position in range(0, len(data), size):
        sock.sendall(data[position:position + size])
        time.sleep(drip.get("interval", 0))


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
