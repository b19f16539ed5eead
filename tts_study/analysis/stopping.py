"""Adaptive stopping, computed from a run of N independent samples: accuracy against how many are drawn on average.

The samples of a problem are drawn in a random order until a rule says stop, and at most `cap` of them. Both rules are
those of `tts_study.strategies.adaptive`; the values are means over all orders.

- trusted: a closed form. The first trusted sample of a random order is each of the trusted ones equally often, so it
  is picked as Best-of-N would pick it if all trusted ones had the same, highest score.
- decided: the mean over random orders of each problem, with its Monte Carlo error.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tts_study.analysis import estimators
from tts_study.analysis.accuracy import accuracy_P, paired_tests
from tts_study.analysis.grading import Graded
from tts_study.analysis.inference import Floats, bootstrap
from tts_study.errors import UserError
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import Rule
from tts_study.strategies.selection import certainty

# what each rule does when it draws every sample
RIVALS: Mapping[str, Rule] = {"stop_when_trusted": "best", "stop_when_decided": "majority"}


@dataclass(frozen=True, eq=False)
class Stopped:
    """What a stopping rule gives with at most `cap` samples.

    Attributes:
        solved_P: each problem's chance to be solved.
        drawn_P: how many samples of it are drawn, on average.
        error: the Monte Carlo error (standard error over orders) of the mean of `solved_P`; 0 for a closed form.
    """

    solved_P: Floats
    drawn_P: Floats
    error: float = 0.0


def when_trusted(correct_P_N: ArrayLike, scores_P_N: ArrayLike, cap: int, *, trust: float = 0.5) -> Stopped:
    """Stop at the first sample whose score is above `trust`; if there is none, pick the best of `cap`. Exact.

    Args:
        correct_P_N: whether each sample's answer is right.
        scores_P_N: each sample's score; -inf for one without an answer.
        cap: how many samples are drawn at most.
        trust: see above.

    Raises:
        UserError: `cap` is not between 1 and N, or a score is NaN.
    """
    scores_P_N = np.asarray(scores_P_N, dtype=float)
    trusted_P_N = scores_P_N > trust
    solved_P = estimators.best_of_n(correct_P_N, np.where(trusted_P_N, np.inf, scores_P_N), cap)
    # sample j + 1 is drawn if none of the first j is trusted
    drawn_P = sum((1 - estimators.pass_at_k(trusted_P_N, j) for j in range(1, cap)), np.ones(len(scores_P_N)))
    return Stopped(solved_P, drawn_P)


def when_decided(
    groups_P_N: ArrayLike, correct_P_N: ArrayLike, caps: Iterable[int], *, seed: int, confidence: float = 0.95,
    orders: int = 100,
) -> dict[int, Stopped]:  # fmt: skip
    """Stop when the vote is decided (`selection.is_decided`); the most frequent answer wins, ties in equal parts.

    Args:
        groups_P_N: samples with the same number gave the same answer; -1 gave none and has no vote.
        correct_P_N: whether each sample's answer is right: the same for all of a group.
        caps: how many samples are drawn at most; each cap is read off the same orders.
        seed: of the orders.
        confidence: at which a vote is decided.
        orders: how many random orders of each problem's samples.

    Returns:
        For each cap what it gives.

    Raises:
        UserError: a cap is not between 1 and N.
    """
    groups_P_N, correct_P_N, caps = np.asarray(groups_P_N), np.asarray(correct_P_N, dtype=bool), tuple(caps)
    P, N = groups_P_N.shape
    if any(not 1 <= cap <= N for cap in caps):
        raise UserError(f"at most {N} samples a problem can be drawn: choose caps between 1 and {N}, not {caps}")
    rng = np.random.default_rng(seed)
    decided_N_N = _decided(N, confidence)
    solved_C_P_R, drawn_C_P_R = (np.empty((len(caps), P, orders)) for _ in range(2))
    for p in range(P):
        order_R_N = rng.random((orders, N)).argsort(axis=1)
        right_R_N, stop_R_N = _walk(groups_P_N[p], correct_P_N[p], order_R_N, decided_N_N)
        first_R = np.where(stop_R_N.any(axis=1), stop_R_N.argmax(axis=1), N)
        for c, cap in enumerate(caps):
            last_R = np.minimum(first_R, cap - 1)
            solved_C_P_R[c, p] = right_R_N[np.arange(orders), last_R]
            drawn_C_P_R[c, p] = last_R + 1
    errors_C = np.sqrt((solved_C_P_R.var(axis=2, ddof=1) / orders).sum(axis=1)) / P
    return {
        cap: Stopped(solved_C_P_R[c].mean(axis=1), drawn_C_P_R[c].mean(axis=1), float(errors_C[c]))
        for c, cap in enumerate(caps)
    }


def _decided(N: int, confidence: float) -> NDArray[np.bool_]:
    """Whether a vote of the two most frequent answers is decided, by their counts up to N."""
    return np.array([[0 < a and b <= a and certainty(a, b) >= confidence for b in range(N + 1)] for a in range(N + 1)])


def _walk(
    groups_N: NDArray, correct_N: NDArray, order_R_N: NDArray, decided_N_N: NDArray
) -> tuple[Floats, NDArray[np.bool_]]:
    """For each order, after each sample: the share of right ones among the winners, and whether the vote is decided."""
    G = max(int(groups_N.max()), 0) + 3  # column 0 gathers samples without an answer; at least two columns are left
    columns_N = groups_N + 1
    correct_G = np.zeros(G)
    correct_G[columns_N] = correct_N
    drawn_R_N_G = columns_N[order_R_N][:, :, None] == np.arange(G)
    counts_R_N_G = drawn_R_N_G.cumsum(axis=1, dtype=np.int16)[:, :, 1:]
    top_R_N_2 = np.partition(counts_R_N_G, (-2, -1), axis=2)[:, :, -2:]
    winners_R_N_G = (counts_R_N_G == top_R_N_2[:, :, 1:]) & (counts_R_N_G > 0)
    right_R_N = (winners_R_N_G @ correct_G[1:]) / np.maximum(winners_R_N_G.sum(axis=2), 1)
    return right_R_N, decided_N_N[top_R_N_2[:, :, 1], top_R_N_2[:, :, 0]]


def curves(
    graded: Graded, caps: Iterable[int], *, aggregation: Aggregation, seed: int, rules: Iterable[str] = tuple(RIVALS)
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Stopping rules at each cap beside the same choice without a stop, and paired tests at the largest cap.

    Args:
        graded: a run of independent samples, scored by a PRM.
        caps: how many samples are drawn at most.
        aggregation: from step scores to a score.
        seed: of orders, subsets and the bootstrap.
        rules: "stop_when_trusted", "stop_when_decided", or both.

    Returns:
        Accuracy and mean n (`n`) by method and cap, each with its 95 % interval, and the Monte Carlo error of the
        stopping rules; and the tests: at the largest cap, each rule against drawing all of them, and against a fixed n
        that is no smaller than what the rule draws on average.

    Raises:
        UserError: the samples are not independent, lack scores, or are fewer than a cap.
    """
    if graded.subtree != 1:
        raise UserError("stopping needs independent samples: give a run of best_of_n, not of a tree search")
    caps = tuple(sorted(set(caps)))
    stopped = {rule: _stopped(graded, rule, caps, aggregation, seed) for rule in rules}
    rows, pairs = [], {}
    for rule, by_cap in stopped.items():
        rival, last = RIVALS[rule], by_cap[caps[-1]]
        equal = min(ceil(last.drawn_P.mean()), caps[-1])
        fixed = {n: accuracy_P(graded, rival, n, aggregation=aggregation, seed=seed) for n in {*caps, equal}}
        for cap in caps:
            rows.append(_row(rival, cap, Stopped(fixed[cap], np.full(len(graded.ids), float(cap))), seed))
        rows += [_row(rule, cap, one, seed) for cap, one in by_cap.items()]
        for n in dict.fromkeys((equal, caps[-1])):
            pairs[f"{rule}@{caps[-1]} - {rival}@{n}"] = last.solved_P, fixed[n]
    return pd.DataFrame(rows), paired_tests(pairs, seed=seed)


def _stopped(
    graded: Graded, rule: str, caps: tuple[int, ...], aggregation: Aggregation, seed: int
) -> Mapping[int, Stopped]:
    if rule == "stop_when_decided":
        return when_decided(graded.groups_P_N, graded.correct_P_N, caps, seed=seed)
    scores_P_N = graded.scores_P_N(aggregation)
    return {cap: when_trusted(graded.correct_P_N, scores_P_N, cap) for cap in caps}


def _row(method: str, cap: int, one: Stopped, seed: int) -> dict[str, object]:
    solved, drawn = bootstrap(one.solved_P, seed=seed), bootstrap(one.drawn_P, seed=seed)
    return {
        "method": method, "cap": cap, "n": drawn.estimate, "n_low": drawn.low, "n_high": drawn.high,
        "accuracy": solved.estimate, "low": solved.low, "high": solved.high, "mc_error": one.error,
    }  # fmt: skip
