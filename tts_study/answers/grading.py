"""Grade a file of answers: what `tts-study grade FILE` prints."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_study import answers
from tts_study.errors import UserError
from tts_study.problems.files import Row, as_text, check_text, column_of, read_rows

PREDICTIONS = ("prediction", "pred", "completion")  # what a file calls what was answered, if no column is named


@dataclass(frozen=True)
class Verdict:
    """One answer against the gold one.

    Attributes:
        gold: the gold answer.
        answer: the answer given, or None where a completion has none.
        gold_form: the gold answer's canonical form, None if it cannot be read.
        form: the given answer's.
        correct: whether the answer is right.
        reason: why there is no readable answer ("no answer", "timed out", "malformed", ...), else None.
        place: where the row stands.
    """

    gold: str
    answer: str | None
    gold_form: str | None
    form: str | None
    correct: bool
    reason: str | None
    place: str = ""

    def __str__(self) -> str:
        """One line: right or wrong, both texts and both canonical forms."""
        mark = "right" if self.correct else "wrong" if self.reason is None else f"no answer ({self.reason})"
        return (
            f"{mark}: {self.answer!r} is {self.form or 'nothing'}, gold {self.gold!r} is {self.gold_form or 'nothing'}"
        )

    def row(self) -> dict[str, Any]:
        """The verdict as a JSON object."""
        verdict = "right" if self.correct else "wrong" if self.reason is None else "no answer"
        return {
            "place": self.place, "verdict": verdict, "reason": self.reason, "answer": self.answer, "form": self.form,
            "gold": self.gold, "gold_form": self.gold_form,
        }  # fmt: skip


@dataclass(frozen=True)
class Columns:
    """The columns of the gold answer, and of the answer or the completion; None: the usual names."""

    answer: str | None = None
    prediction: str | None = None
    completion: str | None = None


def grade(answer: str | None, gold: str, place: str = "") -> Verdict:
    """Compare one answer with the gold one, which may be a worked solution."""
    gold = answers.gold(gold)
    form = None if answer is None else answers.canonical(answer)
    reason = "no answer" if answer is None else answers.why_unreadable(answer)
    return Verdict(gold, answer, answers.canonical(gold), form, answers.is_correct(answer, gold), reason, place)


def grade_file(path: Path, *, fallback: bool = True, columns: Columns | None = None) -> list[Verdict]:
    """Grade rows of `answer` (gold), and `prediction` (an answer) or `completion` (a text that contains it).

    Args:
        path: a .jsonl, .csv or .parquet file.
        fallback: as in `answers.extract`.
        columns: other names of the columns.

    Raises:
        UserError: there are no rows, or one of them lacks a field.
    """
    verdicts = [_grade_row(row, fallback, columns or Columns()) for row in read_rows(str(path))]
    if not verdicts:
        raise UserError(f"{path} contains no answers")
    return verdicts


def _grade_row(located: Row, fallback: bool, columns: Columns) -> Verdict:
    place, row = located
    wanted = columns.prediction or columns.completion
    name = wanted or next((name for name in PREDICTIONS if row.get(name) is not None), "completion")
    is_completion = name == columns.completion or (columns.prediction is None and name == "completion")
    gold_name = column_of(row, columns.answer or "answer", "answer")
    if gold_name not in row and columns.answer is None and answers.boxed(str(row.get("solution", ""))):
        gold_name = "solution"  # as `run` does
    for what in (gold_name, name):
        if row.get(what) is None:
            raise UserError(
                f'{place}: a line needs the texts "answer" and "prediction" or "completion", and {what!r} is missing; '
                "name the columns with --answer-column and --prediction-column or --completion-column"
            )
    gold, given = (as_text(place, what, row[what]) for what in (gold_name, name))
    check_text(place, gold_name, gold)
    check_text(place, name, given)
    return grade(answers.extract(given, fallback=fallback) if is_completion else given, gold, place)


def summary(verdicts: Sequence[Verdict]) -> dict[str, object]:
    """Counts by outcome, the reasons of those without a readable answer, and the accuracy over all."""
    reasons = Counter(verdict.reason for verdict in verdicts if not verdict.correct and verdict.reason is not None)
    correct = sum(verdict.correct for verdict in verdicts)
    return {
        "graded": len(verdicts),
        "correct": correct,
        "wrong": len(verdicts) - correct - reasons.total(),
        "no_answer": reasons.total(),
        "timed_out": reasons["timed out"],
        "reasons": dict(reasons),
        "unreadable_gold": sum(verdict.gold_form is None for verdict in verdicts),
        "accuracy": correct / len(verdicts),
    }


def sentence(counts: Mapping[str, Any]) -> str:
    """A summary in one line; gold answers that cannot be read are mentioned if there are any, and what most lack."""
    said = (
        "{graded} graded: {correct} correct, {wrong} wrong, {no_answer} without a readable answer "
        "({timed_out} timed out); accuracy {accuracy:.1%}"
    ).format(**counts)
    if counts["unreadable_gold"]:
        said += "; {unreadable_gold} gold answers cannot be read".format(**counts)
    if 2 * counts["no_answer"] > counts["graded"]:
        said += "; most have no answer: is it the right column, and do the texts say what the answer is?"
    return said
