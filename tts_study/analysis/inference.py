"""How certain a number is: bootstrap intervals, paired tests, correction for many tests, and detectable differences.

Families. Problems often come in families, such as one subject at one level, and those of a family are solved or missed
together. Then other problems would mean other families, and a standard error that takes problems for independent is
too small (Miller 2024, arXiv 2411.00640, section 2.2). Wherever a function takes `family_P`, whole families are drawn
and whole families change sign. Fewer than `FEWEST_FAMILIES` of them are too few to draw from: problems are then drawn
one by one, and the result is about other problems of these same families.

This is the bootstrap of the study: scipy.stats.bootstrap knows neither families nor draws that several curves share.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2, norm

Floats = NDArray[np.float64]

RESAMPLES = 2000
FEWEST_FAMILIES = 10
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; NaN where undefined (no problems)."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Does `a` differ from `b` on the same problems?

    Attributes:
        difference: the mean of `a - b` over problems.
        low: lower end of its 95 % interval.
        high: upper end of it.
        p_value: two-sided, of "no difference".
        detectable: the smallest true difference that such a test finds in 80 % of all cases, at the level of 5 %.
    """

    difference: float
    low: float
    high: float
    p_value: float
    detectable: float


def draws(P: int, family_P: ArrayLike | None = None, *, seed: int, resamples: int = RESAMPLES) -> Floats:
    """Bootstrap draws of P problems with replacement: how often each problem is in each draw, shape (R, P).

    Args:
        P: number of problems.
        family_P: problems with the same value are drawn together; each by itself if None.
        seed: of the draws: curves to be compared need the same one.
        resamples: R, how many draws.
    """
    unit_P = _units(P, family_P)
    return _unit_draws(int(unit_P.max()) + 1, seed, resamples)[:, unit_P]


def bootstrap(
    values_P: ArrayLike,
    family_P: ArrayLike | None = None,
    *,
    seed: int,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> Interval:
    """Mean over problems with its percentile bootstrap interval: problems, or families, are drawn with replacement.

    With 20 families a 95 % interval contains the truth in about 92 % of all cases (tests/analysis/test_inference.py).

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    values_P = np.asarray(values_P, dtype=float)
    if not len(values_P):
        return Interval(np.nan, np.nan, np.nan)
    low, high = np.quantile(_means(values_P, family_P, seed, resamples), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values_P.mean()), float(low), float(high))


def paired_test(
    a_P: ArrayLike, b_P: ArrayLike, family_P: ArrayLike | None = None, *, seed: int, resamples: int = 10_000
) -> PairedTest:
    """A bootstrap interval of the mean of `a - b`, and a sign-flip permutation test of "no difference".

    Where there is no difference, each problem's `a - b` (each family's sum of them) could as well have had the other
    sign. The p-value is (hits + 1) / (resamples + 1), never 0: Phipson and Smyth 2010 (arXiv 1603.05766).

    Raises:
        ValueError: `a_P` and `b_P` differ in length.
    """
    a_P, b_P = np.asarray(a_P, dtype=float), np.asarray(b_P, dtype=float)
    if len(a_P) != len(b_P):
        raise ValueError(f"a paired test needs the same problems on both sides, not {len(a_P)} and {len(b_P)}")
    difference_P = a_P - b_P
    if not len(difference_P):
        return PairedTest(*(float("nan"),) * 5)
    means_R = _means(difference_P, family_P, seed, resamples)
    low, high = np.quantile(means_R, [0.025, 0.975])
    sum_U = np.bincount(_units(len(difference_P), family_P), weights=difference_P)
    # the second stream of the seed: the flips must not repeat the bootstrap's draws
    bits_R_U = np.random.default_rng([seed, 1]).integers(2, size=(resamples, len(sum_U)), dtype=np.int8)
    flipped_R = (2.0 * bits_R_U - 1.0) @ sum_U
    # sums of the same numbers in another order differ by rounding: such a tie is a hit
    hits = int(np.count_nonzero(np.abs(flipped_R) >= abs(sum_U.sum()) - 1e-9))
    p_value = (hits + 1) / (resamples + 1)
    return PairedTest(
        float(difference_P.mean()), float(low), float(high), p_value, detectable(float(means_R.std(ddof=1)))
    )


def detectable(standard_error: float) -> float:
    """The smallest true difference that a two-sided test finds in 80 % of all cases at 5 %: Miller 2024, equation 9."""
    return float((norm.isf(0.05 / 2) + norm.isf(1 - POWER)) * standard_error)


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected for being several: the chance of a single false finding among them stays below the level.

    A NaN is not a test: it stays and does not count.

    Source: Holm 1979; the k-th smallest of m is multiplied by m - k + 1, and none is below a smaller one's.
    """
    p_values = np.asarray(p_values, dtype=float)
    corrected = np.full(p_values.shape, np.nan)
    order = np.argsort(p_values)[: np.count_nonzero(~np.isnan(p_values))]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return corrected


def sd_interval(sd: float, count: int) -> tuple[float, float]:
    """The 95 % interval of a standard deviation, estimated from `count` normal values; NaN from a single one."""
    if count < 2:
        return float("nan"), float("nan")
    scale = sd * np.sqrt(count - 1)
    low, high = scale / np.sqrt(chi2.isf([0.025, 0.975], count - 1))
    return float(low), float(high)


def _units(P: int, family_P: ArrayLike | None) -> NDArray[np.int64]:
    """What is drawn as a whole: the number of each problem's family, or its own where there are too few of them."""
    if family_P is not None:
        families, unit_P = np.unique(np.asarray(family_P), return_inverse=True)
        if len(families) >= FEWEST_FAMILIES:
            return unit_P.astype(np.int64)
    return np.arange(P)


def _unit_draws(U: int, seed: int, resamples: int) -> Floats:
    drawn_R_U = np.random.default_rng(seed).integers(U, size=(resamples, U), dtype=np.int32)
    cells = drawn_R_U + np.int64(U) * np.arange(resamples)[:, None]
    return np.bincount(cells.ravel(), minlength=resamples * U).reshape(resamples, U).astype(float)


def _means(values_P: Floats, family_P: ArrayLike | None, seed: int, resamples: int) -> Floats:
    """The mean over the problems of each draw; draws of unequal families differ in how many problems they contain."""
    unit_P = _units(len(values_P), family_P)
    sum_U, size_U = np.bincount(unit_P, weights=values_P), np.bincount(unit_P)
    drawn_R_U = _unit_draws(len(sum_U), seed, resamples)
    return (drawn_R_U @ sum_U) / (drawn_R_U @ size_U)
