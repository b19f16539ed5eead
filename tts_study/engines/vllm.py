"""One vLLM engine inside this process: start it when it is first asked, feed it token ids, shut it down.

The same code serves CPUs and GPUs. vLLM itself is imported when an engine starts, not before: it takes seconds.
vLLM runs the model in a process of its own, so a script that uses an engine needs the usual
`if __name__ == "__main__":` guard; a notebook does not.
"""

import asyncio
import gc
import itertools
import math
import os
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study.engines.engine import Engine, EngineSettings, Pooled, Sample
from tts_study.errors import EngineLost, UserError

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


# the logits processor that draws a policy's samples, as vLLM's process loads it, and its argument
NOISE = {"logits_processors": ["tts_study.engines.noise:SeededNoise"]}
NOISE_ARGUMENT = "seeded_noise"


def engine_args(settings: EngineSettings) -> dict[str, Any]:
    """The settings in vLLM's own terms (`EngineArgs`, `LLM`); imports vLLM."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    from vllm.platforms import current_platform

    args: dict[str, Any] = {
        "model": settings.model,
        "dtype": settings.dtype,
        "max_model_len": settings.max_model_len,
        "max_num_seqs": settings.max_num_seqs,
        "block_size": settings.block_size,
        "tensor_parallel_size": settings.tensor_parallel_size,
        "enable_prefix_caching": True,
        "trust_remote_code": False,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if not current_platform.is_cpu():
        return args | {"gpu_memory_utilization": settings.gpu_memory_utilization}
    block = 32  # tokens, of which vLLM's CPU attention wants multiples; ours is for a model in a single process
    if settings.tensor_parallel_size == 1:
        from tts_study.engines.cpu import BLOCK, InProcess

        block = BLOCK
        args["distributed_executor_backend"] = f"{InProcess.__module__}.{InProcess.__name__}"
        # vLLM would bind both models' threads to the same cores; so they share all, half of them each
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    # Compiling takes minutes on a CPU. A seeded request must not be prefilled in chunks there (vLLM 0.32 rewinds its
    # generator after a chunk, and a CPU's generator cannot be rewound: the engine dies), so none is.
    return args | {
        "enforce_eager": True,
        "block_size": block * math.ceil(settings.block_size / block),
        "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30),
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, settings.max_model_len),
    }


class VllmEngine(Engine):
    """An `AsyncLLM` that starts with the first request."""

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
            UserError: vLLM could not start it.
        """
        async with self._starting:
            if self._llm is None:
                self.tokenizer  # noqa: B018  fails sooner, and more clearly, than vLLM would
                self._llm = await asyncio.to_thread(self._launch)
                spare_this_process(self._llm)
            return self._llm

    def _launch(self) -> "AsyncLLM":
        try:
            with _launching:  # vLLM writes to the process's environment while it makes a configuration
                args = engine_args(self.settings) | self.overrides()
                from vllm.engine.arg_utils import AsyncEngineArgs
                from vllm.platforms import current_platform
                from vllm.v1.engine.async_llm import AsyncLLM

                config = AsyncEngineArgs(**args).create_engine_config()
                if not current_platform.is_cpu():  # there, each engine measures what memory the others have left
                    return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
            return AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        except Exception as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise UserError(f"vLLM could not start {self.settings.model!r}: {reason[-1]}") from error

    async def generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """Continue a prompt once; the sample is whole."""
        llm = await self.start()
        from vllm.sampling_params import RequestOutputKind, SamplingParams  # looked up faster than in vllm itself

        # nobody else has these: the deep copy that would be made of them takes a tenth of the time in this process
        params = SamplingParams(
            **drawn(sampling),
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
        if burst := self.settings.burst:
            await asyncio.sleep(burst - asyncio.get_running_loop().time() % burst)
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
        gc.unfreeze()
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


def spare_this_process(llm: "AsyncLLM") -> None:
    """Save what each request costs in this process for nothing; the rest of it feeds the engines."""
    tokenizer = llm.get_tokenizer()
    # transformers works it out anew whenever it is asked, and vLLM asks with each request
    vars(tokenizer)["eos_token_id"] = tokenizer.eos_token_id
    # requests make much garbage; with each collection, Python would look through all that vLLM and torch have loaded
    gc.collect()
    gc.freeze()


def drawn(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """How a sample is drawn: by our own noise, or by vLLM where it is greedy or from a nucleus, to be found first."""
    temperature, top_p, seed = (sampling[name] for name in ("temperature", "top_p", "seed"))
    if temperature == 0 or top_p < 1:
        return dict(sampling)
    return {**sampling, "temperature": 0.0, "seed": None, "extra_args": {NOISE_ARGUMENT: (seed, temperature)}}
