"""How vLLM runs a model on a CPU here: in the engine's own process, with small blocks in its cache.

By default vLLM has a worker process besides the scheduler's, and each polls while it waits for the other: on two cores
that took a quarter of a search's processor time (docs/speed.md). It also asks for cache blocks of 32 tokens, although
its kernel "vec16" reads blocks of 16. The cache reuses whole blocks only, and a step of a short problem has about ten
tokens.
"""

from vllm.v1.attention.backend import MultipleOf
from vllm.v1.attention.backends.cpu_attn import CPUAttentionBackend
from vllm.v1.attention.backends.registry import AttentionBackendEnum, register_backend
from vllm.v1.executor.uniproc_executor import UniProcExecutor

from tts_study.engines.cpu.bf16 import imitates_bf16, widen

BLOCK = 16  # tokens; the kernel takes multiples


@register_backend(AttentionBackendEnum.CPU_ATTN)
class SmallBlocks(CPUAttentionBackend):
    """vLLM's attention, with all block sizes that its kernels can read."""

    @staticmethod
    def get_supported_kernel_block_sizes(kv_cache_spec: object = None) -> list[int | MultipleOf]:
        """Multiples of 16 tokens."""
        return [MultipleOf(BLOCK)]


class InProcess(UniProcExecutor):
    """vLLM's executor without a worker process; named here so that loading it registers the attention above.

    It is also where a loaded model is at hand, so that `widen` can change how the model multiplies.
    """

    def _init_executor(self) -> None:
        super()._init_executor()
        if imitates_bf16():
            for model in self.collective_rpc("get_model"):
                widen(model)
