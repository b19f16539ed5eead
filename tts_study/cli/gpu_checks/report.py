"""A list of checks, each with a verdict; one that fails is reported, and the others continue."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

Verdict = Literal["ok", "slow", "differs", "FAILED", "not run"]


@dataclass(frozen=True)
class Check:
    """One row of the table.

    Attributes:
        name: what was checked.
        verdict: how it went.
        found: numbers, or what went wrong.
    """

    name: str
    verdict: Verdict
    found: str


@dataclass
class Report:
    """The checks so far.

    Attributes:
        minutes: no check begins later than that.
        on_check: is called with each check as it is done.
        checks: in order.
    """

    minutes: float
    on_check: Callable[[Check], None] = lambda check: None
    checks: list[Check] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def add(self, name: str, verdict: Verdict, found: str) -> None:
        """Add a row."""
        self.checks.append(Check(name, verdict, " ".join(found.split())))
        self.on_check(self.checks[-1])

    async def run(self, name: str, check: Callable[[], Awaitable[tuple[Verdict, str]]]) -> bool:
        """Make a check, unless its time is over; whether it was made and did not fail."""
        if time.perf_counter() - self.began > 60 * self.minutes:
            self.add(name, "not run", f"{self.minutes:g} minutes are over: run it alone, or with --minutes")
            return False
        try:
            verdict, found = await check()
        except Exception as error:  # whatever it is, it goes into the table: that is what a bug report needs
            verdict, found = "FAILED", f"{type(error).__name__}: {error}"
        self.add(name, verdict, found)
        return verdict != "FAILED"

    @property
    def failed(self) -> list[str]:
        """Names of the checks that failed or were not made."""
        return [check.name for check in self.checks if check.verdict in ("FAILED", "not run")]

    def __str__(self) -> str:
        """The table, in Markdown."""
        rows = [f"| {check.name} | {check.verdict} | {check.found.replace('|', '/')} |" for check in self.checks]
        return "\n".join(("| check | verdict | found |", "|---|---|---|", *rows))
