"""What an answer means, once it is read."""

from dataclasses import dataclass


class UnreadableError(Exception):
    """An answer has no canonical form; the message is the reason in two or three words."""


@dataclass(frozen=True)
class Reading:
    """What an answer means.

    Attributes:
        form: its canonical form.
        value: another form that it states as well: of `x+y = 7` the 7, of `b` the choice B. It counts against an answer
            that has no such second meaning.
        in_order: of a list of bare values, the form of named values in this order: `3, -7` accepts `a=3, b=-7`.
    """

    form: str
    value: str | None = None
    in_order: str | None = None

    @property
    def key(self) -> str:
        """By what answers are grouped: equal keys mean the same whatever the gold answer is."""
        return self.form if self.value is None else f"{self.form} or {self.value}"

    def accepts(self, given: "Reading") -> bool:
        """Whether an answer is right if this is the gold one."""
        return (
            given.form in (self.form, self.in_order)
            or (given.value == self.form and self.value is None)
            or (given.form == self.value and given.value is None)
        )
