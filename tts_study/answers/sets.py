r"""Sets of real numbers by their value: unions, differences and intersections of intervals, and set-builder notation.

`(0,25) \setminus \{4\}` is `(0,4) \cup (4,25)`, `(1,6) \cup (4,9)` is `(1,9)`, `\{x \mid x > 5\}` is `(5,\infty)`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from tts_study.answers.text import split_outside, unwrap

Form = Callable[[str], str]
Point = tuple[Fraction, int]  # a number, and where the edge is: just before it (0) or just after it (1)

_INFINITY = Fraction(10**60)
_REALS = re.compile(r"\\mathbb\s*(?:\{\s*R\s*\}|R)|\\mathbf\s*\{?\s*R\s*\}?")
_OPERATIONS = {r"\cup": "or", r"\setminus": "and not", r"\cap": "and"}
_BUILDER = re.compile(
    r"\s*(?P<name>[a-zA-Z])\s*(?:\\in\s*(?:\\mathbb\s*\{?\s*R\s*\}?|R)\s*)?(?:\\mid(?![a-zA-Z])|\\vert(?![a-zA-Z])|[|:])"
    r"(?P<condition>[^|]+)"
)
_NUMBER = re.compile(r"~?(-?\d+(?:\.\d+)?(?:e[-+]\d+)?(?:/\d+)?)")


class UnreadableSetError(Exception):
    """This is no set of real numbers that can be read here."""


@dataclass(frozen=True)
class _Piece:
    """An interval: from edge to edge, with the forms of its ends."""

    low: Point
    high: Point
    low_form: str
    high_form: str


def read_set(text: str, form: Form) -> str | None:
    """The canonical form of a set of real numbers that is written with an operation; None if it is not one.

    Args:
        text: tidied LaTeX.
        form: gives the canonical form of an end, an element or an interval's condition.
    """
    builds = unwrap(text)[0] == r"\{\}" and _BUILDER.fullmatch(unwrap(text)[1]) is not None
    if not (builds or any(operation in text for operation in _OPERATIONS) or _REALS.fullmatch(text.strip())):
        return None
    try:
        return _write(_read(text, form))
    except UnreadableSetError:
        return None


def _read(text: str, form: Form) -> list[_Piece]:
    for operation, combine in ((r"\cup", _union), (r"\cap", _intersection), (r"\setminus", _difference)):
        first, *others = split_outside(text, operation)
        if others:
            result = _read(first, form)
            for other in others:
                result = combine(result, _read(other, form))
            return result
    return _simple(text.strip(), form)


def _simple(text: str, form: Form) -> list[_Piece]:
    if _REALS.fullmatch(text):
        return [_Piece((-_INFINITY, 1), (_INFINITY, 0), "-oo", "oo")]
    brackets, inside = unwrap(text)
    if brackets == r"\{\}":
        if builder := _BUILDER.fullmatch(inside):
            return _conditions(builder["condition"], form)
        return _union([], [_point(form(element)) for element in split_outside(inside, ",") if element.strip()])
    parts = split_outside(inside, ",")
    if len(brackets) != 2 or len(parts) != 2:
        if brackets == "()" and any(operation in inside for operation in _OPERATIONS):
            return _read(inside, form)
        raise UnreadableSetError
    return [_interval(brackets, form(parts[0]), form(parts[1]))]


def _conditions(text: str, form: Form) -> list[_Piece]:
    """The numbers that meet a condition, or several conditions with "and" (a comma) between them."""
    result = [_Piece((-_INFINITY, 1), (_INFINITY, 0), "-oo", "oo")]
    for condition in split_outside(text, ","):
        if re.fullmatch(r"\s*[a-zA-Z]\s*\\in\s*\\mathbb\s*\{?\s*R\s*\}?\s*", condition):
            continue
        if unequal := re.fullmatch(r"\s*[a-zA-Z]\s*\\ne\s*([^<>=]+)", condition):
            result = _difference(result, [_point(form(unequal[1]))])
            continue
        interval = re.fullmatch(r"([(\[])([^;()]+);([^;()]+)([)\]])", form(condition))
        if interval is None:
            raise UnreadableSetError
        result = _intersection(result, [_interval(interval[1] + interval[4], interval[2], interval[3])])
    return result


def _value(form: str) -> Fraction:
    if form in ("oo", "-oo"):
        return _INFINITY if form == "oo" else -_INFINITY
    number = _NUMBER.fullmatch(form)
    if number is None:
        raise UnreadableSetError
    return Fraction(number[1])


def _interval(brackets: str, low: str, high: str) -> _Piece:
    piece = _Piece((_value(low), int(brackets[0] == "(")), (_value(high), int(brackets[1] == "]")), low, high)
    if piece.low >= piece.high:
        raise UnreadableSetError
    return piece


def _point(form: str) -> _Piece:
    return _Piece((_value(form), 0), (_value(form), 1), form, form)


def _union(a: list[_Piece], b: list[_Piece]) -> list[_Piece]:
    result: list[_Piece] = []
    for piece in sorted([*a, *b], key=lambda piece: (piece.low, piece.high)):
        if result and piece.low <= result[-1].high:
            last = result.pop()
            upper = max(last, piece, key=lambda piece: piece.high)
            result.append(_Piece(last.low, upper.high, last.low_form, upper.high_form))
        else:
            result.append(piece)
    return result


def _intersection(a: list[_Piece], b: list[_Piece]) -> list[_Piece]:
    result = []
    for one in a:
        for other in b:
            lower = max(one, other, key=lambda piece: piece.low)
            upper = min(one, other, key=lambda piece: piece.high)
            if lower.low < upper.high:
                result.append(_Piece(lower.low, upper.high, lower.low_form, upper.high_form))
    return _union([], result)


def _difference(a: list[_Piece], b: list[_Piece]) -> list[_Piece]:
    for hole in b:
        kept = []
        for piece in a:
            if piece.low < (edge := min(piece.high, hole.low)):
                kept.append(
                    _Piece(piece.low, edge, piece.low_form, piece.high_form if edge == piece.high else hole.low_form)
                )
            if (edge := max(piece.low, hole.high)) < piece.high:
                kept.append(
                    _Piece(edge, piece.high, piece.low_form if edge == piece.low else hole.high_form, piece.high_form)
                )
        a = kept
    return a


def _write(pieces: list[_Piece]) -> str:
    """`(0;4)` for one piece, `{(0;4);(4;25)}` for several; a piece of one number is that number."""
    forms = []
    for piece in pieces:
        if piece.low[0] == piece.high[0]:
            forms.append(piece.low_form)
        else:
            opening, closing = "(" if piece.low[1] else "[", "]" if piece.high[1] else ")"
            forms.append(f"{opening}{piece.low_form};{piece.high_form}{closing}")
    return forms[0] if len(forms) == 1 else f"{{{';'.join(sorted(forms))}}}"
