"""Values of settings and options: what comes from a command line or a notebook is often text."""

from typing import Any

from tts_study.errors import UserError

KINDS = {int: "a whole number", float: "a number", str: "a text"}


def typed(name: str, value: Any, kind: Any) -> Any:
    """A value as a bool, int, float or str; text is converted.

    Raises:
        UserError: it cannot be one; the message names the value `name`.
    """
    if kind is bool:
        if str(value).lower() not in ("true", "false"):
            raise UserError(f"{name} must be true or false, and {value!r} is not")
        return str(value).lower() == "true"
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError
        converted = kind(value)
        if kind is int and float(value) != converted:
            raise ValueError
        if kind is str:
            str(converted).encode()  # not half a character, nor a byte of a command line that is not UTF-8
    except (ValueError, OverflowError):
        raise UserError(f"{name} must be {KINDS[kind]}, and {value!r} is not") from None
    return converted
