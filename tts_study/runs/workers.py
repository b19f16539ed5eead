"""Workers on a Ray cluster: actors that solve problems, and a solver that hands problems out to them.

A worker that is lost with its process, its engine or its node is replaced, and the problems that it was at are handed
out again: nobody else has to know, since a problem's result depends on no other's.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tts_study.errors import EngineLost, UserError
from tts_study.records import Problem, SearchResult
from tts_study.runs.collect import Solver
from tts_study.runs.engines import ENGINES

MakeSolver = Callable[[], Awaitable[Solver]]
ATTEMPTS = 3  # at a problem, or at starting a worker: who loses that many workers in a row has no bad luck
PATIENCE = 600.0  # seconds that a worker may wait for a place on the cluster
GOODBYE = 20.0  # seconds that workers get to shut their engines down


class Worker:
    """What runs as an actor: a solver in a process of its own, that does not know of the others."""

    def __init__(self, make: MakeSolver) -> None:
        self._make = make

    async def place(self) -> None:
        """Answer as soon as there is a place for it on the cluster."""

    async def start(self) -> str:
        """Start the engines, and report what draws the samples."""
        self._solver = await self._make()
        await self._solver.start()
        return self._solver.sampler

    async def solve(self, problem: Problem) -> SearchResult:
        """Search one problem; many are asked for at once."""
        return await self._solver.solve(problem)

    async def close(self) -> None:
        """Shut the engines of this process down."""
        await ENGINES.close()


@dataclass(eq=False)
class _Hand:
    """A worker as the driver sees it."""

    actor: Any
    up: bool = False
    lost: bool = False


class Workers:
    """A `Solver` that hands problems to the workers of a Ray cluster; Ray must be connected."""

    def __init__(self, make: MakeSolver, *, workers: int, each: int, gpus: int = 0) -> None:
        """Note what to start.

        Args:
            make: makes a worker's solver, in the worker; it is pickled.
            workers: how many there are to be.
            each: problems that a worker has in hand at a time.
            gpus: that each of them needs.
        """
        self._make, self._count, self._each, self._gpus = make, workers, each, gpus
        self.sampler = ""  # what draws the samples of all workers, once one of them is up
        self._hands: set[_Hand] = set()
        self._free: asyncio.Queue[_Hand | UserError] = asyncio.Queue()  # a worker's every free place for a problem
        self._replacing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start all workers.

        Raises:
            UserError: one of them does not start, or the cluster has no room for it.
        """
        await asyncio.gather(*(self._hire() for _ in range(self._count)))

    async def solve(self, problem: Problem) -> SearchResult:
        """Let a worker search one problem, and another one if that is lost.

        Raises:
            UserError: as the worker; or too many workers were lost.
        """
        for _ in range(ATTEMPTS):
            hand = await self._next()
            try:
                result = await _reply(hand.actor.solve.remote(problem))
            except EngineLost as error:
                self._replace(hand)
                reason = error
                continue
            except BaseException:
                self._free.put_nowait(hand)
                raise
            self._free.put_nowait(hand)
            return result
        raise UserError(f"{ATTEMPTS} workers in a row were lost at it: {reason}")

    async def close(self) -> None:
        """Shut all workers down."""
        import ray

        for task in self._replacing:
            task.cancel()
        goodbyes = (_reply(hand.actor.close.remote()) for hand in self._hands if hand.up)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*goodbyes, return_exceptions=True), GOODBYE)
        for hand in self._hands:
            ray.kill(hand.actor)

    async def _next(self) -> _Hand:
        while True:
            hand = await self._free.get()
            if isinstance(hand, UserError):  # nobody is left, and all who wait must hear of it
                self._free.put_nowait(hand)
                raise hand
            if not hand.lost:
                return hand

    async def _hire(self) -> None:
        """Start a worker, and offer its places."""
        import ray

        for _ in range(ATTEMPTS):
            hand = _Hand(ray.remote(Worker).options(num_cpus=1, num_gpus=self._gpus).remote(self._make))
            self._hands.add(hand)
            try:
                await asyncio.wait_for(_reply(hand.actor.place.remote()), PATIENCE)
                sampler = await _reply(hand.actor.start.remote())
                hand.up = True
            except EngineLost as error:
                self._dismiss(hand)
                reason = error
                continue
            except TimeoutError:
                self._dismiss(hand)
                raise UserError(f"the Ray cluster had no room for a worker for {PATIENCE:.0f} s") from None
            if self.sampler not in ("", sampler):
                self._dismiss(hand)
                raise UserError(f"the workers' samplers differ ({self.sampler}, {sampler}): use GPUs or CPUs, not both")
            self.sampler = sampler
            for _ in range(self._each):
                self._free.put_nowait(hand)
            return
        raise UserError(f"{ATTEMPTS} workers in a row were lost while they started: {reason}")

    def _replace(self, hand: _Hand) -> None:
        """Start another worker in place of one that was lost, once; the others work on."""
        if not hand.lost:
            self._dismiss(hand)
            task = asyncio.create_task(self._rehire())
            self._replacing.add(task)
            task.add_done_callback(self._replacing.discard)

    async def _rehire(self) -> None:
        try:
            await self._hire()
        except UserError as error:
            if not self._hands:
                self._free.put_nowait(UserError(f"no worker is left: {error}"))

    def _dismiss(self, hand: _Hand) -> None:
        import ray

        hand.lost = True
        self._hands.discard(hand)
        ray.kill(hand.actor)


async def _reply(ref: Any) -> Any:
    """An actor's reply.

    Raises:
        UserError: the actor raised it.
        EngineLost: the actor is gone, or its engine is; or its reply was lost with its node.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        return await ref
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    except RayError as error:
        raise EngineLost(f"{type(error).__name__}: {str(error).strip().splitlines()[-1].strip()}") from None
