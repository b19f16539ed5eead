"""The project's folders: nbval runs a notebook in its own folder, papermill in the caller's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tts_study.errors import UserError

OUT = "TTS_STUDY_OUT"  # set while `tts-study study` runs notebooks: the folder that everything is written to
FIGURES = "TTS_STUDY_FIGURES"  # set by `make figures`: another folder of figures than the one in out()

CACHE = "TTS_STUDY_CACHE"  # a folder to use instead of the user's cache folder


def root() -> Path:
    """The project's folder: the nearest above the package that contains pyproject.toml, else the current one."""
    above = Path(__file__).resolve().parents
    return next((folder for folder in above if (folder / "pyproject.toml").is_file()), Path.cwd())


def out() -> Path:
    """The folder of new results, mainly new runs."""
    return Path(os.environ.get(OUT) or root() / "out" / "study")


def figures() -> Path:
    """The folder of figures and of the tables behind them: never the committed one, except in `make figures`."""
    return Path(os.environ.get(FIGURES) or out() / "figures")


def data() -> Path:
    """The folder of the micro problems, the micro checkpoints and the recorded runs."""
    return root() / "data"


def cache() -> Path:
    """The user's folder of what can be computed again: $TTS_STUDY_CACHE, or tts-study in the user's cache folder."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get(CACHE) or Path(base) / "tts-study")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """The file to write instead, which becomes `path` once all of it is written, and is removed if it cannot be."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def check_regular(path: Path) -> None:
    """Make sure that a path is not one that could be read without an end: a pipe, a device, a socket.

    Raises:
        UserError: it is, or it is a folder.
    """
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise UserError(f"cannot read {path}: it is {what}, not a file")
