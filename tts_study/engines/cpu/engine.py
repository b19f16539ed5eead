"""A vLLM engine on a CPU: as on a GPU, with the settings that make small models fast on few cores.

On a CPU this process and the engines share the cores: time that it wastes slows the models down.
"""

import asyncio
import gc
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tts_study.engines.cpu.sampling import NOISE, with_noise
from tts_study.engines.engine import Pooled
from tts_study.engines.room import Machine, cpu_machine
from tts_study.engines.vllm import VllmEngine
from tts_study.records import OWN_SAMPLER

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

SOCKETS_BLOCK = 32  # tokens; vLLM's own attention needs multiples of it; ours is for a model in a single process


class CpuEngine(VllmEngine):
    """An `AsyncLLM` on vLLM's CPU runner."""

    sampler = OWN_SAMPLER
    starts_alone = False  # memory is not measured here: a policy and a PRM start side by side

    def args(self) -> dict[str, Any]:
        """The settings in vLLM's own terms; a model that generates draws by our noise."""
        args, settings = super().args(), self.settings
        del args["gpu_memory_utilization"]
        block = SOCKETS_BLOCK
        if settings.tensor_parallel_size * settings.data_parallel_size == 1:
            from tts_study.engines.cpu.attention import BLOCK, InProcess

            block = BLOCK
            args["distributed_executor_backend"] = f"{InProcess.__module__}.{InProcess.__name__}"
            # vLLM would bind both models' threads to the same cores; here each model gets half as many threads as cores
            os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
        if args.get("runner") != "pooling":
            args["logits_processors"] = [NOISE]
        # Compiling takes minutes on a CPU. A seeded request must not be prefilled in chunks there (vLLM 0.32 rewinds
        # its generator after a chunk, and a CPU's generator cannot be rewound: the engine dies), so none is.
        return args | {
            "enforce_eager": True,
            "block_size": block * math.ceil(settings.block_size / block),
            "kv_cache_memory_bytes": int(settings.kv_cache_gib * 2**30),
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(4096, settings.max_model_len),
        }

    def machine(self) -> Machine:
        """What the engine can run on."""
        return cpu_machine()

    def _launch(self) -> "AsyncLLM":
        llm = super()._launch()
        tokenizer = llm.get_tokenizer()
        # transformers computes it again whenever it is asked, and vLLM asks with each request
        vars(tokenizer)["eos_token_id"] = tokenizer.eos_token_id
        # requests make much garbage; with each collection, Python would look through all that vLLM and torch loaded
        gc.collect()
        gc.freeze()
        return llm

    def _sampling(self, sampling: Mapping[str, Any]) -> dict[str, Any]:
        return with_noise(sampling)

    async def _encode(self, token_ids: Sequence[int], read_cache: bool) -> Pooled:
        """Score the tokens of a prompt, together with what else is asked within a burst."""
        await self._ready()
        if burst := self.settings.burst:
            await asyncio.sleep(burst - asyncio.get_running_loop().time() % burst)
        return await super()._encode(token_ids, read_cache)

    async def _shut_down(self, llm: "AsyncLLM", patience: float) -> None:
        await super()._shut_down(llm, patience)
        gc.unfreeze()
