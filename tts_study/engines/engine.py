"""What a policy and a PRM ask of the engine that runs their model: in this process, or on a server."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tts_study.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EngineSettings:
    """What an engine needs to know about a model and the machine.

    Attributes:
        model: a checkpoint's folder, or its name on the Hugging Face hub.
        dtype: of weights and activations: "bfloat16", "float16" or "float32".
        max_model_len: context in tokens, prompt and completion together.
        max_num_seqs: most sequences in one batch.
        block_size: tokens in a block of the KV cache, of which the prefix cache only reuses whole ones; rounded up on a
            CPU, whose kernels want multiples of 16, or of 32 where sockets share a model.
        gpu_memory_utilization: share of each GPU's memory; the policy's and the PRM's must add up to less than 1.
        kv_cache_gib: size of the KV cache on a CPU; the environment's VLLM_CPU_KVCACHE_SPACE goes before it.
        burst: on a CPU, what is to be scored is sent together, once in so many seconds, for larger batches; 0: at once.
        tensor_parallel_size: GPUs (or CPU sockets) that share the model.
        data_parallel_size: copies of the model on GPUs of their own, among which vLLM shares out the requests.
        enforce_eager: run the model as it is, without compilation and CUDA graphs: slower, but it starts sooner and
            where they fail. A CPU always does.
        chat_template: a Jinja template in place of the tokenizer's own.
    """

    model: str
    dtype: str = "bfloat16"
    max_model_len: int = 4096
    max_num_seqs: int = 256
    block_size: int = 16
    gpu_memory_utilization: float = 0.45
    kv_cache_gib: float = 1.0
    burst: float = 0.0
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    enforce_eager: bool = False
    chat_template: str | None = None


@dataclass(frozen=True)
class Sample:
    """One continuation, as an engine reports it.

    Attributes:
        token_ids: what was sampled, what ended it included.
        stopped: it ended by itself, and not at a limit.
        stop_reason: the stop string or stop token that ended it; None for the model's own end, and at a limit.
        cached: tokens of the prompt that the prefix cache supplied.
    """

    token_ids: tuple[int, ...]
    stopped: bool
    stop_reason: int | str | None
    cached: int


@dataclass(frozen=True)
class Pooled:
    """What a classifier of tokens says about a prompt.

    Attributes:
        scores: the last of its outputs at each token that was computed: those after the cached ones.
        cached: tokens of the prompt that the prefix cache supplied.
    """

    scores: tuple[float, ...]
    cached: int


class Engine(ABC):
    """Runs one model; starts with the first request; asked from one event loop.

    Attributes:
        sampler: what draws its samples, once it is known: `records.VLLM_SAMPLER` or `records.OWN_SAMPLER`.
    """

    sampler: str = ""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer."""
        return load_tokenizer(self.settings.model)

    @abstractmethod
    async def start(self) -> Any:
        """Get ready, unless it is."""

    @abstractmethod
    async def generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """Continue a prompt once; `sampling` in the terms that vLLM's `SamplingParams` and its servers share."""

    @abstractmethod
    async def encode(self, token_ids: Sequence[int], *, read_cache: bool) -> Pooled:
        """Score the tokens of a prompt: all of them, or with `read_cache` those that the prefix cache does not hold."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of what it holds; a later request would start it anew."""

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


class OnEngine:
    """What has an engine, and ends with it: a policy and a PRM are used and closed alike."""

    engine: Engine

    async def close(self) -> None:
        """Shut the engine down."""
        await self.engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
