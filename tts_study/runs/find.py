"""Find recorded runs in folders, by what their headers say."""

import gzip
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

from tts_study import paths
from tts_study.errors import UserError
from tts_study.runs.store import Header

NAMED = ("strategy", "n", "seed", "policy", "dataset")  # what makes a first line a run's header


def find_runs(places: Sequence[Path]) -> list[Path]:
    """The files of the runs in folders and their subfolders, in order; a file stands for itself.

    Raises:
        UserError: a place does not exist or contains no run, or a run is only a part of one.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise UserError(f"there is no {place}: give folders or files of runs, as `tts-study run --out` writes them")
        files = [place] if place.is_file() else sorted([*place.rglob("*.jsonl"), *place.rglob("*.jsonl.gz")])
        headers = {path: header for path in files if (header := header_of(path)) is not None}
        if not headers:
            raise UserError(f"there is no run in {place}: give a folder that `tts-study run --out` wrote to")
        for path, header in headers.items():
            if "shard" in header:
                raise UserError(f"{path} is one shard of a run: join all of them with `tts-study merge`, then replay")
            found[path] = None
    return list(found)


def header_of(path: Path) -> Header | None:
    """A run's header; None if the file is not a run's.

    Raises:
        UserError: the file cannot be read.
    """
    paths.check_regular(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = json.loads(file.readline())
    except (ValueError, RecursionError, EOFError):
        return None
    except (OSError, zlib.error) as error:
        raise UserError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from None
    return header if isinstance(header, dict) and all(name in header for name in NAMED) else None
