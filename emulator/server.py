"""The listener: connections, and the way of each request through log, signature check, faults and service."""

from __future__ import annotations

import socket
import ssl
import threading
import time
import traceback
from typing import Callable, NamedTuple, Optional, Sequence, Tuple

from . import control
from .control import Control
from .delivery import CloseConnection, close, hang, send, send_with_fault
from .errors import AwsError
from .faults import Faults, Rule, set_headers
from .journal import Entry, Journal
from .settings import Settings
from .wire import BadRequest, Request, RequestReader, Response, Signer

BACKLOG = 1024


class Service(NamedTuple):
    """One of the services behind the port.

    operation_name: of a request to it, None for a request that is not. verify: whose the request is, where it is signed;
    handle: carries it out; both raise AwsError. refuse: makes the answer of an error. replace: gives the object that a
    request names another content; lose: undoes what a request that was carried out has written; both for rules on objects.
    """

    name: str
    operation_name: Callable[[Request], Optional[str]]
    verify: Callable[[Request, str], Optional[Signer]]
    handle: Callable[[str, Request], Response]
    refuse: Callable[[AwsError, Request], Response]
    replace: Optional[Callable[[Request, bytes], None]] = None
    lose: Optional[Callable[[str, Request], None]] = None


class Server:
    """One port for all services and, when control_service is given, the control paths.

    services: a request is for the first of them that has a name for it; the last has one for all. claimed_signer: for the
    log, the access key id that a request names, and whose it is.
    """

    def __init__(self, services: Sequence[Service], faults: Faults, journal: Journal, settings: Settings,
                 claimed_signer: Callable[[Request], Tuple[Optional[str], Optional[str]]],
                 control_service: Optional[Control], tls: Optional[ssl.SSLContext]):
        self._services = services
        self._faults = faults
        self._journal = journal
        self._settings = settings
        self._claimed_signer = claimed_signer
        self._control = control_service
        self._tls = tls

    def listen(self, host: str, port: int) -> int:
        """Begins to accept connections, in threads of their own, and returns the port. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        threading.Thread(target=self._accept, args=(listener,), name="listener", daemon=True).start()
        return listener.getsockname()[1]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, address = listener.accept()
            except OSError:
                # No descriptor is left, or the client was gone before it was accepted: others may still come.
                time.sleep(0.01)
                continue
            threading.Thread(target=self._serve, args=(sock, address[0]), name="connection", daemon=True).start()

    def _serve(self, sock: socket.socket, peer: str) -> None:
        """Serves one connection until either side ends it."""
        number = 0
        ending = CloseConnection(clean=True)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            reader = RequestReader(sock, secure=self._tls is not None)
            while True:
                request = reader.read()
                if request is None:
                    break
                if self._control is not None and request.path.startswith(control.PREFIX):
                    send(sock, self._control.handle(request, peer))
                else:
                    number = number or self._journal.open_connection()
                    self._answer(sock, request, number)
                if not request.keep_alive:
                    break
        except CloseConnection as wish:
            ending = wish
        except BadRequest as error:
            self._send_bad_request(sock, error)
        except OSError:
            ending = CloseConnection()
        finally:
            close(sock, ending.clean, ending.reset)
            if number:
                self._journal.close_connection()

    @staticmethod
    def _send_bad_request(sock: socket.socket, error: BadRequest) -> None:
        body = str(error).encode()
        try:
            send(sock, Response(error.status, {"Content-Type": "text/plain", "Connection": "close"}, body))
        except OSError:
            pass

    def _answer(self, sock: socket.socket, request: Request, connection: int) -> None:
        service, operation = next((service, name) for service, name in (
            (service, service.operation_name(request)) for service in self._services) if name is not None)
        entry = self._journal.begin(connection, service.name, operation, request, self._claimed_signer(request))
        try:
            self._answer_in_flight(sock, request, service, operation, entry)
        finally:
            self._journal.end()

    def _answer_in_flight(self, sock: socket.socket, request: Request, service: Service, operation: str,
                          entry: Entry) -> None:
        refusal: Optional[AwsError] = None
        try:
            request.signer = service.verify(request, operation)
            entry.authorized = True
        except AwsError as error:
            refusal = error
        rule = self._faults.match(operation, request)
        if rule is None:
            response = self._carry_out(service, operation, request, refusal)
            if self._settings.delay_seconds:
                time.sleep(self._settings.delay_seconds)
            entry.status = response.status
            if not request.keep_alive:
                response.headers["Connection"] = "close"
            send(sock, response)
            return
        entry.fault = True
        true_answer = None
        if rule.replacement is not None and service.replace is not None:
            service.replace(request, rule.replacement)
        if rule.applies_request:
            true_answer = self._carry_out(service, operation, request, refusal)
            if rule.get("lose", False) and service.lose is not None and true_answer.status == 200:
                service.lose(operation, request)
        if true_answer is None or rule.has_answer:
            response = rule.answer(request, service.refuse)
        else:
            response = true_answer
        set_headers(response, rule.get("set_headers", {}))
        self._deliver(sock, response, rule, entry)

    @staticmethod
    def _carry_out(service: Service, operation: str, request: Request, refusal: Optional[AwsError]) -> Response:
        try:
            if refusal is not None:
                raise refusal
            return service.handle(operation, request)
        except AwsError as error:
            return service.refuse(error, request)
        except Exception as error:
            # A mistake of the emulator's own looks to clients like one of AWS's.
            traceback.print_exc()
            code = "InternalServerException" if service.name == "athena" else "InternalError"
            return service.refuse(AwsError(code, "The emulator failed: %r" % error, 500), request)

    def _deliver(self, sock: socket.socket, response: Response, rule: Rule, entry: Entry) -> None:
        pause = rule.get("delay", 0) + self._settings.delay_seconds
        if pause:
            time.sleep(pause)
        if rule.get("hang", False):
            hang(sock)
        if "drop" in rule:
            raise CloseConnection(reset=rule.get("reset", False))
        entry.status = response.status
        send_with_fault(sock, response, rule)
