"""Text to steps and back: a step ends at a blank line."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

STEP_SEPARATOR = "\n\n"


def split_steps(text: str) -> tuple[str, ...]:
    """Split a solution at blank lines; surrounding space goes, and empty steps with it.

    A trailing separator would otherwise make an empty last step, and aggregation "last" would score nothing.
    """
    return tuple(step for part in text.split(STEP_SEPARATOR) if (step := part.strip()))


def steps_of(pieces: Sequence[str]) -> list[int]:
    """Which step of a text each of its pieces belongs to: the one that the piece begins in.

    A separator belongs to the step that it ends, and what is no part of any step to the step before it.

    Args:
        pieces: the text in pieces, such as a token each; a piece may be empty.

    Returns:
        For each piece the place of its step in `split_steps` of the whole text; 0 where there is none.
    """
    text = "".join(pieces)
    begins, start = [], 0
    for part in text.split(STEP_SEPARATOR):
        if part.strip():
            begins.append(start)
        start += len(part) + len(STEP_SEPARATOR)
    starts = accumulate(map(len, pieces[:-1]), initial=0)
    return [max(bisect_right(begins, start) - 1, 0) for start in starts][: len(pieces)]
