r"""The settings of the engines, with their defaults and limits: the one place where each of them is described.

A profile has them all; a policy's and a PRM's engine have those that concern it. A field's metadata limits its value:
`zero` says what 0 means where 0 is allowed, `most` is the largest value (otherwise 1 for a float), `choices` are all
values, `escaped` text may be typed as `\n`, `urls` are of servers. Importing this loads neither vLLM nor transformers.
"""

from dataclasses import dataclass, field

from tts_study.prompts.prm import AUTO, FORMATS
from tts_study.prompts.prm.critique import CRITIQUE

HOTTEST = 1e5  # the largest temperature: logits in float32 are divided by it
DTYPES = ("bfloat16", "float16", "float32")


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How a policy is prompted and sampled.

    Attributes:
        system_prompt: the system turn of every prompt; "" leaves it out.
        temperature: of sampling; 0 is greedy.
        top_p: share of probability that is sampled from.
        max_tokens: longest completion.
        max_step_tokens: longest single step of a search.
        max_thought_tokens: longest thought of a model that writes <think>…</think> before its solution, besides
            `max_tokens`; a longer one is ended there. None: the model does not think.
        signals: keep how sure the policy was of each step of a whole solution (`records.Signal`).
    """

    system_prompt: str = ""
    temperature: float = field(default=1.0, metadata={"zero": "greedy", "most": HOTTEST})
    top_p: float = 1.0
    max_tokens: int = 2048
    max_step_tokens: int = 512
    max_thought_tokens: int | None = None
    signals: bool = False


@dataclass(frozen=True, kw_only=True)
class FamilySettings:
    r"""Which family of PRMs a model belongs to.

    Attributes:
        prm_format: one of `prompts.prm.FORMATS`; "auto": derived from the model; "critique": the PRM is a chat model,
            or the policy itself, and writes verdicts.
        prm_separator: what a PRM of the family "trl" was trained with between steps (its `step_separator`), such as
            "\n\n"; None: the known one of the model, else a newline.
        prm_verdicts: how many verdicts a PRM of the family "critique" writes on each solution.
    """

    prm_format: str = field(default=AUTO, metadata={"choices": (AUTO, *FORMATS, CRITIQUE)})
    prm_separator: str | None = field(default=None, metadata={"escaped": True})
    prm_verdicts: int = 4


@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """How a model is run, as far as results depend on it.

    Attributes:
        dtype: of weights and activations.
        max_model_len: context in tokens, prompt and completion together.
    """

    dtype: str = field(default="bfloat16", metadata={"choices": DTYPES})
    max_model_len: int = 4096


@dataclass(frozen=True, kw_only=True)
class MachineSettings:
    """How a model is run on some machine: runs that differ only in these are the same run.

    Attributes:
        max_num_seqs: most sequences in one batch.
        block_size: tokens in a block of the KV cache, of which the prefix cache only reuses whole ones; rounded up on a
            CPU, whose kernels need multiples of 16, or of 32 where sockets share a model.
        kv_cache_gib: each model's KV cache on a CPU, in GiB; the environment variable VLLM_CPU_KVCACHE_SPACE has
            priority.
        tensor_parallel_size: GPUs (or CPU sockets) that share each copy of a model.
        data_parallel_size: copies of each model, each on its own GPUs; vLLM distributes the requests among them.
        enforce_eager: run models without compilation and CUDA graphs: slower, but an engine starts sooner, and where
            those fail. A CPU always does.
        reply_limit: seconds of silence after which an engine with open requests counts as lost, and within which a
            server has to answer a request; 0: no limit.
    """

    max_num_seqs: int = 256
    block_size: int = 16
    kv_cache_gib: float = field(default=1.0, metadata={"most": 1024})
    tensor_parallel_size: int = 1
    data_parallel_size: int = 1
    enforce_eager: bool = False
    reply_limit: float = field(default=1800.0, metadata={"zero": "no limit"})


@dataclass(frozen=True, kw_only=True)
class PairSettings:
    """How a policy and its PRM share some machine: these do not identify a run either.

    Attributes:
        policy_memory: share of each GPU's memory that the policy takes.
        prm_memory: the same for the PRM; together they must stay below 1.
        prm_burst: on a CPU, texts to score are sent to the PRM together, once in this many seconds, for larger
            batches; 0: at once.
        policy_url: servers of vLLM that have the policy, separated by commas; None: it runs in this process.
        prm_url: the same for the PRM.
    """

    policy_memory: float = 0.45
    prm_memory: float = 0.45
    prm_burst: float = field(default=0.0, metadata={"zero": "at once"})
    policy_url: str | None = field(default=None, metadata={"urls": True})
    prm_url: str | None = field(default=None, metadata={"urls": True})


@dataclass(frozen=True, kw_only=True)
class EngineSettings(ModelSettings, MachineSettings):
    """What one engine needs to know about its model and the machine.

    Attributes:
        model: a checkpoint's folder, or its name on the Hugging Face hub.
        gpu_memory_utilization: share of each GPU's memory.
        burst: see `PairSettings.prm_burst`.
        chat_template: a Jinja template in place of the tokenizer's own.
    """

    model: str
    gpu_memory_utilization: float = 0.45
    burst: float = 0.0
    chat_template: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicySettings(EngineSettings, SamplingSettings):
    """How a policy is prompted, sampled and run."""


@dataclass(frozen=True, kw_only=True)
class PRMSettings(EngineSettings, FamilySettings):
    """How a PRM is run."""
