"""Runs side by side: several policies, searches, budgets and seeds in one table.

Runs that differ only in their seed form one curve. Its band is over problems; the spread between seeds is a separate
column.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from tts_study.analysis.accuracy import accuracy_P, powers_of_two
from tts_study.analysis.grading import Graded, grade
from tts_study.analysis.inference import Floats
from tts_study.analysis.seeds import spread
from tts_study.errors import UserError
from tts_study.profiles import PROFILES
from tts_study.runs import store
from tts_study.runs.store import OLD_NAMES, Run
from tts_study.strategies import METHODS, SEARCHES
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import Rule

PARTS = ("search", "settings", "prm")  # parts of a header in which two runs of the same search may differ
BESIDES = ("sha256", "revision")  # what goes with a PRM's name


@dataclass(frozen=True, eq=False)
class Part:
    """One run in the table.

    Attributes:
        path: where it is recorded.
        run: the run.
        graded: the same, graded.
    """

    path: Path
    run: Run
    graded: Graded

    @classmethod
    def read(cls, path: Path) -> "Part":
        """Load and grade a run, its problems sorted by id: runs may store them in different orders.

        Raises:
            UserError: it is broken or has no problem.
        """
        run = store.load(path)
        run = run.of(sorted(run.problems, key=lambda problem: problem.id))
        return cls(path, run, grade(run.problems, run.results))

    @property
    def policy(self) -> str:
        """The policy's short name."""
        return Path(str(self.run.header["policy"]["model"])).name

    @property
    def search(self) -> str:
        """The name of the search."""
        name = str(self.run.header["strategy"])
        return OLD_NAMES.get(name, name)

    def __str__(self) -> str:
        header, asked = self.run.header, self.run.header["dataset"].get("problems", 0)
        done = len(self.run.problems)
        problems = f"{done} problems" if done >= asked else f"{done} of {asked} problems (the run is not finished)"
        return f"{self.policy} {self.search}, n = {header['n']}, seed {header['seed']}, {problems}"


def side_by_side(
    parts: Sequence[Part], *, aggregation: Aggregation | None = None, rule: Rule | None = None, seed: int = 0
) -> pd.DataFrame:
    """Accuracy of every policy, method and n.

    Args:
        parts: the runs.
        aggregation: step scores to score; that of each run's search or profile if None.
        rule: how a tree search's answer is picked; the search's own if None.
        seed: of subsets and of the bootstrap.

    Returns:
        Columns policy, method, n, seeds, problems, accuracy, low, high (95 % over problems), between_seeds (standard
        deviation of the accuracy from seed to seed; NaN for one seed).

    Raises:
        UserError: two runs have the same policy, search, n and seed, or the seeds of one curve have different problems.
    """
    cells: dict[tuple[str, str, int], dict[int, tuple[Part, Floats]]] = {}
    differing = differing_options(parts)
    for part in sorted(parts, key=lambda part: -part.run.header["n"]):  # a smaller n is read from the largest run
        seed_of_run, N = part.run.header["seed"], part.run.header["n"]
        for method, chosen in methods_of(part, rule):
            for n in budgets(part):
                of_seed = cells.setdefault((part.policy, method + suffix(part, differing), n), {})
                if seed_of_run not in of_seed:
                    how = aggregation or aggregation_of(part.run)
                    solved_P = accuracy_P(part.graded, chosen, n, aggregation=how, seed=seed)
                    of_seed[seed_of_run] = part, solved_P
                elif of_seed[seed_of_run][0].run.header["n"] == N:
                    raise UserError(
                        f"{of_seed[seed_of_run][0].path} and {part.path} are the same run: give one of them"
                    )
    rows = [_row(*cell, list(of_seed.values()), seed) for cell, of_seed in cells.items()]
    order = {policy: i for i, policy in enumerate(dict.fromkeys(part.policy for part in parts))}
    table = pd.DataFrame(rows)
    place = table["policy"].map(order)
    return table.assign(place=place).sort_values(["place", "method", "n"], ignore_index=True).drop(columns="place")


def _row(policy: str, method: str, n: int, runs: list[tuple[Part, Floats]], seed: int) -> dict[str, Any]:
    first = runs[0][0]
    for part, _ in runs:
        if part.graded.ids != first.graded.ids:
            raise UserError(
                f"{first.path} and {part.path} are two seeds of {policy} {method} on different problems: "
                "finish both, or replay them one at a time"
            )
    if len(first.graded.ids) < 2:
        raise UserError(f"{first.path} has one problem, and an interval needs two: record more")
    found = spread([solved_P for _, solved_P in runs], seed=seed)
    return {
        "policy": policy, "method": method, "n": n, "seeds": found.seeds, "problems": len(first.graded.ids),
        "accuracy": found.accuracy.estimate, "low": found.accuracy.low, "high": found.accuracy.high,
        "between_seeds": found.between_seeds,
    }  # fmt: skip


def methods_of(part: Part, rule: Rule | None) -> list[tuple[str, Any]]:
    """The methods that can be read from a run, each with its rule."""
    scored = any(map(any, part.graded.step_scores_P_N_S))
    search = SEARCHES.get(part.search)
    if search is None:  # a strategy of a file that is not available here
        return [(part.search, rule or ("weighted" if scored else "majority"))]
    if search.smaller_n != "samples":
        return [(m.name, rule or m.rule) for m in METHODS.values() if m.search.name == search.name]
    read = (m for m in METHODS.values() if search.name in (m.search.name, *m.search.contained_in))
    return [*((m.name, m.rule) for m in read if scored or m.rule == "majority"), ("pass", "pass")]


def budgets(part: Part) -> Iterable[int]:
    """Every n that can be read from a run: only its own if all its completions depend on each other."""
    search, N = SEARCHES.get(part.search), part.run.header["n"]
    if search is None or search.smaller_n == "own run":
        return [N]
    return [n for n in powers_of_two(N) if n % part.graded.subtree == 0]


def aggregation_of(run: Run) -> Aggregation:
    """What the search itself used, else what the run's profile uses, else "last"."""
    used = run.header.get("search", {}).get("aggregation")
    profile = PROFILES.get(run.header.get("settings", {}).get("name", ""))
    return cast(Aggregation, used or (profile.aggregation if profile else "last"))


def differing_options(parts: Sequence[Part]) -> dict[tuple[str, str], list[tuple[str, str]]]:
    """By policy and search, the options, and the PRM, that are not the same in all its runs."""
    groups: dict[tuple[str, str], list[Part]] = {}
    for part in parts:
        groups.setdefault((part.policy, part.search), []).append(part)
    return {
        key: [
            (name, option)
            for name in PARTS
            for option in sorted({option for part in group for option in part.run.header.get(name, {})})
            if option not in BESIDES and len({str(part.run.header.get(name, {}).get(option)) for part in group}) > 1
        ]
        for key, group in groups.items()
    }


def suffix(part: Part, differing: dict[tuple[str, str], list[tuple[str, str]]]) -> str:
    """What follows a method's name where its runs differ: " (drop_duplicates True)", " (prm prm-160)"."""
    there = [
        ("prm", Path(str(value)).name) if name == "prm" else (option, value)
        for name, option in differing[part.policy, part.search]
        if (value := part.run.header.get(name, {}).get(option)) is not None
    ]
    return f" ({', '.join(f'{option} {value}' for option, value in there)})" if there else ""
