r"""What the worker replied, kept in a file beside a run, so that a second analysis of it starts no worker.

A line a reply, after one that says which parser made them; replies of another parser are dropped::

    {"parser": "3f1c…"}
    ["\\sqrt{12}", "~3.46410161513775458705489268301"]
"""

import hashlib
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

logger = logging.getLogger(__name__)

LOST = "lost: "  # begins the reply that stands for a worker that exceeded a limit; no canonical form begins so
_SOURCES = ("symbolic.py", "text.py")
_PACKAGES = ("latex2sympy2-extended", "math-verify", "sympy")


def beside(run: Path) -> Path:
    """Where a run's memo lies: `1b-n64.answers.jsonl` for `1b-n64.jsonl.gz`."""
    return run.with_name(f"{run.name.split('.jsonl')[0]}.answers.jsonl")


def merge(memos: Sequence[Path], out: Path) -> None:
    """Put the replies of several memos in one; without any of this parser's, there is none."""
    replies: dict[str, str | None] = {}
    for path in memos:
        header, *lines = path.read_bytes().split(b"\n") if path.is_file() else [b""]
        replies |= dict(_whole(lines)) if header == _header() else {}
    if replies:
        out.write_bytes(b"\n".join([_header(), *(json.dumps(pair).encode() for pair in replies.items()), b""]))


class Memo:
    """Replies by the text that was asked; those of every file that was opened, and new ones go to the last opened."""

    def __init__(self) -> None:
        self._replies: dict[str, str | None] = {}
        self._path: Path | None = None
        self._mode, self._begin = "ab", b""  # of the next write
        self._lock = threading.Lock()

    def open(self, path: Path) -> None:
        """Take over the replies in a file, if it is there, and add new ones to it from now on."""
        content = path.read_bytes() if path.is_file() else b""
        header, *lines = content.split(b"\n")
        with self._lock:
            self._path = path
            if header == _header():
                self._replies.update(_whole(lines))
                self._mode, self._begin = "ab", b"" if content.endswith(b"\n") else b"\n"
            else:
                self._mode, self._begin = "wb", _header() + b"\n"

    def clear(self) -> None:
        """Forget all replies, and keep no new ones in a file."""
        with self._lock:
            self._replies.clear()
            self._path = None

    def __contains__(self, text: str) -> bool:
        return text in self._replies

    def __getitem__(self, text: str) -> str | None:
        return self._replies[text]

    def __setitem__(self, text: str, reply: str | None) -> None:
        with self._lock:
            self._replies[text] = reply
            if self._path is not None:
                self._append(self._path, json.dumps([text, reply]).encode())

    def _append(self, path: Path, line: bytes) -> None:
        try:
            with open(path, self._mode) as file:
                file.write(self._begin + line + b"\n")
            self._mode, self._begin = "ab", b""
        except OSError as error:  # a read-only folder: the replies are found anew next time
            logger.warning("cannot keep canonical forms in %s: %s", path, error.strerror)
            self._path = None


def _whole(lines: list[bytes]) -> Iterator[tuple[str, str | None]]:
    for line in lines:
        try:
            text, reply = json.loads(line)
        except ValueError:  # cut short by a kill, or the nothing after the last line
            continue
        yield text, reply


def _header() -> bytes:
    digest = hashlib.sha256(" ".join(version(package) for package in _PACKAGES).encode())
    for source in _SOURCES:
        digest.update((Path(__file__).parent / source).read_bytes())
    return json.dumps({"parser": digest.hexdigest()[:16]}).encode()
