"""`tts-study grade`: a file of answers."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tts_study import paths
from tts_study.errors import UserError

if TYPE_CHECKING:
    from tts_study.answers import grading


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `grade`."""
    grade = commands.add_parser("grade", help="grade a file of answers")
    grade.add_argument(
        "file",
        type=Path,
        help='.jsonl, .csv or .parquet: "answer", and "prediction" (an answer) or "completion" (a text)',
    )
    grade.add_argument("--answer-column", metavar="NAME", help="the column of gold answers; answer by default")
    grade.add_argument("--prediction-column", metavar="NAME", help="the column of answers; prediction by default")
    grade.add_argument("--completion-column", metavar="NAME", help="the column of texts; completion by default")
    grade.add_argument("--explain", action="store_true", help="a line for each pair with both canonical forms")
    grade.add_argument("--json", action="store_true", help="the counts as one JSON object")
    grade.add_argument("--verdicts", type=Path, metavar="FILE", help="write each verdict to a new file, as JSON lines")
    grade.add_argument("--boxes-only", action="store_true", help='no answers from "the answer is ..." and "#### ..."')
    grade.set_defaults(command=_grade)


def _grade(arguments: argparse.Namespace) -> None:
    from tts_study.answers import grading

    columns = grading.Columns(arguments.answer_column, arguments.prediction_column, arguments.completion_column)
    verdicts = grading.grade_file(arguments.file, fallback=not arguments.boxes_only, columns=columns)
    if arguments.verdicts:
        _write(arguments.verdicts, verdicts)
    if arguments.explain:
        print(*verdicts, sep="\n")
    counts = grading.summary(verdicts)
    print(json.dumps(counts) if arguments.json else grading.sentence(counts))


def _write(path: Path, verdicts: "list[grading.Verdict]") -> None:
    if path.exists():
        raise UserError(f"{path} exists: remove it, or write the verdicts to another file")
    try:
        with paths.written_whole(path) as part, part.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(verdict.row())}\n" for verdict in verdicts)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None
