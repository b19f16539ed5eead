r"""What the parser replied, kept in the user's cache folder, so that a second analysis starts no parser.

One file for each version of the parser, so that no reply of another is ever used. A line a reply, with a checksum::

    ["\\sqrt{12}", "~3.46410161513775458705489268301", 3164377210]

No file beside a run is read, nor one that others may write: who shares a run must not decide how it is graded.
"""

import hashlib
import json
import logging
import os
import stat
import threading
import zlib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from tts_study import paths

logger = logging.getLogger(__name__)

_SOURCES = ("symbolic.py", "evaluate.py", "text.py")
_PACKAGES = ("latex2sympy2-extended", "math-verify", "sympy")
# Windows has no O_NOFOLLOW and would write "\r\n" without O_BINARY, which is unknown elsewhere
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class Memo:
    """Replies by the text that was asked, including those of earlier processes."""

    def __init__(self) -> None:
        self._clear()
        self._lock = threading.Lock()

    def _clear(self) -> None:
        self._replies: dict[str, str | None] = {}
        self._file: int | None = None
        self._is_open = False

    def clear(self) -> None:
        """Forget all replies; the file is read again with the next question."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._clear()

    def __contains__(self, text: str) -> bool:
        if not self._is_open:
            with self._lock:
                self._open()
        return text in self._replies

    def __getitem__(self, text: str) -> str | None:
        return self._replies[text]

    def __setitem__(self, text: str, reply: str | None) -> None:
        with self._lock:
            self._replies[text] = reply
            if self._file is not None:
                try:  # one write to a file opened for appending: processes that share it write whole lines
                    os.write(self._file, _line(text, reply))
                except OSError as error:
                    self._give_up(error)

    def _open(self) -> None:
        if self._is_open:
            return
        self._is_open, path = True, cache_file()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = os.open(path, _FLAGS, 0o600)
            if why := _why_unsafe(os.fstat(self._file)):
                os.close(self._file)
                raise PermissionError(0, why)
            content = path.read_bytes()
            if content and not content.endswith(b"\n"):
                os.write(self._file, b"\n")  # after a line that a kill cut short
        except OSError as error:
            self._give_up(error)
            return
        self._replies.update(_whole(content.split(b"\n")))

    def _give_up(self, error: OSError) -> None:
        # a full disk or a read-only home: the replies are found again next time
        logger.warning("cannot keep canonical forms in %s: %s", cache_file(), error.strerror)
        self._file = None


def cache_file() -> Path:
    """Where this parser's replies are kept."""
    digest = hashlib.sha256(" ".join(version(package) for package in _PACKAGES).encode())
    for source in _SOURCES:
        digest.update((Path(__file__).parent / source).read_bytes())
    return paths.cache() / f"answers-{digest.hexdigest()[:16]}.jsonl"


def _why_unsafe(file: os.stat_result) -> str:
    """Why a file's replies cannot be relied on; "" if they can. A pipe would be waited for."""
    if not stat.S_ISREG(file.st_mode):
        return "it is not a regular file"
    if hasattr(os, "getuid") and file.st_uid != os.getuid():
        return "it is another user's"
    if os.name == "posix" and file.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write it"
    return ""


def _line(text: str, reply: str | None) -> bytes:
    body = json.dumps([text, reply]).encode()[:-1]
    return b"%b, %d]\n" % (body, zlib.crc32(body))


def _whole(lines: list[bytes]) -> Iterator[tuple[str, str | None]]:
    for line in lines:
        body, _, end = line.rpartition(b", ")
        if end == b"%d]" % zlib.crc32(body):  # otherwise it was cut short by a kill, or damaged
            text, reply = json.loads(body + b"]")
            yield text, reply
