"""Where runs are stored: recorded ones in data/runs or in folders that are given, new ones in the output folder."""

import glob
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tts_study import paths
from tts_study.engines.checkpoints import relative
from tts_study.errors import NotRecorded, UserError
from tts_study.runs import store
from tts_study.runs.find import find_runs, header_of
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import Header, Run
from tts_study.strategies import SEARCHES

Given = Sequence[tuple[Path, Header]]  # runs outside data/runs, with their headers


def fresh_path(spec: RunSpec) -> Path:
    """Where a new run is kept: the name contains everything that its results depend on, so no two runs share a file."""
    return paths.out() / "runs" / f"{len(spec.problems)}-problems" / f"{spec.name}-{spec.digest}.jsonl"


def recorded(spec: RunSpec, given: Given = ()) -> Run:
    """The run that contains what is asked: a given one, else a recorded one.

    Raises:
        NotRecorded: there is none; the message says what is recorded, and what a search would take.
        UserError: a run that may contain it is damaged.
    """
    folder, differs = paths.data() / "runs" / spec.profile.name, ""
    chosen, name = {path for path, _ in given}, {"name": spec.header["dataset"]["name"]}
    for path, wider in (*_among(spec, given), *_candidates(spec, folder)):
        run = store.load(path)
        try:
            # a part of the recorded problems may be asked for: `Run.of` compares those one by one; what a user gives
            # may have another name for the same data set, such as a file's
            dataset = run.header.get("dataset", {}) | ({} if path in chosen else name)
            store.check_header(path, run.header, wider.header | {"dataset": dataset})
            return run.of(spec.problems)
        except UserError as error:
            differs = differs or str(error)
    if spec.search.name == "greedy" and spec.seed:  # greedy decoding does not depend on the seed
        return recorded(replace(spec, seed=0), given)
    raise NotRecorded(_what_is_recorded(spec, folder, given, differs))


def _what_is_recorded(spec: RunSpec, folder: Path, given: Given, differs: str) -> str:
    """One paragraph: what is not recorded, what is, and what a search would take."""
    asked = f"no run is recorded for {spec.search.name} by {spec.profile.policy} at n = {spec.n}, seed {spec.seed}"
    there = [*given, *((path, header) for path in sorted(folder.glob("*.jsonl.gz")) if (header := header_of(path)))]
    model = spec.header["policy"]["model"]
    same = [(path, header) for path, header in there if header["policy"]["model"] == model]
    sizes: dict[tuple[str, int], set[int]] = {}
    for _, header in same:
        sizes.setdefault((header["strategy"], header["seed"]), set()).add(header["n"])
    named = "; ".join(
        f"{search}, seed {seed}: n = {', '.join(map(str, sorted(ns)))}" for (search, seed), ns in sorted(sizes.items())
    )
    recorded_are = f"recorded for this policy are {named}" if named else "nothing is recorded for this policy"
    asked += spec.suffix.replace("-", ", ").replace("_", " ") + (f" ({differs})" if differs else "")
    return (
        f"{asked}. In {relative(str(folder))}: {recorded_are}. With fresh = True (in a shell: -p fresh True) it is "
        f"searched: {len(spec.problems)} problems x {spec.n} completions{_minutes(spec, same)}."
    )


def _minutes(spec: RunSpec, same: Given) -> str:
    """How long a search would take, by the smallest recorded run of the same search."""
    runs = sorted((header["n"], str(path)) for path, header in same if header["strategy"] == spec.search.name)
    if not runs:
        return ""
    n, path = runs[0]
    seconds = store.load(Path(path)).seconds
    if seconds is None:
        return ""
    minutes = seconds * spec.n / n * len(spec.problems) / 60
    return f", about {max(1, round(minutes))} min on the machine that recorded the others, and half a minute to start"


def _among(spec: RunSpec, given: Given) -> Iterator[tuple[Path, RunSpec]]:
    """As `_candidates`, of the given runs."""
    found: list[tuple[bool, int, int, Path, RunSpec]] = []
    for path, header in given:
        name = store.OLD_NAMES.get(header["strategy"], header["strategy"])
        same = header["seed"] == spec.seed and header["policy"]["model"] == spec.header["policy"]["model"]
        n, searches = header["n"], (spec.search.name, *spec.search.contained_in)
        if same and name in searches and spec.search.contains(n, spec.n, spec.options):
            found.append((n != spec.n, -n, len(found), path, spec.within(SEARCHES[name], n)))
    yield from ((path, wider) for *_, path, wider in sorted(found, key=lambda one: one[:3]))


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


def given_runs(runs: str | Sequence[str | Path]) -> Given:
    """The runs in folders, with their headers.

    Args:
        runs: folders or files, as a list or as one text with spaces between (quoted as in a shell); relative ones are
            the current folder's or else the project's.

    Raises:
        UserError: as `find_runs`, or the text cannot be read.
    """
    try:
        named = shlex.split(runs) if isinstance(runs, str) else [str(one) for one in runs]
    except (TypeError, ValueError) as error:
        raise UserError(f"runs are folders with spaces between, and {runs!r:.60} is not: {error}") from None
    places = [Path(one) if Path(one).exists() else paths.root() / one for one in named]
    return [(path, header) for path in find_runs(places) if (header := header_of(path))]


def policy_of(given: Given, ladder: Mapping[str, str]) -> str | None:
    """The one policy of the given runs, by its short name in the ladder; None if there are several.

    Greedy runs do not count: they are what other policies' runs are compared with.
    """
    searched = [header for _, header in given if header["strategy"] != "greedy"] or [header for _, header in given]
    models = {header["policy"]["model"] for header in searched}
    short = {relative(model): name for name, model in ladder.items()}
    return short.get(model := models.pop(), model) if len(models) == 1 else None
