"""One vLLM engine inside this process: start it with the first request, send it token ids, shut it down.

This is how a GPU is used; `cpu.engine` adds what helps small models on a CPU. vLLM is imported when an engine
starts, since that takes seconds. It runs the model in another process, so a script that uses an engine needs the usual
`if __name__ == "__main__":`; a notebook does not.
"""

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study.engines import temporary
from tts_study.engines.background import in_background
from tts_study.engines.build import be_quiet, on_cpu
from tts_study.engines.checkpoints import check_weights
from tts_study.engines.engine import SUMMARY, Engine, NextToken, Pooled, Sample
from tts_study.engines.processes import SHUTDOWN_SECONDS, shut_down, spawn
from tts_study.engines.reasons import ROOM, check_guard, oom_kills, why_lost, why_not_started
from tts_study.engines.room import Machine, check_room, gpu_machine
from tts_study.engines.settings import EngineSettings
from tts_study.errors import EngineLost, EngineUnavailable, NotInstalled, UserError
from tts_study.records import VLLM_SAMPLER

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

# settings that vLLM has under the same names
SETTINGS = (
    "model", "dtype", "max_model_len", "max_num_seqs", "block_size", "gpu_memory_utilization", "tensor_parallel_size",
    "data_parallel_size", "enforce_eager",
)  # fmt: skip
_launching = threading.Lock()


def local_engine(settings: EngineSettings, overrides: Callable[[], dict[str, Any]] = dict) -> "VllmEngine":
    """An engine for this machine; arguments as `VllmEngine` takes them."""
    if on_cpu():
        from tts_study.engines.cpu.engine import CpuEngine

        return CpuEngine(settings, overrides)
    return VllmEngine(settings, overrides)


class VllmEngine(Engine):
    """An `AsyncLLM` that starts with the first request."""

    sampler = VLLM_SAMPLER
    starts_alone = True  # one after the other: each engine measures what memory the others have left

    def __init__(self, settings: EngineSettings, overrides: Callable[[], dict[str, Any]] = dict) -> None:
        """Note what to start; nothing is loaded yet.

        Args:
            settings: the model and the machine.
            overrides: returns more of vLLM's `EngineArgs` when the engine starts.

        Raises:
            UserError: `settings.model` looks like a folder and there is no checkpoint in it.
        """
        super().__init__(settings)
        self.overrides = overrides
        self._llm: AsyncLLM | None = None
        self._starting: asyncio.Task[None] | None = None
        self._ending: set[asyncio.Task[None]] = set()  # engines that are being shut down
        self._request_numbers = itertools.count()
        folder = Path(settings.model)
        is_folder = folder.exists() or folder.is_absolute() or settings.model.count("/") != 1
        if is_folder and not (folder / "config.json").is_file():
            raise UserError(f"No checkpoint in {settings.model!r} (no config.json there): check the path.")

    async def _ready(self) -> None:
        if self._llm is not None and self._llm.errored and self._in_flight.count == 1:  # it died between requests
            self._release(self._llm, 0)
        if self._llm is None:
            if self._starting is None:
                self._starting = asyncio.create_task(self._start())
                self._starting.add_done_callback(lambda task: task.exception())  # even if no request waits any more
            await asyncio.shield(self._starting)  # it starts for others, too

    async def _start(self) -> None:
        """Start the engine; other coroutines continue meanwhile.

        Raises:
            EngineUnavailable: this machine has too few devices or too little memory.
            UserError: vLLM is not installed or cannot start it, the checkpoint is absent or broken, the temporary
                folder's path is too long, or the running script has no `if __name__ == "__main__":`.
        """
        self._in_flight.ready = False
        try:
            if find_spec("vllm") is None:
                raise NotInstalled("vllm")
            if self._ending:  # they may still use the memory that this one needs
                await asyncio.wait(self._ending)
            await asyncio.to_thread(self._check)
            llm = await asyncio.to_thread(self._launch)
            if self._starting is not asyncio.current_task():  # closed meanwhile
                await self._shut_down(llm, SHUTDOWN_SECONDS)
                return
            self._listen(llm)
            self._llm = llm
            self._in_flight.ready = True
            self._in_flight.heard()
        finally:
            if self._starting is asyncio.current_task():
                self._starting = None

    def _check(self) -> None:
        """Check what vLLM would fail at later, with a less clear message."""
        temporary.prepare()
        check_weights(self.settings.model)
        check_room(self.settings, self.machine())
        self.tokenizer  # noqa: B018
        check_guard()

    def _listen(self, llm: "AsyncLLM") -> None:
        """Note each output of the engine, for any request, as a sign that it works."""
        receive = llm.engine_core.get_output_async

        async def received() -> Any:
            outputs = await receive()
            self._in_flight.heard()
            return outputs

        llm.engine_core.get_output_async = received  # type: ignore[method-assign]

    def machine(self) -> Machine | None:
        """What the engine can run on; None if unknown."""
        be_quiet()
        return gpu_machine()

    def _launch(self) -> "AsyncLLM":
        config, self._oom_kills = None, oom_kills()
        try:
            logging.getLogger("vllm.v1.engine.async_llm").setLevel(logging.CRITICAL)  # `reasons` reports it in one line
            with _launching:  # vLLM writes to the process's environment while it makes a configuration
                args = self.args()
                from vllm.engine.arg_utils import AsyncEngineArgs

                from tts_study.engines.schedulers import send_summaries

                config = AsyncEngineArgs(**args).create_engine_config()
                send_summaries(config.scheduler_config)
                if self.starts_alone:
                    return spawn(config)
            return spawn(config)
        except Exception as error:
            reason = why_not_started(error, config.instance_id if config else "", self._oom_kills)
            kind = EngineUnavailable if ROOM.search(reason) else UserError
            raise kind(f"vLLM could not start {self.settings.model!r}: {reason}") from error

    def args(self) -> dict[str, Any]:
        """The settings in vLLM's own terms (`EngineArgs`, `LLM`); makes vLLM, once it is imported, quiet."""
        be_quiet()
        return {name: getattr(self.settings, name) for name in SETTINGS} | {
            "enable_prefix_caching": True,
            "trust_remote_code": False,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            **self.overrides(),
        }

    def _sampling(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """A request's sampling in vLLM's own terms: a seeded sample depends on its prefix and its seed alone."""
        return dict(sampling)

    async def _generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        asked = self._sampling(sampling)
        if "logprobs" in asked:
            asked["extra_args"] = {**asked.get("extra_args", {}), SUMMARY: True}
        output = await self._sampled(token_ids, asked)
        (sample,) = output.outputs
        stopped, cached = sample.finish_reason == "stop", output.num_cached_tokens or 0
        sums = sample.logprobs.logprobs if "logprobs" in asked else []
        pairs = tuple(zip(sums[::2], sums[1::2], strict=True))
        return Sample(tuple(sample.token_ids), stopped, sample.stop_reason, cached, pairs)

    async def _next_token(self, token_ids: Sequence[int], among: Sequence[int]) -> NextToken:
        asked = {"max_tokens": 1, "temperature": 0.0, "logprob_token_ids": list(among)}
        output = await self._sampled(token_ids, asked)
        found = output.outputs[0].logprobs[0]
        return NextToken(tuple(found[token].logprob for token in among), output.num_cached_tokens or 0)

    async def _sampled(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Any:
        await self._ready()
        from vllm.sampling_params import RequestOutputKind, SamplingParams  # looked up faster than in vllm itself

        # used once: the deep copy that vLLM would make of them takes a tenth of the time in this process
        params = SamplingParams(
            **sampling,
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=bool(sampling.get("stop")),
            flat_logprobs="logprobs" in sampling,  # without an object for each token
            skip_clone=True,
        )
        return await self._last(lambda llm, number: llm.generate(self._input(token_ids), params, number))

    async def _encode(self, token_ids: Sequence[int], read_cache: bool) -> Pooled:
        await self._ready()
        from vllm.pooling_params import PoolingParams

        # cached tokens have no scores, so by default vLLM does not read the cache for this task
        params = PoolingParams(task="token_classify", skip_reading_prefix_cache=not read_cache)
        output = await self._last(lambda llm, number: llm.encode(self._input(token_ids), params, number))
        return Pooled(tuple(output.outputs.data[:, -1].tolist()), output.num_cached_tokens)

    @staticmethod
    def _input(token_ids: Sequence[int]) -> Any:
        from vllm.inputs.engine import tokens_input

        return tokens_input(list(token_ids))

    async def _last(self, ask: Callable[["AsyncLLM", str], AsyncGenerator[Any, None]]) -> Any:
        """The last output of a request; if the engine dies, all requests end as soon as the cause is known."""
        from vllm.v1.engine.exceptions import EngineDeadError

        llm = self._llm
        if llm is None:  # lost, or closed, since it was ready
            raise EngineLost(f"The engine of {self.settings.model!r} was lost.")
        try:
            async for output in ask(llm, str(next(self._request_numbers))):
                last = output
            return last
        except EngineDeadError:
            if llm is self._llm:  # the first request that notices
                self._release(llm, 0, died=True)
            return await asyncio.Future()

    def _lose(self, reason: str) -> None:
        self._in_flight.end(EngineLost(reason))
        if self._llm is not None:
            self._release(self._llm, 0)

    async def _close(self, reason: UserError) -> None:
        self._starting = None
        self._in_flight.end(reason)
        if self._llm is not None:
            self._release(self._llm, SHUTDOWN_SECONDS)
        if self._ending:
            await asyncio.wait(self._ending)

    def _release(self, llm: "AsyncLLM", patience: float, died: bool = False) -> None:
        """Shut an engine down; the next request starts another one."""
        self._llm = None
        ending = asyncio.create_task(self._end(llm, patience, died))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def _end(self, llm: "AsyncLLM", patience: float, died: bool) -> None:
        if died:
            reason = await why_lost(llm, self._oom_kills)
            self._in_flight.end(EngineLost(f"The engine of {self.settings.model!r} died: {reason}."))
        await self._shut_down(llm, patience)

    async def _shut_down(self, llm: "AsyncLLM", patience: float) -> None:
        await shut_down(llm, patience)

    async def forget(self) -> None:
        """Empty the prefix cache of an engine that runs."""
        if self._llm is not None:
            await in_background(self._llm.reset_prefix_cache())
