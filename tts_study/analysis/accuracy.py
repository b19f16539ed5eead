"""Accuracy of methods at each n, with 95 % bands: the one table that notebooks, figures and the command line read.

`Solved` says for a method and an n how likely each problem is to be solved; every table here is made from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tts_study.analysis import estimators
from tts_study.analysis.grading import Graded
from tts_study.analysis.inference import Floats, bootstrap, holm, paired_test
from tts_study.errors import UserError
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import Rule

RULES: tuple[Rule, ...] = get_args(Rule)
Solved = Mapping[tuple[str, int], Floats]  # (method, n) -> each problem's chance to be solved, in [0, 1]


def accuracy_P(graded: Graded, rule: Rule, n: int, *, aggregation: Aggregation = "last", seed: int = 0) -> Floats:
    """Each problem's chance to be solved by `rule` with `n` of the N completions, in [0, 1].

    `rule` is "majority", "best" (Best-of-N), "weighted" (weighted Best-of-N), or "pass" (a perfect verifier).

    Raises:
        UserError: the rule is unknown, `n` is not between 1 and N or not a number of whole subtrees, or the rule
            needs scores and there are none.
    """
    groups, correct, subtree = graded.groups_P_N, graded.correct_P_N, graded.subtree
    match rule:
        case "majority":
            return estimators.majority_at_n(groups, correct, n, seed=seed, subtree=subtree)
        case "best":
            return estimators.best_of_n(correct, graded.scores_P_N(aggregation), n, subtree=subtree)
        case "weighted":
            scores = graded.scores_P_N(aggregation)
            return estimators.weighted_at_n(groups, scores, correct, n, seed=seed, subtree=subtree)
        case "pass":
            return estimators.pass_at_k(correct, n, subtree=subtree)
    raise UserError(f"unknown method {rule!r}: choose one of {', '.join(RULES)}")


def solved(
    graded: Graded,
    rules: Sequence[Rule] = RULES,
    ns: Iterable[int] | None = None,
    *,
    aggregation: Aggregation = "last",
    seed: int = 0,
) -> Solved:
    """Each problem's chance by each rule at each n of a run.

    Args:
        graded: the run.
        rules: as in `accuracy_P`.
        ns: numbers of completions; if not given, those of 1, 2, 4 … N that are whole subtrees.
        aggregation: step scores to score.
        seed: of the subsets.
    """
    if ns is None:
        ns = [n for n in powers_of_two(graded.groups_P_N.shape[1]) if n % graded.subtree == 0]
    ns = tuple(ns)
    return {(m, n): accuracy_P(graded, m, n, aggregation=aggregation, seed=seed) for m in rules for n in ns}


def table(solved: Solved, *, seed: int = 0) -> pd.DataFrame:
    """Accuracy of each method at each n with its 95 % band over problems: columns method, n, accuracy, low, high."""
    rows = []
    for (method, n), solved_P in solved.items():
        band = bootstrap(solved_P, seed=seed)
        rows.append(dict(method=method, n=n, accuracy=band.estimate, low=band.low, high=band.high))
    return pd.DataFrame(rows)


def table_by_level(solved: Solved, level_P: NDArray, *, seed: int = 0) -> pd.DataFrame:
    """As `table`, for the problems of each level: one more column, level; problems without a level (NaN) are left out.

    Raises:
        UserError: no problem has a level.
    """
    levels = np.unique(level_P[~np.isnan(level_P)])
    if not len(levels):
        raise UserError("the problems state no level: use a data set with a level column, or the curve over all of it")
    parts = [
        table({key: solved_P[level_P == level] for key, solved_P in solved.items()}, seed=seed).assign(level=int(level))
        for level in levels
    ]
    everything = pd.concat(parts, ignore_index=True)
    return everything[["level", "method", "n", "accuracy", "low", "high"]]


def paired_tests(pairs: Mapping[Any, tuple[Floats, Floats]], *, seed: int = 0) -> pd.DataFrame:
    """Is the first of each pair better than the second, on the same problems?

    Args:
        pairs: by the test's name: each problem's chance to be solved by the first and by the second.
        seed: of the bootstrap and of the sign flips.

    Returns:
        A row for each pair: columns test, those of `inference.PairedTest`, and p_holm, corrected for all tests here.
    """
    rows = [dict(test=name) | vars(paired_test(a, b, seed=seed)) for name, (a, b) in pairs.items()]
    tests = pd.DataFrame(rows)
    return tests.assign(p_holm=holm(tests["p_value"]))


def powers_of_two(N: int) -> tuple[int, ...]:
    """1, 2, 4 … up to N, and N itself where it is not a power of two."""
    return tuple(sorted({2**i for i in range(N.bit_length()) if 2**i <= N} | {N}))
