"""A profile's policy and PRM as servers: `vllm serve` with the options that engines in a process have.

Several processes, such as eight notebooks, can then share one pair of engines. Each server is a process group of its
own, whose output goes into a log. The processes are managed here, since `vllm serve` starts one server only, and its
engine would outlive a parent that is killed.
"""

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import STDOUT, Process, create_subprocess_exec
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Literal

import aiohttp

from tts_study.engines import temporary
from tts_study.engines.build import ENVIRONMENT, on_cpu
from tts_study.engines.checkpoints import relative
from tts_study.engines.engine import Engine
from tts_study.engines.keys import VLLM_KEY, EveryPath
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.ports import bracketed, check_free
from tts_study.engines.prm import VllmPRM
from tts_study.engines.processes import SHUTDOWN_SECONDS
from tts_study.engines.remote import SAMPLER, weights_name
from tts_study.engines.replies import API_KEY
from tts_study.engines.settings import PolicySettings, PRMSettings
from tts_study.engines.vllm import VllmEngine
from tts_study.errors import UserError

Part = Literal["policy", "prm"]
NAMES = {"policy": "policy", "prm": "PRM"}
STARTER = "TTS_STUDY_STARTER"  # the environment's variable that tells a server which process started it
# runs a module as `python -m` does, and ends its process group when the process that started it has ended, even if that
# was killed, and in any state of the server: while it starts, vLLM answers a SIGTERM by waiting for its engine
RUN = f"""
import os, runpy, signal, sys, threading, time
def end_with(parent):
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(os.getpgid(0), signal.SIGKILL)
threading.Thread(target=end_with, args=(int(os.environ["{STARTER}"]),), daemon=True).start()
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
# what `vllm serve` runs; `vllm` itself asks for the version of a package "vllm", which its build for CPUs is not called
SERVER = (sys.executable, "-c", RUN, "vllm.entrypoints.launchers.api_server.entry")
FRONTEND = {
    "disable_uvicorn_access_log": True,
    "uvicorn_log_level": "warning",
    "middleware": [f"{EveryPath.__module__}.{EveryPath.__name__}"],
}
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Service:
    """A server to start.

    Attributes:
        part: what it serves.
        model: its folder or hub name.
        name: the model's name in this project, whatever its folder.
        url: its address.
        options: of `vllm serve`, without the model's folder or hub name.
        log: the file of its output.
    """

    part: Part
    model: str
    name: str
    url: str
    options: tuple[str, ...]
    log: Path

    def __str__(self) -> str:
        return shlex.join(("vllm", "serve", self.model, *self.options))


def policy_service(settings: PolicySettings, host: str, port: int, logs: Path) -> Service:
    """How to serve a policy; imports vLLM."""
    engine = VllmPolicy(settings).engine
    return _service("policy", engine, {"enable_prompt_tokens_details": True}, host, port, logs)


def prm_service(settings: PRMSettings, host: str, port: int, logs: Path) -> Service:
    """How to serve a PRM; imports vLLM."""
    return _service("prm", VllmPRM(settings).engine, {}, host, port, logs)


def _service(part: Part, engine: Engine, more: dict[str, Any], host: str, port: int, logs: Path) -> Service:
    assert isinstance(engine, VllmEngine)
    model = engine.settings.model
    names = [relative(model)]
    if Path(model).is_dir():
        names.append(weights_name(model))
    if part == "policy":
        names.append(SAMPLER + engine.sampler)
    args = engine.args() | more | FRONTEND | {"host": host, "port": port, "served_model_name": names}
    del args["model"]
    return Service(
        part, model, names[0], f"http://{bracketed(host)}:{port}", tuple(_flags(args)), logs / f"{part}-{port}.log"
    )


def _flags(args: Mapping[str, Any]) -> list[str]:
    """Options for a command line, as `vllm serve` names them."""
    flags = []
    for name, value in args.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            values = value if isinstance(value, list) else [json.dumps(value) if isinstance(value, dict) else value]
            flags += [f"--{flag}", *map(str, values)]
    return flags


async def serve(services: Sequence[Service]) -> None:
    """Run servers until SIGINT or SIGTERM.

    Raises:
        UserError: a port is taken, or a server could not start, or ended.
    """
    temporary.prepare()
    for service in services:
        check_free(service.url)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def interrupt(signum: signal.Signals) -> None:
        stop.set()
        loop.remove_signal_handler(signum)
        signal.signal(signum, signal.SIG_DFL)  # a second Ctrl-C does not wait for servers to shut down

    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, interrupt, signum)
    ready = [asyncio.Event() for _ in services]
    stopped, reporting = asyncio.create_task(stop.wait()), asyncio.create_task(_report(services, ready))
    keepers = start(services, ready)
    try:
        done, _ = await asyncio.wait({stopped, *keepers}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (stopped, reporting, *keepers):
            task.cancel()
        await asyncio.gather(stopped, reporting, *keepers, return_exceptions=True)
    for task in done:
        task.result()


def start(services: Sequence[Service], ready: Sequence[asyncio.Event]) -> list[asyncio.Task[None]]:
    """Start servers: a task for each, which ends with its server; the server ends if the task is cancelled."""
    # on GPUs one after the other: each measures what memory the others have left
    go = [None if on_cpu() else earlier for earlier in (None, *ready)]
    return [
        asyncio.create_task(_keep(service, earlier, own))
        for service, earlier, own in zip(services, go, ready, strict=False)
    ]


async def _report(services: Sequence[Service], ready: Sequence[asyncio.Event]) -> None:
    """Print the servers' addresses, once all of them answer."""
    for service in services:
        print(f"starting the {NAMES[service.part]} (its log is {service.log}):\n  {service}", flush=True)
    for event in ready:
        await event.wait()
    for service in services:
        print(f"the {NAMES[service.part]} {service.name} is at {service.url}")
    print("use them with  ", *(f"--{service.part}-url {service.url}" for service in services))
    print("or everywhere: export", *(f"TTS_STUDY_{service.part.upper()}_URL={service.url}" for service in services))
    print("Ctrl-C shuts them down", flush=True)


async def _keep(service: Service, earlier: asyncio.Event | None, ready: asyncio.Event) -> None:
    """Run a server until it ends."""
    if earlier is not None:
        await earlier.wait()
    key = os.environ.get(API_KEY)
    environment = ENVIRONMENT | os.environ | ({VLLM_KEY: key} if key else {}) | {STARTER: str(os.getpid())}
    service.log.parent.mkdir(parents=True, exist_ok=True)
    with open(service.log, "wb") as log:
        command = (*SERVER, "--model", service.model, *service.options)
        process = await create_subprocess_exec(
            *command, stdout=log, stderr=STDOUT, env=environment, start_new_session=True
        )  # fmt: skip
    try:
        answering = asyncio.create_task(_answers(service.url))
        answering.add_done_callback(lambda task: None if task.cancelled() else ready.set())
        await process.wait()
    finally:
        answering.cancel()
        await _shut_down(process)
    happened = "ended" if ready.is_set() else "could not start"
    raise UserError(f"The server of the {NAMES[service.part]} {happened}: {_reason(service.log)} (see {service.log}).")


async def _answers(url: str) -> None:
    """Wait until a server is healthy."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10 * POLL_SECONDS)) as session:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with session.get(f"{url}/health") as reply:
                    if reply.status == HTTPStatus.OK:
                        return
            await asyncio.sleep(POLL_SECONDS)


async def _shut_down(process: Process) -> None:
    """Ask a server to end, and then kill what is left of its process group."""
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), SHUTDOWN_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _reason(log: Path) -> str:
    """The last error in a log."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    # the engine's own process reports the reason; the server only that the engine failed
    errors = [line for line in lines if re.search(r"(Error|Exception): ", line) and "Engine core init" not in line]
    return re.sub(r"^.*?(?=\w*(Error|Exception): )", "", (errors or lines or ["it printed nothing"])[-1])[:300]
