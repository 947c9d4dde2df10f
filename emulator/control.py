"""The paths under /_emulator/, by which a test arranges what it needs. Unsigned, for this machine's clients only."""

from __future__ import annotations

import ipaddress
import json
from typing import Any, Callable, Dict, Tuple

from .errors import AwsError
from .faults import Faults
from .journal import Journal
from .sessions import SessionManager
from .settings import Settings
from .wire import Request, Response
from .work_groups import WorkGroups

PREFIX = "/_emulator/"
FORCED_STATES = ("DEGRADED", "FAILED", "TERMINATED")


class Control:
    """Answers control requests."""

    def __init__(self, faults: Faults, settings: Settings, journal: Journal, manager: SessionManager,
                 work_groups: WorkGroups, reset: Callable[[], None]):
        """reset: makes the emulator what it was at its start."""
        self._faults = faults
        self._settings = settings
        self._journal = journal
        self._manager = manager
        self._reset = reset
        self._paths: Dict[Tuple[str, str], Callable[[Any], Any]] = {
            ("GET", "faults"): lambda body: self._faults.as_list(),
            ("POST", "faults"): lambda body: self._faults.add(body),
            ("DELETE", "faults"): lambda body: self._faults.clear(),
            ("GET", "settings"): lambda body: self._settings.as_dict(),
            ("POST", "settings"): self._change_settings,
            ("GET", "log"): lambda body: self._journal.as_dict(),
            ("DELETE", "log"): lambda body: self._journal.reset(),
            ("POST", "session"): self._force_session,
            ("POST", "work_group"): work_groups.put,
            ("POST", "reset"): lambda body: self._reset(),
        }

    def handle(self, request: Request, peer: str) -> Response:
        """The answer to a request whose path begins with PREFIX. peer: the client's address."""
        try:
            loopback = ipaddress.ip_address(peer.partition("%")[0]).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            return _answer(403, {"error": "only clients on this machine may control the emulator"})
        action = self._paths.get((request.method, request.path[len(PREFIX):]))
        if action is None:
            return _answer(404, {"error": "no such control path", "paths": [
                "%s %s%s" % (method, PREFIX, path) for method, path in self._paths]})
        try:
            body = json.loads(request.body) if request.body else None
            result = action(body)
        except ValueError as error:
            return _answer(400, {"error": str(error)})
        except AwsError as error:
            return _answer(404, {"error": error.message})
        return _answer(200, {} if result is None else result)

    def _change_settings(self, body: Any) -> Dict[str, Any]:
        if not isinstance(body, dict):
            raise ValueError("settings are an object")
        self._settings.update(body)
        return self._settings.as_dict()

    def _force_session(self, body: Any) -> None:
        if not isinstance(body, dict) or not isinstance(body.get("session_id"), str) \
                or body.get("state") not in FORCED_STATES or not isinstance(body.get("reason"), (str, type(None))):
            raise ValueError("needs session_id, a state of %s, and perhaps a reason" % ", ".join(FORCED_STATES))
        with self._manager.lock:
            self._manager.session(body["session_id"]).force(body["state"], body.get("reason"))


def _answer(status: int, value: Any) -> Response:
    return Response(status, {"Content-Type": "application/json"}, json.dumps(value).encode())
