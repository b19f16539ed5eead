"""A policy and a PRM that note what they are asked, and for how long they are asked nothing."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tts_study.engines.interface import PRM, Policy
from tts_study.records import Problem, Sampled, Scored


class RequestClock:
    """A clock that runs while no request is under way."""

    def __init__(self) -> None:
        self._under_way, self._idle, self._since = 0, 0.0, time.perf_counter()

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request, from asking to the reply."""
        if self._under_way == 0:
            self._idle += time.perf_counter() - self._since
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            self._since = time.perf_counter()

    def idle(self) -> float:
        """Seconds without a request so far."""
        return self._idle + (time.perf_counter() - self._since if self._under_way == 0 else 0.0)


class ClockedPolicy:
    """A `Policy` that notes its requests."""

    def __init__(self, policy: Policy) -> None:
        self.clock = RequestClock()
        self._policy = policy

    @property
    def sampler(self) -> str:
        """As the policy's."""
        return self._policy.sampler

    async def start(self) -> None:
        """As the policy's."""
        await self._policy.start()

    def prompt(self, problem: Problem) -> tuple[int, ...]:
        """As the policy's."""
        return self._policy.prompt(problem)

    async def complete(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """As the policy's."""
        with self.clock.request():
            return await self._policy.complete(prefix, n=n, seed=seed, temperature=temperature)

    async def steps(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """As the policy's."""
        with self.clock.request():
            return await self._policy.steps(prefix, n=n, seed=seed, temperature=temperature)


class ClockedPRM:
    """A `PRM` that notes its requests.

    Attributes:
        asked: the solutions, whole or partial, that were scored, with their problems.
    """

    def __init__(self, prm: PRM) -> None:
        self.clock = RequestClock()
        self.asked: list[tuple[Problem, tuple[str, ...]]] = []
        self._prm = prm

    async def start(self) -> None:
        """As the PRM's."""
        await self._prm.start()

    async def score_solutions(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """As the PRM's."""
        self.asked += [(problem, tuple(steps)) for steps in solutions]
        with self.clock.request():
            return await self._prm.score_solutions(problem, solutions)

    async def score_last_steps(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """As the PRM's."""
        self.asked += [(problem, tuple(steps)) for steps in solutions]
        with self.clock.request():
            return await self._prm.score_last_steps(problem, solutions)
