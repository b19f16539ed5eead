r"""Finding the answer in a completion: the last box, or else what its words say is the answer.

A text that was cut in the middle has no answer rather than a wrong one, for `\boxed{12` may have become `\boxed{123}`.
"""

import re

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*(?:(?P<brace>\{)|(?P<bare>[^\s${}\\]+))?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_GSM8K = re.compile(r"^####[ \t]*(?P<answer>\S.*)$", re.MULTILINE)
# possessive (`*+`) and of limited length, so that the time stays proportional to the text's length, whatever it holds
_SAID = re.compile(
    r"\banswer\b\**+(?:\s+is)?\s*+:?\**+\s*+(?:\$(?P<maths>[^$\n]{1,2000})\$|\\\((?P<inline>[^\n]{1,2000}?)\\\)|"
    r"(?P<words>(?:[^\s.,;*]|[.,](?=\d))[^\n]{0,80}?))(?P<end>\**(?:[.;,](?!\d)|\s*(?:\n|$)))",
    re.IGNORECASE,
)
MAX_WORDS = 4  # "the answer is not what one expects at first": prose, and no answer


def extract(text: str, *, fallback: bool = True, finished: bool = True) -> str | None:
    r"""The content of the last `\boxed{...}` or `\fbox{...}` (or `\boxed 5`); without any, what is said; or None.

    An empty box counts as not there. If the last box never closes there is no answer, rather than an earlier,
    intermediate one.

    Args:
        text: the completion.
        fallback: where there is no box at all, take what follows the last `#### ` (GSM8K), or else the last
            "(the final) answer is" or "Answer:", up to the end of the sentence. For models that are told to use a box,
            switch it off to hold them to it.
        finished: the model ended the text itself; if it did not, an answer at the very end may lack its last digits,
            and only one whose box is closed, or that something follows, is taken.
    """
    boxes = list(_BOX.finditer(text))
    for box in reversed(boxes):
        if box["brace"]:
            end = _closing_brace(text, box.end())
            if end is None:
                return None
            content = text[box.end() : end].strip()
        else:
            content = (box["bare"] or "").rstrip(".,;:")
            if content and not finished and box.end() == len(text):
                return None
        if content:
            return content
    return _said(text, finished) if fallback and not boxes else None


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for token in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)  # an escaped brace is neither
        if depth == 0:
            return token.start()
    return None


def _said(text: str, finished: bool) -> str | None:
    if lines := list(_GSM8K.finditer(text)):
        return lines[-1]["answer"].strip() if finished or lines[-1].end() < len(text) else None
    if not (sentences := list(_SAID.finditer(text))):
        return None
    last = sentences[-1]
    if not finished and last.end() == len(text) and last["words"] and not last["end"]:
        return None
    content = (last["maths"] or last["inline"] or last["words"]).strip()
    return content if last["words"] is None or len(content.split()) <= MAX_WORDS else None
