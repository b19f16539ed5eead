"""Accuracy and cost of every strategy at every budget, on the same problems."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tts_study.analysis import accuracy, cost
from tts_study.analysis.accuracy import Rule, Solved, accuracy_P
from tts_study.analysis.crossing import Curve, curve_over
from tts_study.analysis.grading import Graded
from tts_study.analysis.inference import RESAMPLES, Floats
from tts_study.errors import UserError
from tts_study.runs.store import Run
from tts_study.strategies.aggregation import Aggregation


@dataclass(frozen=True, eq=False)
class Part:
    """One run of one strategy, and how it is read.

    Attributes:
        strategy: the strategy's name, as in tables: "best", "weighted", "beam_search" …
        run: the run, from which the cost is taken.
        graded: the same run, graded; or only the completions to count.
        rule: how an answer is picked from its completions; "pass" is an upper bound, and cannot be chosen.
        ns: the budgets to read from it; only its own n if the run cannot be subsampled.
    """

    strategy: str
    run: Run
    graded: Graded
    rule: Rule
    ns: Sequence[int]


@dataclass(frozen=True, eq=False)
class Grid:
    """Accuracy and cost of M strategies at some budgets on P problems.

    Attributes:
        ids: the problems' ids.
        strategies: the strategies' names.
        ns: the budgets that at least one strategy has, growing.
        accuracy_M_n_P: each problem's chance to be solved, in [0, 1]; NaN where a strategy has no such budget.
        tokens_M_n_P_K: tokens of each kind of `cost.KINDS`; NaN where a strategy has no such budget.
        seconds_M_n: wall-clock seconds a problem, at the run's concurrency; NaN where the run does not record it.
    """

    ids: tuple[str, ...]
    strategies: tuple[str, ...]
    ns: tuple[int, ...]
    accuracy_M_n_P: Floats
    tokens_M_n_P_K: Floats
    seconds_M_n: Floats

    def of(self, strategy: str) -> tuple[tuple[int, ...], Floats]:
        """One strategy's budgets, and each problem's chance to be solved at each of them, `[n, problem]`.

        Raises:
            UserError: there is no such strategy.
        """
        if strategy not in self.strategies:
            raise UserError(f"no strategy {strategy!r} here: choose one of {', '.join(self.strategies)}")
        accuracy_n_P = self.accuracy_M_n_P[self.strategies.index(strategy)]
        there_n = ~np.isnan(accuracy_n_P).any(axis=1)
        return tuple(n for n, there in zip(self.ns, there_n, strict=True) if there), accuracy_n_P[there_n]

    def curve(self, strategy: str, *, seed: int, resamples: int = RESAMPLES) -> Curve:
        """One strategy's curve against n, to be compared with others of the same seed."""
        return curve_over(*self.of(strategy), seed=seed, resamples=resamples)

    def extended(
        self, strategy: str, ns: Sequence[int], accuracy_n_P: Floats, tokens_n_P_K: Floats, seconds_n: Floats
    ) -> "Grid":
        """The grid with one more strategy at some budgets."""
        every = tuple(sorted({*self.ns, *ns}))
        old, new = np.searchsorted(every, self.ns), np.searchsorted(every, ns)

        def joined(there_M_n: Floats, more_n: Floats) -> Floats:
            both = np.full((len(there_M_n) + 1, len(every), *there_M_n.shape[2:]), np.nan)
            both[:-1, old], both[-1, new] = there_M_n, more_n
            return both

        return Grid(
            self.ids,
            (*self.strategies, strategy),
            every,
            joined(self.accuracy_M_n_P, accuracy_n_P),
            joined(self.tokens_M_n_P_K, tokens_n_P_K),
            joined(self.seconds_M_n, seconds_n),
        )

    def beside(self, strategy: str, other: "Grid", label: str) -> "Grid":
        """The grid with a strategy of another grid added under a label.

        Raises:
            UserError: the other one is of other problems, or has no such strategy.
        """
        if other.ids != self.ids:
            raise UserError(f"{label}: not of the same problems as {self.strategies[0]}, in their order")
        ns, accuracy_n_P = other.of(strategy)
        cells = other.strategies.index(strategy), np.searchsorted(other.ns, ns)
        return self.extended(label, ns, accuracy_n_P, other.tokens_M_n_P_K[cells], other.seconds_M_n[cells])

    def tokens(self, ns: Sequence[int] | None = None) -> pd.DataFrame:
        """Tokens a problem, on average: columns method, n, and those of `cost.COUNTED`."""
        rows = [
            dict(method=method, n=n) | dict(zip(cost.COUNTED, tokens_P_K.mean(axis=0), strict=False))
            for method, tokens_n_P_K in zip(self.strategies, self.tokens_M_n_P_K, strict=True)
            for n, tokens_P_K in zip(self.ns, tokens_n_P_K, strict=True)
            if (ns is None or n in ns) and not np.isnan(tokens_P_K).any()
        ]
        return pd.DataFrame(rows)

    def solved(self, strategies: Sequence[str] | None = None, ns: Sequence[int] | None = None) -> Solved:
        """Each problem's chance to be solved by each strategy at each n; of all of them if not given."""
        return {
            (strategy, n): solved_P
            for strategy in (self.strategies if strategies is None else strategies)
            for n, solved_P in zip(*self.of(strategy), strict=True)
            if ns is None or n in ns
        }

    def curves(self, strategies: Sequence[str] | None = None, *, seed: int = 0) -> pd.DataFrame:
        """Accuracy of strategies at each n with its 95 % band: columns method, n, accuracy, low, high."""
        return accuracy.table(self.solved(strategies), seed=seed)


def build(parts: Iterable[Part], *, aggregation: Aggregation = "last", seed: int = 0) -> Grid:
    """Compute all strategies' accuracies and costs from their runs.

    Several parts may belong to one strategy, such as beam search's runs, one for each n. List cheap strategies first:
    where two are equally good (all are, at n = 1) the first one is chosen.

    Raises:
        UserError: there are no parts, they are of different problems, two of them give the
            same strategy and n, or as `accuracy.accuracy_P`.
    """
    parts = list(parts)
    _check(parts)
    strategies = tuple(dict.fromkeys(part.strategy for part in parts))
    ns = tuple(sorted({n for part in parts for n in part.ns}))
    shape = (len(strategies), len(ns), len(parts[0].graded.ids))
    accuracy_M_n_P = np.full(shape, np.nan)
    tokens_M_n_P_K = np.full((*shape, len(cost.KINDS)), np.nan)
    seconds_M_n = np.full(shape[:2], np.nan)
    for part in parts:
        for n in part.ns:
            cell = strategies.index(part.strategy), ns.index(n)
            if not np.isnan(accuracy_M_n_P[cell]).all():
                raise UserError(f"two runs give {part.strategy} at n = {n}: leave one of them out")
            accuracy_M_n_P[cell] = accuracy_P(part.graded, part.rule, n, aggregation=aggregation, seed=seed)
            tokens_M_n_P_K[cell] = cost.tokens_at(part.run, n, part.rule)
            seconds_M_n[cell] = cost.seconds_at(part.run, n, part.rule)
    return Grid(parts[0].graded.ids, strategies, ns, accuracy_M_n_P, tokens_M_n_P_K, seconds_M_n)


def _check(parts: Sequence[Part]) -> None:
    if not parts:
        raise UserError("there is no strategy to choose from: give at least one run")
    ids = parts[0].graded.ids
    for part in parts:
        searched = tuple(result.problem_id for result in part.run.results)
        if part.graded.ids != ids or searched != ids:
            raise UserError(f"{part.strategy}: not a run of the same problems as {parts[0].strategy}, in their order")
