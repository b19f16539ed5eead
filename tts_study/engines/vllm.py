"""One vLLM engine inside this process: start it when it is first asked, feed it token ids, shut it down.

The same code serves CPUs and GPUs. vLLM itself is imported when an engine starts, not before: it takes seconds.
vLLM runs the model in a process of its own, so a script that uses an engine needs the usual
`if __name__ == "__main__":` guard; a notebook does not.
"""

import asyncio
import itertools
import math
import os
import threading
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tts_study.errors import EngineLost, UserError

if TYPE_CHECKING:
    from vllm import PoolingParams, PoolingRequestOutput, RequestOutput, SamplingParams
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


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What an engine needs to know about a model and the machine.

    Attributes:
        model: a checkpoint's folder, or its name on the Hugging Face hub.
        dtype: of weights and activations: "bfloat16", "float16" or "float32".
        max_model_len: context in tokens, prompt and completion together.
        max_num_seqs: most sequences in one batch.
        block_size: tokens in a block of the KV cache, rounded up to a multiple of 32 on a CPU, whose kernels want that;
            the prefix cache only reuses whole blocks.
        gpu_memory_utilization: share of each GPU's memory; the policy's and the PRM's must add up to less than 1.
        kv_cache_gib: size of the KV cache on a CPU; the environment's VLLM_CPU_KVCACHE_SPACE goes before it.
        tensor_parallel_size: GPUs (or CPU sockets) that share the model.
        chat_template: a Jinja template in place of the tokenizer's own.
    """

    model: str
    dtype: str = "bfloat16"
    max_model_len: int = 4096
    max_num_seqs: int = 256
    block_size: int = 32
    gpu_memory_utilization: float = 0.45
    kv_cache_gib: float = 1.0
    tensor_parallel_size: int = 1
    chat_template: str | None = None


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
    # Compiling takes minutes on a CPU. A seeded request must not be prefilled in chunks there (vLLM 0.32 rewinds its
    # generator after a chunk, and a CPU's generator cannot be rewound: the engine dies), so none is.
    return args | {
        "enforce_eager": True,
        "block_size": 32 * math.ceil(settings.block_size / 32),
        "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30),
        "enable_chunked_prefill": False,
        "max_num_batched_tokens": max(4096, settings.max_model_len),
    }


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """Load a checkpoint's tokenizer.

    Raises:
        UserError: there is no such checkpoint.
    """
    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"Cannot load a tokenizer from {model!r}: it is neither a checkpoint's folder "
            "nor a model that can be reached on the hub; check the name."
        ) from error


class VllmEngine:
    """An `AsyncLLM` that starts with the first request; asked from one event loop."""

    def __init__(self, settings: EngineSettings, overrides: Callable[[], dict[str, Any]] = dict) -> None:
        """Note what to start; nothing is loaded yet.

        Args:
            settings: the model and the machine.
            overrides: tells more of vLLM's `EngineArgs`, once the engine starts.

        Raises:
            UserError: `settings.model` looks like a folder and there is no checkpoint in it.
        """
        self.settings = settings
        self.overrides = overrides
        self._llm: AsyncLLM | None = None
        self._starting = asyncio.Lock()
        self._request_numbers = itertools.count()
        folder = Path(settings.model)
        looks_like_folder = folder.exists() or folder.is_absolute() or settings.model.count("/") != 1
        if looks_like_folder and not (folder / "config.json").is_file():
            raise UserError(f"No checkpoint in {settings.model!r} (no config.json there): check the path.")

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer."""
        return load_tokenizer(self.settings.model)

    async def start(self) -> "AsyncLLM":
        """Start the engine unless it runs; other coroutines go on meanwhile.

        Raises:
            UserError: vLLM could not start it.
        """
        async with self._starting:
            if self._llm is None:
                self.tokenizer  # noqa: B018  fails sooner, and more clearly, than vLLM would
                self._llm = await asyncio.to_thread(self._launch)
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

    async def generate(self, token_ids: Sequence[int], params: "SamplingParams") -> "RequestOutput":
        """Continue a prompt; the output is whole."""
        llm = await self.start()
        return await self._last(llm.generate(self._input(token_ids), params, str(next(self._request_numbers))))

    async def encode(self, token_ids: Sequence[int], params: "PoolingParams") -> "PoolingRequestOutput":
        """Run a pooling model over a prompt."""
        llm = await self.start()
        return await self._last(llm.encode(self._input(token_ids), params, str(next(self._request_numbers))))

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

    def check_fits(self, token_ids: Sequence[int], room: int) -> None:
        """Make sure that a prompt leaves room in the context.

        Raises:
            UserError: it does not.
        """
        context = self.settings.max_model_len
        if len(token_ids) + room > context:
            raise UserError(
                f"A prompt of {len(token_ids)} tokens (at least {len(token_ids) + room} are needed) does not fit the "
                f"context of {context} tokens of {self.settings.model!r}: raise max_model_len if the model allows it, "
                "or leave the problem out."
            )

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


class OnVllm:
    """What has an engine, and ends with it: a policy and a PRM are used and closed alike."""

    engine: VllmEngine

    async def close(self) -> None:
        """Shut the engine down."""
        await self.engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
