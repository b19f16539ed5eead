"""What does it cost to keep the policy's signals? Sampling with and without them, on one engine, by turns."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from tts_study.engines.policy import VllmPolicy
from tts_study.profiles import Profile
from tts_study.records import Problem
from tts_study.runs.engines import policy_settings
from tts_study.runs.run import at_once

TURNS = 7


@dataclass(frozen=True)
class SignalsBench:
    """Tokens a second.

    Attributes:
        plain: without signals, in each turn.
        kept: with them, each measured right after the turn without.
    """

    plain: tuple[float, ...]
    kept: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """With signals to without; the median over turns, since other work on the machine spoils some."""
        return median(kept / plain for plain, kept in zip(self.plain, self.kept, strict=True))

    def __str__(self) -> str:
        return (
            f"tokens a second, medians of {len(self.plain)} turns: {median(self.plain):,.0f} without signals, "
            f"{median(self.kept):,.0f} with them; ratio {self.ratio:.2f}"
        )


def bench_signals(profile: Profile, problems: Sequence[Problem], *, n: int, seed: int) -> SignalsBench:
    """Sample the same completions with and without signals, `TURNS` times each, prefix cache emptied before."""
    return asyncio.run(_bench(profile, problems, n, seed))


async def _bench(profile: Profile, problems: Sequence[Problem], n: int, seed: int) -> SignalsBench:
    plain = VllmPolicy(policy_settings(profile))
    kept = VllmPolicy(replace(plain.settings, signals=True), plain.engine)
    async with plain:
        speeds: dict[VllmPolicy, list[float]] = {plain: [], kept: []}
        for policy in (plain, kept) * (TURNS + 1):
            await plain.engine.forget()
            speeds[policy].append(await _sample(policy, problems, n, seed, at_once(profile, n)))
    return SignalsBench(*(tuple(each[1:]) for each in speeds.values()))  # the first turn warms up


async def _sample(policy: VllmPolicy, problems: Sequence[Problem], n: int, seed: int, concurrency: int) -> float:
    """Tokens a second."""
    free = asyncio.Semaphore(concurrency)

    async def one(problem: Problem) -> int:
        async with free:
            return (await policy.complete(policy.prompt(problem), n=n, seed=seed)).cost.generated

    start = time.perf_counter()
    generated = sum(await asyncio.gather(*map(one, problems)))
    return generated / (time.perf_counter() - start)
