"""Kinds of answers beside math-verify, and the answers that take longest: parts of `python -m benchmarks answers`."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from math_verify import parse, verify

from tts_study import answers
from tts_study.answers.grading import grade
from tts_study.problems.files import read_jsonl


@dataclass(frozen=True)
class Kind:
    """One kind of answer.

    Attributes:
        name: the kind.
        cases: how many cases of it were judged by hand.
        ours: on how many of them this package agrees.
        math_verify: on how many math-verify agrees.
    """

    name: str
    cases: int
    ours: int
    math_verify: int


def kinds(path: Path) -> list[Kind]:
    """Count by kind: a case has `kind`, `answer`, `prediction` or `completion`, and `right` or `outcome`."""
    cases: Counter[str] = Counter()
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for _, case in read_jsonl(path):
        kind = case["kind"]
        cases[kind] += 1
        ours[kind] += _agrees(_ours(case), case)
        theirs[kind] += _agrees(_math_verify(case), case)
    return [Kind(kind, cases[kind], ours[kind], theirs[kind]) for kind in cases]


def kinds_lines(found: Sequence[Kind]) -> list[str]:
    """A Markdown table, and the sum in its last row."""
    total = Kind("all", *(sum(getattr(kind, each) for kind in found) for each in ("cases", "ours", "math_verify")))
    rows = [f"| {k.name.replace('_', ' ')} | {k.cases} | {k.ours} | {k.math_verify} |" for k in (*found, total)]
    return ["| kind | cases | right here | right by math-verify |", "|---|---|---|---|", *rows]


def _agrees(verdict: bool | None, case: Any) -> bool:
    """No answer is what some cases ask for, and not right is what others ask for, whatever the reason."""
    return verdict is None if case.get("outcome") == "no answer" else bool(verdict) == case["right"]


def _ours(case: Any) -> bool | None:
    verdict = grade(case["prediction"] if "prediction" in case else answers.extract(case["completion"]), case["answer"])
    return None if verdict.reason is not None and not verdict.correct else verdict.correct


def _math_verify(case: Any) -> bool | None:
    """Its verdict on the text as it is, with its own extraction; None where it finds no answer."""
    text = case["prediction"] if "prediction" in case else case["completion"]
    found = parse(text, parsing_timeout=2)
    if not found and "prediction" in case:
        found = parse(f"${text}$", parsing_timeout=2)
    gold = parse(f"${case['answer']}$", parsing_timeout=2)
    return verify(gold, found, timeout_seconds=2) if found else None


def slowest(texts: Sequence[str], count: int = 5) -> list[tuple[float, str]]:
    """The seconds of those answers that take longest to read, each without what was read before."""
    answers.forget()
    answers.canonical(r"\int_0^1 x\,dx")  # starts the second process
    taken = []
    for text in dict.fromkeys(texts):
        begin = time.monotonic()
        answers.canonical(text)
        taken.append((time.monotonic() - begin, text))
    return sorted(taken, reverse=True)[:count]


def slowest_lines(found: Sequence[tuple[float, str]]) -> list[str]:
    """One line for each."""
    return ["slowest to read:", *(f"  {seconds:.2f} s  {text[:80]!r}" for seconds, text in found)]
