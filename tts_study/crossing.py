"""Where a curve reaches another: the n at which a small model overtakes, and how much less compute does as well.

Curves are per-problem accuracies at growing budgets, arrays `[n, problem]`. Between two budgets a curve is linear in
log n, as it is drawn. Intervals come from a bootstrap over problems in which all curves see the same draws (paired).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tts_study.errors import UserError
from tts_study.estimators import Floats

LEVEL = 0.95  # of every interval here


@dataclass(frozen=True)
class Reach:
    """Where something is reached along an axis, with its 95 % interval.

    Attributes:
        estimate: the first place; inf where it is not reached within what was measured ("more than `last`").
        low: the interval's lower end.
        high: the interval's upper end, inf likewise.
        first: the smallest value that could be measured: a value equal to it means "at most".
        last: the largest value that could be measured.
    """

    estimate: float
    low: float
    high: float
    first: float
    last: float

    def __str__(self) -> str:
        return f"{self._told(self.estimate)} ({self._told(self.low)} to {self._told(self.high)})"

    def _told(self, value: float) -> str:
        if value > self.last:
            return f">{self.last:.3g}"
        return f"≤{self.first:.3g}" if value <= self.first else f"{value:.3g}"


def overtaking(
    xs: Sequence[float], small_n_P: ArrayLike, large_P: ArrayLike, *, seed: int, resamples: int = 2000
) -> Reach:
    """The first x at which a small model's curve is no longer below what a large one reaches on the same problems.

    Args:
        xs: the budgets of the small model's curve, growing and positive: n, FLOPs, seconds.
        small_n_P: each problem's chance to be solved by the small model, at each of `xs`.
        large_P: the same for the large model: one value a problem (greedy), or `[n, problem]`, a curve at the same xs.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        UserError: `xs` do not grow from above 0, or the curves are not of the same problems.
    """
    gap_n_P = np.asarray(small_n_P, dtype=float) - np.asarray(large_P, dtype=float)
    _check_axis(xs, gap_n_P)
    gaps_R_n = resampled_means(gap_n_P, seed=seed, resamples=resamples)
    return _reach(first_reached(xs, gap_n_P.mean(axis=1)[None])[0], first_reached(xs, gaps_R_n), xs[0], xs[-1])


def compute_ratios(
    ns: Sequence[float],
    better_n_P: ArrayLike,
    baseline_ns: Sequence[float],
    baseline_n_P: ArrayLike,
    *,
    seed: int,
    resamples: int = 2000,
) -> list[Reach]:
    """For each n: how many times n the baseline has to spend to be as good; 8 means "8 times less compute".

    The baseline's curve is read where it first reaches the accuracy. Beyond its last budget nothing is extrapolated:
    the ratio is then "more than" that budget over n, and below its first one "at most" that over n.

    Args:
        ns: the budgets of the better curve.
        better_n_P: each problem's chance to be solved, at each of `ns`.
        baseline_ns: the budgets of the baseline (Best-of-N), growing.
        baseline_n_P: each problem's chance to be solved by the baseline, at each of `baseline_ns`.
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        UserError: as `overtaking`.
    """
    better_n_P, baseline_n_P = np.asarray(better_n_P, dtype=float), np.asarray(baseline_n_P, dtype=float)
    if better_n_P.shape[1:] != baseline_n_P.shape[1:]:
        raise UserError("the two curves are not of the same problems: take both from runs of the same data set")
    _check_axis(baseline_ns, baseline_n_P)
    both = resampled_means(np.concatenate([better_n_P, baseline_n_P]), seed=seed, resamples=resamples)
    better_R_n, baseline_R_n = both[:, : len(ns)], both[:, len(ns) :]
    ratios = []
    for i, n in enumerate(ns):
        gap_n = baseline_n_P.mean(axis=1) - better_n_P[i].mean()
        gaps_R_n = baseline_R_n - better_R_n[:, i : i + 1]
        places = (first_reached(baseline_ns, gap_n[None])[0] / n, first_reached(baseline_ns, gaps_R_n) / n)
        ratios.append(_reach(*places, baseline_ns[0] / n, baseline_ns[-1] / n))
    return ratios


def interpolated(ns: Sequence[float], values_n_P: ArrayLike, at: float) -> Floats:
    """Each problem's value at a budget between those measured, linear in log n; NaN outside of them."""
    values_n_P = np.asarray(values_n_P, dtype=float)
    if not ns[0] <= at <= ns[-1]:
        return np.full(values_n_P.shape[1], np.nan)
    above = int(np.searchsorted(ns, at))
    if ns[above] == at:
        return values_n_P[above]
    share = np.log(at / ns[above - 1]) / np.log(ns[above] / ns[above - 1])
    return (1 - share) * values_n_P[above - 1] + share * values_n_P[above]


def resampled_means(values_n_P: ArrayLike, *, seed: int, resamples: int = 2000) -> Floats:
    """Means over problems drawn anew with replacement: row r holds the means of all curves over the r-th draw."""
    values_n_P = np.asarray(values_n_P, dtype=float)
    P = values_n_P.shape[1]
    draws_R_P = np.random.default_rng(seed).integers(P, size=(resamples, P))
    cells_R_P = draws_R_P + P * np.arange(resamples)[:, None]
    counts_R_P = np.bincount(cells_R_P.ravel(), minlength=resamples * P).reshape(resamples, P)
    return counts_R_P @ values_n_P.T / P


def first_reached(xs: Sequence[float], gaps_R_n: Floats) -> Floats:
    """For each row the first x at which the gap, linear in log x between points, is not negative; inf if it is."""
    log_n = np.log(np.asarray(xs, dtype=float))
    ahead_R_n = gaps_R_n >= -1e-12  # means of the same numbers in another order differ by rounding
    after_R = ahead_R_n.argmax(axis=1)
    before_R = np.maximum(after_R - 1, 0)
    rows = np.arange(len(gaps_R_n))
    low_R, high_R = gaps_R_n[rows, before_R], gaps_R_n[rows, after_R]
    rise_R = high_R - low_R
    share_R = np.where(rise_R > 0, -low_R / np.where(rise_R > 0, rise_R, 1.0), 0.0).clip(0, 1)
    reached_R = np.exp(log_n[before_R] + share_R * (log_n[after_R] - log_n[before_R]))
    return np.where(ahead_R_n.any(axis=1), reached_R, np.inf)


def _reach(estimate: float, places_R: NDArray[np.float64], first: float, last: float) -> Reach:
    # whole draws and no mean of two: between a number and inf there is none
    low, high = np.quantile(places_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Reach(float(estimate), float(low), float(high), float(first), float(last))


def _check_axis(xs: Sequence[float], values_n_P: Floats) -> None:
    if values_n_P.ndim != 2 or len(xs) != len(values_n_P) or not values_n_P.shape[1]:
        raise UserError(f"a curve over {len(xs)} budgets needs as many rows of problems, not shape {values_n_P.shape}")
    if xs[0] <= 0 or (np.diff(xs) <= 0).any():
        raise UserError(f"the budgets of a curve must grow from above 0, and {list(xs)} do not")
    if np.isnan(values_n_P).any():
        raise UserError("a curve lacks some of its budgets: leave these out")
