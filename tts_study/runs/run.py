"""Search many problems at once, and store the results: progress, resuming.

Each problem is one coroutine, and the engines merge the requests of all of them.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tts_study.engines.interface import PRM, Policy
from tts_study.profiles import Profile
from tts_study.records import Problem, SearchResult
from tts_study.runs.collect import collect
from tts_study.runs.engines import ENGINES, policy_urls
from tts_study.runs.shards import WHOLE, Shard
from tts_study.runs.spec import RunSpec
from tts_study.runs.store import ALONE, Run
from tts_study.strategies import Search as Strategy


async def run_spec(spec: RunSpec, *, path: Path, shard: Shard = WHOLE, alone: bool = False) -> Run:
    """Search with a profile's vLLM engines, which start if something is left to do and then stay.

    With a `shard`, only its part of the problems is searched. One problem at a time if `alone`: the seconds that are
    recorded are then how long a problem takes by itself.

    Raises:
        UserError: `path` contains another run, or problems failed (the rest is stored); or there is no such checkpoint.
    """
    header = spec.header | shard.describe(spec.problems) | ({ALONE: True} if alone else {})
    title = f"{spec.search.name} n={spec.n}"
    async with searching(spec) as search:
        return await collect(
            shard.of(spec.problems), search, path=path, header=header, title=title,
            concurrency=1 if alone else at_once(spec.profile, spec.n),
        )  # fmt: skip


@dataclass(frozen=True)
class Search:
    """A solver of problems: a strategy with its budget, its engines and its other arguments.

    Attributes:
        strategy: a search of the table of strategies.
        policy: proposes solutions.
        prm: scores them.
        n: generations for each problem.
        seed: of the run.
        options: what the search's function takes besides.
    """

    strategy: Strategy
    policy: Policy
    prm: PRM | None
    n: int
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sampler(self) -> str:
        """What draws the samples; known when the engines are started."""
        return self.policy.sampler

    async def start(self) -> None:
        """Start the engines."""
        await asyncio.gather(*(engine.start() for engine in (self.policy, self.prm) if engine is not None))

    async def solve(self, problem: Problem) -> SearchResult:
        """Search one problem, with its own seed."""
        seed = problem_seed(self.seed, problem.id)
        return await self.strategy.function(problem, self.policy, self.prm, n=self.n, seed=seed, **self.options)


@asynccontextmanager
async def searching(spec: RunSpec) -> AsyncIterator[Search]:
    """A search on this process's engines of a profile, which stay open meanwhile; they start later.

    Raises:
        UserError: there is no such checkpoint.
    """
    async with ENGINES.lent(spec.profile, needs_prm=spec.search.needs_prm) as (policy, prm):
        yield Search(spec.search, policy, prm, spec.n, spec.seed, spec.arguments)


async def searcher(spec: RunSpec) -> Search:
    """As `searching`, for a process that does nothing else.

    Raises:
        UserError: there is no such checkpoint.
    """
    policy, prm = await ENGINES.of(spec.profile, needs_prm=spec.search.needs_prm)
    return Search(spec.search, policy, prm, spec.n, spec.seed, spec.arguments)


def at_once(profile: Profile, n: int) -> int:
    """How many problems to search at once: twice what fits a batch, so that neither engine waits for the other.

    Where the PRM works in bursts, more problems wait for it.
    """
    batches = 4 if profile.prm_burst else 2
    copies = profile.data_parallel_size * max(1, len(policy_urls(profile)))
    return max(8, batches * profile.max_num_seqs * copies // n)


def problem_seed(seed: int, problem_id: str) -> int:
    """A problem's own seed, of 63 bits: it depends neither on the other problems nor on their order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {problem_id}".encode()).digest()[:8]) >> 1
