"""The emulator's side of one kernel process (kernel.py): start it, hand it code, interrupt it, kill it."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
import subprocess
import threading
import time
from typing import Dict

KERNEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "kernel.py")
START_SECONDS = 60.0

# How often a silent kernel is looked at: its death normally shows at once as the end of its pipe, but a process that the
# code forked may hold the pipe open.
LOOK_SECONDS = 0.5


class InterpreterDied(Exception):
    """The process has ended; the text says how."""


class Interpreter:
    """One kernel process in a process group of its own.

    Any thread may call interrupt(), interrupt_again() and kill(); all else belongs to the session's thread.
    """

    def __init__(self, python: str, directory: str, environment: Dict[str, str]):
        """Starts the process. directory: its working directory. Raises OSError, also when python cannot be run."""
        request_read, self._request_fd = os.pipe()
        self._reply_fd, reply_write = os.pipe()
        self._log = os.path.join(directory, ".kernel-log")
        self._lock = threading.Lock()
        try:
            with open(self._log, "wb") as log:
                self._process = subprocess.Popen(
                    [python, KERNEL, str(request_read), str(reply_write)], cwd=directory, env=environment,
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                    pass_fds=(request_read, reply_write), start_new_session=True)
        except BaseException:
            os.close(self._request_fd)
            os.close(self._reply_fd)
            raise
        finally:
            os.close(request_read)
            os.close(reply_write)

    def wait_until_ready(self) -> None:
        """Waits for the process to say that it takes code. Raises InterpreterDied, also when it takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not self._readable(LOOK_SECONDS):
            if time.monotonic() > deadline:
                raise InterpreterDied("it did not start within %d seconds" % START_SECONDS)
        self.read_reply()

    def send(self, name: str, code: str, stdout: str, stderr: str) -> None:
        """Hands over one code block; two replies follow. Raises InterpreterDied."""
        data = json.dumps({"id": name, "code": code, "stdout": stdout, "stderr": stderr}).encode()
        data = struct.pack(">I", len(data)) + data
        try:
            while data:
                data = data[os.write(self._request_fd, data):]
        except BrokenPipeError:
            raise InterpreterDied(self._how_it_died()) from None

    def read_reply(self) -> dict:
        """The next reply. Raises InterpreterDied."""
        return json.loads(self._read(struct.unpack(">I", self._read(4))[0]))

    def interrupt(self) -> None:
        """Raises KeyboardInterrupt in the running code; its subprocesses get SIGINT as from a terminal."""
        self._signal(signal.SIGINT)

    def interrupt_again(self) -> None:
        """Repeats interrupt() for the code alone, to which it is harmless; its subprocesses may be cleaning up."""
        with self._lock:
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGINT)

    def kill(self) -> None:
        """Ends the process and all that are still in its group, at once."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Kills the process, waits for it and releases its pipes."""
        self.kill()
        self._reap(START_SECONDS)
        for fd in (self._request_fd, self._reply_fd):
            os.close(fd)

    def _signal(self, number: int) -> None:
        # Under the lock that guards reaping, so that the process id cannot be somebody else's by now.
        with self._lock:
            if self._process.returncode is None:
                self._signal_group(number)

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass  # All of them have ended (macOS says PermissionError of a group of zombies).

    def _reap(self, seconds: float) -> bool:
        """Whether the process ends within that time; what it leaves running is killed then."""
        deadline = time.monotonic() + seconds
        while True:
            with self._lock:
                if self._process.returncode is not None:
                    return True
                if self._process.poll() is not None:
                    self._signal_group(signal.SIGKILL)
                    return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.002)

    def _how_it_died(self) -> str:
        if not self._reap(1.0):
            return "it closed the pipe to its session"
        code = self._process.returncode
        if code < 0:
            how = "killed by signal %d (%s)" % (-code, signal.Signals(-code).name)
        else:
            how = "exit status %d" % code
        with open(self._log, "rb") as log:
            lines = log.read()[-2000:].decode("utf-8", "replace").strip().splitlines()
        return how + (": " + lines[-1] if lines else "")

    def _readable(self, seconds: float) -> bool:
        # poll() rather than select(), which takes no descriptors above 1023.
        poll = select.poll()
        poll.register(self._reply_fd, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def _read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            if not self._readable(LOOK_SECONDS):
                if self._reap(0) and not self._readable(0):
                    raise InterpreterDied(self._how_it_died())
                continue
            piece = os.read(self._reply_fd, count - len(data))
            if not piece:
                raise InterpreterDied(self._how_it_died())
            data += piece
        return data
