r"""How an answer is typeset: characters of all scripts, fonts, colours, sizes, and arguments without braces.

Everything here rewrites `\frac\pi6`, `√13`, `x⁴`, `{\color{blue}6}`, `2**10`, `10^-6` and `（3，4）` into plain LaTeX.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

from tts_study.answers.text import closing

Rewrite = tuple[str, str | Callable[[re.Match[str]], str]]

END = r"(?![a-zA-Z])"  # of a command's or function's name
NUMBER = r"\d+(?:\.\d+)?"

_CHARACTERS = str.maketrans({
    "−": "-", "–": "-", "﹣": "-", "×": r"\times ", "·": r"\cdot ", "∙": r"\cdot ", "⋅": r"\cdot ", "÷": "/", "⁄": "/",
    "∕": "/", "π": r"\pi ", "∞": r"\infty ", "√": r"\sqrt ", "∛": r"\sqrt[3] ", "∜": r"\sqrt[4] ", "°": r"^\circ ",
    "º": r"^\circ ", "±": r"\pm ", "∓": r"\mp ", "∪": r"\cup ", "⋃": r"\cup ", "∩": r"\cap ", "∖": r"\setminus ",
    "∈": r"\in ", "≤": r"\le ", "≥": r"\ge ", "⩽": r"\le ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
    "…": r"\ldots ",
    "⋯": r"\ldots ", "∅": r"\emptyset ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "∠": r"\angle ", "△": r"\triangle ",
    "⇒": r"\Rightarrow ", "→": r"\to ", "′": "'", "″": "''", "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "«": '"',
    "»": '"', "「": '"', "」": '"', "€": "", "£": "", "¥": "", "￥": "", "₹": "", "₽": "", "₩": "",
    "、": ", ", "，": ", ", "。": ".",
    "．": ".", "｡": ".", "\t": " ", "\n": " ", "\u200b": "", "\ufeff": "", "\u2060": "", "\u202f": " ",
    "\u2062": "", "✓": "", "✅": "",
})  # fmt: skip
_RAISED = {raised: plain for raised, plain in zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿˣ", "0123456789+-nx", strict=True)}
_LOWERED = {lowered: plain for lowered, plain in zip("₀₁₂₃₄₅₆₇₈₉ₙ", "0123456789n", strict=True)}
_SCRIPTS = re.compile(f"[{''.join(_RAISED)}]+|[{''.join(_LOWERED)}]+")
_VULGAR = re.compile(r"[\u00bc-\u00be\u2150-\u215e\u2189]")

_SIZES = (
    "tiny|scriptsize|footnotesize|small|normalsize|large|Large|LARGE|huge|Huge|displaystyle|textstyle|scriptstyle|"
    "scriptscriptstyle|limits|nolimits|rm|bf|it|sf|tt|bfseries|itshape|rmfamily|sffamily|strut|mathstrut|relax|boldmath"
)
_FUNCTIONS = (
    "arc(?:sin|cos|tan|cot|sec|csc)|ar?(?:sinh|cosh|tanh)|sinh|cosh|tanh|coth|sin|cos|tan|cot|sec|csc|ln|log|exp|gcd|lcm|"
    "max|min"
)
_ENTITIES = {"lt": "<", "gt": ">", "le": r"\le ", "ge": r"\ge ", "nbsp": " ", "amp": "&"}
_COMMANDS = {
    "arctg": r"\arctan",
    "arcctg": r"\arccot",
    "tg": r"\tan",
    "ctg": r"\cot",
    "asin": r"\arcsin",
    "acos": r"\arccos",
    "atan": r"\arctan",
    "cbrt": r"\sqrt[3]",
}
_REWRITES: list[Rewrite] = [
    (r"^\s*\*\*(?=\S)([^*]+)\*\*\s*$|^\s*\*(?=\S)([^*]+)\*\s*$", lambda bold: bold[1] or bold[2]),
    (r"(?<![\w)}\]*])\*\*(?=[^\s*])([^*]+)\*\*(?![\w(\\*])", r"\1"),
    (r"\s*\*\*\s*(-?\d+(?:\.\d+)?)", r"^{\1}"), (r"\s*\*\*\s*(?=[-\w({\\+])", "^"),            # 2**10
    (r"\*\*", ""),
    (r"&(lt|gt|le|ge|nbsp|amp);", lambda entity: _ENTITIES[entity[1]]),
    (r"\\begin\{(?P<kind>aligned|align\*?|gathered|split|cases)\}(?P<lines>(?:[^&]|&\s*=|&(?=[^&]*=))*)\\end\{(?P=kind)\}",
     lambda system: system["lines"].replace("&", "").replace(r"\\", ", ")),
    (r"\\\\\s*$|^\s*\\(?:approx|underline|#|,|;|!)" + END, ""),
    (r"\\(?:textcolor|color|colorbox)\s*(?:\[[^\]]*\])?\{[^{}]*\}|\\(?:[hv]space\*?|phantom|tag\*?|"
      r"label)\s*\{[^{}]*\}", ""),
    (rf"\{{\s*\\(?:{_SIZES}){END}\s*([^{{}}\\]*)\}}", r"\\text{\1}"),                        # {\bf 6}
    (rf"\\(?:{_SIZES}){END}", " "),
    (r"\.\.\.", r"\\ldots "),
    (r"(?<=\d)\s*(?:,\\!|\{,\}|\\[,!])\s*(?=\d{3}(?!\d))", ""),                              # 10,\!080
    (rf"(?<!\\)\\(?:[,;:!> ]|(?:q?quad|enspace|thinspace|medspace){END})|~|\u00a0", " "),
    (r"(?<!\\)\\[$()\[\]]|\$|\b(?:USD|EUR|GBP)\b|\bRs\.?(?=\s*\d)", ""),                     # maths mode, currency
    (r"\\(?:lbrace|lbrack|lparen)" + END, lambda name: {"e": r"\{", "k": "[", "n": "("}[name[0][-1]]),
    (r"\\(?:rbrace|rbrack|rparen)" + END, lambda name: {"e": r"\}", "k": "]", "n": ")"}[name[0][-1]]),
    (rf"\\m?(?:left|right)\s*\.|\\m?(?:left|right|middle){END}|\\[bB]igg?[lrm]?{END}", ""),
    (rf"\\langle{END}", "("), (rf"\\rangle{END}", ")"), (rf"\\colon{END}", ":"),
    (rf"\\(?:[lr]?vert){END}", "|"),
    (rf"\\(?:[dtc]|nice|s|x|flat)frac{END}", r"\\frac"), (rf"\\[dt]binom{END}", r"\\binom"),
    (rf"\\bigcup{END}", r"\\cup"), (rf"\\bigcap{END}", r"\\cap"),
    (rf"\\(?:smallsetminus|backslash){END}", r"\\setminus"),
    (rf"\\leqq?(?:slant)?{END}", r"\\le"), (rf"\\geqq?(?:slant)?{END}", r"\\ge"), (rf"\\(?:neq|not\s*=){END}", r"\\ne"),
    (rf"\\lt{END}", "<"), (rf"\\gt{END}", ">"), (rf"\\(?:simeq|doteq){END}", r"\\approx"),
    (rf"\\(?:implies|Longrightarrow|therefore){END}", r"\\Rightarrow"), (rf"\\cdots|\\dots[bc]?{END}", r"\\ldots"),
    (rf"\^\s*(?:\\circ{END}|\{{\s*\\circ\s*\}})|\\degrees?{END}|\\textdegree{END}", r"^\\circ "),
    (r"\\textsuperscript\s*\{", "^{"), (r"\\textsubscript\s*\{", "_{"),
    (r"^\s*\\(?:mathbf|Bbb)\s*\{?\s*R\s*\}?\s*$", r"\\mathbb{R}"),
    (r"(?<=\\in)\s*(?:\\(?:mathbf|Bbb)\s*\{?\s*([RZNQ])\s*\}?|"
      r"([RZNQ])(?![a-zA-Z]))", lambda field: rf"\mathbb{{{field[1] or field[2]}}}"),
    (r"\\(?:mathbf|mathbb|Bbb)\s*\{?\s*R\s*\}?\s*(?:-|\\setminus)\s*(?=\\\{)", r"\\mathbb{R}\\setminus "),
    (r"\\(?:mathbf|mathit|boldsymbol|bm|pmb|mathnormal)\s*\{\s*([a-zA-Z]|-?\d+|\\[a-zA-Z]+)\s*\}", r" \1 "),
    (r"\\(?:text(?:bf|it|rm|sf|tt|up|md|sl|normal)?|mbox|hbox|math(?:rm|bf|it|sf|tt)|boldsymbol|emph|operatorname\*?)\s*\{",
     r"\\text{"),
    (r"\\text\{\s*(\\[a-zA-Z]+)\s*\}", r"\1 "),
    (rf"\\text\{{\s*({_FUNCTIONS})\s*\}}", r"\\\1 "), (r"\\text\{\s*(?:arc(c?)tg)\s*\}", r"\\arc\1tg "),
    (rf"\\(?:text\{{\s*)?arcctg\s*\}}?|\\arcctg{END}", r"\\arccot "), (rf"\\arctg{END}", r"\\arctan "),
    (rf"\\tg{END}|\\text\{{\s*tg\s*\}}", r"\\tan "), (rf"\\ctg{END}|\\text\{{\s*ctg\s*\}}", r"\\cot "),
    (rf"\\lg{END}|\\text\{{\s*lg\s*\}}", r"\\log_{10} "), (r"\\log_\s*\{?\s*e\s*\}?" + END, r"\\ln "),
    (rf"\\(?:varnothing|emptyset){END}", r"\\{\\}"),
    (rf"(?<![\\a-zA-Z])(arc(?:sin|cos|tan|cot|sec|csc)|arcc?tg|c?tg(?=\s*\()|a(?:sin|cos|tan)(?=\s*\()|sqrt|cbrt|pi|sinh|cosh|tanh|sin|cos|tan|"
     rf"cot|sec|csc|exp(?=\s*\()|log|ln){END}", lambda name: _COMMANDS.get(name[1], "\\" + name[1])),
    (r"(?<![\\a-zA-Z])log(2|10)(?=\s*\()", r"\\log_{\1}"),
    (rf"(?<![\\a-zA-Z])(?:infty|infinity){END}", r"\\infty"),
    (r"(?<=[\w)}\]])\s*\^\s*(-\s*(?:\d+(?:\.\d+)?|[a-zA-Z]|\\[a-zA-Z]+)|\d{2,}(?:\.\d+)?|\d\.\d+)"
     r"(?![\d.]*\s*/\s*\d)", r"^{\1}"),                                                      # 10^-6
    (r"(?<=\d)\s*[xX*]\s*(?=10\s*\^)", r"\\times "),                                        # 4.5 x 10^3
]  # fmt: skip


def rewriter(rewrites: Sequence[Rewrite]) -> Callable[[str], str]:
    """What applies rewrites one after the other; a text in which none of them finds anything costs one search."""
    patterns = [(re.compile(pattern), replacement) for pattern, replacement in rewrites]
    first = re.compile("|".join(f"(?:{pattern})" for pattern, _ in rewrites))

    def rewritten(text: str) -> str:
        if first.search(text) is not None:
            for pattern, replacement in patterns:
                text = pattern.sub(replacement, text)
        return text

    return rewritten


_rewritten = rewriter(_REWRITES)


@lru_cache(maxsize=64)  # an answer is looked at first as a choice and then as a value
def plain_latex(answer: str) -> str:
    """An answer in one plain LaTeX; what the characters say stays the same."""
    text = _SCRIPTS.sub(_script, answer)
    text = _VULGAR.sub(_vulgar, text).translate(_CHARACTERS)
    text = "".join(map(_digit, unicodedata.normalize("NFKC", text))).translate(_CHARACTERS)
    return braced(_rewritten(text))


def _script(run: re.Match[str]) -> str:
    sign, table = ("^", _RAISED) if run[0][0] in _RAISED else ("_", _LOWERED)
    return f"{sign}{{{''.join(table[character] for character in run[0])}}}"


def _vulgar(character: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", character[0]).partition("\u2044")
    return rf"\frac{{{top}}}{{{bottom or 1}}}"


def _digit(character: str) -> str:
    """A digit of any script as 0 to 9."""
    return character if character.isascii() else str(unicodedata.decimal(character, character))


# --- arguments without braces --------------------------------------------------------------------------------------

_IN_FRACTION = re.compile(r"\\frac\s*(?:\{[^{}]*\}\s*)?\Z")  # before a root that is a fraction's argument
_RAISED_COMMAND = re.compile(r"\^\s*(\\frac\{[^{}]*\}\{[^{}]*\}|\\sqrt(?:\[[^\]]*\])?\{[^{}]*\})")
_HEAD = re.compile(r"\\(frac|binom|sqrt)(?![a-zA-Z])\s*(\[[^\[\]]{0,40}\])?")
_ARGUMENT = re.compile(r"\s*(?:(?P<command>\\[a-zA-Z]+)|(?P<digits>\d+(?:\.\d+)?)|(?P<letter>[a-zA-Z]))")


def braced(text: str) -> str:
    r"""Every argument of `\frac`, `\binom` and `\sqrt` in braces, as `\frac\pi6`, `\sqrt 13` and `sqrt(13)` mean it.

    A root covers all digits that follow it; a fraction's argument is a single digit, as in TeX.
    """
    for head in reversed(list(_HEAD.finditer(text))):  # from the last on, so that inner arguments have theirs
        name, position = head[1], head.end()
        if name != "sqrt" and head[2]:
            continue
        arguments = []
        for _ in range(1 if name == "sqrt" else 2):
            argument, position = _argument(
                text, position, root=name == "sqrt" and not _IN_FRACTION.search(text, 0, head.start())
            )
            if argument is None:
                break
            arguments.append(f"{{{argument}}}")
        else:
            root = (head[2] or "") if name == "sqrt" else ""
            text = rf"{text[: head.start()]}\{name}{root}{''.join(arguments)}{text[position:]}"
    return _RAISED_COMMAND.sub(r"^{\1}", text)


def _argument(text: str, start: int, *, root: bool) -> tuple[str | None, int]:
    """The content of the braces (or the root's parentheses) from `start` on, or the single token; and where it ends."""
    while text[start : start + 1] == " ":
        start += 1
    if text[start : start + 1] == "{" or (root and text[start : start + 1] == "("):
        end = closing(text, start)
        return (None, start) if end is None else (text[start + 1 : end], end + 1)
    if (token := _ARGUMENT.match(text, start)) is None:
        return None, start
    if token["command"] in (r"\frac", r"\sqrt", r"\binom"):  # whose own arguments have braces by now
        end = token.end()
        while text[end : end + 1] == "{" and (close := closing(text, end)) is not None:
            end = close + 1
        return text[token.start() : end], end
    if token["digits"] and not root:
        start = token.start("digits")
        return text[start], start + 1
    return token[0].strip(), token.end()
