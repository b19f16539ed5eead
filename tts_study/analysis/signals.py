"""The policy's own signals: what it knows of its solutions without a verifier, and how accurate a choice by them is.

A run recorded with `signals = true` keeps for each step the sums of two numbers over its tokens (`records.Signal`): the
log-probability of what was sampled, and the confidence (Fu et al. 2025, DeepConf, arXiv 2508.15260, section 3.1). Five
signals of a completion are made from them:

- mean_logprob, sum_logprob: the log-probability a token, and of the whole completion.
- confidence: the mean over tokens, "average trace confidence" there. Self-certainty (Kang et al. 2025, arXiv
  2502.18581) over the same tokens differs from it by a constant, so that it ranks completions alike.
- lowest_step, last_step: the confidence a token of the least confident step, and of the last one ("lowest group" and
  "tail confidence", with steps as groups).

A completion may be picked by a signal (best), or vote with a weight: the signal itself (weighted), its rank^p among the
n completions (Borda, as in self-certainty's section 3.3), or nothing unless it is among the most confident ones
(DeepConf's filter, section 3.2).
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from tts_study.analysis import estimators
from tts_study.analysis.accuracy import accuracy_P, paired_tests
from tts_study.analysis.first_errors import auroc
from tts_study.analysis.grading import Graded
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import Floats, bootstrap
from tts_study.errors import UserError
from tts_study.records import Completion, Signal
from tts_study.runs.store import Run
from tts_study.strategies.aggregation import Aggregation

SignalName = Literal["mean_logprob", "sum_logprob", "confidence", "lowest_step", "last_step"]
SIGNALS: tuple[SignalName, ...] = get_args(SignalName)
Rule = Literal["best", "weighted", "borda", "filtered"]
RULES: tuple[Rule, ...] = get_args(Rule)
POWER = 1.2  # p of Borda voting at n = 64 in self-certainty's paper, which raises it with n
KEPT = 0.1  # the share of completions that DeepConf's filter keeps, its "top 10 %"


def signal(completion: Completion, name: SignalName) -> float:
    """A signal of a completion: the larger, the surer the policy was; -inf for one without a step.

    Raises:
        UserError: its steps were recorded without signals.
    """
    if not completion.steps:
        return -np.inf
    if not (steps := completion.signals):
        raise UserError("this run lacks the policy's signals: record it with --set signals=true")
    tokens, logprob, confidence = (sum(each) for each in zip(*map(_numbers, steps), strict=True))
    match name:
        case "mean_logprob":
            return logprob / tokens
        case "sum_logprob":
            return logprob
        case "confidence":
            return confidence / tokens
        case "lowest_step":
            return min(step.confidence / step.tokens for step in steps)
        case "last_step":
            return steps[-1].confidence / steps[-1].tokens
    raise UserError(f"unknown signal {name!r}: choose one of {', '.join(SIGNALS)}")


def values_P_N(run: Run, graded: Graded, name: SignalName) -> Floats:
    """A signal of each completion of a run; -inf for one without an answer.

    Raises:
        UserError: as `signal`.
    """
    values = [[signal(completion, name) for completion in result.completions] for result in run.results]
    return np.where(graded.groups_P_N >= 0, np.array(values), -np.inf)


def solved_by(
    graded: Graded, values_P_N: ArrayLike, rule: Rule, n: int, *, seed: int, power: float = POWER, kept: float = KEPT
) -> Floats:
    """Each problem's chance to be solved by a rule over a signal, with `n` of the N completions.

    Args:
        graded: the run.
        values_P_N: of each completion, as of `values_P_N`.
        rule: one of `RULES`. Weights are the values themselves if none is negative, else (log-probabilities) their
            exponentials; of those that are filtered, too.
        n: completions that are drawn.
        seed: of the subsets.
        power: p of Borda voting.
        kept: share of the n completions that the filter keeps, at least one.

    Raises:
        UserError: the rule is unknown, or `n` is not between 1 and N.
    """
    values_P_N = np.asarray(values_P_N, dtype=float)
    groups, correct = graded.groups_P_N, graded.correct_P_N
    if rule == "best":
        return estimators.best_of_n(correct, values_P_N, n)
    answered_P_N = values_P_N > -np.inf
    negative = bool((values_P_N[answered_P_N] < 0).any())
    weights_P_N = np.where(answered_P_N, np.exp(values_P_N) if negative else values_P_N, 0.0)
    reweight: Mapping[str, Callable[[Floats], Floats] | None] = {
        "weighted": None,
        "borda": lambda weights_S_n: rankdata(weights_S_n, axis=1) ** power,
        "filtered": lambda weights_S_n: _filtered(weights_S_n, ceil(kept * n)),
    }
    if rule not in reweight:
        raise UserError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
    return estimators.weighted_at_n(groups, weights_P_N, correct, n, seed=seed, reweight=reweight[rule])


def _filtered(weights_S_n: Floats, most: int) -> Floats:
    """The largest `most` weights of each subset, and 0 for all others; ties with the last of them stay."""
    least_S = np.sort(weights_S_n, axis=1)[:, [-most]]
    return np.where(weights_S_n >= least_S, weights_S_n, 0.0)


def every(run: Run, graded: Graded, aggregation: Aggregation) -> dict[str, Floats]:
    """Each signal of each completion, and the PRM's score ("prm") where one was asked; -inf where there is no answer.

    Raises:
        UserError: as `signal`.
    """
    found: dict[str, Floats] = {name: values_P_N(run, graded, name) for name in SIGNALS}
    scored = any(map(any, graded.step_scores_P_N_S))
    return found | ({"prm": graded.scores_P_N(aggregation)} if scored else {})


def beside(grid: Grid, graded: Graded, values: Mapping[str, Floats], *, seed: int) -> Grid:
    """A grid with the choice by each signal as one more method, at majority's budgets and for its price.

    Raises:
        UserError: the grid has no majority.
    """
    ns, _ = grid.of("majority")
    cells = grid.strategies.index("majority"), np.searchsorted(grid.ns, ns)
    tokens_n_P_K, seconds_n = grid.tokens_M_n_P_K[cells], grid.seconds_M_n[cells]
    for name in SIGNALS:
        accuracy_n_P = np.array([solved_by(graded, values[name], "best", n, seed=seed) for n in ns])
        grid = grid.extended(name, ns, accuracy_n_P, tokens_n_P_K, seconds_n)
    return grid


def tests(
    graded: Graded, values: Mapping[str, Floats], n: int, *, rules: Sequence[Rule] = RULES, seed: int
) -> pd.DataFrame:
    """Does a choice or a vote by each signal beat the plain vote of the same n completions?

    Columns signal, rule, accuracy, and those of `accuracy.paired_tests`.
    """
    plain_P = accuracy_P(graded, "majority", n, seed=seed)
    solved = {
        (name, rule): solved_by(graded, each_P_N, rule, n, seed=seed)
        for name, each_P_N in values.items() for rule in rules
    }  # fmt: skip
    table = paired_tests({key: (solved_P, plain_P) for key, solved_P in solved.items()}, seed=seed)
    keys = pd.DataFrame(table.pop("test").tolist(), columns=["signal", "rule"])
    return keys.assign(accuracy=[solved_P.mean() for solved_P in solved.values()]).join(table)


def auroc_within(graded: Graded, values_P_N: ArrayLike) -> Floats:
    """For each problem, the chance that a right completion has a higher value than a wrong one; a tie counts half.

    Of completions with an answer; NaN for a problem without right ones, or without wrong ones.
    """
    rows = zip(np.asarray(values_P_N), graded.correct_P_N, graded.groups_P_N >= 0, strict=True)
    return np.array([auroc(values_N[answered_N], correct_N[answered_N]) for values_N, correct_N, answered_N in rows])


def table(graded: Graded, values: Mapping[str, Floats], *, seed: int = 0) -> pd.DataFrame:
    """How well each signal separates right from wrong completions of the same problem, with 95 % intervals.

    Columns signal, auroc (the mean over problems), auroc_low, auroc_high, problems (those that have both kinds).
    """
    rows = []
    for name, each_P_N in values.items():
        within_P = auroc_within(graded, each_P_N)
        there_P = within_P[~np.isnan(within_P)]
        band = bootstrap(there_P, seed=seed)
        band_of = dict(auroc=band.estimate, auroc_low=band.low, auroc_high=band.high)
        rows.append({"signal": name, **band_of, "problems": len(there_P)})
    return pd.DataFrame(rows)


def _numbers(step: Signal) -> tuple[int, float, float]:
    return step.tokens, step.logprob, step.confidence
