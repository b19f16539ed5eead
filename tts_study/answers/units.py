r"""Units and words behind a number, which say nothing about its value: `65 km/h`, `18 dollars per hour`, `37 ways`.

A single letter by itself is not a unit, since answers contain variables: `5h` is a polynomial, while `5\text{ h}` and
`5 m/s` are numbers. Words that change the number (`3 fifths`, `4 squared`, `5 or more`) are no units.
"""

import re

NOT_UNITS = (
    "and|or|hundred|thousand|million|billion|trillion|dozens?|hal(?:f|ves)|thirds?|quarters?|fourths?|fifths?|sixths?|"
    "sevenths?|eighths?|ninths?|tenths?|(?:hundred|thousand|million)ths?|factorial|squared|cubed|plus|minus|times|divided|over|"
    "mod(?:ulo)?|base|remainder|more|less|fewer|greater|than|to|not|pi|sqrt|root|infinity|binary|am|pm|noon|except|through|"
    "abcd?e?|w?xyz|if|when|where|for|is|are|only|all|sin|cos|tan|log"
)
_WORDS = (
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s*)?(?:(?:centi|milli|kilo)?(?:meter|metre|gram|liter|litre)s?|inch(?:es)?|foot|"
    r"feet|(?:yard|mile|degree|radian|dollar|cent|second|minute|hour|day|week|month|year|unit|pound|ounce|gallon)s?|"
    r"percent|cm|mm|km|ft|kg|mg|mL|ml|mph|kph|rpm|lbs?|oz|sec(?:s|onds?)?|mins?|hrs?|kHz|MHz|Hz|kW|kWh|Pa|kPa|mol|rad|"
    r"yd|sq|points?|euros?|pesos?|yuan|yen|rupees?)"
)
_LETTERS = r"(?:km|cm|mm|mi|ft|in|yd|kg|mg|lbs?|oz|mL|ml|dL|mol|cal|kcal|rev|bits?|MB|GB|kB|[mgLlJNWVAC])"
_TIMES = r"(?:sec|min|hrs?|day|yr|mol|km|cm|mm|mL|ml|kg|[shLlmgK])"
_POWER = r"(?:\s*\^\s*(?:\{\s*-?[1-3]\s*\}|-?[1-3]))?"
_TEXT = rf"\\text\{{(?!\s*(?:{NOT_UNITS})\b)(?!\s*[abcdeinkpqruvwxyzE]\s*\}})[^{{}}]*\}}" + _POWER
_NUMBER = r"[-+]?(?:\d+(?:\.\d+)?|\.\d+|\d*\s*\\frac\s*\{\d+\}\s*\{\d+\}|\d+/\d+|\d+\s+\d+/\d+)"
_SHORT = (
    "per|men|cow|dog|cat|pig|car|day|way|box|cup|egg|pen|bag|bus|kid|nut|pie|pot|row|ton|toy|win|set|gal|age|bit|fan"
)
_WORD = rf"(?!(?:{NOT_UNITS})\b)(?:(?=[A-Za-z'-]*[aeiouy])[A-Za-z][a-z'-]{{3,}}|{_SHORT})"
_NEXT = rf"(?!(?:{NOT_UNITS})\b)[A-Za-z][a-z'-]*"

# what is deleted at an answer's end
AFTER_NUMBER = [
    rf"(?<=[\d}})])\s*(?:\\frac\s*\{{\s*{_TEXT}\s*\}}\s*\{{\s*{_TEXT}\s*\}}|{_TEXT}(?:\s*(?:/|\\cdot)?\s*{_TEXT})?)\s*\.?\s*$",
    rf"(?<=[\d}})])\s*{_LETTERS}{_POWER}\s*/\s*{_TIMES}{_POWER}\s*\.?\s*$",                  # 9.8 m/s^2
    rf"(?<=[\d}}).])\s*{_WORDS}(?![a-zA-Z])(?:\s*(?:/|per\b)\s*(?:{_WORDS}|{_TIMES})(?![a-zA-Z]))?{_POWER}\s*\.?\s*$",
    r"(?<=[\d}])\s*(?!万|亿|億|千|百|萬)[^\W\d_\u0370-\u03ffA-Za-z](?:[^\W\d_\u0370-\u03ff]|[ .])*\s*$",     # 40ドル
    r"(?<=[\d}])\s+[a-z]*[\u00df-\u024f][^\W\d_\u0370-\u03ff]*\s*$",                         # 5 días
]  # fmt: skip
WORDS_AFTER_NUMBER = re.compile(rf"^(\s*{_NUMBER})\s+{_WORD}(?:\s+{_NEXT}){{0,4}}\s*\.?\s*$")

_COMPOUND = re.compile(
    rf"\d\s*(?:\\text\{{\s*(?!(?:{NOT_UNITS})\b)[^{{}}]*\}}|(?<![\\a-zA-Z])(?!(?:{NOT_UNITS})\b)[a-zA-Z]{{2,}}\.?)\s*,?\s*"
    r"(?:(?:\\text\{)?\s*and\s*\}?\s*)?\d"
)
_FEET = re.compile(
    r"\s*(\d+)\s*(?:'|(?:\\text\{)?\s*(?:ft\.?|feet|foot)\s*\}?)\s*,?\s*(?:(?:\\text\{)?\s*and\s*\}?\s*)?(\d+(?:\.\d+)?)\s*"
    r"(?:''|\"|(?:\\text\{)?\s*(?:in\.?|inch(?:es)?)\s*\}?)\s*\.?\s*"
)


def without_units(text: str) -> str:
    r"""The text without a unit at its end; values in two units, such as `5'6"` and `5 feet 6 inches`, keep both."""
    if feet := _FEET.fullmatch(text):
        return f"{feet[1]}'{feet[2]}''"
    if _COMPOUND.search(text):
        return text
    for pattern in _PATTERNS:
        text = pattern.sub("", text)
    return WORDS_AFTER_NUMBER.sub(r"\1", text)


_PATTERNS = [re.compile(pattern) for pattern in AFTER_NUMBER]
