r"""Choices and words: `(C) Cone` is C, `A, B and D` is ABD, and `BAC` is a word whose letters keep their order."""

import re
from collections import Counter
from fractions import Fraction

from tts_study.answers.text import polynomial_form

_SAID = r"(?:(?:the\s+)?(?:correct\s+|right\s+)?(?:options?|choices?|answers?|alternative)\s*:?\s*(?:is\s+|are\s+)?)"
_CHOICE = re.compile(
    rf"{_SAID}?(?:\(\s*(?P<round>[A-H])\s*\)|(?P<letter>[A-H])(?P<mark>[.:)])(?=[ \\]|$))\s*[.:]?"
    r"(?P<content>(?:\s*(?:-\s?\d|[^-+*/^=_<>,;&\s])(?s:.*))?)",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"{_SAID}\(?\s*([A-H])\s*\)?\s*[.:]?", re.IGNORECASE)
_OPERATOR = re.compile(
    r"\s*\\(?:cup|cap|cdot|times|div|pm|mp|setminus|in|le|ge|ne|to|Rightarrow)(?![a-zA-Z])|\s*and\b|\s*or\b"
)
_ANOTHER = re.compile(r"\(\s*[A-H]\s*\)|(?<![\w\\])[B-H][.)](?=[ \\])")
_SELECTION = re.compile(
    rf"{_SAID}?\(?[A-H]\)?(?:(?:\s*(?:,|;|\\?&|/)\s*(?:and\s+|or\s+)?|\s+(?:and\s+|or\s+)?|)\(?[A-H]\)?)+(?:\s+only)?\s*\.?"
)


def chosen(text: str) -> str | None:
    """The letter that is chosen, with or without its text; None if this is no such choice."""
    text = _plain(text)
    if alone := _ALONE.fullmatch(text):
        return alone[1] if alone[1].isupper() else None
    choice = _CHOICE.fullmatch(text)
    if choice is None or (letter := choice["round"] or choice["letter"]).islower():
        return None
    content = choice["content"]
    return None if _OPERATOR.match(content) or _ANOTHER.search(content) else letter


def selected(text: str) -> list[str] | None:
    """The letters of a selection, `A, B and D` or `ABD`; None if it is not one: letters out of order are a word."""
    text = _plain(text)
    if not _SELECTION.fullmatch(text):
        return None
    letters = re.findall(r"[A-H](?![a-z])", text)
    is_word = re.fullmatch(r"\(?[A-H]+\)?\.?", text) is not None
    return None if is_word and letters != sorted(set(letters)) else sorted(set(letters))


def word(text: str) -> tuple[str, str | None] | None:
    """The form of a lone string of letters, and its form as a product; None if it is anything else.

    Its letters keep their order. Two keep their case too; in longer words, as in phrases, it does not matter.
    """
    letters = text.strip()
    if not re.fullmatch(r"[a-zA-Z]{2,}", letters) or letters in ("pi", "Pi"):
        return None
    factors = Counter(letters)
    product = polynomial_form({tuple(sorted(factors.items())): Fraction(1)})
    form = f"text {letters.casefold() if len(letters) > 2 else letters}"
    return form, None if "e" in factors or "i" in factors else product


def _plain(text: str) -> str:
    return " ".join(re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text).split()).rstrip(" .") or text
