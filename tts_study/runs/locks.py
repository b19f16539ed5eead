"""Locks on the files of runs, so that two processes do not write the same one."""

import sys
from functools import partial
from io import FileIO
from pathlib import Path

from tts_study.errors import UserError

LOCKED_BYTE = 2**40  # Windows locks bytes against reading too: one that no run reaches


def lock(path: Path, file: FileIO) -> None:
    """Lock an open file against other processes; the lock ends with the file's closing.

    Raises:
        UserError: another process has locked it, or its file system has no locks.
    """
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        locking = partial(msvcrt.locking, file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        locking = partial(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        locking()
    except (BlockingIOError, PermissionError):  # Windows says the latter
        raise UserError(f"another process is writing {path}: wait for it, or write elsewhere") from None
    except OSError as error:
        raise UserError(
            f"cannot lock {path} ({error.strerror}): write to a file system that has locks, such as a local disk"
        ) from None
