"""Where a curve reaches another: the n at which a small model overtakes, and how much less compute is as good.

Between two budgets a curve is linear in log n, as it is drawn. Intervals come from a bootstrap over problems in which
all curves have the same draws: a curve carries its means over those draws, also where the curve itself depends on the
problems, such as a cross-validated choice (`compute_optimal`), which is made again for each draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from tts_study.analysis.inference import RESAMPLES, Floats, draws
from tts_study.errors import UserError


@dataclass(frozen=True, eq=False)
class Curve:
    """Accuracy at growing budgets, and for each bootstrap draw of the problems.

    Attributes:
        xs: the budgets, growing from above 0: n, FLOPs, seconds.
        mean_n: the mean accuracy at each of them.
        mean_R_n: the same for each bootstrap draw of the problems.
    """

    xs: tuple[float, ...]
    mean_n: Floats
    mean_R_n: Floats

    def at(self, x: float) -> tuple[float, Floats]:
        """The accuracy between two budgets, and that of each draw; NaN outside of them."""
        if not self.xs[0] <= x <= self.xs[-1]:
            return float("nan"), np.full(len(self.mean_R_n), np.nan)
        above = int(np.searchsorted(self.xs, x))
        if self.xs[above] == x:
            return float(self.mean_n[above]), self.mean_R_n[:, above]
        share = np.log(x / self.xs[above - 1]) / np.log(self.xs[above] / self.xs[above - 1])
        weights = np.array([1 - share, share])
        return float(self.mean_n[above - 1 : above + 1] @ weights), self.mean_R_n[:, above - 1 : above + 1] @ weights


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
        return f"{self._shown(self.estimate)} ({self._shown(self.low)} to {self._shown(self.high)})"

    def _shown(self, value: float) -> str:
        if value > self.last:
            return f">{self.last:.3g}"
        return f"≤{self.first:.3g}" if value <= self.first else f"{value:.3g}"


def curve_over(xs: Sequence[float], accuracy_n_P: ArrayLike, *, seed: int, resamples: int = RESAMPLES) -> Curve:
    """The curve of a strategy that is the same for all problems.

    Args:
        xs: the budgets.
        accuracy_n_P: each problem's chance to be solved at each of them.
        seed: of the draws: curves to be compared need the same one.
        resamples: how many draws.

    Raises:
        UserError: the budgets do not grow from above 0, or do not fit the accuracies, or one of these is missing.
    """
    accuracy_n_P = np.asarray(accuracy_n_P, dtype=float)
    if accuracy_n_P.ndim != 2 or len(xs) != len(accuracy_n_P) or not accuracy_n_P.size:
        raise UserError(f"a curve over {len(xs)} budgets needs rows of problems, not shape {accuracy_n_P.shape}")
    if xs[0] <= 0 or (np.diff(xs) <= 0).any():
        raise UserError(f"the budgets of a curve must grow from above 0, and {list(xs)} do not")
    if np.isnan(accuracy_n_P).any():
        raise UserError("a curve has no value at some of its budgets: leave these out")
    P = accuracy_n_P.shape[1]
    return Curve(tuple(xs), accuracy_n_P.mean(axis=1), draws(P, seed=seed, resamples=resamples) @ accuracy_n_P.T / P)


def overtaking(small: Curve, large: Curve) -> Reach:
    """The first x at which a small model's curve is no longer below a large one's on the same problems.

    A large one with a single budget (greedy decoding) is a line; one with several is read at the small one's.

    Raises:
        UserError: the two do not come from the same draws, or were nowhere measured at the same budgets.
    """
    _check_paired(small, large)
    xs, gap_n, gap_R_n = small.xs, small.mean_n - large.mean_n[0], small.mean_R_n - large.mean_R_n[:, :1]
    if len(large.xs) > 1:
        low, high = max(small.xs[0], large.xs[0]), min(small.xs[-1], large.xs[-1])
        xs = tuple(sorted({x for x in (*small.xs, *large.xs) if low <= x <= high}))
        if not xs:
            raise UserError("the two curves have no budget in common: record both at more values of n")
        pairs = [(small.at(x), large.at(x)) for x in xs]
        gap_n = np.array([one[0] - other[0] for one, other in pairs])
        gap_R_n = np.array([one[1] - other[1] for one, other in pairs]).T
    return _reach(first_reached(xs, gap_n[None]), first_reached(xs, gap_R_n), xs[0], xs[-1])


def compute_ratios(better: Curve, baseline: Curve) -> list[Reach]:
    """For each budget of a curve: at which multiple of it the baseline is as accurate.

    8 means "8 times less compute". The baseline's curve is read where it first reaches the accuracy. Beyond its last
    budget nothing is extrapolated: the ratio is then "more than", and below its first one "at most".

    Raises:
        UserError: the two do not come from the same draws.
    """
    _check_paired(better, baseline)
    ratios = []
    for i, x in enumerate(better.xs):
        gap_n, gap_R_n = baseline.mean_n - better.mean_n[i], baseline.mean_R_n - better.mean_R_n[:, i : i + 1]
        places = first_reached(baseline.xs, gap_n[None]) / x, first_reached(baseline.xs, gap_R_n) / x
        ratios.append(_reach(*places, baseline.xs[0] / x, baseline.xs[-1] / x))
    return ratios


def gains(better: Curve, baseline: Curve) -> pd.DataFrame:
    """At each budget: both accuracies and their difference on the same problems, with its 95 % interval and p-value.

    The interval is the difference ± 1.96 bootstrap standard errors, and the p-value the normal one. Of a choice that is
    made again in each draw, the interval contains the truth as often as it says; a test over problems, which takes the
    choice as given, has too small intervals (see tests/analysis/test_compute_optimal.py).

    Returns:
        Columns n, accuracy, baseline, difference, low, high, p_value; no row where the baseline was not measured.

    Raises:
        UserError: the two do not come from the same draws.
    """
    _check_paired(better, baseline)
    rows = []
    for i, x in enumerate(better.xs):
        mean, mean_R = baseline.at(x)
        if np.isnan(mean):
            continue
        difference, error = better.mean_n[i] - mean, float((better.mean_R_n[:, i] - mean_R).std(ddof=1))
        p_value = 2 * norm.sf(abs(difference) / error) if error > 1e-9 else float(abs(difference) < 1e-9)
        rows.append(
            dict(n=x, accuracy=better.mean_n[i], baseline=mean, difference=difference,
                 low=difference - 1.96 * error, high=difference + 1.96 * error, p_value=p_value)
        )  # fmt: skip
    return pd.DataFrame(rows)


def first_reached(xs: Sequence[float], gaps_R_n: Floats) -> Floats:
    """For each row the first x at which the gap, linear in log x between points, is not negative; inf if it is."""
    log_n = np.log(np.asarray(xs, dtype=float))
    ahead_R_n = gaps_R_n >= -1e-12  # means of the same numbers in another order differ by rounding
    after_R = ahead_R_n.argmax(axis=1)
    before_R = np.maximum(after_R - 1, 0)
    rows = np.arange(len(gaps_R_n))
    low_R, rise_R = gaps_R_n[rows, before_R], gaps_R_n[rows, after_R] - gaps_R_n[rows, before_R]
    share_R = np.where(rise_R > 0, -low_R / np.where(rise_R > 0, rise_R, 1.0), 0.0).clip(0, 1)
    reached_R = np.exp(log_n[before_R] + share_R * (log_n[after_R] - log_n[before_R]))
    return np.where(ahead_R_n.any(axis=1), reached_R, np.inf)


def _reach(estimate: Floats, place_R: Floats, first: float, last: float) -> Reach:
    # whole draws and not the mean of two: between a number and inf there is no mean
    low, high = np.quantile(place_R, [0.025, 0.975], method="inverted_cdf")
    return Reach(float(estimate.item()), float(low), float(high), float(first), float(last))


def _check_paired(one: Curve, other: Curve) -> None:
    if len(one.mean_R_n) != len(other.mean_R_n):
        raise UserError("two curves are compared on the same draws of the same problems: give both the same seed")
