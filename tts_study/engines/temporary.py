"""A process's folder in the temporary folder, for what its engines would leave there if they were killed.

vLLM puts sockets and files for its processes to meet into the temporary folder. Each process that starts engines gives
them a folder of its own, removes it when it ends, and at its start removes those of processes that were killed.
"""

import atexit
import os
import shutil
import tempfile
import threading
import time
from functools import cache
from pathlib import Path

from tts_study.errors import UserError

VARIABLE = "VLLM_RPC_BASE_PATH"  # vLLM's: where its sockets are
PREFIX = "tts-study-"
LONGEST_SOCKET = 103  # bytes of a socket's path: 107 on Linux, 103 on macOS
SOCKET = 36 + 1  # bytes of a socket's own name, a UUID, and the slash before it
YOUNG = 60.0  # seconds; a folder younger than that may belong to a process that is about to lock it
_preparing = threading.Lock()  # two engines start at a time


def prepare() -> None:
    """Have vLLM's sockets and files in a folder of this process, unless the user has named one.

    Raises:
        UserError: its path is too long for sockets, or it cannot be written to.
    """
    named = os.environ.get(VARIABLE)
    if named and not Path(named).name.startswith(PREFIX):
        _check_length(named)
        return
    with _preparing:
        os.environ[VARIABLE] = str(_own(os.getpid()))


def use_here() -> None:
    """In an engine's own process: put temporary files where `prepare` said."""
    named = os.environ.get(VARIABLE)
    if named and Path(named).name.startswith(PREFIX) and Path(named).is_dir():
        tempfile.tempdir = named


@cache
def _own(process: int) -> Path:
    import fcntl  # not on Windows, where no engine runs, but where this module is imported

    base = Path(tempfile.gettempdir())
    folder = base / f"{PREFIX}{process}"
    _check_length(str(folder))
    for other in base.glob(f"{PREFIX}*"):
        _remove_if_left(other)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)  # held until this process ends, however it does
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(
            f"the temporary folder {base} cannot be used ({error.strerror}): name another, such as TMPDIR=/tmp"
        ) from None
    atexit.register(_remove, folder, process)
    return folder


def _remove_if_left(folder: Path) -> None:
    """Remove a folder if it is this user's and no process has its lock."""
    import fcntl

    try:
        made = folder.lstat()
        if folder.is_symlink() or made.st_uid != os.getuid() or time.time() - made.st_mtime < YOUNG:
            return
        lock = os.open(folder / "lock", os.O_RDWR)
    except OSError:  # another program's, or just being made
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # its process is alive
        pass
    finally:
        os.close(lock)


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def _check_length(folder: str) -> None:
    length, most = len(os.fsencode(folder)), LONGEST_SOCKET - SOCKET
    if length > most:
        raise UserError(
            f"the temporary folder's path is too long for sockets ({folder} has {length} bytes, and {most} fit): "
            "name another, such as TMPDIR=/tmp"
        )
