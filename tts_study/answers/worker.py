"""A second process for what cannot be done safely in this one: bounded in time and memory, replaced when lost."""

import atexit
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import psutil

from tts_study.errors import UserError

START_LIMIT_S = 600.0  # importing SymPy and math-verify takes a second on an idle machine, minutes on a starved one
PATIENCE = (10, 30, 90)  # times the limit to wait at each try: a starved machine gives a process less time than passes
_OWN_FAULTS = [getattr(signal, name, None) for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE")]  # Windows lacks some
WATCH_S = 0.05  # between two looks at a process whose system cannot limit it


class OverLimitError(Exception):
    """A question exceeds the worker's own limits, whenever it is asked; the message is the reason in a few words."""


class WorkerLostError(Exception):
    """The worker was lost before it replied, which says nothing about the question."""

    def __init__(self, reason: str, *, own_fault: bool = False) -> None:
        super().__init__(reason)
        self.own_fault = own_fault


class Worker:
    """Runs `python -m module memory_mib seconds` when first asked, and asks it one line at a time.

    The process says `{"limits": …}`, then answers every JSON line with a JSON line, `{"form": …}` or
    `{"over": reason}`. No signal is used on this side, so it may be asked from any thread, and from a thread whose
    event loop is running. Where it says that it cannot limit itself (macOS, Windows), it is watched from here.

    Args:
        module: the program's module name.
        limit_s: seconds of processor time that one question may take, after which the program gets a SIGPROF that it
            has asked for. Its start is not counted, and neither is time in which it does not run.
        memory_mib: address space that it may use beyond what it has once it is ready.
    """

    def __init__(self, module: str, *, limit_s: float, memory_mib: int) -> None:
        self._command = [sys.executable, "-m", module, str(memory_mib), str(limit_s)]
        self._limit_s, self._memory = limit_s, memory_mib * 2**20
        self._forget()
        atexit.register(self.close)
        if hasattr(os, "register_at_fork"):  # a forked child must not talk over its parent's pipe
            os.register_at_fork(after_in_child=self._forget)

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
            "free memory or processors, then grade again; nothing about this answer was stored."
        )

    def close(self) -> None:
        """End the process, if there is one; asking again starts another."""
        with self._lock:
            self._kill()

    def _forget(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._limits_itself = True
        self._lock = threading.Lock()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is not None:
            return self._process
        package_parent = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
            )  # fmt: skip
            self._lines, self._limits_itself = queue.SimpleQueue(), True
            # a thread, as Windows cannot wait for a pipe for a limited time
            threading.Thread(target=_pass_on, args=(self._process.stdout, self._lines), daemon=True).start()
            self._limits_itself = json.loads(self._read_line(self._process, START_LIMIT_S))["limits"]
        except (WorkerLostError, OverLimitError, OSError, RuntimeError) as lost:  # too many files, processes, threads
            command = " ".join(self._command)
            raise UserError(f"The answer parser does not start ({lost}): run `{command}` to see why.") from lost
        return self._process

    def _exchange(self, process: subprocess.Popen[bytes], line: str, limit_s: float) -> str | None:
        assert process.stdin is not None
        try:
            process.stdin.write(line.encode() + b"\n")
            process.stdin.flush()
        except OSError:  # a broken pipe, which Windows calls an invalid argument
            pass  # it is lost, and reading finds out why
        reply = json.loads(self._read_line(process, limit_s))
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

    def _read_line(self, process: subprocess.Popen[bytes], limit_s: float) -> bytes:
        deadline = time.monotonic() + limit_s
        check_limits = (lambda: None) if self._limits_itself else self._limits(process)
        while (left := deadline - time.monotonic()) > 0:
            try:
                line = self._lines.get(timeout=left if self._limits_itself else min(left, WATCH_S))
            except queue.Empty:
                check_limits()
                continue
            if line.endswith(b"\n"):
                return line
            code = process.wait()
            if -code == getattr(signal, "SIGPROF", None):
                raise OverLimitError("timed out")
            name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            raise WorkerLostError(f"it ended with {name}", own_fault=-code in _OWN_FAULTS or code > 0)
        raise WorkerLostError("it does not reply")

    def _limits(self, process: subprocess.Popen[bytes]) -> Callable[[], None]:
        """What checks the limits of a process that cannot limit itself, from now on."""

        def used() -> tuple[float, int]:
            times = watched.cpu_times()
            return times.user + times.system, watched.memory_info().rss

        def check() -> None:
            try:
                seconds, memory = used()
            except psutil.Error:
                return  # it has ended, and reading finds out why
            if seconds > seconds_before + self._limit_s:
                raise OverLimitError("timed out")
            if memory > memory_before + self._memory:
                raise OverLimitError("out of memory")

        watched = psutil.Process(process.pid)
        seconds_before, memory_before = used()
        return check


def _pass_on(pipe: IO[bytes], lines: "queue.SimpleQueue[bytes]") -> None:
    """Pass on lines; one without an end, which may be empty, is the last."""
    line = b"\n"
    while line.endswith(b"\n"):
        try:
            line = pipe.readline()
        except ValueError:  # closed meanwhile: no caller waits for it any more
            line = b""
        lines.put(line)
