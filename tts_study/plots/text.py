"""A model's text, prepared for a figure: it may have any length and any characters."""

import textwrap
from functools import cache

from matplotlib.font_manager import findfont, get_font

from tts_study.plots.style import MONOSPACE


def wrapped(step: str, letters: int, most: int = 5) -> str:
    """The text in lines of at most `letters`, cut after `most` of them."""
    # only as much as can be shown is read: model output may have any length
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
