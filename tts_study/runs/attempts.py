"""Which problems are tried again, and how: a problem that kills its engine must not take its neighbours with it.

All problems are tried together. Those that were in flight when an engine was lost are tried again when the others are
done, one at a time: an engine that is lost at a single problem shows which one it is, and only that is given up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tts_study.errors import EngineLost, RunStopped, UserError
from tts_study.records import Problem

Outcome = Exception | None  # why a problem failed
Solve = Callable[[Problem], Awaitable[Outcome]]
LOSSES = 3  # engines lost in a row, with all that they were asked: then no problems are tried together any more
ALONE = 5  # engines lost in a row at a single problem each: then it is not the problems


async def tried(problems: Sequence[Problem], solve: Solve, concurrency: int) -> list[Outcome]:
    """Try every problem, up to `concurrency` of them at once, and again alone if it may have been another's fault.

    Args:
        problems: what to solve.
        solve: solves one of them, and returns why it failed.
        concurrency: most problems at once.

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

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(together(problem)) for problem in problems]
    except ExceptionGroup as stopped:
        raise stopped.exceptions[0] from None
    outcomes = {problem: task.result() for problem, task in zip(problems, tasks, strict=True)}
    in_row = 0
    for problem in [problem for problem, outcome in outcomes.items() if isinstance(outcome, EngineLost)]:
        outcome = await solve(problem)
        in_row = in_row + 1 if isinstance(outcome, EngineLost) else 0
        if in_row == ALONE:
            raise RunStopped(f"{ALONE} engines in a row were lost, each at a single problem: {outcome}")
        if isinstance(outcome, EngineLost):
            outcome = UserError(f"an engine was lost each time it was tried, also alone: {outcome}")
        outcomes[problem] = outcome
    return [outcomes[problem] for problem in problems]
