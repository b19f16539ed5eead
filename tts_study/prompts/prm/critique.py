r"""A chat model as a verifier that writes: it is asked to go through a solution, and to name the first wrong step.

The question is that of ProcessBench to its critic models (Zheng et al. 2024, arXiv 2412.06559, appendix), so that one
written verdict says something of every step: those before the first wrong one are right.
"""

import re
from collections.abc import Sequence

CRITIQUE = "critique"  # what `prm_format` calls it
NO_ERROR = -1
_ASKED = """The following is a math problem and a solution (split into paragraphs, enclosed with tags and indexed \
from 0):

[Math Problem]

{problem}

[Solution]

{solution}

Your task is to review and critique the solution paragraph by paragraph. Once you identify an error in a paragraph, \
return the index of the paragraph where the earliest error occurs. Otherwise, return the index of -1 (which typically \
denotes "not found"). The solution may not be finished; judge the paragraphs that are there.

Please put your final answer (i.e., the index) in \\boxed{{}}."""
_BOXED = re.compile(r"\\boxed\s*\{\s*(-?\d{1,4})\s*\}", re.ASCII)


def asked(problem: str, steps: Sequence[str]) -> str:
    """The question about a solution, whole or not."""
    paragraphs = (f"<paragraph_{i}>\n{step}\n</paragraph_{i}>" for i, step in enumerate(steps))
    return _ASKED.format(problem=problem, solution="\n\n".join(paragraphs))


def first_wrong(verdict: str, steps: int) -> int | None:
    """The index of the first wrong step, or `NO_ERROR`, as the last box of a written verdict says.

    Args:
        verdict: what the model wrote.
        steps: how many steps the solution has.

    Returns:
        None where it says neither: there is no box, or no such step.
    """
    boxes = _BOXED.findall(verdict)
    index = int(boxes[-1]) if boxes else steps
    return index if NO_ERROR <= index < steps else None


def scores(verdicts: Sequence[str], steps: int) -> tuple[float, ...]:
    """Each step's score: the share of verdicts that find no error up to it; one that says nothing finds one at once."""
    found = [first_wrong(verdict, steps) for verdict in verdicts]
    reached = [steps if index == NO_ERROR else index or 0 for index in found]
    return tuple(sum(i < each for each in reached) / len(reached) for i in range(steps))
