"""From recorded runs to tidy tables: what the figures draw and the notebooks print."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tts_study import answers, paths
from tts_study.analysis import estimators
from tts_study.analysis.estimators import Floats, Interval, PairedTest
from tts_study.errors import UserError
from tts_study.records import Problem, SearchResult
from tts_study.strategies.aggregation import Aggregation, aggregate

Method = Literal["majority", "best", "weighted", "pass"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, eq=False)
class Graded:
    """A run of N completions for each of P problems, with what each answered and whether it is right.

    Attributes:
        ids: the problems' ids, length P.
        level_P: their difficulty levels; NaN where the data set states none.
        subject_P: their subjects; None where the data set states none.
        groups_P_N: completions of a problem with the same number gave equivalent answers, numbered as they first
            appear; -1 gave none.
        correct_P_N: whether the answer is equivalent to the gold one.
        tokens_P_N: how many tokens the policy generated.
        step_scores_P_N_S: the PRM's score of each step, in [0, 1]; empty where no PRM was asked.
        subtree: completions that depend on each other stand in runs of so many, and are drawn together: 1 for
            independent samples, M for DVTS, and N for beam search, which may not be subsampled at all.
        unread: the ids of problems whose gold answer cannot be read, so that nothing is right.
    """

    ids: tuple[str, ...]
    level_P: Floats
    subject_P: tuple[str | None, ...]
    groups_P_N: NDArray[np.int64]
    correct_P_N: NDArray[np.bool_]
    tokens_P_N: NDArray[np.int64]
    step_scores_P_N_S: tuple[tuple[tuple[float, ...], ...], ...]
    subtree: int = 1
    unread: tuple[str, ...] = ()

    def note(self) -> str:
        """How many completions gave no answer and how many gold answers cannot be read, in one line."""
        unanswered, total = int((self.groups_P_N < 0).sum()), self.groups_P_N.size
        golds = answers.gold_note(self.unread, len(self.ids))
        most = ": most of them; look at some before you trust what follows" if 2 * unanswered > total else ""
        return f"{unanswered:,} of {total:,} completions gave no answer{most}" + (f"; {golds}" if golds else "")

    def scores_P_N(self, aggregation: Aggregation = "last") -> Floats:
        """Each completion's score in [0, 1]; -inf for one without an answer.

        Raises:
            UserError: a completion with an answer was not scored by a PRM.
        """
        answered_P_N = self.groups_P_N >= 0
        scored_P_N = np.array([[bool(scores) for scores in row] for row in self.step_scores_P_N_S])
        if (answered_P_N & ~scored_P_N).any():
            raise UserError("this run lacks step scores: record it with a strategy that asks a PRM, such as best_of_n")
        scores_P_N = [[aggregate(scores, aggregation) for scores in row] for row in self.step_scores_P_N_S]
        return np.where(answered_P_N, np.array(scores_P_N), -np.inf)

    def verdict(self, p: int, i: int, aggregation: Aggregation = "last") -> str:
        """Completion `i` of problem `p` in one line: a tick or a cross, and its score."""
        score = aggregate(self.step_scores_P_N_S[p][i], aggregation)
        return f"{'✓' if self.correct_P_N[p, i] else '✗'} {aggregation} score {score:.2f}"


def grade(problems: Sequence[Problem], results: Sequence[SearchResult]) -> Graded:
    """Extract, group and check the answers of a run.

    Completions that vote for the same answer get the same verdict. One that a limit cut has an answer if it had closed
    a box by then.

    Raises:
        UserError: problems and results do not belong together, there are none, or they have unequally many
            completions.
    """
    if [problem.id for problem in problems] != [result.problem_id for result in results]:
        raise UserError("the results are not those of the problems, in their order: load both from the same run")
    if not results:
        raise UserError("the run holds no problems: there is nothing to grade")
    sizes = sorted({len(result.completions) for result in results})
    subtrees = sorted({result.subtree for result in results})
    if len(sizes) != 1 or len(subtrees) != 1:
        raise UserError(
            f"the run's problems have {sizes} completions in subtrees of {subtrees}: "
            "grade a run with equally many for each problem"
        )
    graded = [_grade_one(problem, result) for problem, result in zip(problems, results, strict=True)]
    return Graded(
        ids=tuple(problem.id for problem in problems),
        level_P=np.array([problem.level for problem in problems], dtype=float),
        subject_P=tuple(problem.subject for problem in problems),
        groups_P_N=np.array([groups for groups, _ in graded]),
        correct_P_N=np.array([correct for _, correct in graded]),
        tokens_P_N=np.array([[completion.tokens for completion in result.completions] for result in results]),
        step_scores_P_N_S=tuple(
            tuple(completion.step_scores for completion in result.completions) for result in results
        ),
        subtree=subtrees[0],
        unread=answers.unread_golds(problems),
    )


def _grade_one(problem: Problem, result: SearchResult) -> tuple[list[int], list[bool]]:
    given = [answers.extract(completion.text, finished=completion.finished) for completion in result.completions]
    return answers.group(given), [answers.is_correct(answer, problem.answer) for answer in given]


def save(table: pd.DataFrame, name: str, folder: Path | None = None) -> Path:
    """Write a table beside the figure that it is drawn as: figures/NAME.csv, or NAME.csv in another folder."""
    path = (folder or paths.figures()) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6g")
    return path


def powers_of_two(N: int) -> tuple[int, ...]:
    """1, 2, 4 … up to N, and N itself where it is not a power of two."""
    return tuple(sorted({2**i for i in range(N.bit_length()) if 2**i <= N} | {N}))


def accuracy_P(graded: Graded, method: Method, n: int, *, aggregation: Aggregation = "last", seed: int = 0) -> Floats:
    """Each problem's chance to be solved by `method` with `n` of the N completions, in [0, 1].

    `method` is "majority", "best" (Best-of-N), "weighted" (weighted Best-of-N), or "pass" (a perfect verifier).

    Raises:
        UserError: the method is unknown, `n` is not between 1 and N or not a number of whole subtrees, or the method
            needs scores and there are none.
    """
    groups, correct, subtree = graded.groups_P_N, graded.correct_P_N, graded.subtree
    match method:
        case "majority":
            return estimators.majority_at_n(groups, correct, n, seed=seed, subtree=subtree)
        case "best":
            return estimators.best_of_n(correct, graded.scores_P_N(aggregation), n, subtree=subtree)
        case "weighted":
            scores = graded.scores_P_N(aggregation)
            return estimators.weighted_at_n(groups, scores, correct, n, seed=seed, subtree=subtree)
        case "pass":
            return estimators.pass_at_k(correct, n, subtree=subtree)
    raise UserError(f"unknown method {method!r}: choose one of {', '.join(METHODS)}")


def accuracy_curve(
    graded: Graded,
    methods: Sequence[Method] = METHODS,
    ns: Iterable[int] | None = None,
    *,
    aggregation: Aggregation = "last",
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy of each method at each n with its 95 % band over problems, in [0, 1].

    Args:
        graded: the run.
        methods: as in `accuracy_P`.
        ns: numbers of completions; if not given, those of 1, 2, 4 … N that are whole subtrees.
        aggregation: step scores to score.
        seed: of the subsets and of the bootstrap.

    Returns:
        A row for each method and n, with columns method, n, accuracy, low, high.
    """
    everything = np.ones(len(graded.ids), dtype=bool)
    rows = _rows(graded, methods, ns, aggregation, seed, {0: everything})
    return pd.DataFrame(rows).drop(columns="level")


def accuracy_by_level(
    graded: Graded,
    methods: Sequence[Method] = METHODS,
    ns: Iterable[int] | None = None,
    *,
    aggregation: Aggregation = "last",
    seed: int = 0,
) -> pd.DataFrame:
    """As `accuracy_curve`, for the problems of each level: columns level, method, n, accuracy, low, high.

    Raises:
        UserError: the data set states no levels.
    """
    levels = np.unique(graded.level_P[~np.isnan(graded.level_P)])
    if not len(levels):
        raise UserError("the problems state no level: use a data set with a level column, or the curve over all of it")
    members = {int(level): graded.level_P == level for level in levels}
    return pd.DataFrame(_rows(graded, methods, ns, aggregation, seed, members))


def _rows(
    graded: Graded,
    methods: Sequence[Method],
    ns: Iterable[int] | None,
    aggregation: Aggregation,
    seed: int,
    members: dict[int, NDArray[np.bool_]],
) -> list[dict[str, object]]:
    """One row for each level, method and n; the problems of each level are given as a mask over all problems."""
    if ns is None:
        ns = [n for n in powers_of_two(graded.groups_P_N.shape[1]) if n % graded.subtree == 0]
    ns = tuple(ns)
    curves = {(m, n): accuracy_P(graded, m, n, aggregation=aggregation, seed=seed) for m in methods for n in ns}
    rows: list[dict[str, object]] = []
    for level, mask_P in members.items():
        for (method, n), values_P in curves.items():
            band = estimators.bootstrap(values_P[mask_P], seed=seed)
            rows.append(dict(level=level, method=method, n=n, accuracy=band.estimate, low=band.low, high=band.high))
    return rows


def baseline(graded_greedy: Graded, *, seed: int = 0) -> Interval:
    """Accuracy of one completion a problem, as greedy decoding gives, with its 95 % band over problems."""
    return estimators.bootstrap(graded_greedy.correct_P_N.mean(axis=1), seed=seed)


def compare(
    graded: Graded, method_a: Method, method_b: Method, n: int, *, aggregation: Aggregation = "last", seed: int = 0
) -> PairedTest:
    """Is `method_a` better than `method_b` with `n` completions of the same run?"""
    a_P, b_P = (accuracy_P(graded, m, n, aggregation=aggregation, seed=seed) for m in (method_a, method_b))
    return estimators.paired_test(a_P, b_P, seed=seed)


def compare_with_baseline(
    graded: Graded, method: Method, n: int, greedy: Graded, *, aggregation: Aggregation = "last", seed: int = 0
) -> PairedTest:
    """Is `method` with `n` completions better than one completion of another run, such as greedy decoding's?

    Raises:
        UserError: the two runs are not of the same problems.
    """
    if graded.ids != greedy.ids:
        raise UserError("the two runs are not of the same problems: record both with the same data set and number")
    method_P = accuracy_P(graded, method, n, aggregation=aggregation, seed=seed)
    return estimators.paired_test(method_P, greedy.correct_P_N.mean(axis=1), seed=seed)
