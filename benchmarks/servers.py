"""What do servers cost? The same engines in this process and behind HTTP, on the same requests.

Both contestants are up, warmed, and take turns on the same machine; medians of their turns are compared, and so is what
they answered. Two engines are up at a time.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.engines import median_seconds, take_turns
from tts_study.engines import ports, serving
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.remote import RemotePolicy, RemotePRM
from tts_study.profiles import Profile
from tts_study.prompts.steps import split_steps
from tts_study.records import Problem, Sampled, Scored
from tts_study.runs.engines import policy_settings, prm_settings

Solutions = Sequence[Sequence[tuple[str, ...]]]


@dataclass(frozen=True)
class RemoteBench:
    """What was measured; seconds are medians over the repeats.

    Attributes:
        n: completions per problem.
        problems: how many problems.
        tokens: tokens sampled in one pass.
        sampling: seconds to sample them from the server.
        local_sampling: seconds in this process.
        scoring: seconds to score all solutions by the server.
        local_scoring: seconds in this process.
        equal: share of the samples that are the same, token for token.
        deviation: largest difference of two step scores.
    """

    n: int
    problems: int
    tokens: int
    sampling: float
    local_sampling: float
    scoring: float
    local_scoring: float
    equal: float
    deviation: float

    @property
    def ratio(self) -> float:
        """Seconds of Best-of-N's sampling and scoring, remote over local; lower is better."""
        return (self.sampling + self.scoring) / (self.local_sampling + self.local_scoring)

    def __str__(self) -> str:
        return (
            f"{self.problems} problems, n={self.n}, {self.tokens:,} tokens: seconds by servers over in this process\n"
            f"sampling  {self.sampling:.1f} / {self.local_sampling:.1f}, "
            f"ratio {self.sampling / self.local_sampling:.2f}; {self.equal:.1%} of the samples are the same\n"
            f"scoring   {self.scoring:.1f} / {self.local_scoring:.1f}, "
            f"ratio {self.scoring / self.local_scoring:.2f}; scores differ by {self.deviation:.1g} at most\n"
            f"both      ratio {self.ratio:.2f}"
        )


async def run_remote_bench(
    profile: Profile, problems: Sequence[Problem], *, n: int, seed: int, logs: Path, repeats: int = 3
) -> RemoteBench:
    """Measure it; starts four engines, two at a time.

    Args:
        profile: the models and settings.
        problems: what to sample.
        n: completions per problem.
        seed: of the samples.
        logs: folder of the servers' logs.
        repeats: turns of each contestant.

    Raises:
        UserError: an engine could not start.
    """
    sampling, samples = await _bench_sampling(profile, problems, n, seed, logs, repeats)
    here = samples[1]
    solutions = [[split_steps(g.text) for g in sampled.generations] for sampled in here]
    scoring, scores = await _bench_scoring(profile, problems, solutions, logs, repeats)
    pairs = [pair for both in zip(*samples, strict=True) for pair in zip(*(s.generations for s in both), strict=True)]
    rows = [pair for both in zip(*scores, strict=True) for pair in zip(*(s.step_scores for s in both), strict=True)]
    return RemoteBench(
        n, len(problems), sum(sampled.cost.generated for sampled in here), *sampling, *scoring,
        equal=statistics.mean(there == here for there, here in pairs),
        deviation=max(abs(a - b) for row in rows for a, b in zip(*row, strict=True)),
    )  # fmt: skip


async def _bench_sampling(
    profile: Profile, problems: Sequence[Problem], n: int, seed: int, logs: Path, repeats: int
) -> tuple[tuple[float, float], list[list[Sampled]]]:
    """Median seconds and samples, remote and local."""
    settings = policy_settings(profile)
    service = serving.policy_service(settings, "127.0.0.1", ports.free_port(), logs)
    async with _served(service), RemotePolicy(settings, [service.url]) as there, VllmPolicy(settings) as here:
        await asyncio.gather(there.start(), here.start())

        async def sample(policy: VllmPolicy, some: Sequence[Problem]) -> list[Sampled]:
            return await asyncio.gather(*(policy.complete(policy.prompt(each), n=n, seed=seed) for each in some))

        turns = await take_turns(lambda some: sample(there, some), lambda some: sample(here, some), problems, repeats)
    return median_seconds(turns), [turn[0][1] for turn in turns]


async def _bench_scoring(
    profile: Profile, problems: Sequence[Problem], solutions: Solutions, logs: Path, repeats: int
) -> tuple[tuple[float, float], list[list[Scored]]]:
    """Median seconds and scores, remote and local."""
    settings = prm_settings(profile)
    service = serving.prm_service(settings, "127.0.0.1", ports.free_port(), logs)
    async with _served(service), RemotePRM(settings, [service.url]) as there, VllmPRM(settings) as here:
        await asyncio.gather(there.start(), here.start())

        async def score(prm: VllmPRM, some: Sequence[tuple[Problem, Sequence[tuple[str, ...]]]]) -> list[Scored]:
            return await asyncio.gather(*(prm.score_solutions(problem, attempts) for problem, attempts in some))

        work = list(zip(problems, solutions, strict=True))
        turns = await take_turns(lambda some: score(there, some), lambda some: score(here, some), work, repeats)
    return median_seconds(turns), [turn[0][1] for turn in turns]


@asynccontextmanager
async def _served(service: serving.Service) -> AsyncIterator[None]:
    """A server that is up meanwhile."""
    ready = asyncio.Event()
    (keeper,) = serving.start([service], [ready])
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((keeper, waiting), return_when=asyncio.FIRST_COMPLETED)
        if keeper.done():
            keeper.result()
        yield
    finally:
        waiting.cancel()
        keeper.cancel()
        await asyncio.gather(waiting, keeper, return_exceptions=True)
