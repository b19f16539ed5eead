r"""Answers: take them out of a completion, bring them to a canonical form, and group, vote and grade by that form.

Two answers are equal if their canonical forms are the same string, so equality is reflexive, symmetric and transitive
by construction, voting and grading cannot disagree, and n answers are grouped by n look-ups. For example::

    \boxed{14/12}  \boxed{\tfrac76}  \boxed{1\frac{1}{6}}  ->  "7/6"
    \boxed{5x-3}   \boxed{-3+5x}                           ->  "5*x-3"
    \boxed{(3, \frac{\pi}{2}]}                             ->  "(3;~1.57079632679489661923132169164]"

Numbers and polynomials in one variable are read by a small exact grammar (`answers.text`). Sets, lists, tuples,
intervals, unions, matrices and `\pm` are taken apart here. What remains goes to `math-verify`, which turns LaTeX into
SymPy (`answers.symbolic`). That runs in a second process, under limits of time and memory, since a model may write
anything (`9^{9^{9^9}}`); an answer that exceeds them is no answer. Nothing is ever evaluated as Python.

We use math-verify's parser but not its `verify`, which compares pairs with tolerance and is no equivalence relation:
9% equals both 9 and 0.09 there, and 1/3 equals 0.333333. Where we differ from it:

- decimals are exact: 0.5 is 1/2, and 0.3333 is not 1/3;
- percent signs, degrees, currencies and units are dropped, as MATH's own grader does: 9% is 9;
- a single letter is not a unit: `5h` is a polynomial;
- words are compared as words: `even` is not e·v·e·n;
- `a, b` and {a, b} are sets, (a, b) is ordered; an interval's ends matter;
- `52_8` is not 52, `1A_{16}` is not a product, `10:30` is a time of day (as `3:5` is not) and no quotient;
- `1.2\overline{34}` is 611/495, and what ends in dots (0.333...) is no number;
- `\sqrt[3]{-8}` is -2; `\sin 30^\circ` is 1/2; `5 million` is not 5;
- its timeouts are signals, which do not work in threads and event loops: our limits are another process's.
"""

import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tts_study.answers.extract import extract as extract
from tts_study.answers.memo import LOST, Memo
from tts_study.answers.text import is_balanced, is_phrase, read_plain, split_outside, unwrap
from tts_study.answers.tidy import tidy
from tts_study.answers.worker import Worker, WorkerLostError
from tts_study.strategies.selection import NO_ANSWER

logger = logging.getLogger(__name__)

MAX_LENGTH = 2000  # characters; MATH's longest answer has about 160
MAX_TEXT = 100  # characters of an answer that is compared as it is written, since math-verify cannot read it
MAX_DEPTH = 5  # of sets of tuples of ...

dropped: Counter[str] = Counter()  # distinct answers given up as "no answer" so far, by reason
_worker = Worker("tts_study.answers.symbolic", limit_s=2.0, memory_mib=512)
_memo = Memo()


# --- canonical form ------------------------------------------------------------------------------------------------


class UnreadableError(Exception):
    """An answer has no canonical form; the message is the reason in two or three words."""


def canonical(answer: str) -> str | None:
    """The canonical form of an answer, the same for equal answers; None if it cannot be read as an answer at all."""
    return _read(answer)[0]


def why_unreadable(answer: str) -> str | None:
    """The reason why an answer has no canonical form, in two or three words; None if it has one."""
    return _read(answer)[1]


def remember(path: Path) -> None:
    """Keep in a file what is found out about answers from now on, and use what is there: beside a run, say."""
    _memo.open(path)


def forget() -> None:
    """Start anew: a new worker, and nothing known of any answer."""
    _read.cache_clear()
    _memo.clear()
    _worker.close()


@lru_cache(maxsize=100_000)
def _read(answer: str) -> tuple[str | None, str | None]:
    try:
        if len(answer) > MAX_LENGTH:
            raise UnreadableError("too long")
        if any(unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() for c in answer):
            raise UnreadableError("control characters")
        text = tidy(answer)
        if not is_balanced(text):
            raise UnreadableError("unbalanced brackets")
        return _form(text), None
    except UnreadableError as reason:
        dropped[str(reason)] += 1
        logger.info("no answer (%s): %.80r", reason, answer)
        return None, str(reason)


def equivalent(a: str, b: str) -> bool:
    """Whether two answers are equal; an answer that cannot be read equals only itself."""
    return a == b or (canonical(a) is not None and canonical(a) == canonical(b))


def is_correct(answer: str | None, gold: str) -> bool:
    """Whether an answer is right, by the same equality that groups votes; no answer is wrong."""
    form = None if answer is None else canonical(answer)
    return form is not None and form == canonical(gold)


def group(answers: Sequence[str | None]) -> list[int]:
    """Number the answers so that equal ones share a number, from 0 in order of first appearance.

    What is None, or cannot be read, gets `NO_ANSWER` (-1).
    """
    numbers: dict[str, int] = {}
    forms = [None if answer is None else canonical(answer) for answer in answers]
    return [NO_ANSWER if form is None else numbers.setdefault(form, len(numbers)) for form in forms]


# --- structure: sets, tuples and the like are taken apart, and their elements read ----------------------------------

_MATRIX = re.compile(r"\\begin\{([bpvBV]?matrix|array)\}(?:\{[clr|]*\})?(?P<body>.*)\\end\{\1\}", re.DOTALL)
_LETTER = r"(?:[a-zA-Z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|phi|omega)(?![a-zA-Z]))"
_NAMED = re.compile(
    rf"(?P<name>{_LETTER}(?:\s*_\{{?\w+\}}?|\([a-z]\))?|\([a-z](?:,[a-z])+\))\s*(?:=|\\in(?![a-z]))(?P<value>[^=]+)"
)
_NAMED_LAST = re.compile(rf"(?P<value>[^=]+)=\s*(?P<name>{_LETTER})")
_BROKEN = re.compile(r"^[*/^=_]|[-+*/^=_]\s*(?:[*/^=_)\]}]|$)")  # an operator without its operand
_SPACED = re.compile(r"(?<![\d_.^])\d+\s+\d")  # math-verify reads "1 2" as 3


def _form(text: str, depth: int = 0) -> str:
    text = text.strip()
    if not text:
        raise UnreadableError("empty")
    if depth > MAX_DEPTH:
        raise UnreadableError("too deep")
    if (plain := read_plain(text)) is not None:
        return plain
    if matrix := _MATRIX.fullmatch(text):
        rows = [split_outside(row, "&") for row in split_outside(matrix["body"], r"\\") if row.strip()]
        forms = [_ordered("[", [_form(cell, depth + 1) for cell in row], "]") for row in rows]
        return _ordered("matrix[", forms, "]")
    if len(intervals := split_outside(text, r"\cup")) > 1:
        return _unordered([_form(interval, depth + 1) for interval in intervals])

    brackets, inner = unwrap(text)
    if brackets == "{}":
        return _form(inner, depth + 1)
    if brackets == r"\{\}" and not inner.strip():
        return "{}"
    elements = split_outside(inner if brackets == r"\{\}" else text, ",")
    elements = _without_name(elements) if depth == 0 else elements
    elements = [signed for element in elements for signed in _plus_and_minus(element)]
    if elements != [text]:
        return _unordered([_form(element, depth + 1) for element in elements])
    if brackets:
        parts = split_outside(inner, ",")
        ends = brackets if len(parts) == 2 else "()"  # only an interval's ends can be open or closed
        return _ordered(ends[0], [_form(part, depth + 1) for part in parts], ends[1])
    return _leaf(text)


def _leaf(text: str) -> str:
    if is_phrase(text):
        return f"text {' '.join(text.casefold().split())}"
    if _SPACED.search(text) or _BROKEN.search(text):
        raise UnreadableError("malformed")
    if r"\ldots" in text or r"\cdots" in text:
        return f"text {text.replace(' ', '')}"  # what the dots stand for is anyone's guess
    form = _ask(text)
    if form == "":
        raise UnreadableError("no value")
    if form is None and len(text) > MAX_TEXT:
        raise UnreadableError("malformed")
    return form or f"text {text.replace(' ', '')}"


def _ask(text: str) -> str | None:
    if text not in _memo:
        try:
            _memo[text] = _worker.ask(text)
        except WorkerLostError as lost:
            _memo[text] = f"{LOST}{lost}"
    reply = _memo[text]
    if reply is not None and reply.startswith(LOST):
        raise UnreadableError(reply.removeprefix(LOST))
    return reply


def _ordered(opening: str, forms: list[str], closing: str) -> str:
    return forms[0] if len(forms) == 1 else f"{opening}{';'.join(forms)}{closing}"


def _unordered(forms: list[str]) -> str:
    return _ordered("{", sorted(set(forms)), "}")


def _without_name(elements: list[str]) -> list[str]:
    """`x=1, x=2` and `x=1, 2` to `1, 2`; but `a=1, b=2` stays."""
    named = [_NAMED.fullmatch(element.strip()) or _NAMED_LAST.fullmatch(element.strip()) for element in elements]
    if len({match["name"] for match in named if match}) != 1:
        return elements
    return [match["value"] if match else element for match, element in zip(named, elements, strict=True)]


def _plus_and_minus(element: str) -> list[str]:
    if not re.search(r"\\[pm]{2}(?![a-zA-Z])", element) or unwrap(element.strip())[0] == r"\{\}":
        return [element]
    return [element.replace(r"\pm", above).replace(r"\mp", below) for above, below in ("+-", "-+")]
