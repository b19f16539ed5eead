r"""What the worker replied, kept in a file beside a run, so that a second analysis of it starts no worker.

A line a reply, after one that says which parser made them; replies of another parser are dropped::

    {"parser": "3f1c…"}
    ["\\sqrt{12}", "~3.46410161513775458705489268301"]
"""

import hashlib
import json
import logging
import threading
from importlib.metadata import version
from pathlib import Path

logger = logging.getLogger(__name__)

LOST = "lost: "  # begins the reply that stands for a worker that exceeded a limit; no canonical form begins so
_SOURCES = ("answers_symbolic.py", "answers_text.py")
_PACKAGES = ("latex2sympy2-extended", "math-verify", "sympy")


def beside(run: Path) -> Path:
    """Where a run's memo lies: `1b-n64.answers.jsonl` for `1b-n64.jsonl.gz`."""
    return run.with_name(f"{run.name.split('.jsonl')[0]}.answers.jsonl")


class Memo:
    """Replies by the text that was asked; those of every file that was opened, and new ones go to the last opened."""

    def __init__(self) -> None:
        self._replies: dict[str, str | None] = {}
        self._path: Path | None = None
        self._lock = threading.Lock()

    def open(self, path: Path) -> None:
        """Take over the replies in a file, if it is there, and add new ones to it from now on."""
        header, *lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else [b""]
        with self._lock:
            self._path = path
            if header == _header():
                self._replies.update(json.loads(line) for line in lines)
            else:
                path.unlink(missing_ok=True)

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
            begin = b"" if path.is_file() else _header() + b"\n"
            with open(path, "ab") as file:
                file.write(begin + line + b"\n")
        except OSError as error:  # a read-only folder: the replies are found anew next time
            logger.warning("cannot keep canonical forms in %s: %s", path, error.strerror)
            self._path = None


def _header() -> bytes:
    digest = hashlib.sha256(" ".join(version(package) for package in _PACKAGES).encode())
    for source in _SOURCES:
        digest.update((Path(__file__).parent / source).read_bytes())
    return json.dumps({"parser": digest.hexdigest()[:16]}).encode()
