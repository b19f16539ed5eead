r"""Find an answer that is stated in words and not in a box.

Such as "The answer is 42.", `#### 42`, "A: 42", "答案是 42", or a completion that is nothing but a value.

The last statement counts. What follows its verb or colon must look like a value, or be few words; "This answer is
correct" and "each wrong answer costs 2 points" state none, and then an earlier statement counts. One that is cut, "the
answer is" at a text's end, is no answer.
"""

import re
from collections.abc import Iterator

from tts_study.answers.value import CUT_WORDS, is_prose, is_value, without_emphasis

MAX_WORDS = 4  # "the answer is not what one expects at first": prose, and no answer
MAX_TEXT = 2000  # characters of a value in maths mode
MAX_SENTENCE = 300  # characters of a value in words

_VERB = (
    r"(?:(?<![a-zA-Z])is,\s*(?:therefore|thus|hence|then|of course),|(?<![a-zA-Z])(?:is|are|was|should be|"
    r"would be|will be|must be|has to be|can be|becomes|equals|"
    r"comes (?:out )?to|comes out as|turns out to be)"
    r"(?![a-zA-Z])(?:\s+(?:therefore|thus|hence|then|indeed|simply|just|clearly|actually|now|still|also|finally|"
    r"equal to|"
    r"given by|exactly|found to be|of course))*,?\s*:?|[:=：]|[-–—](?=\s))"
)
_ABOUT = (
    r"(?:\s*\([^()\n]{0,60}\))?(?:\s+(?:to|for|of|in|as|here|from|we|i|you|that|choice|option|key)\b[^.,:;=\n*$]{0,80}?)?"
    r"(?:\s*\([^()\n]{0,60}\))?"
)
_NOUN = (
    r"(?<![a-z])(?:answers?(?![a-z])|ans\b\.?(?=\s*[:=])|(?:correct|right|best|final)\s+(?:option|choice|result|value|solution)(?![a-z])|"
    r"final result(?![a-z]))"
)
_ENGLISH = rf"{_NOUN}\**{_ABOUT}\**\s*{_VERB}"
_HEADING = r"^[#*_\s>✅-]{0,20}(?:the\s+)?(?:final\s+|correct\s+)?answer[*_\s]*$"
_OTHERS = (
    r"(?:最终|最后|正确|所以|因此){0,4}(?:答案|答)\s*(?:应该|应当|应)?\s*(?:是|为|為|等于|[:：])+|(?:故|应|應|因此)选(?:择)?\s*[:：]?|"
    r"(?:答え|正解|解答|答)(?:は|[:：])\**|(?:정답|답)(?:은|는|[:：])\**|"
    r"r[ée]ponse(?:\s+(?:finale|correcte))?\s*(?:est|:)\**\s*:?|respuesta(?:\s+(?:final|correcta))?\s*(?:es|:)\**\s*:?|"
    r"antwort\s*(?:ist|lautet|:)\**\s*:?|(?:ist|lautet)\s+die\s+antwort|antwort(?=\s*\**\s*\d)|"
    r"resposta(?:\s+(?:final|correta))?\s*(?:é|:)\**\s*:?|risposta(?:\s+(?:finale|corretta))?\s*(?:è|:)\**\s*:?|"
    r"ответ(?:ом)?(?:\s+(?:равен|является|будет))?\s*(?::|—|–|-|(?=\d))\**|(?:het\s+)?antwoord\s*(?:is|:)\**|svaret\s*(?:är|er|:)\**|"
    r"odpowied[źz]\s*(?:to|:|brzmi)\**|odpověď\s*(?:je|:)\**|cevap\s*:?\**|đáp\s+(?:án|số)\s*(?:là|:)\**|jawaban(?:nya)?\s*(?:adalah|:)\**|"
    r"उत्तर\s*(?:है|:)?|الإجابة\s*(?:هي|:)|الجواب\s*(?:هو|:)|คำตอบ\s*(?:คือ|:)"
)
_MARKER = re.compile(
    rf"(?P<english>{_ENGLISH})|(?P<other>{_OTHERS})|(?P<heading>{_HEADING})", re.IGNORECASE | re.MULTILINE
)
_HASHES = re.compile(r"(?<!#)####(?!#)[ \t]*(?P<answer>[^\n]{1,300})")
_LETTER_LINE = re.compile(r"\**A\**\s*:\**\s*(?P<answer>\S.*)")
_MATHS = re.compile(
    rf"\$\$(?P<double>[^$]{{1,{MAX_TEXT}}})\$\$|\$(?P<dollar>[^$\n]{{1,{MAX_TEXT}}})\$|"
    rf"\\\[(?P<display>(?:[^\\]|\\(?!\])){{1,{MAX_TEXT}}})\\\]|\\\((?P<inline>(?:[^\\\n]|\\(?!\))){{1,{MAX_TEXT}}})\\\)"
)
_SENTENCE = re.compile(rf"(?:[^\s.。!?]|[.](?=\d)|(?<=\\)[.!]|[^\S\n]){{0,{MAX_SENTENCE}}}")
_SEPARATOR = re.compile(
    r"(?:\s*[,;，、]\s*(?:(?:and|or)\b\s*)?|\s+(?:and|or)\s+)(?!\d{3}(?!\d))|(?<=\D),\s*(?=\d{3}(?!\d))", re.IGNORECASE
)
_ENDINGS = re.compile(r"(?:です|である|だ|となります|になります|입니다|이다|है|ですね)+\s*$")


def said(text: str, finished: bool) -> str | None:
    """The answer that a text without a box states last, or None.

    Args:
        text: what follows the thinking.
        finished: as in `answers.extract`.
    """
    for start, hashes in _markers(text):
        value = _after_hashes(text, hashes, finished) if hashes else _stated(text, start, finished)
        if value is not None:
            return value or None
    return _on_last_line(text, finished)


def _markers(text: str) -> Iterator[tuple[int, re.Match[str] | None]]:
    """Where statements end, and GSM8K's marks, from the last to the first."""
    found: list[tuple[int, re.Match[str] | None]] = [(marker.end(), None) for marker in _MARKER.finditer(text)]
    found += [(mark.end(), mark) for mark in _HASHES.finditer(text)]
    return iter(sorted(found, key=lambda each: each[0] if each[1] is None else each[1].start(), reverse=True))


def _after_hashes(text: str, mark: re.Match[str], finished: bool) -> str | None:
    value = mark["answer"].strip()
    if not is_value(value, words=2):
        return None  # a heading
    return value if finished or mark.end() < len(text) else ""


def _stated(text: str, start: int, finished: bool) -> str | None:
    """What is said from `start` on: a value, "" where the statement is cut, or None where it is prose."""
    rest = text[start : start + MAX_TEXT + 100]
    while (stripped := rest.lstrip(" \t*_:：\n>✅")) != rest:
        rest = stripped
    begin = start + text[start : start + MAX_TEXT + 100].find(rest) if rest else len(text)
    if not rest:
        return ""
    if maths := _MATHS.match(rest):
        content = next(group for group in maths.groups() if group is not None)
        if not _is_price(maths, rest):
            more = _more_maths(rest, maths.end())
            return ", ".join([content.strip(), *more])
    sentence = _SENTENCE.match(rest)
    words = sentence[0] if sentence else ""
    end = begin + len(words)
    if not finished and end >= len(text):
        return ""
    return _value_in(words)


def _value_in(words: str) -> str | None:
    """The value, or list of values, that a sentence begins with; None if it is prose."""
    words = without_emphasis(_ENDINGS.sub("", words.strip()))
    parts: list[str] = []
    position = 0
    separators = [*_SEPARATOR.finditer(words), None]
    for separator in separators:
        part = words[position : separator.start() if separator else len(words)].strip(" *_")
        if not parts:
            if (first := _first(part)) is None:
                return None
            parts.append(first)
        elif not part.startswith("not ") and is_value(
            part, words=1 if len(parts) < 2 and re.search(r"[a-z]{3}", parts[0]) else 0
        ):
            parts.append(part)
        else:
            break
        if separator is None:
            break
        position = separator.end()
    return ", ".join(parts)


def _first(part: str) -> str | None:
    part = re.split(r"\\\]|\\\)|\$(?=\s|$)", CUT_WORDS.split(part)[0], maxsplit=1)[0].strip(" *_–—")
    if not part or is_prose(part) or len(part.split()) > MAX_WORDS and not is_value(part, words=0):
        return None
    return part


def _more_maths(rest: str, position: int) -> list[str]:
    r"""The further values of "$x = 3$ or $x = -1$"."""
    more = []
    while joint := re.compile(r"\s*(?:,\s*(?:(?:and|or)\s+)?|(?:and|or)\s+)").match(rest, position):
        maths = _MATHS.match(rest, joint.end())
        if maths is None:
            break
        more.append(next(group for group in maths.groups() if group is not None).strip())
        position = maths.end()
    return more


def _is_price(maths: re.Match[str], rest: str) -> bool:
    """Whether the dollar signs are currency: "$8 per day, or $56 a week"."""
    inside = maths["dollar"]
    return inside is not None and re.match(r"\s*[\d,.]+\s+(?:[a-z]{2,}\b|[,.]\s)", inside) is not None


def _on_last_line(text: str, finished: bool) -> str | None:
    """The value of a last line "A: 24", or of a completion that is nothing but a value."""
    lines = text.strip().splitlines()
    if not lines or not finished and not text.endswith("\n"):
        return None
    if letter := _LETTER_LINE.fullmatch(lines[-1].strip()):
        return letter["answer"].strip() if is_value(letter["answer"].strip(), words=2) else None
    line = lines[0].strip()
    if len(lines) > 1 or len(line) > MAX_SENTENCE or is_prose(without_emphasis(line)):
        return None
    return line if is_value(line, words=0) or re.fullmatch(r"[*_]*[A-Za-z]{1,20}[*_]*\.?", line) else None
