"""A model's text, made fit for a figure: its length and its characters can be anything."""

import textwrap
from functools import cache

from matplotlib.font_manager import findfont, get_font

from tts_study.plots.style import MONOSPACE


def wrapped(step: str, letters: int, most: int = 5) -> str:
    """The text in lines of at most `letters`, cut after `most` of them."""
    # no more than can be shown is looked at: model output may be of any length
    text = printable(step[: 2 * letters * most])
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, letters) or [""]]
    if len(lines) > most or len(step) > 2 * letters * most:
        lines = [*lines[: most - 1], lines[min(most, len(lines)) - 1][: letters - 1] + "…"]
    return "\n".join(lines)


def printable(text: str) -> str:
    """The text with what the font has no glyph for replaced: matplotlib warns of it and draws an empty box."""
    return "".join(char if char == "\n" or ord(char) in _glyphs() else "\N{REPLACEMENT CHARACTER}" for char in text)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(MONOSPACE)).get_charmap())
