r"""Tidying an answer: what says nothing about its value goes, and shorthand is written out.

Boxes, quotation marks, spacing, `$`, units, percent signs, degrees and words around a number go. `1.2\overline{34}`,
`5 million`, `2:15 p.m.`, `52_{\text{eight}}`, `\sin 30^\circ`, `5(2/3)` and `12,000x` are written out.

Nothing here backtracks more than quadratically in an input of bounded length.
"""

import re

from tts_study.answers.extract import boxed
from tts_study.answers.text import unwrap
from tts_study.answers.thousands import without_thousands
from tts_study.answers.typeset import END, NUMBER, Rewrite, plain_latex, rewriter
from tts_study.answers.units import without_units

MAX_WRAPPERS = 4  # braces, boxes and quotation marks around the whole answer

_ANGLES = "sin|cos|tan|cot|sec|csc"
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "百": 2, "千": 3, "万": 4, "萬": 4,
           "亿": 8, "億": 8}  # fmt: skip
_BASES = "zero one two three four five six seven eight nine ten eleven twelve".split()
_ALL_REALS = (
    r"(?:\\mathbb\s*(?:\{\s*R\s*\}|R)|\\mathbf\s*R|\\Re(?![a-zA-Z])|\\R(?![a-zA-Z])|\\Bbb\s*\{?R\}?|\\text\{\s*R\s*\}|"
    r"(?:\\text\{)?\s*(?:(?:the )?set of )?(?:(?:all|every|any)(?: of)?(?: the)? real(?: number)?s?|real numbers)"
    r"[\s{}]*(?:[a-z]\b)?[\s{}.]*)"
)
_INTEGER = (
    r"(?:(?:where|for|with|and)\s+)?(?:(?:any|all|every|some|each)\s+)?(?:integers?\s+[a-zA-Z]|(?:integers?\s+)?[a-zA-Z]\s*"
    r"(?:\\in\s*(?:\\math(?:bb|bf)\s*)?\{?\s*[ZN]\s*\}?(?:[_^]\s*\{?[+*\d]+\}?)?|(?:(?:is|being)\s+)?(?:an|any)\s+"
    r"(?:arbitrary\s+)?integer))"
)

_MEANING: list[Rewrite] = [
    (r"^\s*(?:\\text\{)?\s*(?P<hour>1[0-2]|0?[1-9])(?::(?P<minute>[0-5]\d)|(?=[ \\]|[ap]\.))\s*(?:\\text\{)?\s*"
     r"(?P<half>[aApP])\.?\s?[mM]\.?\s*\}?\s*$", lambda time: _clock(time)),
    (rf"(?i:{_ALL_REALS})\s*(?:\\text\{{)?\s*except(?: for)?\s*\}}?\s*(?:[a-z]\s*=\s*)?([^,;{{}}]+)",
     r"\\mathbb{R} \\setminus \\{\1\\}"),
    (r"^\s*-\s*\\infty\s*(?:<|\\le)\s*[a-zA-Z]\s*(?:<|\\le)\s*\+?\s*\\infty\s*$", r"(-\\infty,\\infty)"),
    (rf"^\s*(?:\\text\{{\s*)?(?:[a-z]\s*(?:\\in{END}|\bis\b|=)\s*)?(?i:{_ALL_REALS})\s*$", r"(-\\infty,\\infty)"),
    (r"(?P<degrees>\d+(?:\.\d+)?)\s*\^\\circ\s*(?P<minutes>\d+(?:\.\d+)?)\s*(?:'|\^\{?\\prime\}?)"
     r"(?:\s*(?P<seconds>\d+(?:\.\d+)?)\s*(?:''|\"|\^\{?\\prime\s*\\prime\}?))?", lambda angle: _minutes_of_arc(angle)),
    (r"\^\\circ\s*(?:\\text\{\s*[CFK]\s*\}|(?:[CF]|[Cc]elsius|[Ff]ahrenheit)\s*\.?\s*$)", "^\\\\circ "),
    (r"(\d+(?:\.\d+)?)\^\\circ(?![a-zA-Z])\s*", lambda angle: _angle(angle)),
    (r"(=\s*\d+(?:\.\d+)?)\s*\\*%\s*\.?\s*$", r"\1\\percent"),                            # \frac12 = 50\%: see `forms`
    (r"\^\\circ(?![a-zA-Z])\s*|\\*%", ""),
    (r"^\s*(?:the\s+)?(\d+)\s*(?:\^\s*)?\{?\s*(?:\\text\{\s*)?(?:st|nd|rd|th)\b\s*\}*\s*(?:\\text\{[^{}]*\}|[a-zA-Z]+)?\s*\.?\s*$",
     r"\1"),                                                                              # 5^{\text{th}} \text{ grade}
    (r"^\s*(?:\\text\{)?\s*(?:(?i:(?:the )?(?:final )?answer(?: is|:)|about|approximately|approx\.?|roughly|"
     r"around|exactly|(?:is )?equal to)|~|\\approx)\s*\}?\s*"
     r"(?=[-+$\d.\\])", ""),
]  # fmt: skip
_LAYOUT: list[Rewrite] = [
    (r"(?<=[\d})])\s*\\text\{\s*([a-zA-Z])\s*\}", r" \1 "),                              # 2\mathrm{e}
    (r"\\text\{([^{}]*)\}", r" \1 "),
    (rf"(?<!^)(?:[,;]\s*|\s*\(\s*|\s+){_INTEGER}\s*\)?\s*\.?\s*$", ""),                        # , k \in \mathbb{Z}
    (rf"(?<=\d)\s*({'|'.join(_SCALES)}){END}", lambda scale: rf"\times 10^{{{_SCALES[scale[1]]}}} "),
    (rf"(?<=[\d)])\s*_\s*\{{?\s*({'|'.join(_BASES)})\s*\}}?\s*$", lambda base: f"_{_BASES.index(base[1])}"),
    (r"(?P<whole>\d{0,20})\.(?P<fixed>\d{0,20})\\(?:overline|bar)\s*(?:\{\s*(?P<braced>\d{1,20})\s*\}|(?P<bare>\d))",
     lambda decimal: _repeating(decimal)),
    (r"^(\s*[-+]?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})\s*$", r"\1\\times 10^{\2}"),               # 1.5e3
    (r",?\s+(?:and|or)\s+", ", "), (r",\s*,", ","),
    (r"\s+", " "),
    (r"^[ ,;:]+|[ .,;:]+$", ""),
    (rf"(?<![\^_\d.a-zA-Z])({NUMBER})\s*(?=\()", r"\1\\cdot "),                              # 5(2/3)
    (r"\)\s*(?=\\frac|\d|\()", r")\\cdot "),                                                    # (8)\frac14
    (r"(?<=\d) (?=\d{3}(?!\d))", ""),                                                        # 10 080
]  # fmt: skip
_with_meaning, _laid_out = rewriter(_MEANING), rewriter(_LAYOUT)
_QUOTED = re.compile(r"(\"|''|'|``|`)\s*(?P<inside>[^\"'`]+?)\s*(?:\"|''|'|``|`)\s*\.?", re.DOTALL)


def tidy(answer: str) -> str:
    """The answer, typeset in one way, without what says nothing about its value."""
    text = _unwrapped(answer)
    text = without_thousands(_unwrapped(plain_latex(text)))
    return _unwrapped(_laid_out(without_units(_with_meaning(text))))


def _unwrapped(text: str) -> str:
    """What is inside of braces, boxes and quotation marks around the whole of it."""
    for _ in range(MAX_WRAPPERS):
        text = text.strip()
        brackets, inner = unwrap(text)
        if brackets == "{}":
            text = inner
        elif quoted := _QUOTED.fullmatch(text):
            text = quoted["inside"]
        elif r"\boxed" in text or r"\fbox" in text:
            text = boxed(text) or re.sub(r"\\(?:boxed|fbox)(?![a-zA-Z])", "", text)
        else:
            break
    return text


def _clock(time: re.Match[str]) -> str:
    """`2:15 p.m.` as `14:15`."""
    hour = int(time["hour"]) % 12 + (12 if time["half"] in "pP" else 0)
    return f"{hour}:{time['minute'] or '00'}"


def _minutes_of_arc(angle: re.Match[str]) -> str:
    r"""`45^\circ30'` as `\frac{91}{2}^\circ`, in sixtieths."""
    from fractions import Fraction

    value = Fraction(angle["degrees"]) + Fraction(angle["minutes"]) / 60 + Fraction(angle["seconds"] or 0) / 3600
    return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"


def _angle(angle: re.Match[str]) -> str:
    """An angle in degrees is that number, but in radians as the argument of a function."""
    return rf"({angle[1]}\pi/180)" if re.search(rf"(?:{_ANGLES}){END}", angle.string) else angle[1]


def _repeating(decimal: re.Match[str]) -> str:
    r"""`1.2\overline{34}` as `\frac{1222}{990}`."""
    fixed, repeated = decimal["whole"] + decimal["fixed"], decimal["braced"] or decimal["bare"]
    nines = "9" * len(repeated) + "0" * len(decimal["fixed"])
    return rf"\frac{{{int(fixed + repeated) - int(fixed or 0)}}}{{{nines}}}"
