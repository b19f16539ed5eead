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
PATIENCE = (10, 30, 90)  # times the limit to wait at each try: a starved machine gives a process less time than passes
_OWN_FAULTS = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE)


class OverLimitError(Exception):
    """A question exceeds the worker's own limits, whenever it is asked; the message is the reason in a few words."""


class WorkerLostError(Exception):
    """The worker was lost before it replied, which says nothing about the question."""

    def __init__(self, reason: str, *, own_fault: bool = False) -> None:
        super().__init__(reason)
        self.own_fault = own_fault


class Worker:
    """Runs `python -m module memory_mib seconds` when first asked, and asks it one line at a time.

    The process says "ready", then answers every JSON line with a JSON line, `{"form": …}` or `{"over": reason}`. No
    signal is used on this side, so it may be asked from any thread, and from a thread whose event loop is running.

    Args:
        module: the program's module name.
        limit_s: seconds of processor time that one question may take, after which the program gets a SIGPROF that it
            has asked for. Its start is not counted, and neither is time in which it does not run.
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
        """The program's answer to one text. A worker that is killed or stopped is replaced, and asked again.

        Raises:
            OverLimitError: it takes too long or needs too much memory, by the worker's own limits.
            UserError: the program does not start at all, or was lost at every try.
        """
        lost: list[WorkerLostError] = []
        with self._lock:
            for patience in PATIENCE:
                try:
                    return self._exchange(self._running(), json.dumps(text), self._limit_s * patience)
                except WorkerLostError as error:
                    lost.append(error)
                    self._kill()
                except BaseException:  # KeyboardInterrupt too: a late reply must not answer the next question
                    self._kill()
                    raise
        if all(error.own_fault for error in lost):
            raise OverLimitError("crashed")
        raise UserError(
            f"The answer parser was lost {len(lost)} times ({lost[-1]}) while it read {text!r:.60}: "
            "free memory or processors, then grade again; nothing about this answer was kept."
        )

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
        except (WorkerLostError, OverLimitError) as lost:
            command = " ".join(self._command)
            raise UserError(f"The answer parser does not start ({lost}): run `{command}` to see why.") from lost
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], line: str, limit_s: float) -> str | None:
        assert process.stdin is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it is lost, and reading finds out why
        reply = json.loads(_read_line(process, limit_s))
        if "over" in reply:
            self._kill()
            raise OverLimitError(reply["over"])
        return reply["form"]

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
            raise WorkerLostError("it does not reply")
        chunk = os.read(process.stdout.fileno(), 65536)
        if not chunk:
            code = process.wait()
            if code == -signal.SIGPROF:
                raise OverLimitError("timed out")
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise WorkerLostError(f"it ended with {name}", own_fault=-code in _OWN_FAULTS or code > 0)
        line += chunk
    return line
