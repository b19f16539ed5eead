r"""Reading answers without a computer algebra system: split LaTeX, and read plain numbers and polynomials.

Everything here is linear or quadratic in an input of bounded length, and exact.
"""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction

Monomial = tuple[tuple[str, int], ...]  # ((variable, exponent), ...), variables in alphabetical order


def is_phrase(text: str) -> bool:
    """Whether this is words, such as `even`, and not a product of variables: letters with an e, i, o or u."""
    return re.fullmatch(r"[^\W\d_](?:[^\W\d_]|[ .'])+", text) is not None and not set("eiou").isdisjoint(text.lower())


# --- brackets ------------------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|.", re.DOTALL)
_DEPTH = {"(": 1, "[": 1, "{": 1, r"\{": 1, ")": -1, "]": -1, "}": -1, r"\}": -1}


def _tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Each LaTeX token with its start and the depth of brackets after it; `(` and `]` close each other (intervals)."""
    depth = 0
    for match in _TOKEN.finditer(text):
        depth += _DEPTH.get(match[0], 0)
        yield match[0], match.start(), depth


def is_balanced(text: str) -> bool:
    """Whether every bracket opens and closes."""
    depths = [depth for _, _, depth in _tokens(text)]
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def closing(text: str, start: int) -> int | None:
    r"""Where the bracket that opens at `start` closes, by brackets of its own kind alone; escaped braces are others."""
    opened, depth = text[start], 0
    closed = {"(": ")", "[": "]", "{": "}"}[opened]
    for token in re.compile(rf"\\[a-zA-Z]+|\\.|[{re.escape(opened + closed)}]", re.DOTALL).finditer(text, start):
        depth += {opened: 1, closed: -1}.get(token[0], 0)
        if depth == 0:
            return token.start()
    return None


def split_outside(text: str, separator: str) -> list[str]:
    r"""Split at a separator (one LaTeX token, such as `,` or `\cup`) wherever it stands outside of all brackets."""
    if separator not in text:
        return [text]
    parts, start = [], 0
    for token, position, depth in _tokens(text):
        if token == separator and depth == 0:
            parts.append(text[start:position])
            start = position + len(separator)
    return [*parts, text[start:]]


def unwrap(text: str) -> tuple[str, str]:
    r"""The brackets around all of a text, as "()", "(]", "{}", `\{\}` ..., and what is inside; or "" and the text."""
    if not text.startswith(("(", "[", "{", r"\{")):
        return "", text
    first_closed = next((position for token, position, depth in _tokens(text) if depth == 0), None)
    if re.fullmatch(r"[(\[].*[)\]]|\{.*\}", text, re.DOTALL) and first_closed == len(text) - 1:
        return text[0] + text[-1], text[1:-1]
    if re.fullmatch(r"\\\{.*\\\}", text, re.DOTALL) and first_closed == len(text) - 2:
        return r"\{\}", text[2:-2]
    return "", text


# --- numbers and polynomials ---------------------------------------------------------------------------------------

_DIGITS = r"\d{1,30}"
_TERM = re.compile(
    rf"\s*(?P<sign>[-+]?)\s*"
    rf"(?:(?P<whole>{_DIGITS})?\s*\\frac\s*\{{\s*(?P<minus>-?)(?P<top>{_DIGITS})\s*\}}\s*\{{\s*(?P<bottom>{_DIGITS})\s*\}}"
    rf"|(?P<mixed>{_DIGITS})\s(?P<above>{_DIGITS})/(?P<below>{_DIGITS})"
    rf"|(?P<number>{_DIGITS}(?:\.{_DIGITS})?|\.{_DIGITS}))?"
    rf"\s*\*?\s*(?:(?P<variable>[a-zA-Z])(?:\^(?:(?P<power>\d{{1,2}})|\{{\s*(?P<braced>\d{{1,2}})\s*\}}))?)?"
    rf"(?:\s*/\s*(?P<over>{_DIGITS}))?\s*"
)
_CONSTANTS = "ei"
_BASED = re.compile(
    r"\(?(?P<digits>\d[\dA-F]*|[A-F][\dA-F]+)\)?\s*_\s*(?:(?P<base>\d{1,2})|\{\s*(?P<braced>\d{1,2})\s*\})"
)


def read_plain(text: str) -> str | None:
    r"""The canonical form of a number, a polynomial in one variable or `52_8`; None if it is anything else.

    Numbers are integers, decimals, `a/b`, `\frac{a}{b}` and mixed numbers. Exact, and fast enough for every vote.
    """
    if based := _BASED.fullmatch(text):
        return f"{based['digits'].lstrip('0') or '0'}_{based['base'] or based['braced']}"
    terms: dict[Monomial, Fraction] = {}
    position = 0
    while position < len(text):
        term = _TERM.match(text, position)
        value = None if term is None or (position and not term["sign"]) else _read_term(term)
        if term is None or value is None:
            return None
        monomial, coefficient = value
        terms[monomial] = terms.get(monomial, Fraction()) + coefficient
        position = term.end()
    return polynomial_form(terms) if terms and len({name for m in terms for name, _ in m}) <= 1 else None


def _read_term(term: re.Match[str]) -> tuple[Monomial, Fraction] | None:
    fraction = (term["top"] or term["above"], term["bottom"] or term["below"])
    variable, power = term["variable"], int(term["power"] or term["braced"] or 1)
    over = Fraction(term["over"] or 1)
    if not (fraction[0] or term["number"] or variable) or over == 0 or (fraction[1] and int(fraction[1]) == 0):
        return None
    if variable and variable in _CONSTANTS or "*" in term[0] and not (variable and (fraction[0] or term["number"])):
        return None
    if term["minus"] and term["whole"]:
        return None
    value = Fraction(term["number"] or (1 if variable and not fraction[0] else 0))
    if fraction[0]:
        value = Fraction(term["whole"] or term["mixed"] or 0) + Fraction(int(fraction[0]), int(fraction[1]))
    if (term["sign"] == "-") != (term["minus"] == "-"):
        value = -value
    return ((variable, power),) if variable and power else (), value / over


def polynomial_form(terms: Mapping[Monomial, Fraction]) -> str:
    """Write a polynomial in its one canonical way: `-7*x^2*y+1/2`, highest degree first, zero terms left out."""

    def rank(monomial: Monomial) -> tuple[int, Monomial]:
        return -sum(exponent for _, exponent in monomial), monomial

    text = ""
    for monomial in sorted((m for m, c in terms.items() if c), key=rank):
        factors = "*".join(name if exponent == 1 else f"{name}^{exponent}" for name, exponent in monomial)
        size = abs(terms[monomial])
        text += ("-" if terms[monomial] < 0 else "+") + (
            factors if factors and size == 1 else f"{size}*{factors}" if factors else str(size)
        )
    return text.removeprefix("+") or "0"
