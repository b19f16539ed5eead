r"""What an equation names, and what it gives as the value: `BF = 4.2`, `x = \frac{10}{2} = 5`, `x+y = 7`."""

import re
from dataclasses import dataclass

from tts_study.answers.text import split_outside

_GREEK = (
    r"\\(?:alpha|beta|gamma|delta|epsilon|varepsilon|theta|lambda|mu|nu|rho|sigma|tau|phi|varphi|omega|Delta|Omega|ell)"
    r"(?![a-zA-Z])"
)
_LETTER = rf"(?:[a-zA-Z]|{_GREEK})"
_SUBSCRIPT = r"(?:\s*_\s*(?:\{(?:[^{}]|\{[^{}]*\}){0,40}\}|\w|\\[a-zA-Z]+))"
_INSIDE = r"(?:[^()=]|\((?:[^()=]|\([^()=]*\)){0,60}\)){0,80}"
_SYMBOL = rf"{_LETTER}{_SUBSCRIPT}?'*"
_FUNCTION = rf"(?:[a-zA-Z]|[A-Z][a-z]+){_SUBSCRIPT}?'*(?:\s*\^\s*(?:\{{\s*-1\s*\}}|-1))?\s*(?:\\cdot\s*)?\({_INSIDE}\)"
_POINTS = r"[A-Z]{2,5}'*"
_SIGNED = (
    r"(?:[mS]\s*)?(?:_\s*\{\s*)?\\(?:angle|measuredangle|triangle|overline|vec|overrightarrow|bar|hat|tilde|widehat|arc)\s*"
    r"(?:\{[^{}=]{1,20}\}|[A-Za-z]{1,5}|\\[a-z]+)\s*\}?"
)
_TRIGONOMETRIC = r"\\(?:arc)?(?:sin|cos|tan|cot|sec|csc)(?![a-zA-Z])[^=+,]{1,40}"
_WORDS = r"(?=[^=]*[A-Za-z]{3})[A-Za-z][A-Za-z' ]{2,60}"
_OPERATION = r"\\(?:lim|int|sum|prod|max|min|gcd|lcm|det)(?![a-zA-Z])(?:[^={}]|\{[^{}]{0,60}\}){1,200}"
_TUPLE = rf"\(\s*{_SYMBOL}(?:\s*,\s*{_SYMBOL})+\s*\)"
_NAME = re.compile(
    rf"(?:{_SYMBOL}|{_FUNCTION}|{_POINTS}|{_SIGNED}|\|[^|=]{{1,40}}\||\[[A-Z]{{2,6}}\]|{_TRIGONOMETRIC}|{_WORDS}|"
    rf"{_OPERATION}|{_TUPLE})"
)
_PRODUCT = re.compile(r"[xyzabcnkmtrsuvw]'*\s*(?:\\cdot\s*)?\(.*[-+].*\)")  # `x(x+2)` multiplies
_MEMBER = re.compile(rf"(?P<name>{_SYMBOL})\s*\\in(?![a-zA-Z])(?P<value>.+)", re.DOTALL)
_MARK = re.compile(r"\\Rightarrow(?![a-zA-Z])")
_LETTERS = re.compile(r"\\[a-zA-Z]+|[eE](?=\s*\^)|[ie]")


@dataclass(frozen=True)
class Stated:
    r"""What one equation, or an element of a list of them, states.

    Attributes:
        text: the value's text: of `x = \frac{10}{2} = 5` the 5; a relation (`x+y = 7`) as it is.
        name: what has this value; None where nothing is named.
        before: the text before the last sign of equality where that is a value too, of which `text` may be a rounding.
        aside: a relation's constant side, which is the answer where the gold answer is a bare value.
    """

    text: str
    name: str | None = None
    before: str | None = None
    aside: str | None = None


def stated(element: str) -> Stated:
    """What an element states; one without a sign of equality is a value as it is."""
    element = _MARK.split(element)[-1].strip()
    if member := _MEMBER.fullmatch(element):
        return Stated(member["value"].strip(), _key(member["name"]))
    parts = [part.strip() for half in split_outside(element, "=") for part in split_outside(half, r"\approx")]
    if len(parts) > 1 and not parts[0]:
        parts = parts[1:]  # "= 5"
    if len(parts) == 1 or not all(parts) or re.search(r"[<>]|\\(?:le|ge|ne)(?![a-zA-Z])", element):
        return Stated(element if len(parts) > 1 else parts[0])
    first, last = parts[0], parts[-1]
    if not is_name(first) and re.fullmatch(_SYMBOL, last) and not re.fullmatch(r"[ei]|\\pi", last):
        return Stated(parts[-2], _key(last))  # "5 = x"
    before = parts[-2] if len(parts) > 2 or not is_name(first) else None
    if is_name(first):
        return Stated(last, _key(first), before)
    if len(parts) > 2 or is_constant(first):
        return Stated(last, None, before)
    # with coefficients it is the equation of a line, say, and asks for no value
    named = is_constant(last) and last.strip("0. ") and not re.search(r"\d\s*(?:\\cdot\s*|\*\s*)?[a-zA-Z(\\]", first)
    return Stated(f"{first}={last}", aside=last if named else None)


def is_name(text: str) -> bool:
    r"""Whether this names a quantity: `x_1`, `BF`, `P(A)`, `f^{-1}(x)`, `\angle ABC`, `|z|`, `Area`, `(x,y)`."""
    return _NAME.fullmatch(text) is not None and _PRODUCT.fullmatch(text) is None


def is_constant(text: str) -> bool:
    """Whether an expression has no variable."""
    greek = re.search(_GREEK, text)
    return greek is None and re.search(r"[a-zA-Z]", _LETTERS.sub(" ", text)) is None


def _key(name: str) -> str:
    return re.sub(r"[\s{}]|\\cdot", "", name)
