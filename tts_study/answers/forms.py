r"""From a tidied answer to its canonical form: sets, tuples, equations and the like are taken apart here."""

import re
from collections.abc import Callable
from fractions import Fraction

from tts_study.answers import choices
from tts_study.answers.names import Stated, stated
from tts_study.answers.reading import Reading, UnreadableError
from tts_study.answers.sets import read_set
from tts_study.answers.text import is_phrase, read_plain, split_outside, unwrap

MAX_TEXT = 100  # characters of an answer that is compared as it is written, since math-verify cannot read it
MAX_DEPTH = 5  # of sets of tuples of ...

_MATRIX = re.compile(
    r"(?P<scalar>[^&]*?)\s*(?:\\cdot|\\times|\*)?\s*[(\[]?\s*\\begin\{(?P<kind>[bpvBV]?matrix|array)\}(?:\{[clr|]*\})?(?P<body>.*)"
    r"\\end\{(?P=kind)\}\s*[)\]]?",
    re.DOTALL,
)
_BROKEN = re.compile(r"^[*/^=_]|[-+*/^=_]\s*(?:[*/^=_)\]}]|$)")  # an operator without its operand
_SPACED = re.compile(r"(?<![\d_.^])\d+\s+\d")  # math-verify reads "1 2" as 3
_DATE = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})|(\d{4})-(\d{1,2})-(\d{1,2})")
_CLOCK = re.compile(r"(2[0-4]|[01]?\d):([0-5]\d)")
# a^b/c without braces may be (a^b)/c or a^(b/c); with primes and quotation marks math-verify reads none
_AS_WRITTEN = re.compile(
    r"(?<![\w.}])\d+(?:\.\d+)?\s*\^\s*-?\d+\s*/\s*\d|['\"]|\\prime|\\ldots|\\pmod|\\equiv|\d\.\d+\.\d|"
    r"(?<![\\a-zA-Z])(?:cis|mod|lcm)(?![a-zA-Z])|(?<![\\a-zA-Z{])(?=[a-z]*[aeiou])[a-z]{4,}(?![a-zA-Z}])"
)


Ask = Callable[[str], str | None]


class Reader:
    """Reads tidied answers; `ask` gives the form of one LaTeX expression, "" for one without a value, or None."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def read(self, text: str) -> Reading:
        """What an answer means.

        Raises:
            UnreadableError: it has no canonical form.
        """
        text = text.strip()
        if (lone := choices.word(text)) is not None:
            return self._word(text, *lone)
        if lone_letter := re.fullmatch(r"\(?([a-h])\)?", text):
            return Reading(self.form(lone_letter[1]), lone_letter[1].upper())
        elements = self._elements(text)
        states = [stated(element) for element in elements]
        names = list(dict.fromkeys(state.name for state in states if state.name is not None))
        if len(states) > 1 and len(names) > 1:
            return self._named(states, names)
        if len(states) == 1:
            return self._single(states[0])
        texts = [signed for state in states for signed in _plus_and_minus(_number(state.text))]
        forms = [self.form(each, 1) for each in texts]
        bare = not names and unwrap(text)[0] == ""
        return Reading(_unordered(forms), in_order=f"values({';'.join(forms)})" if bare else None)

    def _word(self, text: str, form: str, product: str | None) -> Reading:
        if (letters := choices.selected(text)) is not None:
            return Reading(_unordered(letters), form)
        return Reading(form if not is_phrase(text) else _phrase(text), product)

    def _elements(self, text: str) -> list[str]:
        brackets, inner = unwrap(text)
        inside = inner if brackets in (r"\{\}", "{}") else text
        if brackets == r"\{\}" and (re.search(r"\\mid(?![a-zA-Z])|[|:]", inner) or not inner.strip()):
            return [text]  # set-builder notation, and the empty set
        return [part for half in split_outside(inside, ";") for part in split_outside(half, ",")]

    def _named(self, states: list[Stated], names: list[str]) -> Reading:
        """Several named values: in the order of their names where these are letters, else in the order given."""
        if len(names) < len(states):
            return Reading(_unordered([f"{state.name}={self.form(_number(state.text), 1)}" for state in states]))
        if all(re.fullmatch(r"[a-zA-Z](?:_\d+)?", name) for name in names):
            states = sorted(states, key=lambda state: str(state.name))
        forms = ";".join(self.form(_number(state.text), 1) for state in states)
        ordered = f"({forms})"
        return Reading(f"values{ordered}", ordered)

    def _single(self, state: Stated) -> Reading:
        signed = _plus_and_minus(state.text)
        if len(signed) > 1:
            return Reading(_unordered([self.form(each, 1) for each in signed]))
        if state.aside is not None:
            return Reading(self.form(state.text), self.form(_number(state.aside)))
        if state.before is not None and (rounded := self._rounded(state)) is not None:
            return rounded
        form = self._sided(_number(state.text))
        in_order = f"values{form}" if form.startswith("(") and form.endswith(")") else None
        return Reading(form, in_order=in_order)

    def _sided(self, text: str) -> str:
        """The form of a value or relation; a relation that is true for every value, a rewriting, is its last side."""
        try:
            return self.form(text)
        except UnreadableError:
            sides = split_outside(text, "=")
            if len(sides) != 2 or not all(side.strip() for side in sides):
                raise
            self.form(sides[0])
            return self.form(sides[1])

    def _rounded(self, state: Stated) -> Reading | None:
        r"""`\sqrt{3} = 1.732` is the root, or 1.732; `\frac12 = 50\%` is one half, or 50. None if it is neither."""
        percent = state.text.endswith(r"\percent")
        number = re.fullmatch(r"\s*(-?\d*\.?\d+)\s*", _number(state.text))
        if number is None or not (percent or "." in number[1]) or state.before is None:
            return None
        try:
            form = self.form(state.before)
        except UnreadableError:
            return None
        exact = re.fullmatch(r"~?(-?\d+(?:\.\d+)?(?:/\d+)?)", form)
        if exact is None:
            return None
        digits = len(number[1].partition(".")[2])
        off = abs(Fraction(exact[1]) * (100 if percent else 1) - Fraction(number[1]))
        if off > Fraction(1, 10**digits):
            return None
        value = self.form(number[1])
        return Reading(form, None if value == form else value)

    def form(self, text: str, depth: int = 0) -> str:
        """The canonical form of one value.

        Raises:
            UnreadableError: it has none.
        """
        text = text.strip()
        if not text:
            raise UnreadableError("empty")
        if depth > MAX_DEPTH:
            raise UnreadableError("too deep")
        if (plain := _special(text) or read_plain(text)) is not None:
            return plain
        if (matrix := _MATRIX.fullmatch(text)) is not None:
            return self._matrix(matrix, depth)
        if (numbers := read_set(text, lambda part: self.form(part, depth + 1))) is not None:
            return numbers
        if len(intervals := split_outside(text, r"\cup")) > 1:
            return _unordered([self.form(interval, depth + 1) for interval in intervals])
        if len(parts := split_outside(text, ":")) > 2 and r"\ldots" not in text:
            return self._ratio(parts, depth)
        return self._bracketed(text, depth)

    def _bracketed(self, text: str, depth: int) -> str:
        brackets, inner = unwrap(text)
        if brackets == "{}":
            return self.form(inner, depth + 1)
        if brackets == r"\{\}" and not inner.strip():
            return "{}"
        elements = self._elements(text)
        elements = [signed for element in elements for signed in _plus_and_minus(element)]
        if elements != [text]:
            return _unordered([self.form(element, depth + 1) for element in elements])
        if brackets:
            parts = split_outside(inner, ";" if ";" in inner else ",")
            ends = brackets if len(parts) == 2 else "()"  # only an interval's ends can be open or closed
            return _ordered(ends[0], [self.form(part, depth + 1) for part in parts], ends[1])
        return self._leaf(text)

    def _matrix(self, matrix: re.Match[str], depth: int) -> str:
        scalar = {"": "", "+": "", "-": "-1"}.get(matrix["scalar"].strip(), matrix["scalar"])
        rows = [split_outside(row, "&") for row in split_outside(matrix["body"], r"\\") if row.strip()]
        if scalar:
            if "=" in scalar or r"\begin" in scalar:
                return self._leaf(matrix[0])
            rows = [[rf"({scalar})\cdot({cell})" for cell in row] for row in rows]
        forms = [_ordered("[", [self.form(cell, depth + 1) for cell in row], "]") for row in rows]
        return _ordered("matrix[", forms, "]")

    def _ratio(self, parts: list[str], depth: int) -> str:
        """`2:4:6` as `1:2:3` in lowest terms: by what each is of the first."""
        forms = [self.form(part, depth + 1) for part in parts]
        if forms[0] != "0":
            forms = [self.form(rf"\frac{{{part}}}{{{parts[0]}}}", depth + 1) for part in parts[1:]]
        return f"ratio({';'.join(forms)})"

    def _leaf(self, text: str) -> str:
        if (lone := choices.word(text)) is not None:
            return _phrase(text) if is_phrase(text) else lone[0]
        if is_phrase(text):
            return _phrase(text)
        if _SPACED.search(text) or _BROKEN.search(text):
            raise UnreadableError("malformed")
        if _AS_WRITTEN.search(text):
            return f"text {text.replace(' ', '')}"  # what the dots mean is unknown
        form = self._ask(text)
        if form == "":
            raise UnreadableError("no value")
        if form is None and len(text) > MAX_TEXT:
            raise UnreadableError("malformed")
        return form or f"text {text.replace(' ', '')}"


def _special(text: str) -> str | None:
    """The form of a time of day or a date."""
    if clock := _CLOCK.fullmatch(text):
        return f"{int(clock[1])}:{clock[2]}"
    if date := _DATE.fullmatch(text):
        if date[4]:
            return f"date {date[4]}-{int(date[5])}-{int(date[6])}"
        return f"date {int(date[1])}/{int(date[2])}/{date[3]}"
    return None


def _number(text: str) -> str:
    return text.removesuffix(r"\percent")


def _phrase(text: str) -> str:
    return f"text {' '.join(text.casefold().split())}"


def _ordered(opening: str, forms: list[str], closing: str) -> str:
    return forms[0] if len(forms) == 1 else f"{opening}{';'.join(forms)}{closing}"


def _unordered(forms: list[str]) -> str:
    return _ordered("{", sorted(set(forms)), "}")


def _plus_and_minus(element: str) -> list[str]:
    if not re.search(r"\\[pm]{2}(?![a-zA-Z])", element) or unwrap(element.strip())[0] == r"\{\}":
        return [element]
    return [element.replace(r"\pm", above).replace(r"\mp", below) for above, below in ("+-", "-+")]
