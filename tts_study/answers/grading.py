"""Grade a file of answers: what `tts-study grade FILE` prints."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_study import answers
from tts_study.errors import UserError
from tts_study.problems.files import read_jsonl


@dataclass(frozen=True)
class Verdict:
    """One answer against the gold one.

    Attributes:
        gold: the gold answer.
        answer: the answer given, or None where a completion has none.
        gold_form: the gold answer's canonical form, None if it cannot be read.
        form: the given answer's.
        correct: whether the two are equal.
        reason: why there is no readable answer ("no answer", "timed out", "malformed", ...), else None.
    """

    gold: str
    answer: str | None
    gold_form: str | None
    form: str | None
    correct: bool
    reason: str | None

    def __str__(self) -> str:
        """One line: right or wrong, both texts and both canonical forms."""
        mark = "right" if self.correct else "wrong" if self.reason is None else f"no answer ({self.reason})"
        return (
            f"{mark}: {self.answer!r} is {self.form or 'nothing'}, gold {self.gold!r} is {self.gold_form or 'nothing'}"
        )


def grade(answer: str | None, gold: str) -> Verdict:
    """Compare one answer with the gold one."""
    form = None if answer is None else answers.canonical(answer)
    reason = "no answer" if answer is None else answers.why_unreadable(answer)
    correct = answers.is_correct(answer, gold)
    return Verdict(gold, answer, answers.canonical(gold), form, correct, reason)


def grade_file(path: Path, *, fallback: bool = True) -> list[Verdict]:
    """Grade JSON lines of `answer` (gold), and `prediction` (an answer) or `completion` (a text that holds it).

    Args:
        path: the file.
        fallback: as in `answers.extract`.

    Raises:
        UserError: there are no lines, or one of them lacks a field.
    """
    verdicts = []
    for place, row in read_jsonl(path):
        given = "prediction" if "prediction" in row else "completion"
        for name in ("answer", given):
            if not isinstance(row.get(name), str):
                raise UserError(f'{place}: a line needs the texts "answer" and "prediction" or "completion"')
        answer = row[given] if given == "prediction" else answers.extract(row[given], fallback=fallback)
        verdicts.append(grade(answer, row["answer"]))
    if not verdicts:
        raise UserError(f"{path} holds no answers")
    return verdicts


def summary(verdicts: Sequence[Verdict]) -> dict[str, object]:
    """Counts by outcome, the reasons of those without a readable answer, and the accuracy over all."""
    reasons = Counter(verdict.reason for verdict in verdicts if verdict.reason is not None)
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
    """A summary in one line; gold answers that cannot be read are mentioned if there are any."""
    told = (
        "{graded} graded: {correct} correct, {wrong} wrong, {no_answer} without a readable answer "
        "({timed_out} timed out); accuracy {accuracy:.1%}"
    ).format(**counts)
    return told + (
        "; {unreadable_gold} gold answers cannot be read".format(**counts) if counts["unreadable_gold"] else ""
    )
