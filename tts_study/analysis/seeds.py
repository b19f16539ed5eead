"""Several seeds of one experiment: the variation between seeds, separated from the variation between problems.

The two are different questions. Other problems would have given another accuracy: that is the interval over problems.
The same problems with another seed would have too: that is the spread between seeds, and it shrinks with the number
of problems. The accuracy of problem p with seed s is taken as

    mean + problem_p + seed_s + residual_ps        (two-way random effects, one value a cell)

and the variance of each part is estimated by the mean squares of the two-way analysis of variance, negative estimates
set to 0 (Searle, Casella and McCulloch 1992, chapter 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import Interval, bootstrap, sd_interval
from tts_study.errors import UserError


@dataclass(frozen=True)
class Spread:
    """Accuracy over several seeds.

    Attributes:
        accuracy: the mean over seeds and problems, with its 95 % interval over problems.
        seeds: how many.
        between_seeds: standard deviation of the overall accuracy from seed to seed; NaN for a single seed.
        between_low: the lower end of its 95 % interval.
        between_high: the upper end.
        problem_sd: standard deviation between problems, without the random part; this and the next two are NaN for a
            single seed.
        seed_sd: what all problems of a seed share; about 0 if seeds differ by chance alone.
        residual_sd: the random part of one problem with one seed.
    """

    accuracy: Interval
    seeds: int
    between_seeds: float
    between_low: float
    between_high: float
    problem_sd: float
    seed_sd: float
    residual_sd: float


def spread(accuracy_S_P: ArrayLike, *, seed: int) -> Spread:
    """Separate the variation of accuracies between seeds from that between problems.

    Args:
        accuracy_S_P: each problem's chance to be solved (or 0 and 1), for each seed.
        seed: of the bootstrap over problems.

    Raises:
        UserError: there are no seeds, or fewer than two problems.
    """
    accuracy_S_P = np.asarray(accuracy_S_P, dtype=float)
    if accuracy_S_P.ndim != 2 or not len(accuracy_S_P) or accuracy_S_P.shape[1] < 2:
        raise UserError(f"a spread needs at least one seed and two problems, not shape {accuracy_S_P.shape}")
    S, P = accuracy_S_P.shape
    band = bootstrap(accuracy_S_P.mean(axis=0), seed=seed)
    if S == 1:
        return Spread(band, S, *(float("nan"),) * 6)
    seed_S, problem_P = accuracy_S_P.mean(axis=1), accuracy_S_P.mean(axis=0)
    residual_S_P = accuracy_S_P - seed_S[:, None] - problem_P + accuracy_S_P.mean()
    residual = (residual_S_P**2).sum() / ((S - 1) * (P - 1))
    problem = problem_P.var(ddof=1) - residual / S
    parts = (problem, seed_S.var(ddof=1) - residual / P, residual)
    between = float(seed_S.std(ddof=1))
    return Spread(band, S, between, *sd_interval(between, S), *(float(np.sqrt(max(part, 0))) for part in parts))


def spread_table(grids: Sequence[Grid], *, seed: int = 0) -> pd.DataFrame:
    """The spread of each strategy and n over grids of the same problems, one for each seed.

    Returns:
        Columns method, n, accuracy, low, high, and the other fields of `Spread`.

    Raises:
        UserError: there are no grids, or they differ in problems, strategies or budgets.
    """
    if not grids or any((g.ids, g.strategies, g.ns) != (grids[0].ids, grids[0].strategies, grids[0].ns) for g in grids):
        raise UserError("seeds differ in problems, strategies or budgets: record all seeds with the same settings")
    rows = []
    for m, strategy in enumerate(grids[0].strategies):
        for j, n in enumerate(grids[0].ns):
            accuracy_S_P = np.array([grid.accuracy_M_n_P[m, j] for grid in grids])
            if np.isnan(accuracy_S_P).any():
                continue
            found = spread(accuracy_S_P, seed=seed)
            band = dict(accuracy=found.accuracy.estimate, low=found.accuracy.low, high=found.accuracy.high)
            parts = {name: value for name, value in vars(found).items() if name not in ("accuracy", "seeds")}
            rows.append(dict(method=strategy, n=n, seeds=found.seeds, **band, **parts))
    return pd.DataFrame(rows)
