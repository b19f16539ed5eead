"""What does it cost to keep the policy's signals? Sampling with and without them, on one engine, by turns."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tts_study.engines.policy import VllmPolicy
from tts_study.profiles import Profile
from tts_study.records import Problem
from tts_study.runs.engines import policy_settings
from tts_study.runs.run import at_once

TURNS = 3


@dataclass(frozen=True)
class SignalsBench:
    """Tokens a second, by the best of all turns.

    Attributes:
        plain: without signals.
        kept: with them.
    """

    plain: float
    kept: float

    def __str__(self) -> str:
        return (
            f"tokens a second: {self.plain:,.0f} without signals, {self.kept:,.0f} with them; "
            f"ratio {self.kept / self.plain:.3f}"
        )


def bench_signals(profile: Profile, problems: Sequence[Problem], *, n: int, seed: int) -> SignalsBench:
    """Sample the same completions with and without signals, `TURNS` times each, prefix cache emptied before."""
    return asyncio.run(_bench(profile, problems, n, seed))


async def _bench(profile: Profile, problems: Sequence[Problem], n: int, seed: int) -> SignalsBench:
    plain = VllmPolicy(policy_settings(profile))
    kept = VllmPolicy(replace(plain.settings, signals=True), plain.engine)
    async with plain:
        best = {policy: 0.0 for policy in (plain, kept)}
        for policy in (plain, kept) * (TURNS + 1):  # the first turn of each warms it up
            await plain.engine.forget()
            speed = await _sample(policy, problems, n, seed, at_once(profile, n))
            best[policy] = max(best[policy], speed)
    return SignalsBench(*best.values())


async def _sample(policy: VllmPolicy, problems: Sequence[Problem], n: int, seed: int, concurrency: int) -> float:
    """Tokens a second."""
    free = asyncio.Semaphore(concurrency)

    async def one(problem: Problem) -> int:
        async with free:
            return (await policy.complete(policy.prompt(problem), n=n, seed=seed)).cost.generated

    start = time.perf_counter()
    generated = sum(await asyncio.gather(*map(one, problems)))
    return generated / (time.perf_counter() - start)
