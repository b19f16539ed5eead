r"""Answers: take them out of a completion, bring them to a canonical form, and group, vote and grade by that form.

Two answers are equal if their canonical forms are the same string, so equality is reflexive, symmetric and transitive
by construction, and n answers are grouped by n look-ups. For example::

    \boxed{14/12}  \boxed{\tfrac76}  \boxed{1\frac{1}{6}}  ->  "7/6"
    \boxed{5x-3}   \boxed{-3+5x}                           ->  "5*x-3"
    \boxed{(3, \frac{\pi}{2}]}                             ->  "(3;~1.57079632679489661923132169164]"

Grading uses the same forms, so answers that vote together get the same verdict. It also knows which answer is the gold
one: where that is a bare value, `x+y = 7` counts as 7 and `a=3, b=-7` as `3, -7`, which votes alone could not show.

Numbers and polynomials in one variable are read by a small exact grammar (`answers.text`). How an answer is typeset,
thousands, units, names, choices, sets, lists, tuples, matrices and `\pm` are handled in this process (`typeset`,
`thousands`, `units`, `tidy`, `names`, `choices`, `sets`, `forms`). What remains goes to `math-verify`'s parser, which
turns LaTeX into SymPy (`symbolic`). That runs in a second process, under limits of time and memory (`worker`), since a
model may write anything (`9^{9^{9^9}}`); an answer that exceeds them is no answer. Nothing is evaluated as Python.

docs/answers.md lists the formats that are read, and where and why this differs from math-verify's `verify`, which
compares pairs with tolerance and is no equivalence relation: 9% equals both 9 and 0.09 there.
"""

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

from tts_study.answers.choices import chosen, selected
from tts_study.answers.extract import boxed as boxed
from tts_study.answers.extract import extract as extract
from tts_study.answers.extract import gold as _gold
from tts_study.answers.forms import Reader
from tts_study.answers.parser import Parser
from tts_study.answers.reading import Reading, UnreadableError
from tts_study.answers.text import is_balanced
from tts_study.answers.tidy import tidy
from tts_study.answers.typeset import plain_latex
from tts_study.records import Problem
from tts_study.strategies.selection import NO_ANSWER

logger = logging.getLogger(__name__)

MAX_LENGTH = 2000  # characters; MATH's longest answer has about 160

MOST_NAMED = 10  # of the problems whose gold answers cannot be read

dropped: Counter[str] = Counter()  # distinct answers that counted as "no answer" so far, by reason
_parser = Parser()
_reader = Reader(lambda text: _parser.ask(text))


def canonical(answer: str) -> str | None:
    """The canonical form of an answer, the same for equal answers; None if it cannot be read as an answer at all."""
    reading = _read(answer)[0]
    return None if reading is None else reading.key


def why_unreadable(answer: str) -> str | None:
    """The reason why an answer has no canonical form, in two or three words; None if it has one."""
    return _read(answer)[1]


def forget() -> None:
    """Start again: a new worker, and no known answers except those in the memo's file."""
    _read_short.cache_clear()
    _parser.forget()


def equivalent(a: str, b: str) -> bool:
    """Whether two answers are equal; an answer that cannot be read equals only itself."""
    return a == b or (canonical(a) is not None and canonical(a) == canonical(b))


def is_correct(answer: str | None, gold_answer: str) -> bool:
    """Whether an answer is right; no answer is wrong, and so is every answer to a gold one that cannot be read."""
    if answer is None:
        return False
    given, wanted = _read(answer)[0], _read(gold(gold_answer))[0]
    return given is not None and wanted is not None and wanted.accepts(given)


@lru_cache(maxsize=10_000)
def gold(text: str) -> str:
    r"""The answer in a gold answer, which may be a worked solution with a last line `#### 18` or a last box."""
    return _gold(text)


def unread_golds(problems: Iterable[Problem]) -> tuple[str, ...]:
    """The ids of the problems whose gold answer cannot be read: no answer to them can be right."""
    return tuple(problem.id for problem in problems if canonical(gold(problem.answer)) is None)


def gold_note(unread: Sequence[str], count: int) -> str:
    """How many gold answers cannot be read, and of which problems; "" if all can be."""
    if not unread:
        return ""
    named = ", ".join(unread[:MOST_NAMED]) + (
        f" and {len(unread) - MOST_NAMED} more" if len(unread) > MOST_NAMED else ""
    )
    most = "; that is most of them: is it the right column of answers?" if 2 * len(unread) > count else ""
    return (
        f"{len(unread):,} of {count:,} gold answers cannot be read, and no completion is right there "
        f"(problem {named}){most}"
    )


def group(answers: Sequence[str | None]) -> list[int]:
    """Number the answers so that equal ones share a number, from 0 in order of first appearance.

    An answer that is None, or cannot be read, gets `NO_ANSWER` (-1).
    """
    numbers: dict[str, int] = {}
    forms = [None if answer is None else canonical(answer) for answer in answers]
    return [NO_ANSWER if form is None else numbers.setdefault(form, len(numbers)) for form in forms]


def _read(answer: str) -> tuple[Reading | None, str | None]:
    if len(answer) > MAX_LENGTH:  # not remembered: a hundred thousand of them would fill the memory
        dropped["too long"] += 1
        return None, "too long"
    return _read_short(answer)


@lru_cache(maxsize=100_000)
def _read_short(answer: str) -> tuple[Reading | None, str | None]:
    try:
        if any(unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() for c in answer):
            raise UnreadableError("control characters")
        plain = plain_latex(answer)
        if (letter := chosen(plain)) is not None:
            return Reading(letter), None
        if (letters := selected(plain)) is not None and not plain.strip(" .").isalpha():
            return Reading(f"{{{';'.join(letters)}}}" if len(letters) > 1 else letters[0]), None
        text = tidy(answer)
        if not is_balanced(text):
            raise UnreadableError("unbalanced brackets")
        return _reader.read(text), None
    except UnreadableError as reason:
        dropped[str(reason)] += 1
        logger.info("no answer (%s): %.80r", reason, answer)
        return None, str(reason)
