"""The requests that an engine has not answered yet: all of them end when the engine does, and silence has a limit."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import monotonic

from tqdm import tqdm

from tts_study.errors import EngineLost, UserError

TICK = 1.0  # seconds
REPORT_SECONDS = 60.0  # of silence, after which it is reported


class InFlight:
    """The open requests of one engine; used from one event loop.

    Attributes:
        ready: whether the engine could answer: while it starts, silence is expected.
    """

    def __init__(self, what: str, limit: float, lose: Callable[[str], None]) -> None:
        """Note what is watched.

        Args:
            what: name of the engine for messages: "The engine of 'data/micro/1b'".
            limit: seconds of silence after which the engine counts as lost; 0: no limit.
            lose: called then, with the reason; it ends the requests.
        """
        self.ready = False
        self._what, self._limit, self._lose = what, limit, lose
        self._open: set[asyncio.Timeout] = set()
        self._reason: UserError = EngineLost(f"{what} was lost.")
        self._silence, self._since, self._reported = 0.0, time.time(), False
        self._watching: asyncio.Task[None] | None = None

    @property
    def count(self) -> int:
        """How many requests are open."""
        return len(self._open)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Keep a request open; it raises the reason of `end` as soon as that is called."""
        try:
            async with asyncio.timeout(None) as timeout:
                self._open.add(timeout)
                if self._watching is None or self._watching.done():
                    self.heard()
                    self._watching = asyncio.create_task(self._watch())
                try:
                    yield
                finally:
                    self._open.discard(timeout)
        except TimeoutError:
            if timeout.expired():
                raise self._reason from None
            raise

    def end(self, reason: UserError) -> None:
        """Make all open requests raise this."""
        self._reason = reason
        now = asyncio.get_running_loop().time()
        for timeout in self._open:
            timeout.reschedule(now)

    def heard(self) -> None:
        """Note that the engine answered something."""
        self._silence, self._since, self._reported = 0.0, time.time(), False

    async def _watch(self) -> None:
        """Measure silence while requests are open.

        Only time in which this process ran counts: if it was suspended itself, its engines may have been, too.
        """
        last = monotonic()
        while self._open:
            await asyncio.sleep(TICK)
            now = monotonic()
            self._silence += min(now - last, 2 * TICK) if self.ready else 0.0
            last = now
            since = time.strftime("%H:%M:%S", time.localtime(self._since))
            if self._limit and self._silence >= self._limit:
                self._lose(f"{self._what} has not answered since {since} (reply_limit is {self._limit:g} s).")
                self.heard()
            elif self._silence >= REPORT_SECONDS and not self._reported:
                self._reported = True
                limit = f"it counts as lost after {self._limit:g} s" if self._limit else "no limit is set"
                waiting = f"{len(self._open)} request{'s' * (len(self._open) > 1)} waiting"
                tqdm.write(f"{self._what} has not answered since {since}, {waiting} ({limit})", file=sys.stderr)
