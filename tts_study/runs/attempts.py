"""Which problems are tried again, and how: a problem that ends its engine must not make others fail.

All problems are tried together. Those that were in flight when an engine was lost are tried again when the others are
done, one at a time for each engine: an engine that is lost at a single problem shows which one it is, and only that is
given up. They come in a random order, as problems of one kind stand together: a few that all end their engines in a row
look like engines that are lost at everything.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from tts_study.errors import EngineLost, RunStopped, UserError
from tts_study.records import Problem

Outcome = Exception | None  # why a problem failed
Solve = Callable[[Problem], Coroutine[Any, Any, Outcome]]
LOSSES = 3  # engines lost in a row, with all that they were asked: then no problems are tried together any more
ALONE = 10  # engines lost in a row at a single problem each: then the problems are not the cause


async def tried(problems: Sequence[Problem], solve: Solve, concurrency: int, workers: int = 1) -> list[Outcome]:
    """Try every problem, up to `concurrency` of them at once, and alone again if another one may have ended its engine.

    Args:
        problems: what to solve.
        solve: solves one of them, and returns why it failed.
        concurrency: most problems at once.
        workers: how many problems can be tried at once and still have an engine each to themselves.

    Raises:
        RunStopped: `solve` raised it, or engines are lost whatever they are asked.
    """
    room, lost_in_row = asyncio.Semaphore(concurrency), 0

    async def together(problem: Problem) -> Outcome:
        nonlocal lost_in_row
        async with room:
            if lost_in_row >= LOSSES * concurrency:
                return EngineLost("not tried")
            outcome = await solve(problem)
        lost_in_row = lost_in_row + 1 if isinstance(outcome, EngineLost) else 0
        return outcome

    outcomes = dict(zip(problems, await _all(together, problems), strict=True))
    suspects = [problem for problem, outcome in outcomes.items() if isinstance(outcome, EngineLost)]
    random.Random(0).shuffle(suspects)
    room = asyncio.Semaphore(workers)
    lost: list[str] = []  # the problems at which engines were lost in a row

    async def alone(problem: Problem) -> Outcome:
        async with room:
            outcome = await solve(problem)
        if not isinstance(outcome, EngineLost):
            lost.clear()
            return outcome
        lost.append(problem.id)
        if len(lost) == ALONE * workers:
            at = ", ".join(lost[-ALONE:])
            raise RunStopped(f"{len(lost)} engines in a row were lost, each at a single problem ({at}): {outcome}")
        return UserError(f"an engine was lost each time it was tried, also alone: {outcome}")

    outcomes |= zip(suspects, await _all(alone, suspects), strict=True)
    return [outcomes[problem] for problem in problems]


async def _all(attempt: Solve, problems: Sequence[Problem]) -> list[Outcome]:
    """Attempt all problems at once; the first exception ends the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt(problem)) for problem in problems]
    except ExceptionGroup as stopped:
        raise stopped.exceptions[0] from None
    return [task.result() for task in tasks]
