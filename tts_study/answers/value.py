r"""Whether a piece of text looks like a value or like prose: what may stand behind "the answer is" and `####`."""

import re

_EMPHASIS = re.compile(r"(?<![\w)}])[*_]{1,3}(?=\S)|(?<=\S)[*_]{2,3}(?![\w({])|(?<=[\w.)}])\*(?=\s|$)")
_COMMAND = re.compile(r"\\(?:text\w*|mathrm|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_CHOICE = re.compile(r"\(?[A-Ja-j]\)?[.)]?")
_ANSWERS = frozenset("yes no true false none infinity undefined".split())
_NUMBERED = re.compile(r"\d+[.)]\s+\D")  # "1. First step"
_VARIABLES = re.compile(r"[a-zA-Z]{2,3}(?=\s*[=_^+]|\s*$)|(?:sin|cos|tan|log|ln|sqrt|pi|and|or)")
CUT_WORDS = re.compile(
    r"\s+(?:because|since|as|so|which|where|when|whenever|if|but|after|that|who|while|whereas|therefore|hence|thus|for|by|"
    r"and (?:so|then|not|the|it|is|this)|not|rather|due|obtained|given)\b.*|\s+\([^()]*[a-z]{3}.*",
    re.IGNORECASE | re.DOTALL,
)
_PROSE = re.compile(
    r"(?:(?:not|in|as|given|found|the one|what|that|this|because|since|to|based|expected|obvious|verified|confirmed|"
    r"supposed|likely|probably|required|asked|always|never|still|also|it|we|you|i|he|she|they|there|now|here|how|why|if|when|"
    r"where|whether|which|one of|a |an |only|more|less|close|written|expressed|shown|called|obtained|using|by|"
    r"from|and|of|"
    r"on|at|with|without|for|very|quite|somewhat|too|let|but|then|thus|so|just)\b.*|(?:correct|incorrect|right|wrong|clear|"
    r"unclear|valid|invalid|reasonable|plausible|consistent|fine|good|ok|okay|known|unknown|simple|easy|ready|follows?|below|"
    r"above|unique|final|positive and|complete|done|determined|calculated|computed|derived|the same|sorry|hmm|wait|"
    r"exact|accurate|acceptable|a|an|the)\b[ .!]*)",
    re.IGNORECASE | re.DOTALL,
)


def without_emphasis(text: str) -> str:
    """The text without Markdown's asterisks and underscores around words."""
    return _EMPHASIS.sub("", text).strip()


def is_prose(text: str) -> bool:
    """Whether these words say something about an answer and do not give it: "correct", "as follows", "not 5"."""
    return _PROSE.fullmatch(text.strip()) is not None and not _CHOICE.fullmatch(text.strip())


def is_value(text: str, *, words: int) -> bool:
    """Whether this is a number, a formula, a choice's letter or yes or no, with up to `words` words (a unit) behind.

    A heading, such as "Case 2: n is odd" or "1. First step", is not one.
    """
    text = without_emphasis(text).strip("$ .").removeprefix(r"\(").removesuffix(r"\)").strip()
    if not text or "boxed" in text or text.count("{") != text.count("}") or _NUMBERED.match(text):
        return False
    if _CHOICE.fullmatch(text) or text.casefold() in _ANSWERS:
        return True
    plain = _COMMAND.sub(" ", text)
    found = [word for word in _WORD.findall(plain) if not _VARIABLES.fullmatch(word)]
    if not found or all(len(word) <= 3 and not text[:1].isalpha() for word in found) and words:
        return re.search(r"[\d\\]|(?<![a-zA-Z])[a-zA-Z](?![a-zA-Z])", text) is not None or text.isupper()
    starts_with_number = re.match(r"[-+±(\[]*\s*[$€£¥]?\s*\\?\$?[-+]?[\d.]", text) is not None or text.startswith("\\")
    return starts_with_number and len(found) <= words and not re.search(r"[:]\s", text)
