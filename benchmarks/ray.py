"""What does Ray cost a problem, and what do more workers gain?

- bookkeeping: milliseconds a problem of a run whose solver has its answer ready (n completions of ten steps), so that
  nothing but handing out, sending back and storing is left: in this process, and over one Ray worker.
- speed-up: seconds that a search with a profile's engines takes with one worker and with several, engines' start left
  out. On one machine without GPUs the workers share its cores, so one worker alone may use them all.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tts_study.profiles import Profile
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs.collect import Solver, collect
from tts_study.runs.ray import connected, run_on_ray
from tts_study.runs.spec import RunSpec
from tts_study.runs.workers import Workers

STEPS, STEP = 10, 40  # of a solution: their number and their tokens, as docs/scale.md assumes
IN_HAND = 8  # problems at a time


@dataclass(frozen=True)
class Ready:
    """A solver that has its answer ready."""

    n: int
    sampler: str = "ready"

    async def start(self) -> None:
        """Nothing to start."""

    async def solve(self, problem: Problem) -> SearchResult:
        """`n` completions, as large as real ones."""
        steps = tuple(f"{'word ' * STEP}{step}" for step in range(STEPS))
        completion = Completion(steps, STEPS * STEP, True, (0.123456,) * STEPS)
        return SearchResult(problem.id, (completion,) * self.n, Cost(generated=self.n * STEPS * STEP))


async def ready(n: int) -> Ready:
    """Make one, in a worker."""
    return Ready(n)


async def bench_bookkeeping(problems: Sequence[Problem], *, n: int) -> str:
    """Milliseconds a problem, here and over Ray.

    Raises:
        UserError: Ray is not installed.
    """
    here = await _milliseconds(problems, Ready(n))
    with connected(None):
        workers = Workers(partial(ready, n), workers=1, each=IN_HAND)
        try:
            over_ray = await _milliseconds(problems, workers)
        finally:
            await workers.close()
    return (
        f"bookkeeping  {len(problems)} problems, n={n}: {here:.1f} ms a problem in one process, "
        f"{over_ray:.1f} ms over Ray, {over_ray - here:.1f} ms more"
    )


async def _milliseconds(problems: Sequence[Problem], solver: Solver) -> float:
    with tempfile.TemporaryDirectory() as folder:
        run = await collect(
            problems, solver, path=Path(folder) / "run.jsonl", header={}, title="", concurrency=IN_HAND, progress=False
        )
    return 1e3 * (run.seconds or 0.0)


async def bench_workers(profile: Profile, problems: Sequence[Problem], *, n: int, seed: int, workers: int) -> str:
    """Seconds of Best-of-N with one worker, and with several.

    Raises:
        UserError: Ray is not installed, or has no room for the workers.
    """
    seconds, spec = {}, RunSpec.of(profile, "best_of_n", problems, n=n, seed=seed)
    for count in (1, workers):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "run.jsonl"
            began = time.perf_counter()
            run = await run_on_ray(spec, path=path, workers=count)
            seconds[count] = len(problems) * (run.seconds or 0.0)
            started = time.perf_counter() - began - seconds[count]
    return (
        f"speed-up     {len(problems)} problems, n={n}: one worker {seconds[1]:.0f} s, {workers} workers "
        f"{seconds[workers]:.0f} s, {seconds[1] / seconds[workers]:.2f} times as fast on {os.cpu_count()} cores "
        f"(and {started:.0f} s to start and end them)"
    )
