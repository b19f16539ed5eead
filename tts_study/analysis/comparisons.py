"""Strategies compared, over all problems and for each level: accuracies, paired tests, diversity."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tts_study.analysis import accuracy
from tts_study.analysis.grading import Graded
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import Floats, bootstrap

Levels = NDArray[np.int64]


def by_level(
    grid: Grid, strategies: Sequence[str], level_P: Levels | Floats, ns: Sequence[int] | None = None, *, seed: int = 0
) -> pd.DataFrame:
    """Accuracy at each level with its 95 % band: columns level, method, n, accuracy, low, high.

    Strategies that the grid does not have are left out, here and in `paired`.
    """
    strategies = [name for name in strategies if name in grid.strategies]
    return accuracy.table_by_level(grid.solved(strategies, ns), level_P, seed=seed)


def paired(grid: Grid, a: str, others: Sequence[str], level_P: Levels | None = None, *, seed: int = 0) -> pd.DataFrame:
    """Is strategy `a` better than others at equal n? A paired test at each n that both have, for each level if given.

    Returns:
        Columns pair, level ("all" first), n, and those of `accuracy.paired_tests`.
    """
    of_a = dict(zip(*grid.of(a), strict=True))
    pairs = {}
    for other in (name for name in others if name in grid.strategies):
        of_other = dict(zip(*grid.of(other), strict=True))
        for level, member_P in _members(len(grid.ids), level_P):
            for n in (n for n in of_a if n in of_other):
                pairs[f"{a} - {other}", level, n] = of_a[n][member_P], of_other[n][member_P]
    tests = accuracy.paired_tests(pairs, seed=seed)
    keys = pd.DataFrame(tests.pop("test").tolist(), columns=["pair", "level", "n"])
    return keys.join(tests)


def _members(P: int, level_P: Levels | None) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    yield "all", np.ones(P, dtype=bool)
    if level_P is not None:
        yield from ((str(level), level_P == level) for level in np.unique(level_P))


def diversity(graded: Mapping[str, Graded], *, seed: int = 0) -> pd.DataFrame:
    """How different are a problem's final answers? For runs of equally many completions.

    Returns:
        A row for each run: completions with an answer (a share), distinct answers (their number; and their effective
        number, the exponential of the entropy of how often each is given), and pass@N, each with its 95 % band.
    """
    return pd.DataFrame([_diversity(one, seed) | {"run": name} for name, one in graded.items()]).set_index("run")


def _diversity(graded: Graded, seed: int) -> dict[str, float]:
    groups_P_N = graded.groups_P_N
    measured = {
        "answered": (groups_P_N >= 0).mean(axis=1),
        "distinct": np.array([len(set(row[row >= 0])) for row in groups_P_N], dtype=float),
        "effective": np.array([_effective(row[row >= 0]) for row in groups_P_N]),
        "pass": graded.correct_P_N.any(axis=1).astype(float),
    }
    columns: dict[str, float] = {}
    for name, values_P in measured.items():
        band = bootstrap(values_P, seed=seed)
        columns |= {name: band.estimate, f"{name} low": band.low, f"{name} high": band.high}
    return columns


def _effective(groups: NDArray[np.int64]) -> float:
    if not len(groups):
        return 0.0
    shares: Floats = np.bincount(groups) / len(groups)
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
