"""From N samples of each problem to what n of them would have achieved, with bands and paired tests.

Arrays are indexed `[problem, sample]` (suffix `_P_N`). A point at n estimates the expectation over n samples drawn
without replacement from the N that exist, so one run of N gives the whole curve, and the points share its luck.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tts_study.errors import UserError

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; NaN where undefined (no problems)."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedTest:
    """Mean of `a - b` over the same problems, its confidence interval, and the two-sided p-value of "no difference"."""

    difference: float
    low: float
    high: float
    p_value: float


def pass_at_k(correct_P_N: ArrayLike, k: int, *, subtree: int = 1) -> Floats:
    """Chance that at least one of `k` samples is correct: 1 - C(N-c, k) / C(N, k), unbiased.

    A subtree counts as one sample, which is correct if one of its members is.

    Source: Chen et al. 2021 (arXiv 2107.03374), equation 1.

    Raises:
        UserError: `k` is not between 1 and N, or not a number of whole subtrees.
    """
    correct_P_T = _by_subtree(np.asarray(correct_P_N, dtype=bool), k, subtree).any(axis=2)
    T = correct_P_T.shape[1]
    return 1.0 - _share_of_subsets(T, k // subtree)[T - correct_P_T.sum(axis=1)]


def best_of_n(correct_P_N: ArrayLike, scores_P_N: ArrayLike, n: int, *, subtree: int = 1) -> Floats:
    """Chance that the top-scored one of `n` samples is correct, ties in score broken uniformly; exact.

    A subtree counts as one sample: it has the score of its best member, and is as correct as that one is, or as those
    are on average that share this score. So a tie is broken between subtrees first, and within the subtree then.

    The top of a subset is one of the m samples that share a score, L others scoring lower, if the subset lies within
    these L + m but not within the L: [C(L+m, n) - C(L, n)] / C(N, n). By symmetry each of the m has an equal part.

    Args:
        correct_P_N: whether each sample's answer is right.
        scores_P_N: each sample's score; -inf for one without an answer, which never counts as correct.
        n: size of the subsets.
        subtree: how many samples are drawn together.

    Raises:
        UserError: `n` is not between 1 and N, or not a number of whole subtrees, or a score is NaN.
    """
    scores_P_N = np.asarray(scores_P_N, dtype=float)
    correct_P_N = np.asarray(correct_P_N, dtype=bool) & (scores_P_N > -np.inf)
    if np.isnan(scores_P_N).any():
        raise UserError("a score is NaN: best-of-n needs a number for each sample (-inf for one without an answer)")
    scores_P_T_M, correct_P_T_M = (_by_subtree(each, n, subtree) for each in (scores_P_N, correct_P_N))
    scores_P_T = scores_P_T_M.max(axis=2)
    correct_P_T = correct_P_T_M.mean(axis=2, where=scores_P_T_M == scores_P_T[:, :, None])
    within = _share_of_subsets(scores_P_T.shape[1], n // subtree)
    chances = np.empty(len(scores_P_N))
    for p, (correct_T, scores_T) in enumerate(zip(correct_P_T, scores_P_T, strict=True)):
        ranked_T = np.sort(scores_T)
        lower_T = np.searchsorted(ranked_T, scores_T, side="left")
        up_to_T = np.searchsorted(ranked_T, scores_T, side="right")
        top_T = (within[up_to_T] - within[lower_T]) / (up_to_T - lower_T)
        chances[p] = top_T @ correct_T
    return chances


def majority_at_n(
    groups_P_N: ArrayLike, correct_P_N: ArrayLike, n: int, *, seed: int, subsets: int = 100, subtree: int = 1
) -> Floats:
    """Chance that the answer given most often among `n` samples is correct.

    A tie gives each winner an equal part: the expectation over the order of the samples where the first one wins.
    See `weighted_at_n` for arguments and errors; every sample has weight 1.
    """
    groups_P_N = np.asarray(groups_P_N)
    ones_P_N = np.ones(groups_P_N.shape)
    return weighted_at_n(groups_P_N, ones_P_N, correct_P_N, n, seed=seed, subsets=subsets, subtree=subtree)


def weighted_at_n(
    groups_P_N: ArrayLike,
    scores_P_N: ArrayLike,
    correct_P_N: ArrayLike,
    n: int,
    *,
    seed: int,
    subsets: int = 100,
    subtree: int = 1,
) -> Floats:
    """Chance that the answer whose scores add up highest among `n` samples is correct, each tied winner an equal part.

    The mean over random subsets: random orders of the samples, each cut into as many disjoint subsets as fit, so that
    n = 1 and n = N are exact and between them the samples are drawn about equally often. The same seed gives the same
    subsets to every vote.

    Args:
        groups_P_N: samples with the same number gave the same answer; -1 gave none and has no vote.
        scores_P_N: each sample's weight, 0 or more; not read where there is no vote.
        correct_P_N: whether each sample's answer is right: the same for all of a group.
        n: size of the subsets.
        seed: of the subsets.
        subsets: how many to draw for each problem, at least.
        subtree: how many samples are drawn together.

    Raises:
        UserError: `n` is not between 1 and N, or not a number of whole subtrees.
    """
    groups_P_N, scores_P_N = np.asarray(groups_P_N), np.asarray(scores_P_N, dtype=float)
    correct_P_N = np.asarray(correct_P_N, dtype=bool)
    P, N = groups_P_N.shape
    _check_size(N, n, subtree)
    rng = np.random.default_rng(seed)
    chances = np.empty(P)
    for p in range(P):
        drawn_S_n = _subsets(N, n, 1 if n == N else subsets, subtree, rng)
        chances[p] = _vote(groups_P_N[p], scores_P_N[p], correct_P_N[p], drawn_S_n)
    return chances


def bootstrap(values_P: ArrayLike, *, seed: int, resamples: int = 2000, level: float = 0.95) -> Interval:
    """Mean over problems with its percentile bootstrap interval: problems are drawn anew, with replacement.

    Source: Efron and Tibshirani 1993, chapter 13.
    """
    values_P = np.asarray(values_P, dtype=float)
    if not len(values_P):
        return Interval(np.nan, np.nan, np.nan)
    draws_R_P = np.random.default_rng(seed).integers(len(values_P), size=(resamples, len(values_P)), dtype=np.int32)
    means_R = values_P[draws_R_P].mean(axis=1)
    low, high = np.quantile(means_R, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values_P.mean()), float(low), float(high))


def paired_test(a_P: ArrayLike, b_P: ArrayLike, *, seed: int, resamples: int = 10_000) -> PairedTest:
    """Does `a` differ from `b` on the same problems? A 95 % bootstrap interval and a sign-flip permutation test.

    Where there is no difference, each problem's `a - b` could as well have had the other sign. The p-value is
    (hits + 1) / (resamples + 1), never 0: Phipson and Smyth 2010 (arXiv 1603.05766).

    Raises:
        ValueError: `a_P` and `b_P` differ in length.
    """
    a_P, b_P = np.asarray(a_P, dtype=float), np.asarray(b_P, dtype=float)
    if len(a_P) != len(b_P):
        raise ValueError(f"a paired test needs the same problems on both sides, not {len(a_P)} and {len(b_P)}")
    difference_P = a_P - b_P
    mean = bootstrap(difference_P, seed=seed, resamples=resamples)
    if not len(difference_P):
        return PairedTest(mean.estimate, mean.low, mean.high, np.nan)
    # the second stream of the seed: the flips must not repeat the bootstrap's draws
    bits_R_P = np.random.default_rng([seed, 1]).integers(2, size=(resamples, len(difference_P)), dtype=np.int8)
    flipped_R = (2.0 * bits_R_P - 1.0) @ difference_P
    observed = abs(difference_P.sum())
    # sums of the same numbers in another order differ by rounding: such a tie is a hit
    hits = int(np.count_nonzero(np.abs(flipped_R) >= observed - 1e-9))
    return PairedTest(mean.estimate, mean.low, mean.high, (hits + 1) / (resamples + 1))


def _check_size(N: int, n: int, subtree: int = 1) -> None:
    if not 1 <= n <= N:
        raise UserError(f"n = {n} of {N} samples a problem: choose n between 1 and {N}, or run with a larger n")
    if n % subtree:
        raise UserError(
            f"n = {n} of {N} samples a problem that depend on each other in groups of {subtree}: "
            f"choose a multiple of {subtree}, or run the search with n = {n}"
        )


def _by_subtree(values_P_N: NDArray, n: int, subtree: int) -> NDArray:
    """The samples of each problem by subtree and member, `_P_T_M`."""
    P, N = values_P_N.shape
    _check_size(N, n, subtree)
    return values_P_N.reshape(P, N // subtree, subtree)


def _share_of_subsets(N: int, n: int) -> Floats:
    """C(m, n) / C(N, n) for m = 0 … N: the share of all n-subsets of N samples that lie within m given ones.

    As a product of n ratios, none above 1: no factorial overflows, and m = N gives exactly 1.
    """
    _check_size(N, n)
    drawn_n = np.arange(n)
    left_M_n = np.clip(np.arange(N + 1)[:, None] - drawn_n, 0, None)
    return np.prod(left_M_n / (N - drawn_n), axis=1)


def _subsets(N: int, n: int, subsets: int, subtree: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """At least `subsets` random n-subsets of N samples, one a row: random orders of subtrees, cut into pieces."""
    T, t = N // subtree, n // subtree
    pieces = T // t
    orders = -(-subsets // pieces)
    order_O_T = rng.random((orders, T)).argsort(axis=1)
    drawn_S_t = order_O_T[:, : pieces * t].reshape(-1, t)
    return (drawn_S_t[:, :, None] * subtree + np.arange(subtree)).reshape(-1, n)


def _vote(groups_N: NDArray, scores_N: Floats, correct_N: NDArray, drawn_S_n: NDArray) -> float:
    """The mean over subsets (rows of sample numbers) of the share of correct ones among the winning groups."""
    S, G = len(drawn_S_n), int(groups_N.max()) + 2  # column 0 gathers samples without an answer
    columns_N = groups_N + 1
    cells = (np.arange(S)[:, None] * G + columns_N[drawn_S_n]).ravel()
    votes_S_G = np.bincount(cells, weights=scores_N[drawn_S_n].ravel(), minlength=S * G).reshape(S, G)
    votes_S_G[np.bincount(cells, minlength=S * G).reshape(S, G) == 0] = -np.inf
    votes_S_G[:, 0] = -np.inf
    correct_G = np.zeros(G, dtype=bool)
    correct_G[columns_N] = correct_N
    # equal sums of scores differ by rounding when added up in another order: such a tie is a tie
    best_S = votes_S_G.max(axis=1, keepdims=True) * (1 - 1e-12)
    winners_S_G = (votes_S_G >= best_S) & (votes_S_G > -np.inf)
    return float((winners_S_G @ correct_G.astype(float) / np.maximum(winners_S_G.sum(axis=1), 1)).mean())
