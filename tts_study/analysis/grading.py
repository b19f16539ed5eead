"""From a run's completions to which of them are right, and which answer a rule picks from them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tts_study import answers
from tts_study.analysis.inference import Floats
from tts_study.errors import UserError
from tts_study.records import Problem, SearchResult
from tts_study.strategies import selection
from tts_study.strategies.aggregation import Aggregation, aggregate


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
        subtree: completions that depend on each other stand in groups of this size, and are drawn together: 1 for
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
        drawn_P_N = self.tokens_P_N > 0  # adaptive stopping draws fewer than n
        unanswered, total = int((self.groups_P_N[drawn_P_N] < 0).sum()), int(drawn_P_N.sum())
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

    def first(self, n: int) -> "Graded":
        """The first n completions of each problem: of a search by subtrees, whole ones."""
        return replace(
            self,
            groups_P_N=self.groups_P_N[:, :n],
            correct_P_N=self.correct_P_N[:, :n],
            tokens_P_N=self.tokens_P_N[:, :n],
            step_scores_P_N_S=tuple(row[:n] for row in self.step_scores_P_N_S),
        )

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
        raise UserError("the run contains no problems: there is nothing to grade")
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


def picked(result: SearchResult, rule: str, aggregation: Aggregation) -> str | None:
    """The answer that a rule picks from a result's completions; None if no completion has an answer."""
    given, groups, scores = given_by(result, aggregation)
    group = selection.majority(groups) if rule == "majority" else getattr(selection, rule)(groups, scores)
    return None if group == selection.NO_ANSWER else given[groups.index(group)]


def support(result: SearchResult, aggregation: Aggregation) -> pd.DataFrame:
    """How often each answer was given, the most frequent first.

    Columns answer, completions, and best_score and sum_of_scores if a PRM scored them.
    """
    given, groups, scores = given_by(result, aggregation)
    rows = [(group, score) for group, score in zip(groups, scores, strict=True) if group != selection.NO_ANSWER]
    table = pd.DataFrame(rows, columns=["group", "score"]).groupby("group", sort=False)["score"]
    found = table.agg(completions="size", best_score="max", sum_of_scores="sum").reset_index()
    found.insert(0, "answer", [given[groups.index(group)] for group in found["group"]])
    scored = any(completion.step_scores for completion in result.completions)
    unused = ["group"] if scored else ["group", "best_score", "sum_of_scores"]
    return found.drop(columns=unused).sort_values("completions", ascending=False, kind="stable")


def given_by(result: SearchResult, aggregation: Aggregation) -> tuple[list[str | None], list[int], list[float]]:
    """Each completion's answer, the number of that answer, and the completion's score (0 without a PRM)."""
    given = [answers.extract(completion.text, finished=completion.finished) for completion in result.completions]
    scores = [aggregate(completion.step_scores, aggregation) for completion in result.completions]
    return given, answers.group(given), scores
