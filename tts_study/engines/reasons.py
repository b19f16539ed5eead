"""Why an engine did not start, or died: its processes write down what they raise (`plugin`), and this one reads it."""

import ast
import asyncio
import contextlib
import logging
import re
import signal
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tts_study import paths
from tts_study.errors import UserError, one_line

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

EXIT_SECONDS = 2.0  # that a process gets to exit after it logged why it dies
# how vLLM and torch report a lack of memory
MEMORY = re.compile(
    r"out of ?memory|MemoryError|can(?:no|')t allocate|(?:free|available|available kv cache|allocate) memory",
    re.IGNORECASE,
)
# and that it lacks memory or devices, so that a smaller model may well start here
ROOM = re.compile(
    rf"{MEMORY.pattern}|want of memory|not enough GPU memory|number of available GPUs|No CUDA GPUs are available"
    "|invalid device ordinal|larger than the available KV cache|No available memory for the cache blocks",
    re.IGNORECASE,
)
ADVICE = "lower max_num_seqs, kv_cache_gib or the memory shares, and run the same again"


class Notes(logging.Handler):
    """In an engine's process: writes down the exceptions that vLLM logs, the first of them being the cause."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write an exception down under the engine's own name."""
        if record.exc_info and record.exc_info[1] is not None:
            if instance := _instance(record.exc_info[2]):
                with contextlib.suppress(OSError):
                    place = _place(instance)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.open("x").write(described(record.exc_info[1]))


def why_not_started(error: BaseException, instance: str = "", oom_kills_before: int = 0) -> str:
    """The reason why an engine did not start, in one line.

    Args:
        error: what vLLM raised in this process.
        instance: the engine's own name, under which its processes wrote down what they raised.
        oom_kills_before: what `oom_kills` returned before the engine started.
    """
    code = re.search(r"Failed core proc\(s\): \{.*?: (-?\d+)", str(error))
    return _noted(instance) or (_exit(int(code[1]), oom_kills_before) if code else described(error))


async def why_lost(llm: "AsyncLLM", oom_kills_before: int) -> str:
    """The reason why an engine that ran died, in one line."""
    instance, manager = llm.vllm_config.instance_id, llm.engine_core.resources.engine_manager
    for _ in range(int(EXIT_SECONDS / 0.1)):
        if reason := _noted(instance):
            return f"{reason}; {ADVICE}" if MEMORY.search(reason) else reason
        codes = [process.exitcode for process in getattr(manager, "processes", ()) if process.exitcode is not None]
        if codes:
            return _exit(codes[0], oom_kills_before)
        await asyncio.sleep(0.1)
    return "it gave no reason"


def described(error: BaseException) -> str:
    """An exception in one line; of a validation's errors, the first one's own message."""
    if errors := getattr(error, "errors", None):
        with contextlib.suppress(Exception):
            return one_line(str(errors()[0]["msg"]).removeprefix("Value error, "))
    said = one_line(str(error))
    return said if said and isinstance(error, ValueError | RuntimeError) else f"{type(error).__name__}: {said}"


def oom_kills() -> int:
    """How many processes the system has killed so far for lack of memory; 0 where it does not report it."""
    with contextlib.suppress(OSError):
        counted = re.search(r"^oom_kill (\d+)$", Path("/proc/vmstat").read_text(), re.MULTILINE)
        return int(counted[1]) if counted else 0
    return 0


def check_guard() -> None:
    """Make sure that the script that is running is not run a second time by an engine's new process.

    Raises:
        UserError: the statement of the script that is running now is not under `if __name__ == "__main__":`.
    """
    main = sys.modules["__main__"]
    path, main_thread = getattr(main, "__file__", None), threading.main_thread().ident
    frame = sys._current_frames().get(main_thread or 0)
    while frame is not None and (frame.f_globals is not vars(main) or frame.f_code.co_name != "<module>"):
        frame = frame.f_back
    if path is None or frame is None:  # a notebook, or a prompt
        return
    try:
        statements = ast.parse(Path(path).read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return
    running = next((each for each in statements if each.lineno <= frame.f_lineno <= (each.end_lineno or 0)), None)
    if running is not None and not (isinstance(running, ast.If) and "__name__" in ast.dump(running.test)):
        raise UserError(
            f"An engine's process would run {path} again, from its beginning: put what line {running.lineno} starts "
            'under if __name__ == "__main__":'
        )


def _exit(code: int, oom_kills_before: int) -> str:
    if code >= 0:
        return f"its process exited with code {code}"
    if code == -signal.SIGKILL and oom_kills() > oom_kills_before:
        return f"the system killed its process for lack of memory: {ADVICE}"
    return f"its process was ended by {signal.Signals(-code).name}"


def _noted(instance: str) -> str:
    if not instance:
        return ""
    place = _place(instance)
    try:
        noted = one_line(place.read_text(errors="replace"))
        place.unlink()
    except OSError:
        return ""
    return noted


def _place(instance: str) -> Path:
    return paths.cache() / "engines" / instance


def _instance(trace: TracebackType | None) -> str:
    """The name of the engine whose configuration a function in a traceback was given."""
    while trace is not None:
        local: dict[str, Any] = trace.tb_frame.f_locals
        config = local.get("vllm_config") or (local.get("kwargs") or {}).get("vllm_config")
        if name := getattr(config, "instance_id", ""):
            return str(name)
        trace = trace.tb_next
    return ""
