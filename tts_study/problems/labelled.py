"""Solutions whose first wrong step is known: ProcessBench, or a file with its columns.

A row::

    {"id": "gsm8k-0", "problem": "Sue lives …", "steps": ["To find out …", …], "label": 1}

`label` is the index of the first wrong step, or -1. Other columns are not read, but for `split` in a file of several.

Source: Zheng et al. 2024 (arXiv 2412.06559); `Qwen/ProcessBench` on the hub.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tts_study.errors import UserError
from tts_study.problems.files import SUFFIXES, listed, read_rows
from tts_study.records import Problem

PROCESSBENCH = "Qwen/ProcessBench"
SPLITS = ("gsm8k", "math", "olympiadbench", "omnimath")  # of ProcessBench


@dataclass(frozen=True)
class LabelledSolution:
    """A solution and its first wrong step.

    Attributes:
        problem: what it solves; its id is unique among all splits, and its `solution` is this one.
        steps: the solution.
        label: the index of the first wrong step; -1 if there is none.
        split: the part of the data set that it belongs to.
    """

    problem: Problem
    steps: tuple[str, ...]
    label: int
    split: str


def load_labelled(
    dataset: str = PROCESSBENCH, splits: Sequence[str] = (), limit: int | None = None
) -> tuple[LabelledSolution, ...]:
    """Load labelled solutions, or the first `limit` of each split.

    Args:
        dataset: a .jsonl or .parquet file, or a data set's name on the hub.
        splits: which parts; all if empty. A file has a column `split`, or is one split, called as the file.
        limit: the number of solutions of each split; all if None.

    Raises:
        UserError: the data set or a split is not there or is empty, or a row is broken or lacks what it must have.
    """
    path = Path(dataset)
    if path.suffix in SUFFIXES or path.is_file():
        rows = ((str(row.get("split", path.stem)), (place, row)) for place, row in read_rows(dataset))
    else:
        rows = ((split, row) for split in splits or SPLITS for row in read_rows(dataset, split=split))
    found: dict[str, dict[str, LabelledSolution]] = {}
    for number, (split, (place, row)) in enumerate(rows, start=1):
        solution = _solution(split, place, row, number)
        of_split = found.setdefault(split, {})
        if solution.problem.id in of_split:
            raise UserError(f"{place}: another row has the id {solution.problem.id!r:.60}, too: make ids unique")
        of_split[solution.problem.id] = solution
    if not found:
        raise UserError(f"{dataset}: there are no solutions in it")
    if unknown := [split for split in splits if split not in found]:
        raise UserError(f"{dataset}: there is no split {unknown[0]!r}: choose from {', '.join(found)}")
    return tuple(solution for split in splits or found for solution in list(found[split].values())[:limit])


def _solution(split: str, place: str, row: Any, number: int) -> LabelledSolution:
    for column in ("problem", "steps", "label"):
        if column not in row:
            raise UserError(f"{place} has no {column!r}: its columns are {listed(row)}; ProcessBench's are needed")
    steps, label = row["steps"], row["label"]
    if not isinstance(steps, list) or not steps:
        raise UserError(f"{place}: 'steps' must be a list of texts, and {steps!r:.40} is not")
    for what, text in [("'problem'", row["problem"]), *((f"step {i}", step) for i, step in enumerate(steps))]:
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{place}: {what} must be a text that is not empty, and {text!r:.40} is not")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise UserError(f"{place}: {what} has half a character (a lone surrogate): repair the row")
    if not isinstance(label, int) or isinstance(label, bool) or not -1 <= label < len(steps):
        last = len(steps) - 1
        raise UserError(
            f"{place}: 'label' must be -1 (no step is wrong) or the index of a step, 0 to {last}, "
            f"and {label!r:.40} is not"
        )
    problem = Problem(
        id=f"{split}/{row.get('id', number)}", text=row["problem"].strip(), answer=str(label), subject=split,
        solution="\n\n".join(steps),
    )  # fmt: skip
    return LabelledSolution(problem, tuple(step.strip() for step in steps), label, split)
