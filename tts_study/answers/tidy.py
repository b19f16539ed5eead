r"""Tidying an answer: the many ways to typeset one value become one, by rewriting text alone.

What says nothing about the value goes (spacing, `\left`, `$`, units, percent signs, degrees, `\text`), and shorthand is
written out: `\frac12`, `1.2\overline{34}`, `5 million`, `2:15 p.m.`, `52_{\text{eight}}`, `\sin 30^\circ`.

Nothing here backtracks more than quadratically in an input of bounded length.
"""

import re
from collections.abc import Callable

from tts_study.answers.text import unwrap

MAX_BRACES = 3  # around the whole answer
_SYMBOLS = str.maketrans({
    "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ",
    "°": r"^\circ ", "²": "^2", "³": "^3", "±": r"\pm ", "∪": r"\cup ", "≤": r"\le ", "≥": r"\ge ", "…": r"\ldots ",
    "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}",
    "€": "", "£": "", "¥": "", "\t": " ", "\n": " ",
})  # fmt: skip
_UNITS = (
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s*)?(?:(?:centi|milli|kilo)?(?:meter|metre|gram|liter|litre)s?|inch(?:es)?|foot|"
    r"feet|(?:yard|mile|degree|radian|dollar|cent|second|minute|hour|day|week|month|year|unit|pound|ounce|gallon)s?|"
    r"percent|cm|mm|km|ft|kg|mph|lbs?|oz|secs?|mins?|hrs?)"
)
_POWER = r"(?:\s*\^\s*\{?\s*[23]\s*\}?)?"
_FUNCTIONS = "sin|cos|tan|cot|sec|csc"
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_BASES = "zero one two three four five six seven eight nine ten eleven twelve".split()
_END = r"(?![a-zA-Z])"  # of a command's or function's name

Rewrite = tuple[str, str | Callable[[re.Match[str]], str]]

# how it is typeset
_LAYOUT: list[Rewrite] = [
    (r"\*\*|\\\\\s*$|^\s*\\(?:approx|boxed|fbox|underline|#)" + _END, ""),
    (r"\.\.\.", r"\\ldots "),
    (r"(?<=\d)\s*(?:,\\!|\{,\}|\\[,!])\s*(?=\d{3}(?!\d))", ""),                              # 10,\!080
    (rf"(?<!\\)\\(?:[,;:!> ]|(?:q?quad|displaystyle){_END})|~", " "),
    (r"(?<!\\)\\[$()\[\]]|\$|\b(?:USD|EUR)\b", ""),                                          # maths mode, currency
    (rf"\\(?:left|right|[bB]igg?[lr]?){_END}", ""),
    (rf"\\langle{_END}", "("), (rf"\\rangle{_END}", ")"),
    (rf"\\[dtc]frac{_END}", r"\\frac"),
    (r"\\(frac|binom)\s*(\d)\s*(\d)", r"\\\1{\2}{\3}"),                                      # \frac12
    (r"\\frac\s*(\d)\s*\{", r"\\frac{\1}{"),                                                 # \frac1{2}
    (r"(\\frac\s*\{[^{}]*\})\s*(\d)", r"\1{\2}"),                                            # \frac{1}2
    (rf"\^\s*(?:\\circ{_END}|\{{\s*\\circ\s*\}})|\\degrees?{_END}", r"^\\circ "),
    (r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm|mathbf|mathit)\s*\{", r"\\text{"),
    (rf"\\(?:varnothing|emptyset){_END}", r"\\{\\}"),
]  # fmt: skip

# words, units and numbers written in another way
_MEANING: list[Rewrite] = [
    (r"^\s*(?:\\text\{)?\s*(?P<hour>1[0-2]|0?[1-9])(?::(?P<minute>[0-5]\d)|(?=[ \\]|[ap]\.))\s*(?:\\text\{)?\s*"
     r"(?P<half>[aApP])\.?\s?[mM]\.?\s*\}?\s*$", lambda time: _clock(time)),
    (r"^\s*(?:\\mathbb\s*(?:\{R\}|R)|\\R|(?:\\text\{)?\s*all real numbers\s*\}?)\s*$", r"(-\\infty,\\infty)"),
    (r"(\d+(?:\.\d+)?)\^\\circ ", lambda angle: _angle(angle)),
    (r"\^\\circ |\\?%", ""),
    (rf"(?<=\d)\s*(?:\^\s*)?\{{?\s*(?:\\text\{{\s*)?(?:st|nd|rd|th){_END}\s*\}}*\s*$", ""),  # 5^{\text{th}}
    (r"(?<=[\d})])\s*\\text\{(?!\s*(?:and|or|" + "|".join(_SCALES) + r")\b)[^{}]*\}" + _POWER + r"\s*\.?\s*$", ""),
    (r"\\text\{([^{}]*)\}", r" \1 "),
    (rf"(?<=\d)\s*({'|'.join(_SCALES)}){_END}", lambda scale: rf"\times 10^{{{_SCALES[scale[1]]}}} "),
    (r"(?<=[\d}).])\s*" + _UNITS + _POWER + r"\s*\.?\s*$", ""),                              # 5 cm
    (r"^(\s*[-+]?\d+(?:\.\d+)?)\s+(?=[a-z]*[eiou])[a-z]{4,}\.?\s*$", r"\1"),                 # 5 apples
    (rf"(?<=[\d)])\s*_\s*\{{?\s*({'|'.join(_BASES)})\s*\}}?\s*$", lambda base: f"_{_BASES.index(base[1])}"),
    (r"(?P<whole>\d{0,20})\.(?P<fixed>\d{0,20})\\(?:overline|bar)\s*(?:\{\s*(?P<braced>\d{1,20})\s*\}|(?P<bare>\d))",
     lambda decimal: _repeating(decimal)),
    (r"^(\s*[-+]?\d+(?:\.\d+)?)[eE]([-+]?\d{1,3})\s*$", r"\1\\times 10^{\2}"),               # 1.5e3
    (rf"(?<![\\a-zA-Z])(pi|sqrt|{_FUNCTIONS}|log|ln){_END}", r"\\\1"),
    (rf"(?<![\\a-zA-Z])(?:infty|infinity){_END}", r"\\infty"),
    (r",?\s+(?:and|or)\s+", ", "),
    (r"\s+", " "),
    (r"^[ ,;:]+|[ .,;:]+$", ""),
    (r"(?<=\d) (?=\d{3}(?!\d))", ""),                                                        # 10 080
]  # fmt: skip
_REWRITES = [(re.compile(pattern), replacement) for pattern, replacement in _LAYOUT + _MEANING]
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


def tidy(answer: str) -> str:
    """The answer, typeset in one way, without what says nothing about its value."""
    text = answer.translate(_SYMBOLS).strip()
    for _ in range(MAX_BRACES):
        brackets, inner = unwrap(text)
        text = inner.strip() if brackets == "{}" else text
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.replace(",", "") if _THOUSANDS.fullmatch(text) else text


def _clock(time: re.Match[str]) -> str:
    """`2:15 p.m.` as `14:15`."""
    hour = int(time["hour"]) % 12 + (12 if time["half"] in "pP" else 0)
    return f"{hour}:{time['minute'] or '00'}"


def _angle(angle: re.Match[str]) -> str:
    """An angle of so many degrees is that number, but in radians as the argument of a function."""
    return rf"({angle[1]}\pi/180)" if re.search(rf"(?:{_FUNCTIONS}){_END}", angle.string) else angle[1]


def _repeating(decimal: re.Match[str]) -> str:
    r"""`1.2\overline{34}` as `\frac{1222}{990}`."""
    fixed, repeated = decimal["whole"] + decimal["fixed"], decimal["braced"] or decimal["bare"]
    nines = "9" * len(repeated) + "0" * len(decimal["fixed"])
    return rf"\frac{{{int(fixed + repeated) - int(fixed or 0)}}}{{{nines}}}"
