r"""Commas between thousands: `x = 4,000`, `9,000 - 1`, `1,500x` and `(2,000, 5,000)`, but not `1,2,300` or `(2,102)`.

A comma separates thousands where exactly three digits follow it, one to three precede it, and no other digit or comma
touches them. Within brackets, where `(1,200)` is a pair, a comma with a space must show how elements are separated.
"""

import re

from tts_study.answers.text import is_balanced

_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_BRACKET = re.compile(r"\\[{}]|\\.|[()\[\]]", re.DOTALL)  # the braces of an argument do not count: it has one value
_ONE = re.compile(r"\W*[1-9]\d{0,2},0\d\d\W*")


def without_thousands(text: str) -> str:
    """The text without commas between thousands."""
    if not _GROUPED.search(text) or not is_balanced(text):
        return text
    parts, start, depth = [], 0, 0
    for bracket in _BRACKET.finditer(text):
        change = {"(": 1, "[": 1, r"\{": 1, ")": -1, "]": -1, r"\}": -1}.get(bracket[0], 0)
        depth += change
        if change > 0 and depth == 1:
            parts.append(_plain(text[start : bracket.start()]))
            start = bracket.start()
        elif change < 0 and depth == 0:
            inside = text[start : bracket.end()]
            parts.append(_plain(inside) if re.search(r",\s|;", inside) or _ONE.fullmatch(inside) else inside)
            start = bracket.end()
    return "".join([*parts, _plain(text[start:])])


def _plain(text: str) -> str:
    return _GROUPED.sub(lambda number: number[0].replace(",", ""), text)
