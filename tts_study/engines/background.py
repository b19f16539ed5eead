"""One event loop, in its own thread, to which all engines belong: any thread and any other loop may ask them."""

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
GOODBYE = 10.0  # seconds that an interrupted coroutine gets to close its files


def wait(coroutine: Coroutine[Any, Any, T], goodbye: float | None = GOODBYE) -> T:
    """Run a coroutine in the background loop and wait for it, from a thread without a running loop.

    An interruption cancels the coroutine, and waits until it has ended (`goodbye` seconds at most, or None: without
    a limit), so that its files are closed before the next one runs.
    """
    ended, given_up = threading.Event(), threading.Event()
    begun: list[asyncio.Task[T] | None] = []

    async def until_ended() -> T:
        try:
            begun.append(asyncio.current_task())
            if given_up.is_set():
                coroutine.close()
                raise asyncio.CancelledError
            return await coroutine
        finally:
            ended.set()

    try:
        return asyncio.run_coroutine_threadsafe(until_ended(), _loop()).result()
    except BaseException:
        given_up.set()
        for task in begun:
            _loop().call_soon_threadsafe(task.cancel)  # type: ignore[union-attr]
        if begun:
            ended.wait(goodbye)
        raise


async def in_background(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the background loop, asked from any loop; to cancel one is to cancel the other."""
    if asyncio.get_running_loop() is _loop():
        return await coroutine
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, _loop()))


async def in_any_case(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the background loop to its end, also if its caller is cancelled, who then does not wait."""
    running = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    return await asyncio.shield(asyncio.wrap_future(running))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="tts-study engines", daemon=True).start()
    return loop
