"""Sessions and calculations: their states, in AWS's order, and the code that really runs.

https://docs.aws.amazon.com/athena/latest/APIReference/API_SessionStatus.html
https://docs.aws.amazon.com/athena/latest/APIReference/API_CalculationStatus.html
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
import uuid
from typing import Any, Dict, List, Optional, Tuple

from .errors import invalid_request
from .interpreter import Interpreter, InterpreterDied
from .objects import Description, ObjectStore
from .settings import Settings

ENDED_SESSION_STATES = ("TERMINATED", "FAILED")
ENDED_CALCULATION_STATES = ("COMPLETED", "FAILED", "CANCELED")
MAX_REASON_CHARACTERS = 1024

# How kernel.py, which imports nothing of the emulator, is told of SparkProperties, and where Spark finds the objects.
SPARK_PROPERTIES = "ATHENA_EMULATOR_SPARK_PROPERTIES"
SPARK_STORE = "ATHENA_EMULATOR_SPARK_STORE"
DEFAULT_IDLE_TIMEOUT_MINUTES = 20
DEFAULT_MAX_CONCURRENT_DPUS = 20

# How often a stop is repeated: a signal that arrives just before the code begins to wait does not end the wait.
INSIST_SECONDS = 0.05

# AWS gives the same reason for a stop by hand and for an expiry:
# https://docs.aws.amazon.com/athena/latest/ug/notebooks-spark-troubleshooting-sessions.html
TERMINATED_REASON = "Session was terminated per request"
RESULT_TYPE = "application/vnd.aws.athena.v1+json"
TEXT = Description("text/plain; charset=utf-8")


def timestamp(seconds: float) -> float:
    """A time as the awsJson protocol has it: seconds since 1970 with milliseconds."""
    return round(seconds, 3)


def without_none(members: Dict[str, Any]) -> Dict[str, Any]:
    """The members that have a value: what is not known is left out of an answer."""
    return {name: value for name, value in members.items() if value is not None}


class Calculation:
    """One calculation, which takes start_seconds until its code runs. Its attributes change only under the manager's
    lock."""

    def __init__(self, number: int, session: "Session", code: str, description: Optional[str], start_seconds: float):
        self.number = number
        self.id = str(uuid.uuid4())
        self.session = session
        self.code = code
        self.description = description
        self.start_seconds = start_seconds
        self.state = "CREATING"
        self.reason: Optional[str] = None
        self.submitted = time.time()
        self.completed: Optional[float] = None
        self.stop_requested = False
        self._run_began: Optional[float] = None
        self._run_millis = 0

    @property
    def ended(self) -> bool:
        return self.state in ENDED_CALCULATION_STATES

    def begin_to_run(self) -> None:
        """The code runs from now on, unless its session has ended in the meantime."""
        if self.ended:
            return
        self._run_began = time.monotonic()
        if not self.stop_requested:
            self.state = "RUNNING"

    def end(self, state: str, reason: Optional[str] = None) -> None:
        """The calculation has ended, in one of the three states there are for that."""
        self._run_millis = self.run_millis()
        self._run_began = None
        self.state = state
        self.reason = reason[:MAX_REASON_CHARACTERS] if reason else None
        self.completed = time.time()

    def run_millis(self) -> int:
        """Milliseconds that the code has run so far."""
        if self._run_began is None:
            return self._run_millis
        return max(1, int((time.monotonic() - self._run_began) * 1000))

    def status(self) -> Dict[str, Any]:
        """CalculationStatus."""
        return without_none({
            "SubmissionDateTime": timestamp(self.submitted),
            "CompletionDateTime": None if self.completed is None else timestamp(self.completed),
            "State": self.state,
            "StateChangeReason": self.reason,
        })

    def statistics(self) -> Dict[str, Any]:
        """CalculationStatistics. One DPU is counted while the code runs."""
        return {"DpuExecutionInMillis": self.run_millis(), "Progress": "100%" if self.state == "COMPLETED" else "0%"}


class Session:
    """One session: a thread that walks it through its states, and its interpreter.

    The attributes change only under the manager's lock, which the condition `_wake` shares.
    """

    def __init__(self, manager: "SessionManager", number: int, request: Dict[str, Any], engine_version: str,
                 execution_role: str):
        self.number = number
        self.id = str(uuid.uuid4())
        self.request = request
        self.work_group: str = request["WorkGroup"]
        self.engine_version = engine_version
        self.execution_role = execution_role
        self.description: Optional[str] = request.get("Description")
        self.state = "CREATING"
        self.reason: Optional[str] = None
        self.started = self.modified = time.time()
        self.ended: Optional[float] = None
        self.idle_since: Optional[float] = None
        self.calculations: List[Calculation] = []
        self._manager = manager
        # The setting of the moment it was asked for, whatever a test sets next.
        self._start_seconds = manager.settings.session_start_seconds
        self._wake = threading.Condition(manager.lock)
        self._directory = os.path.join(manager.directory, self.id)
        self._current: Optional[Calculation] = None
        self._interpreter: Optional[Interpreter] = None
        # Set once: the state to end in, and why.
        self._closing: Optional[Tuple[str, Optional[str]]] = None
        self._thread = threading.Thread(target=self._live, name="session " + self.id, daemon=True)

    # What other threads call, all of it with the manager's lock held.

    def begin(self) -> None:
        """Starts the session's thread."""
        self._thread.start()

    def start(self, number: int, code: str, description: Optional[str]) -> Calculation:
        """Accepts a calculation. Raises AwsError unless the session is IDLE."""
        if self.state != "IDLE":
            raise invalid_request("Session is in the %s state; needs to be IDLE to accept Calculations." % self.state)
        calculation = Calculation(number, self, code, description, self._manager.settings.calculation_start_seconds)
        self.calculations.append(calculation)
        self._current = calculation
        self._enter("BUSY")
        self._wake.notify_all()
        return calculation

    def stop(self, calculation: Calculation) -> str:
        """Begins to stop a calculation and returns its state; one that has ended stays as it is."""
        if not calculation.ended and not calculation.stop_requested:
            calculation.stop_requested = True
            running = calculation.state == "RUNNING"
            calculation.state = "CANCELING"
            # Where the session ends, the calculation does with it.
            if running and self._closing is None:
                self._interrupt(calculation)
            self._wake.notify_all()
        return calculation.state

    def terminate(self) -> str:
        """Begins to end the session and returns its state; one that has ended stays as it is."""
        if self.state == "DEGRADED":
            self._end("TERMINATED", TERMINATED_REASON)
        elif self.state not in ENDED_SESSION_STATES and self._closing is None:
            self._enter("TERMINATING")
            self._close("TERMINATED", TERMINATED_REASON)
        return self.state

    def force(self, state: str, reason: Optional[str]) -> None:
        """Puts the session into DEGRADED, FAILED or TERMINATED, as if that had happened to it."""
        if self._closing is None:
            self._close(state, reason)
        self._end(state, reason)

    def status(self) -> Dict[str, Any]:
        """SessionStatus."""
        return without_none({
            "StartDateTime": timestamp(self.started),
            "LastModifiedDateTime": timestamp(self.modified),
            "EndDateTime": None if self.ended is None else timestamp(self.ended),
            "IdleSinceDateTime": None if self.idle_since is None else timestamp(self.idle_since),
            "State": self.state,
            "StateChangeReason": self.reason,
        })

    @property
    def idle_timeout_minutes(self) -> int:
        return self.request.get("SessionIdleTimeoutInMinutes", DEFAULT_IDLE_TIMEOUT_MINUTES)

    @property
    def worker_count(self) -> int:
        """The executors besides the coordinator: as many as the DPUs allow, as if all were in use."""
        return self.request["EngineConfiguration"].get("MaxConcurrentDpus", DEFAULT_MAX_CONCURRENT_DPUS) - 1

    @property
    def notebook_id(self) -> Optional[str]:
        """AWS takes a session's notebook from AdditionalConfigs:
        https://docs.aws.amazon.com/athena/latest/APIReference/API_EngineConfiguration.html"""
        return self.request["EngineConfiguration"].get("AdditionalConfigs", {}).get("NotebookId")

    def join(self, seconds: float) -> None:
        """Waits for the session's thread. The one method to be called without the lock."""
        self._thread.join(seconds)

    # States.

    def _enter(self, state: str, reason: Optional[str] = None) -> None:
        self.state = state
        self.reason = reason[:MAX_REASON_CHARACTERS] if reason else None
        self.modified = time.time()
        self.idle_since = self.modified if state == "IDLE" else None

    def _close(self, state: str, reason: Optional[str]) -> None:
        self._closing = (state, reason)
        if self._interpreter is not None:
            self._interpreter.kill()
        self._wake.notify_all()

    def _end(self, state: str, reason: Optional[str]) -> None:
        self._wake.notify_all()
        if self._current is not None and not self._current.ended:
            self._current.end("FAILED", "The session ended while the calculation was in progress: %s" % (reason or state))
        self._enter(state, reason)
        self.ended = self.modified if state in ENDED_SESSION_STATES else None

    def _interrupt(self, calculation: Calculation) -> None:
        interpreter = self._interpreter
        assert interpreter is not None
        interpreter.interrupt()
        deadline = time.monotonic() + self._manager.settings.stop_grace_seconds

        def insist() -> None:
            with self._manager.lock:
                while not self._wake.wait_for(lambda: calculation.ended,
                                              min(INSIST_SECONDS, max(0.0, deadline - time.monotonic()))):
                    if time.monotonic() >= deadline:
                        interpreter.kill()
                        return
                    interpreter.interrupt_again()

        threading.Thread(target=insist, name="stop " + calculation.id, daemon=True).start()

    # The session's own thread.

    def _live(self) -> None:
        try:
            self._bring_up()
            while self._await_calculation():
                self._calculate()
        except (InterpreterDied, OSError) as error:
            self._fail("The session's Python process ended: %s" % error)
        with self._manager.lock:
            interpreter, self._interpreter = self._interpreter, None
        if interpreter is not None:
            interpreter.close()
        shutil.rmtree(self._directory, ignore_errors=True)
        with self._manager.lock:
            assert self._closing is not None
            if self.state not in ENDED_SESSION_STATES and self.state != "DEGRADED":
                self._end(*self._closing)

    def _fail(self, reason: str) -> None:
        with self._manager.lock:
            if self._closing is None:
                self._closing = ("FAILED", reason)
                if self._current is not None and not self._current.ended:
                    self._current.end("FAILED", reason)

    def _pause(self, seconds: float) -> None:
        """Waits, with the lock held by the caller, for some time or until there is reason to hurry."""
        self._wake.wait_for(lambda: self._closing is not None
                            or (self._current is not None and self._current.stop_requested), seconds)

    def _bring_up(self) -> None:
        os.mkdir(self._directory)
        half = self._start_seconds / 2
        with self._manager.lock:
            self._pause(half)
            if self._closing is None:
                self._enter("CREATED")
                self._pause(half)
        self._start_interpreter()
        with self._manager.lock:
            if self._closing is None:
                self._enter("IDLE")

    def _start_interpreter(self) -> None:
        properties = json.dumps(self.request["EngineConfiguration"].get("SparkProperties", {}))
        interpreter = Interpreter(self._manager.python, self._directory,
                                  {**self._manager.environment, SPARK_PROPERTIES: properties})
        with self._manager.lock:
            self._interpreter = interpreter
            if self._closing is not None:
                interpreter.kill()
        interpreter.wait_until_ready()

    def _await_calculation(self) -> bool:
        """Waits for the next calculation. False when the session is to end, also because it was idle for too long."""
        with self._manager.lock:
            seconds = self.idle_timeout_minutes * self._manager.settings.idle_minute_seconds
            if not self._wake.wait_for(lambda: self._closing is not None or self._current is not None, seconds):
                self._enter("TERMINATING")
                self._close("TERMINATED", TERMINATED_REASON)
            return self._closing is None

    def _calculate(self) -> None:
        calculation, interpreter = self._current, self._interpreter
        assert calculation is not None and interpreter is not None
        third = calculation.start_seconds / 3
        with self._manager.lock:
            for state in ("CREATED", "QUEUED", None):
                self._pause(third)
                if self._closing is not None or calculation.stop_requested:
                    break
                if state is not None:
                    calculation.state = state
            if calculation.stop_requested and self._closing is None:
                self._finish(calculation, "CANCELED")
                return
        if self._closing is not None:
            return
        stdout = os.path.join(self._directory, calculation.id + ".stdout")
        stderr = os.path.join(self._directory, calculation.id + ".stderr")
        try:
            interpreter.send(calculation.id, calculation.code, stdout, stderr)
            interpreter.read_reply()
            with self._manager.lock:
                calculation.begin_to_run()
                if calculation.stop_requested:
                    self._interrupt(calculation)
            reply = interpreter.read_reply()
        except InterpreterDied:
            self._store_output(calculation, stdout, stderr, "the process ended")
            if self._closing is not None or not calculation.stop_requested:
                raise
            # It did not heed the interrupt: a new process takes over, without the variables.
            interpreter.close()
            with self._manager.lock:
                self._interpreter = None
            self._start_interpreter()
            with self._manager.lock:
                self._finish(calculation, "CANCELED")
            return
        self._store_output(calculation, stdout, stderr, reply["error"])
        with self._manager.lock:
            if calculation.stop_requested:
                self._finish(calculation, "CANCELED")
            elif reply["error"] is not None:
                self._finish(calculation, "FAILED", reply["error"])
            else:
                self._finish(calculation, "COMPLETED")

    def _finish(self, calculation: Calculation, state: str, reason: Optional[str] = None) -> None:
        """Ends the calculation and frees the session, both at once: who sees the one may rely on the other."""
        if self._closing is None:
            calculation.end(state, reason)
            self._current = None
            self._enter("IDLE")
            self._wake.notify_all()

    def _store_output(self, calculation: Calculation, stdout: str, stderr: str, error: Optional[str]) -> None:
        """Writes the three objects of a calculation that has run."""
        prefix = "%s/%s/" % (self.id, calculation.id)
        store, bucket = self._manager.store, self._manager.bucket
        for name, path in (("stdout", stdout), ("stderr", stderr)):
            if os.path.exists(path):
                store.put_file(bucket, prefix + name, path, TEXT)
                os.unlink(path)
            else:
                store.put(bucket, prefix + name, b"", TEXT)
        result = {"status": "ok" if error is None else "error", "execution_count": len(self.calculations)}
        if error is not None:
            result["error"] = error
        store.put(bucket, prefix + "result", json.dumps(result).encode(), Description(RESULT_TYPE))


class SessionManager:
    """All sessions and calculations. `lock` guards everything in them; callers hold it around whatever they do."""

    def __init__(self, store: ObjectStore, bucket: str, settings: Settings, python: str, environment: Dict[str, str],
                 directory: str):
        """environment: for the session's processes. directory: an existing one, for their files."""
        self.lock = threading.RLock()
        self.store = store
        self.bucket = bucket
        self.settings = settings
        self.python = python
        self.environment = environment
        self.directory = directory
        self._number = 0
        self._sessions: Dict[str, Session] = {}
        self._calculations: Dict[str, Calculation] = {}

    def start_session(self, request: Dict[str, Any], engine_version: str, execution_role: str) -> Session:
        """Starts a session as StartSession's members say; they are valid. engine_version: its work group's."""
        self._number += 1
        session = Session(self, self._number, request, engine_version, execution_role)
        self._sessions[session.id] = session
        session.begin()
        return session

    def start_calculation(self, session: Session, code: str, description: Optional[str]) -> Calculation:
        """Starts a calculation. Raises AwsError unless the session is IDLE."""
        calculation = session.start(self._number + 1, code, description)
        self._number += 1
        self._calculations[calculation.id] = calculation
        return calculation

    def session(self, session_id: str) -> Session:
        """Raises AwsError when there is none of that id."""
        self._forget_old()
        session = self._sessions.get(session_id)
        if session is None:
            raise invalid_request("Session %s is not found." % session_id)
        return session

    def calculation(self, calculation_id: str) -> Calculation:
        """Raises AwsError when there is none of that id."""
        self._forget_old()
        calculation = self._calculations.get(calculation_id)
        if calculation is None:
            raise invalid_request("Calculation execution %s is not found." % calculation_id)
        return calculation

    def sessions(self) -> List[Session]:
        """All sessions, oldest first."""
        self._forget_old()
        return list(self._sessions.values())

    def _forget_old(self) -> None:
        """Forgets sessions that ended longer ago than the settings' retention, with their calculations. Objects stay."""
        if self.settings.retention_seconds is None:
            return
        before = time.time() - self.settings.retention_seconds
        for session in list(self._sessions.values()):
            if session.ended is not None and session.ended < before:
                del self._sessions[session.id]
                for calculation in session.calculations:
                    del self._calculations[calculation.id]

    def reset(self) -> None:
        """Ends all sessions and forgets them. Called without the lock."""
        with self.lock:
            sessions = self.sessions()
            for session in sessions:
                session.terminate()
            self._sessions.clear()
            self._calculations.clear()
        for session in sessions:
            session.join(10)
