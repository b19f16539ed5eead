r"""Other ways to write an answer, and answers that only look like it: what equality must and must not see through.

A rewriting keeps the value (`\frac{1}{2}` as `0.5`), a damage changes it (`(3,4]` as `(3,4)`). Each is a function from
an answer to the other text, or to None where it does not apply. They know LaTeX by patterns only and share no code with
the parser that they test.
"""

import random
import re
from collections.abc import Callable, Iterator
from fractions import Fraction

Change = Callable[[str], str | None]

_FRACTION = re.compile(r"(-?)\\d?frac\{(\d+)\}\{(\d+)\}")
_INTEGER = re.compile(r"-?\d+")
_NUMBER = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)")
_PLAIN = re.compile(r"(?!.*(?:\\text|\\mbox|\\begin|\\pm|\\in\b|\\cup|\\\{|_|[=,\[\]]|[a-z]{4} )).+")  # one expression
_WORDS = re.compile(r"\\text\{([a-zA-Z() ]+)\}")
_UNICODE = {r"\pi": "π", r"\infty": "∞", r"^\circ": "°", r"\pm": "±", r"\cup": "∪", "-": "−"}


def rewritings(answer: str) -> Iterator[tuple[str, str]]:
    """All rewritings of an answer that apply, as pairs of kind and text."""
    return _changes(REWRITINGS, answer)


def damages(answer: str) -> Iterator[tuple[str, str]]:
    """All damages of an answer that apply, as pairs of kind and text."""
    return _changes(DAMAGES, answer)


def _changes(kinds: dict[str, Change], answer: str) -> Iterator[tuple[str, str]]:
    for kind, change in kinds.items():
        text = change(answer)
        if text is not None and text != answer:
            yield kind, text


def mutate(answer: str, other: str, rng: random.Random) -> str:
    """An answer with one to three random edits: characters lost, doubled or swapped, LaTeX or another answer put in."""
    for _ in range(rng.randint(1, 3)):
        i, j = sorted(rng.randrange(len(answer) + 1) for _ in range(2))
        match rng.randrange(6):
            case 0:
                answer = answer[:i] + answer[min(j, i + 3) :]
            case 1:
                answer = answer[:j] + answer[i:]
            case 2:
                answer = answer[:i] + rng.choice(_TOKENS) + answer[i:]
            case 3:
                answer = answer[:i] + rng.choice(_TOKENS) + answer[i + 1 :]
            case 4:
                answer = answer[:i] + answer[i:j][::-1] + answer[j:]
            case 5:
                answer = answer[:i] + other[rng.randrange(len(other) + 1) :]
    return answer


_TOKENS = [
    *"0123456789xyabi+-*/^_=<>(){}[],.:!%$& |\\'\"", r"\frac", r"\frac{1}{2}", r"\sqrt", r"\sqrt{2}", r"\pi", r"\pm",
    "^{", r"\text{", r"\{", r"\}", r"\left(", r"\right", r"\cup", r"\infty", r"\begin{pmatrix}", r"\end{pmatrix}",
    r"\\", "^2", r"\overline{", r"\sin", r"\log", r"\le", r"\circ", r"\cdot", "or", "e", "\n", "\x00", "é", "≤", "{}",
    r"\sum", r"\int",
]  # fmt: skip


# --- rewritings ----------------------------------------------------------------------------------------------------


def _where(pattern: re.Pattern[str], change: Change) -> Change:
    return lambda answer: change(answer) if pattern.fullmatch(answer) else None


def _replace(pattern: str, replacement: str) -> Change:
    return lambda answer: re.sub(pattern, replacement, answer)


def _other_order(answer: str) -> str | None:
    """`a - b + c` as `c - b + a`."""
    terms = re.findall(r"[-+]?(?:\((?:[^()])*\)|\{(?:[^{}]|\{[^{}]*\})*\}|[^-+(){}])+", answer.replace(" ", "~"))
    if not _PLAIN.fullmatch(answer) or len(terms) < 2 or "".join(terms) != answer.replace(" ", "~"):
        return None
    signed = [term.strip("~") if term[0] in "+-" else f"+{term.strip('~')}" for term in terms]
    return "".join(reversed(signed)).replace("~", " ").removeprefix("+")


def _fraction_of_decimal(answer: str) -> str | None:
    if not re.fullmatch(r"\d*\.\d+", answer):
        return None
    value = Fraction(answer)
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}" if value else None


def _of_fraction(change: Callable[[str, int, int], str | None]) -> Change:
    def rewrite(answer: str) -> str | None:
        match = _FRACTION.fullmatch(answer)
        return change(match[1], int(match[2]), int(match[3])) if match else None

    return rewrite


def _decimal(sign: str, top: int, bottom: int) -> str | None:
    digits = next((k for k in range(1, 9) if 10**k % bottom == 0), None)
    return f"{sign}{top / bottom:.{digits}f}" if digits else None


def _list_reversed(answer: str) -> str | None:
    inside = re.fullmatch(r"(\\\{)?((?:[^,()\[\]]+,)+[^,()\[\]]+?)(\\\})?", answer)
    if not inside or bool(inside[1]) != bool(inside[3]) or re.search(r"\\!|\d,\d{3}(?!\d)", answer):
        return None
    return (inside[1] or "") + ",".join(reversed(inside[2].split(","))) + (inside[3] or "")


def _plus_and_minus(answer: str) -> str | None:
    match = re.fullmatch(r"([^,]*)\\pm([^,]*)", answer)
    return match and f"{match[1]}+{match[2]}, {match[1]}-{match[2]}"


def _unicode(answer: str) -> str:
    for latex, character in _UNICODE.items():
        answer = re.sub(re.escape(latex) + r"(?![a-zA-Z])", character, answer)
    return answer


REWRITINGS: dict[str, Change] = {
    "$...$": lambda answer: f"${answer}$",
    r"\(...\)": lambda answer: rf"\({answer}\)",
    "full stop": lambda answer: f"{answer}.",
    "outer spaces": lambda answer: f"  {answer}\n",
    "braces": lambda answer: f"{{{answer}}}",
    r"\displaystyle": lambda answer: rf"\displaystyle {answer}",
    "no spaces": _replace(r"(?<![a-zA-Z]) | (?![a-zA-Z])", ""),
    "spaces": _replace(r"(?<=[\w}])\s*([-+=,])\s*(?=[\w\\])(?!\\!)(?!\d{3}(?!\d))", r" \1 "),
    "thin spaces": _replace(r"(?<=[\w}])\s*([-+=])\s*(?=[\w\\])", r"\\,\1\\;"),
    "dfrac": _replace(r"\\frac", r"\\dfrac"),
    "tfrac": _replace(r"\\d?frac", r"\\tfrac"),
    "slash": _of_fraction(lambda sign, top, bottom: f"{sign}{top}/{bottom}"),
    "short frac": _replace(r"\\frac\{(\d)\}\{(\d)\}", r"\\frac\1\2"),
    "minus in the numerator": _of_fraction(lambda sign, top, bottom: rf"\frac{{-{top}}}{{{bottom}}}" if sign else None),
    "not in lowest terms": _of_fraction(lambda sign, top, bottom: rf"{sign}\frac{{{3 * top}}}{{{3 * bottom}}}"),
    "mixed number": _of_fraction(
        lambda sign, top, bottom: rf"{sign}{top // bottom}\frac{{{top % bottom}}}{{{bottom}}}" if top > bottom else None
    ),
    "decimal for fraction": _of_fraction(_decimal),
    "fraction for decimal": _fraction_of_decimal,
    "trailing zeros": _where(_NUMBER, lambda answer: f"{answer}{'' if '.' in answer else '.'}00"),
    "leading zero": _replace(r"(?<!\d)\.(?=\d)", "0."),
    "thousands": _where(re.compile(r"\d{4,}"), lambda answer: f"{int(answer):,}"),
    "thousands with {,}": _where(re.compile(r"\d{4,}"), lambda answer: f"{int(answer):,}".replace(",", "{,}")),
    "no thousands": _where(re.compile(r"[\d,\\! ]+\d{3}"), lambda answer: re.sub(r"(?:,\\!|,) ?(?=\d{3})", "", answer)),
    "unit": _where(_NUMBER, lambda answer: rf"{answer}\text{{ cm}}"),
    "plain unit": _where(_NUMBER, lambda answer: f"{answer} square units"),
    "currency": _where(_NUMBER, lambda answer: rf"\${answer}"),
    "percent": _where(_NUMBER, lambda answer: rf"{answer}\%"),
    "degrees": _where(_INTEGER, lambda answer: rf"{answer}^{{\circ}}"),
    "no degrees": _replace(r"\^\\circ", ""),
    "named": _where(_PLAIN, lambda answer: f"x = {answer}"),
    "not named": _replace(r"^[a-z] ?(?:=|\\in) ?", ""),
    "terms in another order": _other_order,
    "list in another order": _list_reversed,
    "set": _where(re.compile(r"(?!.*\\!)[^,()\[\]]+,(?!\d{3})[^()\[\]]+"), lambda answer: rf"\{{{answer}\}}"),
    "union in another order": lambda answer: r" \cup ".join(reversed(re.split(r" ?\\cup ?", answer))),
    r"\left \right": _replace(r"^\(([^()]*)([)\]])$", r"\\left(\1\\right\2"),
    r"no \left \right": _replace(r"\\(?:left|right)", ""),
    "bmatrix": _replace("pmatrix", "bmatrix"),
    "exponents in braces": _replace(r"\^(\d)", r"^{\1}"),
    "roots in braces": _replace(r"\\sqrt(\d)", r"\\sqrt{\1}"),
    "roots without braces": _replace(r"\\sqrt\{(\d)\}", r"\\sqrt\1"),
    "times": _replace(r"(?<=\d) ?(?=\\sqrt|\\pi)", r" \\cdot "),
    "both signs": _plus_and_minus,
    "Unicode": _unicode,
    "words without \\text": lambda answer: _WORDS.sub(r"\1", answer),
    "words in bold": lambda answer: _WORDS.sub(r"\\textbf{\1}", answer),
    "base in braces": _replace(r"_(\d)", r"_{\1}"),
}


# --- damages -------------------------------------------------------------------------------------------------------


def _next_digit(answer: str) -> str | None:
    """The last digit of the first number is another one."""
    match = re.search(r"\d(?!\d)", re.sub(r"\\text\{[^{}]*\}", lambda words: "·" * len(words[0]), answer))
    return match and answer[: match.start()] + str((int(match[0]) + 1) % 10) + answer[match.end() :]


def _swapped(answer: str) -> str | None:
    parts = answer[1:-1].split(",")
    return f"({','.join(reversed(parts))})" if re.fullmatch(r"\([^()\[\]]+,[^()\[\]]+\)", answer) else None


DAMAGES: dict[str, Change] = {
    "another digit": _next_digit,
    "another sign": _where(
        re.compile(r"(?!0$)(?:\d+|\\frac\{\d+\}\{\d+\}|\d*\\sqrt\{?\d+\}?)"), lambda answer: f"-{answer}"
    ),
    "one more": _where(_PLAIN, lambda answer: f"{answer} + 1" if not _WORDS.search(answer) else None),
    "half": _where(re.compile(r"(?!0$)\d+"), lambda answer: rf"\frac{{{answer}}}{{2}}"),
    "another end": _replace(r"^\(([^()\[\],]+,[^()\[\],]+)\)$", r"(\1]"),
    "tuple in another order": _swapped,
    "an element less": _replace(r"^([^()\[\]]+), ?[^()\[\],!]{1,2}$", r"\1"),
    "an element more": _where(re.compile(r"(?!.*(?:\\text|\\!|\d,\d{3}))[^()\[\]]+"), lambda answer: f"{answer}, 987"),
    "another word": _where(_WORDS, lambda answer: answer.replace("{", "{un")),
    "one sign of two": _replace(r"\\pm", "+"),
    "another base": _replace(r"_\{?\d\}?$", "_3"),
}
