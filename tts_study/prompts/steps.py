"""Text to steps and back: a step ends at a blank line."""

STEP_SEPARATOR = "\n\n"


def split_steps(text: str) -> tuple[str, ...]:
    """Split a solution at blank lines; surrounding space goes, and empty steps with it.

    A trailing separator would otherwise make an empty last step, and aggregation "last" would score nothing.
    """
    return tuple(step for part in text.split(STEP_SEPARATOR) if (step := part.strip()))
