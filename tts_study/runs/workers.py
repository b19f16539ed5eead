"""Workers on a Ray cluster: actors that solve problems, and a solver that distributes problems among them.

Ray restarts a worker whose process or node is lost (`max_restarts`) and repeats its start (`max_task_retries`). This
module adds what Ray does not have: time limits, and care with a problem whose worker was lost. That problem may be the
cause, so it is not sent again beside others (`attempts` sends it again, alone).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tts_study.errors import EngineLost, RunStopped, UserError, one_line
from tts_study.records import Problem, SearchResult
from tts_study.runs.collect import Solver
from tts_study.runs.engines import ENGINES
from tts_study.runs.identity import Identity, check_equal, software

MakeSolver = Callable[[], Awaitable[Solver]]
STARTS = 3  # tries to start a worker: one that is lost in each of them is given up
GOODBYE = 20.0  # seconds that workers get to shut their engines down


@dataclass(frozen=True)
class Limits:
    """Time limits in seconds; what takes longer counts as lost.

    Attributes:
        place: until the cluster has room for a worker.
        start: until a worker's engines are up.
        problem: until a worker's reply, while it works on other problems too.
        run: all of it; what is finished then is kept.
    """

    place: float = 600.0
    start: float = 1800.0
    problem: float = 3600.0
    run: float = 7 * 24 * 3600.0


LIMITS = Limits()


class WorkerLost(EngineLost):
    """The worker's process is gone, and not only its engine: Ray restarts it."""


class Worker:
    """What runs as a Ray actor: a solver in a process of its own."""

    def __init__(self, make: MakeSolver, identity: Callable[[], Identity], expected: Identity) -> None:
        self._make, self._identity, self._expected = make, identity, expected
        self._solver: Solver | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> str:
        """Start the engines unless they are up, and report what draws the samples.

        Raises:
            UserError: this worker has other software or weights than the driver.
        """
        return (await self._started()).sampler

    async def solve(self, problem: Problem) -> SearchResult:
        """Search one problem; many are asked for at once."""
        return await (await self._started()).solve(problem)

    async def close(self) -> None:
        """Shut the engines of this process down."""
        await ENGINES.close()

    async def _started(self) -> Solver:
        async with self._starting:
            if self._solver is None:
                check_equal(self._expected, await asyncio.to_thread(self._identity))
                solver = await self._make()
                await solver.start()
                self._solver = solver
            return self._solver


@dataclass(eq=False)
class _Member:
    """A worker as the driver sees it: whether its engines run, and how many problems it is working on."""

    actor: Any
    up: bool = False
    in_hand: int = 0


class Workers:
    """A `Solver` that distributes problems among workers of a Ray cluster; Ray must be connected."""

    def __init__(
        self, make: MakeSolver, *, workers: int, each: int, gpus: int = 0, limits: Limits = LIMITS,
        identity: Callable[[], Identity] = software,
    ) -> None:  # fmt: skip
        """Note what to start.

        Args:
            make: makes a worker's solver, in the worker; it is pickled.
            workers: how many there are to be.
            each: problems that a worker works on at a time.
            gpus: that each of them needs.
            limits: how long to wait for them.
            identity: what must be the same here and in each worker, where it is called; it is pickled.
        """
        self._make, self._count, self._each, self._gpus, self._limits = make, workers, each, gpus, limits
        self._identity = identity
        self.sampler = ""  # what draws the samples of all workers, once one of them is up
        self._members: list[_Member] = []
        self._changed = asyncio.Condition()
        self._suspects: set[Problem] = set()  # a worker was lost while it had them in hand
        self._restarting: set[asyncio.Task[None]] = set()
        self._last_reason: Exception | None = None

    async def start(self) -> None:
        """Start all workers.

        Raises:
            UserError: one of them does not start, has other software or weights, or finds no room on the cluster.
        """
        import ray

        expected = await asyncio.to_thread(self._identity)
        options = {"num_cpus": 1, "num_gpus": self._gpus, "max_restarts": -1, "max_task_retries": STARTS - 1}
        actor = ray.remote(Worker).options(**options)
        self._members = [_Member(actor.remote(self._make, self._identity, expected)) for _ in range(self._count)]
        await asyncio.gather(*(self._prepare(member) for member in self._members))

    async def solve(self, problem: Problem) -> SearchResult:
        """Let a worker search one problem; one that a worker was lost at before gets a worker of its own.

        Raises:
            EngineLost: the worker or its engine was lost, or there was no reply in time.
            RunStopped: no worker is left.
            UserError: as the worker.
        """
        share = self._each if problem in self._suspects else 1
        member = await self._free(share)
        try:
            solving = member.actor.solve.options(max_task_retries=0)
            return await self._reply_to(solving.remote(problem), member)
        except EngineLost as error:
            self._suspects.add(problem)
            if isinstance(error, WorkerLost):
                self._restart(member)
            raise
        finally:
            member.in_hand -= share
            await self._notify()

    async def close(self) -> None:
        """Shut all workers down."""
        import ray

        for task in self._restarting:
            task.cancel()
        goodbyes = (_reply(member.actor.close.remote(), GOODBYE) for member in self._members if member.up)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*goodbyes, return_exceptions=True), GOODBYE)
        for member in self._members:
            ray.kill(member.actor)

    async def _free(self, share: int) -> _Member:
        """The least busy worker, once one has room for `share` more problems."""
        async with self._changed:
            while self._members:
                up = [member for member in self._members if member.up and member.in_hand + share <= self._each]
                if up:
                    member = min(up, key=lambda member: member.in_hand)
                    member.in_hand += share
                    return member
                await self._changed.wait()
        raise RunStopped(f"no worker is left: {_in_one_line(self._last_reason)}")

    async def _reply_to(self, ref: Any, member: _Member) -> SearchResult:
        """A worker's reply; a worker that does not reply in time is killed, and Ray restarts it."""
        import ray

        try:
            result: SearchResult = await _reply(ref, self._limits.problem)
        except TimeoutError:
            if member.up:  # otherwise another request has killed it, and a second call would kill its successor
                ray.kill(member.actor, no_restart=False)
            raise WorkerLost(f"a worker did not reply within {self._limits.problem:g} s") from None
        return result

    async def _prepare(self, member: _Member) -> None:
        """Wait for a worker's place on the cluster and its engines; if it is lost meanwhile, for its restart."""
        try:
            await _reply(member.actor.__ray_ready__.remote(), self._limits.place)
        except TimeoutError:
            raise UserError(f"the Ray cluster had no room for a worker for {self._limits.place:g} s") from None
        try:
            sampler = await _reply(member.actor.start.remote(), self._limits.start)
        except TimeoutError:
            raise UserError(f"a worker's engines did not start within {self._limits.start:g} s") from None
        if self.sampler not in ("", sampler):
            raise UserError(f"the workers' samplers differ ({self.sampler}, {sampler}): use GPUs or CPUs, not both")
        self.sampler, member.up = sampler, True
        await self._notify()

    def _restart(self, member: _Member) -> None:
        """Send no problems to a worker that was lost until Ray has restarted it; the others continue."""
        if member.up and member in self._members:
            member.up = False
            task = asyncio.create_task(self._await_restart(member))
            self._restarting.add(task)
            task.add_done_callback(self._restarting.discard)

    async def _await_restart(self, member: _Member) -> None:
        import ray

        try:
            await self._prepare(member)
        except Exception as error:  # any kind; when no worker is left, every waiting problem ends with this reason
            ray.kill(member.actor)
            self._members.remove(member)
            self._last_reason = error
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


async def _reply(ref: Any, limit: float) -> Any:
    """An actor's reply, within `limit` seconds.

    Raises:
        UserError: the actor raised it.
        WorkerLost: the actor is gone, or its reply was lost with its node.
        TimeoutError: there was none in time.
    """
    from ray.exceptions import RayError, RayTaskError

    try:
        return await asyncio.wait_for(ref, limit)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
    except RayError as error:
        raise WorkerLost(f"{type(error).__name__}: {_in_one_line(error)}") from None


def _in_one_line(error: Exception | None) -> str:
    """What went wrong; of what a worker raised, the last line of its traceback."""
    lines = str(error).strip().splitlines()
    return one_line(lines[-1] if lines else type(error).__name__)
