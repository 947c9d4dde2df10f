"""Rules by which answers go wrong on purpose. README.md has the list; delivery.py sends what they say."""

from __future__ import annotations

import base64
import binascii
import threading
from typing import Any, Callable, Dict, List, Optional

from .errors import AwsError
from .wire import Request, Response

_DEFAULT_ERROR_STATUS = 400

# Where a response is cut: left to chance.
RANDOM = "random"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and base64.b64decode(value, validate=True) is not None
    except binascii.Error:
        return False


def _is_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(item is None or (isinstance(item, str) and "\r" not in item and "\n" not in item)
                                           for item in value.values())


def _is_drip(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= {"bytes", "interval"} \
        and _is_count(value.get("bytes", 1)) and value.get("bytes", 1) > 0 and _is_number(value.get("interval", 0))


def _is_processing(value: Any) -> bool:
    return isinstance(value, dict) and set(value) <= {"spaces", "interval"} \
        and _is_count(value.get("spaces", 1)) and _is_number(value.get("interval", 0))


def _is_cut(value: Any) -> bool:
    return value == RANDOM or _is_count(value)


# Every key that a rule may have, what its value must be, and the words for it.
_KEYS: Dict[str, Any] = {
    "operation": (_is_text, "a text"),
    "contains": (_is_text, "a text"),
    "skip": (_is_count, "a number of requests"),
    "times": (lambda value: value is None or _is_count(value), "a number of requests or null"),
    "status": (lambda value: _is_count(value) and 100 <= value <= 999, "an HTTP status"),
    "body": (_is_text, "a text"),
    "body_base64": (_is_base64, "base64"),
    "headers": (_is_headers, "an object of texts and nulls"),
    "set_headers": (_is_headers, "an object of texts and nulls"),
    "apply": (_is_flag, "true or false"),
    "error": (_is_text, "a text"),
    "message": (_is_text, "a text"),
    "delay": (_is_number, "a number of seconds"),
    "hang": (_is_flag, "true or false"),
    "drop": (lambda value: value in ("before", "after"), "\"before\" or \"after\""),
    "reset": (_is_flag, "true or false"),
    "cut": (_is_cut, "a number of bytes or \"random\""),
    "cut_body": (_is_cut, "a number of bytes or \"random\""),
    "stall": (_is_flag, "true or false"),
    "drip": (_is_drip, "{\"bytes\": n, \"interval\": seconds}"),
    "drip_body": (_is_drip, "{\"bytes\": n, \"interval\": seconds}"),
    "processing": (_is_processing, "{\"spaces\": n, \"interval\": seconds}"),
    "endless": (_is_flag, "true or false"),
    "endless_text": (lambda value: _is_text(value) and value != "", "a text that is not empty"),
    "chunked": (_is_flag, "true or false"),
    "raw_base64": (_is_base64, "base64"),
    "close": (_is_flag, "true or false"),
    "replace": (_is_text, "a text"),
    "replace_base64": (_is_base64, "base64"),
    "lose": (_is_flag, "true or false"),
}

# Keys that are about objects.
_S3_KEYS = ("replace", "replace_base64", "lose")


class Rule:
    """One rule, with the number of requests it will still let by and still strike."""

    def __init__(self, members: Any):
        """Raises ValueError that says what is wrong with the rule."""
        if not isinstance(members, dict):
            raise ValueError("a rule is an object")
        for key, value in members.items():
            if key not in _KEYS:
                raise ValueError("a rule has no %r; it may have %s" % (key, ", ".join(_KEYS)))
            fits, words = _KEYS[key]
            if not fits(value):
                raise ValueError("%s takes %s" % (key, words))
        if "operation" not in members:
            raise ValueError("a rule needs an operation; \"*\" is any")
        for key in _S3_KEYS:
            if key in members and not members["operation"].startswith("S3."):
                raise ValueError("%s is for an operation of S3" % key)
        self._members = members
        self._skip: int = members.get("skip", 0)
        self._times: Optional[int] = members.get("times", 1)

    def get(self, key: str, default: Any = None) -> Any:
        """A member of the rule."""
        return self._members.get(key, default)

    def __contains__(self, key: str) -> bool:
        return key in self._members

    @property
    def has_answer(self) -> bool:
        """Whether the rule has an answer of its own, in place of the true one."""
        return any(key in self._members for key in
                   ("status", "body", "body_base64", "headers", "error", "raw_base64", "endless"))

    @property
    def applies_request(self) -> bool:
        """Whether the request is carried out."""
        if "drop" in self._members:
            return self._members["drop"] == "after"
        return self._members.get("apply", not (self.has_answer or self._members.get("hang", False)))

    @property
    def replacement(self) -> Optional[bytes]:
        """What the object is to become before the request is carried out, or None."""
        if "replace_base64" in self._members:
            return base64.b64decode(self._members["replace_base64"])
        text = self._members.get("replace")
        return None if text is None else text.encode("utf-8", "surrogateescape")

    @property
    def spent(self) -> bool:
        return self._times == 0

    def strikes(self, operation: str, request: Request) -> bool:
        """Whether the rule is meant for this request, and takes it; counts it if so."""
        if self.spent or self._members["operation"] not in ("*", operation):
            return False
        text = self._members.get("contains")
        if text is not None:
            wanted = text.encode()
            target = (request.path + "?" + request.query).encode("utf-8", "surrogateescape")
            if wanted not in request.body and wanted not in target:
                return False
        if self._skip > 0:
            self._skip -= 1
            return False
        if self._times is not None:
            self._times -= 1
        return True

    def answer(self, request: Request, refuse: Callable[[AwsError, Request], Response]) -> Response:
        """The rule's own answer. refuse: makes the service's answer of an error."""
        if "error" in self._members:
            response = refuse(AwsError(self._members["error"], self._members.get("message", ""),
                                       self._members.get("status", _DEFAULT_ERROR_STATUS)), request)
        else:
            body = self._members.get("body", "").encode("utf-8", "surrogateescape")
            if "body_base64" in self._members:
                body = base64.b64decode(self._members["body_base64"])
            # The service's own headers, such as request ids, are those of any answer of it.
            headers = refuse(AwsError("", ""), request).headers
            without_body = request.method == "HEAD"
            response = Response(self._members.get("status", 200), headers, b"" if without_body else body, len(body))
        set_headers(response, self._members.get("headers", {}))
        return response

    def as_dict(self) -> Dict[str, Any]:
        """The rule as it would have to be given now."""
        return {**self._members, "skip": self._skip, "times": self._times}


def set_headers(response: Response, headers: Dict[str, Optional[str]]) -> None:
    """Sets headers of a response, whatever the spelling they have there; None removes one."""
    for name, value in headers.items():
        for present in [key for key in response.headers if key.lower() == name.lower()]:
            del response.headers[present]
        response.headers[name] = value


class Faults:
    """The rules in force. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: List[Rule] = []

    def add(self, rules: Any) -> None:
        """Adds a list of rules, all or none. Raises ValueError."""
        if not isinstance(rules, list):
            raise ValueError("faults are a list of rules")
        parsed = [Rule(members) for members in rules]
        with self._lock:
            self._rules += parsed

    def clear(self) -> None:
        """Removes all rules."""
        with self._lock:
            self._rules.clear()

    def match(self, operation: str, request: Request) -> Optional[Rule]:
        """The first rule that strikes this request, or None."""
        if not self._rules:
            return None
        with self._lock:
            for rule in self._rules:
                if rule.strikes(operation, request):
                    if rule.spent:
                        self._rules.remove(rule)
                    return rule
        return None

    def as_list(self) -> List[Dict[str, Any]]:
        """The rules that have times left."""
        with self._lock:
            return [rule.as_dict() for rule in self._rules if not rule.spent]
