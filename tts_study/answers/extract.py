r"""Finding the answer in a completion: the last box, `<answer>` tags, or else what its words say is the answer.

What a model thinks before `</think>` does not count; a thought that does not end has no answer. A text that was cut
in the middle has no answer rather than a wrong one, for `\boxed{12` may have become `\boxed{123}`.
"""

import re

from tts_study.answers.said import said

_BOX = re.compile(r"\\(?:boxed|fbox)(?![a-zA-Z])\s*(?:(?P<brace>\{)|(?P<bare>[^\s${}\\]+))?")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_THOUGHT = re.compile(r"<(?P<end>/)?(?:think|thinking|thought|reasoning)>|◁(?P<closed>/)?think▷", re.IGNORECASE)
_TAG = re.compile(r"<(?P<end>/)?answer>", re.IGNORECASE)
_SPECIAL = re.compile(r"(?:\s*<\|[^<>|\s]{1,40}\|>|\s*</s>|\s*<end_of_turn>)+\s*$")
MAX_TAGGED = 2000  # characters of an answer between tags

# what stands between two boxes of one list: a comma or "and", and nothing that begins another thought
_BETWEEN = re.compile(r"[^.!?\n]|\.(?=\d)")
_JOINED = re.compile(r",|;|\b(?:and|or)\b|&|\\quad|、|和|、|y\b|et\b|und\b", re.IGNORECASE)
_APART = re.compile(
    r"\b(?:answer|then|so|therefore|thus|hence|that is|i\.e|which|simplif\w*|giv(?:es?|ing)|but|not|wait|actually|"
    r"equals?|"
    r"equivalent|approximately|check|verif\w*|instead|now|from|since|because|if|when)\b|=>|\\Rightarrow|\\implies|\\approx|"
    r"^\s*\$?\s*=",
    re.IGNORECASE,
)
_NAME = re.compile(r"([a-zA-Z](?:_\{?\w{1,3}\}?)?|\\(?:theta|alpha|beta|lambda|mu|phi))\s*=\s*$")
MAX_BETWEEN = 100  # characters


def extract(text: str, *, fallback: bool = True, finished: bool = True) -> str | None:
    r"""The answer that a completion gives, or None.

    It is the content of the last `\boxed{...}` or `\fbox{...}` (or `\boxed 5`); if the last sentence boxes each of
    several values, all of them. An empty box counts as not there. If the last box never closes there is no answer,
    rather than an earlier, intermediate one.

    Args:
        text: the completion.
        fallback: where there is no box at all, use the content of `<answer>` tags, or what words say is the answer
            (`answers.said`). Switch it off for models that are asked to use a box, to count only what is in one.
        finished: the model ended the text itself; if it did not, an answer at the very end may lack its last digits,
            and only one whose box is closed, or that something follows, is taken.
    """
    thoughts = list(_THOUGHT.finditer(text))
    if thoughts:
        if not (thoughts[-1]["end"] or thoughts[-1]["closed"]):
            return None
        text = text[thoughts[-1].end() :]
    text = _SPECIAL.sub("", text[-200:]).join([text[:-200], ""]) if len(text) > 200 else _SPECIAL.sub("", text)
    if fallback and (tags := list(_TAG.finditer(text))):
        tagged = _tagged(text, tags, finished)
        if tagged is None or not _BOX.search(text, tags[-1].end()):
            return tagged
    boxes = list(_BOX.finditer(text))
    if not boxes:
        return said(text, finished) if fallback else None
    return _last(text, boxes, finished)


def boxed(text: str) -> str | None:
    """The content of the last box of a text (or of the boxes of its last sentence); None without one."""
    return extract(text, fallback=False)


def gold(text: str) -> str:
    r"""The answer in a gold answer, which may be a worked solution with a last line `#### 18` or a last box."""
    before, mark, last = f"\n{text}".rpartition("\n####")
    if mark and (value := last.strip()):
        return value
    return boxed(text) or text


def _last(text: str, boxes: list[re.Match[str]], finished: bool) -> str | None:
    for i in reversed(range(len(boxes))):
        box = boxes[i]
        content, end = _content(text, box)
        if content is None or (content and not box["brace"] and not finished and end == len(text)):
            return None
        if content:
            return _with_others(text, boxes[:i], content, box.start())
    return None


def _content(text: str, box: re.Match[str]) -> tuple[str | None, int]:
    """A box's content and where it ends; None if it never closes."""
    if not box["brace"]:
        bare = (box["bare"] or "").rstrip(".,;:")
        return "" if bare[:2].isalpha() and len(bare) > 1 else bare, box.end()  # "I used \\boxed as asked"
    end = _closing_brace(text, box.end())
    return (None, len(text)) if end is None else (text[box.end() : end].strip(), end + 1)


def _with_others(text: str, boxes: list[re.Match[str]], content: str, start: int) -> str:
    """The last box's content after those of the boxes that the same sentence joins to it."""
    contents = [_named(text, start, content)]
    for box in reversed(boxes):
        if start - box.end() > MAX_BETWEEN + MAX_TAGGED:
            break
        other, end = _content(text, box)
        between = text[end:start]
        if not other or not 0 <= len(between) <= MAX_BETWEEN or not _joined(between):
            break
        start = box.start()
        contents.append(_named(text, start, other))
    if len(contents) == 1:
        return content
    return ", ".join(dict.fromkeys(reversed(contents)))


def _joined(between: str) -> bool:
    return _BETWEEN.sub("", between) == "" and _JOINED.search(between) is not None and _APART.search(between) is None


def _named(text: str, start: int, content: str) -> str:
    r"""`x=1` of `x=\boxed{1}`."""
    name = _NAME.search(text, max(0, start - 20), start)
    return f"{name[1]}={content}" if name and "=" not in content else content


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for token in _BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(token[0], 0)  # an escaped brace is neither
        if depth == 0:
            return token.start()
    return None


def _tagged(text: str, tags: list[re.Match[str]], finished: bool) -> str | None:
    """The content of the last answer tags; None if they are cut, empty or contain no answer."""
    opening = next((tag for tag in reversed(tags) if not tag["end"]), None)
    if opening is None:
        return said(text[: tags[0].start()], finished=True)
    closed = next((tag for tag in tags if tag["end"] and tag.start() >= opening.end()), None)
    if closed is None and not finished:
        return None
    content = text[opening.end() : closed.start() if closed else len(text)].strip()
    if not content:
        return None
    if _BOX.search(content):
        return _last(content, list(_BOX.finditer(content)), finished=True)
    found = said(content, finished=True)
    return found or (content if len(content) <= MAX_TAGGED and "\n" not in content else None)
