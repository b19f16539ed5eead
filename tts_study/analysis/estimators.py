"""From N samples of each problem to what n of them would have achieved.

Arrays are indexed `[problem, sample]` (suffix `_P_N`). A point at n estimates the expectation over n samples drawn
without replacement from the N that exist, so one run of N gives the whole curve, and the errors of its points are
correlated.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tts_study.analysis.inference import Floats
from tts_study.errors import UserError


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
    scores_P_T_I, correct_P_T_I = (_by_subtree(each, n, subtree) for each in (scores_P_N, correct_P_N))
    scores_P_T = scores_P_T_I.max(axis=2)
    correct_P_T = correct_P_T_I.mean(axis=2, where=scores_P_T_I == scores_P_T[:, :, None])
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
    reweight: Callable[[Floats], Floats] | None = None,
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
        reweight: from the scores of subsets, `[subset, sample]`, to weights that depend on the whole subset, such as
            ranks within it; scores may then be any numbers.

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
        weights_S_n = scores_P_N[p][drawn_S_n]
        if reweight is not None:
            weights_S_n = reweight(weights_S_n)
        chances[p] = _vote(groups_P_N[p], weights_S_n, correct_P_N[p], drawn_S_n)
    return chances


def _check_size(N: int, n: int, subtree: int = 1) -> None:
    if not 1 <= n <= N:
        raise UserError(f"n = {n} of {N} samples a problem: choose n between 1 and {N}, or run with a larger n")
    if n % subtree:
        raise UserError(
            f"n = {n} of {N} samples a problem that depend on each other in groups of {subtree}: "
            f"choose a multiple of {subtree}, or run the search with n = {n}"
        )


def _by_subtree(values_P_N: NDArray, n: int, subtree: int) -> NDArray:
    """The samples of each problem by subtree and member, `_P_T_I`."""
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


def _vote(groups_N: NDArray, weights_S_n: Floats, correct_N: NDArray, drawn_S_n: NDArray) -> float:
    """The mean over subsets (rows of sample numbers) of the share of correct ones among the winning groups."""
    S, G = len(drawn_S_n), int(groups_N.max()) + 2  # column 0 gathers samples without an answer
    columns_N = groups_N + 1
    cells = (np.arange(S)[:, None] * G + columns_N[drawn_S_n]).ravel()
    votes_S_G = np.bincount(cells, weights=weights_S_n.ravel(), minlength=S * G).reshape(S, G)
    votes_S_G[np.bincount(cells, minlength=S * G).reshape(S, G) == 0] = -np.inf
    votes_S_G[:, 0] = -np.inf
    correct_G = np.zeros(G, dtype=bool)
    correct_G[columns_N] = correct_N
    # equal sums of scores differ by rounding when added up in another order: such a tie is a tie
    best_S = votes_S_G.max(axis=1, keepdims=True) * (1 - 1e-12)
    winners_S_G = (votes_S_G >= best_S) & (votes_S_G > -np.inf)
    return float((winners_S_G @ correct_G.astype(float) / np.maximum(winners_S_G.sum(axis=1), 1)).mean())
