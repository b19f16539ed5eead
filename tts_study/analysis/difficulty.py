"""How hard is a problem for a policy? Five levels, 1 (easiest) to 5, from three sources.

- oracle: quintiles of pass@1, which needs the answers (Snell et al. 2024, arXiv 2408.03314, section 3.2; the blog).
- predicted: quintiles of the mean PRM score of a probe of k completions, which needs no answers but costs the probe.
- stated: the data set's own levels, which do not depend on the policy.

Ties. A weak policy never solves many of the problems (pass@1 is exactly 0 for a third of them, say), and neither paper
says to which quintile equals belong. Cutting at the percentiles' values can leave a level empty; breaking ties by
order makes a level depend on chance. Here equals share one level, that of their middle rank: levels may then be of
unequal size, and neither the problems' order nor a seed matters.

pass@1 measured on the samples that are then scored makes the easy level look easier and the hard one harder than they
are on new samples, and chance in these samples influences which strategy is chosen: oracle levels are an upper bound.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from tts_study.analysis.grading import Graded
from tts_study.analysis.inference import Floats, Interval, bootstrap, draws
from tts_study.errors import UserError
from tts_study.strategies.aggregation import Aggregation, aggregate
from tts_study.strategies.registry import check_whole

Levels = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Predicted:
    """Levels that were predicted without answers, and what the prediction costs.

    Attributes:
        level_P: the levels, 1 (easiest) to 5.
        score_P: the mean PRM score of each problem's probe, in [0, 1].
        generations: completions in a probe: what has to be added to n.
        tokens: tokens that the policy generated for a probe, on average.
    """

    level_P: Levels
    score_P: Floats
    generations: int
    tokens: float


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far predicted levels agree with oracle ones.

    Attributes:
        counts: problems of each pair of levels: a row for each predicted, a column for each oracle level.
        exact: the share of problems whose two levels are equal, with its 95 % interval over problems.
        within_one: the share whose levels differ by at most one.
        spearman: the rank correlation of the two; NaN where one of them has a single level.
    """

    counts: pd.DataFrame
    exact: Interval
    within_one: Interval
    spearman: Interval


def quintiles(ease_P: ArrayLike) -> Levels:
    """Five levels of about equal size, 1 for the highest values; equal values share the level of their middle rank.

    Raises:
        UserError: there are no problems, or a value is NaN.
    """
    ease_P = np.asarray(ease_P, dtype=float)
    if not len(ease_P) or np.isnan(ease_P).any():
        raise UserError("difficulty levels need a number for each problem: there are no problems, or one is NaN")
    share_P = (rankdata(-ease_P, method="average") - 0.5) / len(ease_P)  # of problems that are easier
    return np.floor(share_P * 5).astype(np.int64) + 1


def oracle(graded: Graded) -> Levels:
    """Quintiles of pass@1, the share of each problem's completions that are right."""
    return quintiles(graded.correct_P_N.mean(axis=1))


def stated(graded: Graded) -> Levels:
    """The data set's own levels.

    Raises:
        UserError: a problem has none.
    """
    if np.isnan(graded.level_P).any():
        raise UserError("the data set states no level for some problems: use oracle or predicted difficulty instead")
    return graded.level_P.astype(np.int64)


def predicted(graded: Graded, k: int, aggregation: Aggregation = "last") -> Predicted:
    """Quintiles of the mean PRM score of each problem's first `k` completions.

    Raises:
        UserError: the run has fewer than `k` completions, or lacks step scores.
    """
    N = graded.tokens_P_N.shape[1]
    if not 1 <= check_whole("probe", k) <= N:
        raise UserError(f"a probe of {k} completions cannot be taken from {N}: choose between 1 and {N}")
    probes = [row[:k] for row in graded.step_scores_P_N_S]
    if not any(scores for row in probes for scores in row):
        raise UserError("this run lacks step scores: predict difficulty from one that asks a PRM, such as best_of_n")
    score_P = np.array([np.mean([aggregate(scores, aggregation) for scores in row]) for row in probes])
    return Predicted(quintiles(score_P), score_P, k, float(graded.tokens_P_N[:, :k].sum(axis=1).mean()))


def agreement(predicted_P: ArrayLike, oracle_P: ArrayLike, *, seed: int) -> Agreement:
    """Compare two divisions of the same problems into levels.

    Raises:
        UserError: they are not of equally many problems.
    """
    one_P, other_P = np.asarray(predicted_P), np.asarray(oracle_P)
    if one_P.shape != other_P.shape:
        raise UserError(f"levels of {len(one_P)} and of {len(other_P)} problems cannot be compared: use the same run")
    levels = np.union1d(one_P, other_P)
    counts = pd.crosstab(one_P, other_P).reindex(index=levels, columns=levels, fill_value=0)
    distance_P = np.abs(one_P - other_P)
    return Agreement(
        counts.rename_axis(index="predicted", columns="oracle"),
        bootstrap(distance_P == 0, seed=seed),
        bootstrap(distance_P <= 1, seed=seed),
        _spearman(one_P, other_P, seed),
    )


def _spearman(one_P: NDArray, other_P: NDArray, seed: int) -> Interval:
    """Spearman's rank correlation of the levels, with its percentile bootstrap interval over problems."""
    is_one_P_A, is_other_P_B = (each_P[:, None] == np.unique(each_P) for each_P in (one_P, other_P))
    pairs_P_A_B = is_one_P_A[:, :, None] & is_other_P_B[:, None, :]
    # how many problems of each draw have each pair of levels: all that a rank correlation needs
    drawn_R_A_B = np.tensordot(draws(len(one_P), seed=seed), pairs_P_A_B, axes=1)
    low, high = np.quantile(_rank_correlations(drawn_R_A_B), [0.025, 0.975])
    return Interval(float(_rank_correlations(pairs_P_A_B.sum(axis=0)[None])[0]), float(low), float(high))


def _rank_correlations(counts_R_A_B: NDArray) -> Floats:
    """The correlation of the middle ranks of rows and columns, in each table."""
    P = counts_R_A_B[0].sum()
    marginals = [counts_R_A_B.sum(axis=axis) for axis in (2, 1)]
    a_R_A, b_R_B = (sizes.cumsum(axis=1) - sizes / 2 - P / 2 for sizes in marginals)  # middle ranks less their mean
    covariance_R = np.einsum("rab,ra,rb->r", counts_R_A_B, a_R_A, b_R_B)
    variance_R, other_R = ((size * rank**2).sum(axis=1) for size, rank in zip(marginals, (a_R_A, b_R_B), strict=True))
    with np.errstate(invalid="ignore"):  # NaN where all are of one level
        return covariance_R / np.sqrt(variance_R * other_R)
