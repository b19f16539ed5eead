"""`tts-study grade`: a file of answers."""

import argparse
import json
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `grade`."""
    grade = commands.add_parser("grade", help="grade a JSONL file of answers")
    grade.add_argument("file", type=Path, help='of "answer", and "prediction" (an answer) or "completion" (a text)')
    grade.add_argument("--explain", action="store_true", help="a line for each pair with both canonical forms")
    grade.add_argument("--json", action="store_true", help="the counts as one JSON object")
    grade.add_argument("--boxes-only", action="store_true", help='no answers from "the answer is ..." and "#### ..."')
    grade.add_argument("--memo", type=Path, help="file of canonical forms to keep: a second time nothing is computed")
    grade.set_defaults(command=_grade)


def _grade(arguments: argparse.Namespace) -> None:
    from tts_study import answers
    from tts_study.answers import grading

    if arguments.memo:
        answers.remember(arguments.memo)
    verdicts = grading.grade_file(arguments.file, fallback=not arguments.boxes_only)
    if arguments.explain:
        print(*verdicts, sep="\n")
    counts = grading.summary(verdicts)
    print(json.dumps(counts) if arguments.json else grading.sentence(counts))
