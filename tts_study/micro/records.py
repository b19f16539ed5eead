"""Micro problems as the records that the rest of the study works with."""

from collections.abc import Sequence

from tts_study.micro.problems import MicroProblem, solutions
from tts_study.prompts.steps import STEP_SEPARATOR
from tts_study.records import Problem


def as_problems(problems: Sequence[MicroProblem], prefix: str) -> list[Problem]:
    """Micro problems as records; ids are `prefix/number`."""
    return [
        Problem(f"{prefix}/{i}", problem.text, answer_of(problem), problem.level, problem.subject,
                STEP_SEPARATOR.join(solutions(problem)[0]))
        for i, problem in enumerate(problems)
    ]  # fmt: skip


def answer_of(problem: MicroProblem) -> str:
    """The gold answer: what the reference solution puts into its box."""
    return solutions(problem)[0][-1].removeprefix(r"\boxed{").removesuffix("}")
