"""What was found for each policy of a ladder, and which policies were left out, with the reason."""

from collections.abc import Collection, Iterable
from typing import Any, Generic, TypeVar

from tts_study.errors import EngineUnavailable, UserError

T = TypeVar("T")


def chosen(policies: Any, ladder: Collection[str]) -> list[str]:
    """Policies that a notebook's parameter names, in the ladder's order.

    Raises:
        UserError: it is no list, or one of them is not in the ladder.
    """
    if not isinstance(policies, list | tuple):
        raise UserError(f"policies must be a list such as {list(ladder)[:2]}, and {policies!r:.40} is not")
    for name in policies:
        if name not in ladder:
            raise UserError(f"policies: there is no {name!r:.40} in this profile: choose from {', '.join(ladder)}")
    return [name for name in ladder if name in policies]


class Ladder(dict[str, T], Generic[T]):
    """What was found, by the policies' short names, smallest policy first.

    Attributes:
        left_out: the reason for each policy that could not run here.
    """

    def __init__(self, found: Iterable[tuple[str, T]] = (), left_out: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(found)
        self.left_out = dict(left_out)

    def note(self) -> str:
        """The policies in one line: "1b, 3b, 8b; left out: 70b (…)"; "none; left out: …" without any."""
        left_out = ", ".join(f"{name} ({reason})" for name, reason in self.left_out.items())
        return (", ".join(self) or "none") + (f"; left out: {left_out}" if left_out else "")

    def check(self) -> "Ladder[T]":
        """Make sure that at least one policy could run.

        Raises:
            EngineUnavailable: none could.
        """
        if not self:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self.left_out.items())
            raise EngineUnavailable(f"none of the policies can run here: {reasons}")
        return self
