"""What can be changed while the emulator runs (control.py: /_emulator/settings)."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional

CALCULATION_STATES = ("CREATING", "CREATED", "QUEUED", "RUNNING", "CANCELING", "CANCELED", "COMPLETED", "FAILED")
ACCOUNT_ID = "123456789012"
SESSION_STATES = ("CREATING", "CREATED", "IDLE", "BUSY", "TERMINATING", "TERMINATED", "DEGRADED", "FAILED")

STS_FORMATS = ("xml", "json")

_FLAGS = ("metadata_stale", "default_checksums")
_OPTIONAL = ("credential_lifetime_seconds", "retention_seconds")


class Settings:
    """The settings, as attributes. All durations are seconds.

    clock_offset_seconds: how far the emulator's clock, as clients see it, is ahead of this machine's.
    session_start_seconds: time a session spends in CREATING and CREATED, half in each, as set when it is started.
    calculation_start_seconds: time a calculation spends in CREATING, CREATED and QUEUED, a third in each, likewise.
    delay_seconds: pause before every answer.
    stop_grace_seconds: what a stopped calculation gets to end by itself before its process is replaced.
    idle_minute_seconds: length of one minute of SessionIdleTimeoutInMinutes, so that tests need not wait for real ones.
    results_for: the states of a calculation in which GetCalculationExecution shows its Result.
    expired_access_keys: access key ids whose security token counts as expired.
    credential_lifetime_seconds: how long issued credentials hold; None for as long as was asked.
    metadata_stale: whether the metadata service gives the credentials it has given before, also when they have expired.
    default_checksums: whether uploads without a checksum get one, as S3 gives it.
    sts_format: how STS writes, "xml" or "json"; None for what the request accepts.
    retention_seconds: how long sessions, with their calculations, are remembered once they have ended; None for ever.
    """

    clock_offset_seconds: float
    session_start_seconds: float
    calculation_start_seconds: float
    delay_seconds: float
    stop_grace_seconds: float
    idle_minute_seconds: float
    results_for: List[str]
    expired_access_keys: List[str]
    credential_lifetime_seconds: Optional[float]
    metadata_stale: bool
    default_checksums: bool
    sts_format: Optional[str]
    retention_seconds: Optional[float]

    def __init__(self, session_start_seconds: float = 0.0):
        self._defaults: Dict[str, Any] = {
            "clock_offset_seconds": 0.0,
            "session_start_seconds": session_start_seconds,
            "calculation_start_seconds": 0.0,
            "delay_seconds": 0.0,
            "stop_grace_seconds": 1.0,
            "idle_minute_seconds": 60.0,
            "results_for": ["COMPLETED"],
            "expired_access_keys": [],
            "credential_lifetime_seconds": None,
            "metadata_stale": False,
            "default_checksums": False,
            "sts_format": None,
            "retention_seconds": None,
        }
        self.reset()

    def reset(self) -> None:
        """Back to the values the emulator was started with."""
        for name, value in self._defaults.items():
            setattr(self, name, value)

    def as_dict(self) -> Dict[str, Any]:
        """The settings by name."""
        return {name: getattr(self, name) for name in self._defaults}

    def update(self, changes: Dict[str, Any]) -> None:
        """Takes over some settings, all or none. Raises ValueError that says which one is wrong and how."""
        for name, value in changes.items():
            if name not in self._defaults:
                raise ValueError("no setting is called %r; there are %s" % (name, ", ".join(self._defaults)))
            if name in _OPTIONAL and value is None:
                continue
            if name.endswith("_seconds"):
                if isinstance(value, bool) or not isinstance(value, (int, float)):
                    raise ValueError("%s takes a number of seconds" % name)
                if value < 0 and name != "clock_offset_seconds":
                    raise ValueError("%s cannot be negative" % name)
            elif name == "sts_format":
                if value is not None and value not in STS_FORMATS:
                    raise ValueError("sts_format takes null, %s" % ", ".join(STS_FORMATS))
            elif name in _FLAGS:
                if not isinstance(value, bool):
                    raise ValueError("%s takes true or false" % name)
            elif not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise ValueError("%s takes a list of strings" % name)
            if name == "results_for" and not set(value) <= set(CALCULATION_STATES):
                raise ValueError("results_for takes states of calculations: %s" % ", ".join(CALCULATION_STATES))
        for name, value in changes.items():
            setattr(self, name, value)

    def now(self) -> float:
        """The time that clients are shown and measured against, in seconds since 1970."""
        return time.time() + self.clock_offset_seconds
