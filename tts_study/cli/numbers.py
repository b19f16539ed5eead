"""The numbers that options take: anything else is refused with one sentence."""

import argparse


def positive(text: str) -> int:
    """A whole number of at least 1, as argparse's `type`."""
    return _at_least(1, text)


def whole(text: str) -> int:
    """Any whole number, as argparse's `type`: what asks for it says which ones are allowed."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"it must be a whole number, and {text!r:.40} is not") from None


def natural(text: str) -> int:
    """A whole number of at least 0, such as a seed, as argparse's `type`."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"it must be a whole number of at least {least}, and {text!r:.40} is not")
    return number
