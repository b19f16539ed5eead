"""The exact step checker as a verifier, the upper bound of notebook 07: `--prm tts_study/micro/exact.py:exact`."""

from collections.abc import Sequence

from tts_study.micro.problems import check_steps, parse_problem
from tts_study.records import Problem


def exact(problem: Problem, steps: Sequence[str]) -> list[float]:
    """1 for each step up to the first wrong one, then 0."""
    return [float(right) for right in check_steps(parse_problem(problem.text), list(steps))]
