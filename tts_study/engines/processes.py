"""The processes of a vLLM engine in this process: how they are started and ended."""

import asyncio
import signal
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.engine.async_llm import AsyncLLM

SHUTDOWN_SECONDS = 30.0  # that an engine gets to end its processes before they are killed


def spawn(config: "VllmConfig") -> "AsyncLLM":
    """Start an engine's processes, which ignore Ctrl-C: it interrupts a search, and the next one needs the engine.

    They inherit the signal mask of the thread that starts them. They end with this process (`plugin`).
    """
    from vllm.v1.engine.async_llm import AsyncLLM

    resource_tracker.ensure_running()  # started later, it would take SIGINT out of the mask again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def shut_down(llm: "AsyncLLM", patience: float) -> None:
    """End an engine's processes; those that are left after `patience` seconds are killed, stopped ones included."""
    if llm.output_handler is not None:
        llm.output_handler.cancel()  # it would report the end of the engine as a failure
        await asyncio.gather(llm.output_handler, return_exceptions=True)  # and refers to it until it has ended
    await asyncio.to_thread(llm.shutdown, patience)
    # it is shut down again when it is collected, which fails and prints errors if Python is ending by then
    llm.shutdown = lambda timeout=None: None  # type: ignore[method-assign]
