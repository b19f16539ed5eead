"""A run in shards, one for each machine or each task of a Slurm array, and the merging of them into one run.

Shard i of k takes every k-th problem of the data set, from the i-th on, so that levels and subjects are spread evenly.
Its header is that of the whole run (same data set, same hash) and names the shard with its problems, in order::

    {"strategy": …, "dataset": {"problems": 500, …}, "shard": {"index": 2, "count": 8, "ids": ["test/1", "test/9", …]}}

So the files alone are enough to merge shards, and to name what is missing.
"""

import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path

from tts_study import paths
from tts_study.errors import UserError
from tts_study.records import OWN_SAMPLER, Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.store import Header, Run

Solved = tuple[Problem, SearchResult, float | None]  # with its shard's seconds a problem
NAMED = 10  # missing ones that a message names; further ones are counted


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`."""

    index: int
    count: int

    def of(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """The shard's problems.

        Raises:
            UserError: there are fewer problems than shards.
        """
        most = len(problems)
        if self.count > most:
            raise UserError(f"{most} problems do not make {self.count} shards: ask for at most {most}")
        return tuple(problems[self.index - 1 :: self.count])

    def describe(self, problems: Sequence[Problem]) -> Header:
        """What the header of the shard's run contains in addition; `problems` are the whole data set's."""
        if self == WHOLE:
            return {}
        return {"shard": asdict(self) | {"ids": [problem.id for problem in self.of(problems)]}}

    def file_name(self) -> str:
        """The file name of the shard's run."""
        return "run.jsonl" if self == WHOLE else f"run.shard-{self.index}-of-{self.count}.jsonl"


WHOLE = Shard(1, 1)  # the whole run, not a shard


def parse_shard(text: str) -> Shard:
    """Shard(2, 8) of "2/8".

    Raises:
        UserError: it is not of that form, or there is no such shard.
    """
    numbers = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if not numbers or not 1 <= int(numbers[1]) <= int(numbers[2]):
        raise UserError(f"a shard is written I/K, with I from 1 to K, such as 2/8, and {text!r} is not")
    return Shard(int(numbers[1]), int(numbers[2]))


def merge(shards: Sequence[Path], out: Path) -> Run:
    """Put the shards of a run together: the same run, problem by problem, as if it had been made in one piece.

    Args:
        shards: the files of all of them, in any order.
        out: the merged run, a .jsonl or .jsonl.gz file.

    Raises:
        UserError: a file is not a shard, or not one of the same run; a shard or a problem is missing or double; `out`
            exists.
    """
    if out.exists():
        raise UserError(f"{out} exists: remove it, or merge into another file")
    runs = {path: store.load(path) for path in shards}
    placed = _placed(runs)
    whole = {path: _whole(runs[path].header) for path in placed}
    header = whole[placed[0]]
    for path in placed:
        store.check_header(path, whole[path], header)
    solved = _in_order(placed, runs)
    if store.describe_dataset("", [each[0] for each in solved])["sha256"] != header["dataset"]["sha256"]:
        raise UserError("the shards' problems are not those of the data set that their headers name: run them again")
    _write(out, header | {"versions": _versions(list(whole.values()))}, solved)
    return store.load(out)


def _placed(runs: Mapping[Path, Run]) -> list[Path]:
    """The files in the order of their shards, all of them there, once."""
    places: dict[int, Path] = {}
    counts = {path: _shard(path, run.header).count for path, run in runs.items()}
    for path, run in runs.items():
        index = _shard(path, run.header).index
        if index in places:
            raise UserError(f"{places[index]} and {path} are both shard {index}: give each shard once")
        places[index] = path
    if len(set(counts.values())) > 1:
        counted = ", ".join(f"{path} is one of {count}" for path, count in counts.items())
        raise UserError(f"the shards are not of one run: {counted}")
    count = max(counts.values())
    missing = [str(index) for index in range(1, count + 1) if index not in places]
    if missing:
        raise UserError(f"of {count} shards, {_listed(missing)} {'is' if len(missing) == 1 else 'are'} not given")
    return [places[index] for index in sorted(places)]


def _shard(path: Path, header: Header) -> Shard:
    try:
        shard = parse_shard("{index}/{count}".format(**header["shard"]))
        if not all(isinstance(name, str) for name in header["shard"]["ids"]):
            raise TypeError
    except (KeyError, TypeError, UserError):
        raise UserError(f"{path} is not a shard: merge what `tts-study run --shard I/K` made") from None
    return shard


def _in_order(placed: Sequence[Path], runs: Mapping[Path, Run]) -> list[Solved]:
    """The contents of all shards, in the data set's order."""
    found: dict[str, Solved] = {}
    for path in placed:
        run = runs[path]
        mine = set(run.header["shard"]["ids"])
        for problem, result in zip(run.problems, run.results, strict=True):
            if problem.id in found or problem.id not in mine:
                raise UserError(f"{path} contains problem {problem.id}, which is another shard's: run the shard again")
            found[problem.id] = problem, result, run.seconds
    rounds = zip_longest(*(runs[path].header["shard"]["ids"] for path in placed))
    order = [name for each in rounds for name in each if name is not None]
    missing = [name for name in order if name not in found]
    if missing:
        behind = [path.name for path in placed if not set(missing).isdisjoint(runs[path].header["shard"]["ids"])]
        raise UserError(
            f"{len(missing)} of {len(order)} problems are missing: {_listed(missing)}; "
            f"finish {_listed(behind)} with the command that started it"
        )
    return [found[name] for name in order]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _whole(header: Header) -> Header:
    """A shard's header as that of the whole run."""
    return {store.SAMPLER: OWN_SAMPLER} | {name: value for name, value in header.items() if name != "shard"}


def _versions(headers: Sequence[Header]) -> Header:
    """The versions that the shards were made with; where they differ, all of them."""
    every = [header.get("versions", {}) for header in headers]
    packages = sorted({package for versions in every for package in versions})
    return {name: ", ".join(sorted({each[name] for each in every if name in each})) for name in packages}


def _write(out: Path, header: Header, solved: Sequence[Solved]) -> None:
    """Write the whole run, or nothing."""
    with paths.written_whole(out) as part:
        with store.writing(part, header) as writer:
            for problem, result, seconds in solved:
                writer.append(problem, result, seconds)
        if out.suffix == ".gz":
            part.write_bytes(gzip.compress(part.read_bytes(), mtime=0))
