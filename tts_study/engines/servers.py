"""HTTP to a group of servers: the least busy one is asked, and a request that failed is tried again.

A server that fails is not asked for a while, twice as long each time (a random part of it, so that clients do not all
return at once); meanwhile the others answer. A request may be sent twice, so it must be safe to repeat.

Kept by hand, since openai's client and tenacity retry one request at one server: here a server that fails
pauses, and another one answers. The machine that searches does not need vLLM, which installs them, either.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp

from tts_study.engines.ports import server_url
from tts_study.engines.replies import API_KEY, Unavailable, read_content, read_json, stranger
from tts_study.errors import RunStopped, UserError, one_line

CONNECT_SECONDS = 10.0
FIRST_REST, LONGEST_REST = 0.5, 15.0  # seconds

T = TypeVar("T")


@dataclass
class Server:
    """One server.

    Attributes:
        url: its address, without "/v1".
        model: its name of the model; sent with every request once known.
        sampler: what draws its samples, once known.
        in_flight: requests that it has not answered yet.
        failures: how often it failed since it last answered.
        failing_since: when it first did, by the monotonic clock; None if it answered last.
        rests_until: when it may be asked again, by the monotonic clock.
    """

    url: str
    model: str | None = None
    sampler: str = ""
    in_flight: int = 0
    failures: int = 0
    failing_since: float | None = None
    rests_until: float = 0.0


class Servers:
    """A group of servers of the same model; used from one event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        connections: int,
        timeout: float,
        patience: float,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Note the addresses; nothing is asked yet.

        Args:
            urls: of the servers, with or without "/v1" at the end.
            connections: most requests to one server at once; others wait here.
            timeout: seconds within which a server has to answer a request; 0: no limit.
            patience: seconds for which a request is tried again after its first failure; once no server has answered
                for so long, every request ends.
            heard: called whenever a server answers.

        Raises:
            UserError: one of the URLs is invalid.
        """
        self.servers = [Server(url) for url in dict.fromkeys(map(server_url, urls))]
        self._timeout, self._patience, self._heard = timeout, patience, heard
        self._room = {server.url: asyncio.Semaphore(connections) for server in self.servers}
        self._jitter = random.Random()  # unseeded: it must differ from process to process, and no result depends on it
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections; a later request would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, path: str, body: Mapping[str, Any], read: Callable[[Any], T]) -> T:
        """Ask the least busy server, and again or others as long as that may succeed.

        Args:
            path: such as "/v1/completions".
            body: what to ask; the server's name of the model is added.
            read: makes the result from the reply's JSON; it may raise `Unavailable`, too.

        Raises:
            UserError: no server answered it in time.
            RunStopped: none answers anything.
            Refused: one says that the request is wrong.
        """
        first_failure = None
        while True:
            now = time.monotonic()
            awake = [server for server in self.servers if server.rests_until <= now]
            if not awake:
                await asyncio.sleep(min(server.rests_until for server in self.servers) - now)
                continue
            server = min(awake, key=lambda server: server.in_flight)
            try:
                return await self.ask(server, "POST", path, body, read)
            except Unavailable as failure:
                self._rest(server)
                first_failure = first_failure or time.monotonic()
                if self._are_down():
                    down = "the server has" if len(self.servers) == 1 else f"all {len(self.servers)} servers have"
                    raise RunStopped(
                        f"{failure}; {down} failed for {self._patience:g} s: restart, and run the same command again."
                    ) from failure
                if time.monotonic() - first_failure > self._patience:
                    raise UserError(f"{failure}; gave up after {self._patience:g} s of trying again.") from failure

    async def ask(
        self, server: Server, method: str, path: str, body: Mapping[str, Any] | None, read: Callable[[Any], T]
    ) -> T:
        """Ask one server, once.

        Raises:
            Unavailable: it does not answer in time, or reports an internal error.
            Refused: it says that the request is wrong.
            UserError: it requires another API key, or is not a server of vLLM.
        """
        if body is not None and server.model is not None:
            body = {**body, "model": server.model}
        server.in_flight += 1
        try:
            async with (  # a request that waits here was not sent yet
                self._room[server.url],
                self._open().request(method, server.url + path, json=body, allow_redirects=False) as reply,
            ):
                status, content = reply.status, await read_content(server.url, reply)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            reason = one_line(str(error)) or "no answer in time"
            raise Unavailable(f"The server at {server.url} cannot be reached ({reason})") from error
        finally:
            server.in_flight -= 1
        reply = read_json(server.url, status, content)
        server.failures, server.failing_since = 0, None
        self._heard()
        try:
            return read(reply)
        except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, RecursionError) as error:
            raise stranger(server.url) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            key = os.environ.get(API_KEY)
            self._session = aiohttp.ClientSession(
                # a megabyte of gzip may become a gigabyte: replies are asked for, and read, as they are
                headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
                auto_decompress=False,
                # servers of vLLM close a connection that was idle for 5 s
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3),
                timeout=aiohttp.ClientTimeout(total=self._timeout or None, sock_connect=CONNECT_SECONDS),
            )
        return self._session

    def _rest(self, server: Server) -> None:
        """Do not ask a server for a while; the many requests that fail with it at once count as one failure."""
        if server.rests_until <= time.monotonic():
            longest = min(LONGEST_REST, FIRST_REST * 2**server.failures)
            server.rests_until = time.monotonic() + self._jitter.uniform(longest / 2, longest)
            server.failures += 1
            server.failing_since = server.failing_since or time.monotonic()

    def _are_down(self) -> bool:
        """Whether every server has failed, and failed only, for as long as patience lasts."""
        now = time.monotonic()
        return all(s.failing_since is not None and now - s.failing_since > self._patience for s in self.servers)
