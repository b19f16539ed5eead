"""Where runs are stored: recorded ones in data/runs, new ones in the output folder."""

import glob
import re
from collections.abc import Iterator
from pathlib import Path

from tts_study import paths
from tts_study.errors import UserError
from tts_study.runs import store
from tts_study.runs.run import replay
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import Run
from tts_study.strategies import SEARCHES


def fresh_path(spec: RunSpec) -> Path:
    """Where a new run is kept: the name contains everything that its results depend on, so no two runs share a file."""
    return paths.out() / "runs" / f"{len(spec.problems)}-problems" / f"{spec.name}-{spec.digest}.jsonl"


def recorded(spec: RunSpec) -> Run:
    """The recorded run that contains the one asked for.

    Raises:
        UserError: none is recorded, or those that might contain it are other runs.
    """
    folder = paths.data() / "runs" / spec.profile.name
    failure = UserError(
        f"no run is recorded in {folder / spec.name}.jsonl.gz: search with fresh=True (in a shell: -p fresh True)"
    )
    found = list(_candidates(spec, folder))
    for i, (path, wider) in enumerate(found):
        try:
            return replay(path, wider)
        except UserError as error:
            failure = error if i == 0 else failure
    raise failure


def _candidates(spec: RunSpec, folder: Path) -> Iterator[tuple[Path, RunSpec]]:
    """Files that may contain a run, and the run that each would be: the same n, then the largest."""
    for search in (spec.search, *(SEARCHES[name] for name in spec.search.contained_in)):
        for name in (search.name, *(old for old, new in store.OLD_NAMES.items() if new == search.name)):
            pattern = spec.name_as(name, "(\\d+)") + ".jsonl.gz"
            sizes = {}
            for path in folder.glob(glob.escape(spec.name_as(name, "@")).replace("@", "*") + ".jsonl.gz"):
                size = re.fullmatch(re.escape(pattern).replace(re.escape("(\\d+)"), r"(\d+)"), path.name)
                if size and search.contains(int(size[1]), spec.n, spec.options):
                    sizes[int(size[1])] = path
            for n in sorted(sizes, key=lambda n: (n != spec.n, -n)):
                yield sizes[n], spec.within(search, n)
