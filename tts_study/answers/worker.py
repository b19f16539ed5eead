"""A second process for what cannot be done safely in this one: bounded in time and memory, replaced when lost."""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from tts_study.errors import UserError

START_LIMIT_S = 600.0  # importing SymPy and math-verify takes a second on an idle machine, minutes on a starved one
PATIENCE = 10  # a starved machine gives a process less time than passes


class WorkerLostError(Exception):
    """The worker exceeded a limit and was ended; the message is the reason in two or three words."""


class Worker:
    """Runs `python -m module memory_mib seconds` when first asked, and asks it one line at a time.

    The process says "ready", then answers every JSON line with a JSON line. No signal is used on this side, so it may
    be asked from any thread, and from a thread whose event loop is running.

    Args:
        module: the program's module name.
        limit_s: seconds of processor time that one question may take, after which the program gets a SIGPROF that it
            has asked for; should it not, it is ended when ten times that has passed. Its start is not counted.
        memory_mib: address space that it may use beyond what it has once it is ready.
    """

    def __init__(self, module: str, *, limit_s: float, memory_mib: int) -> None:
        self._command = [sys.executable, "-m", module, str(memory_mib), str(limit_s)]
        self._limit_s = limit_s
        self._forget()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)  # a forked child must not talk over its parent's pipe

    def start(self) -> None:
        """Start the process now, unless it runs; otherwise the first question does.

        Raises:
            UserError: the program does not start at all.
        """
        with self._lock:
            try:
                self._running()
            except BaseException:
                self._kill()
                raise

    def ask(self, text: str) -> str | None:
        """The program's answer to one text.

        Raises:
            WorkerLostError: it took too long or needed too much memory; the next question gets a new process.
            UserError: the program does not start at all.
        """
        with self._lock:
            try:
                return self._exchange(self._running(), json.dumps(text))
            except BaseException:  # KeyboardInterrupt too: a late reply must not answer the next question
                self._kill()
                raise

    def close(self) -> None:
        """End the process, if there is one; asking again starts another."""
        with self._lock:
            self._kill()

    def _forget(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        package_parent = str(Path(__file__).resolve().parents[1])
        path = os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
        try:
            _read_line(self._process, START_LIMIT_S)
        except WorkerLostError as lost:
            command = " ".join(self._command)
            raise UserError(f"The answer parser does not start ({lost}): run `{command}` to see why.") from lost
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], line: str) -> str | None:
        assert process.stdin is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise WorkerLostError("worker died") from error
        return json.loads(_read_line(process, self._limit_s * PATIENCE))

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()


def _read_line(process: subprocess.Popen[bytes], limit_s: float) -> bytes:
    assert process.stdout is not None
    deadline = time.monotonic() + limit_s
    line = b""
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise WorkerLostError("timed out")
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            timed_out = process.wait() == -signal.SIGPROF
            raise WorkerLostError("timed out" if timed_out else "out of memory or crashed")
        line += chunk
    return line
