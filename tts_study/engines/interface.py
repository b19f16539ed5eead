"""What a strategy may ask of a policy and of a PRM. It is independent of what replies: vLLM here, a script in tests."""

from collections.abc import Sequence
from typing import Protocol

from tts_study.records import Problem, Sampled, Scored


class Policy(Protocol):
    """A language model that proposes solutions."""

    @property
    def sampler(self) -> str:
        """What draws its samples, for a run's header; "" if that is not known before `start`."""
        ...

    async def start(self) -> None:
        """Get ready now instead of with the first request; once ready, there is nothing to do."""
        ...

    def prompt(self, problem: Problem) -> tuple[int, ...]:
        """The problem as token ids, chat template applied: the first prefix of every search."""
        ...

    async def complete(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Sample `n` continuations up to the model's own end; `temperature` overrides the policy's setting."""
        ...

    async def steps(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Sample `n` next steps, each up to and including the next step separator (or the end)."""
        ...


class PRM(Protocol):
    """A process reward model: how likely is each step of a solution to be right?"""

    async def start(self) -> None:
        """Get ready now instead of with the first request; once ready, there is nothing to do."""
        ...

    async def score_solutions(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score every step of whole solutions, each in one pass; equal solutions are scored once."""
        ...

    async def score_last_steps(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score only the last step of each partial solution; the steps before it come from the prefix cache."""
        ...
