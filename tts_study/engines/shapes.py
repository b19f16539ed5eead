"""The shape of a model: parameters, layers, heads. Its FLOPs and its memory follow from them; no weight is loaded.

A local checkpoint is read from its config.json and the headers of its safetensors files; a model on the hub from its
config.json, where the hub or its cache has it. The llama profile's models are gated there, so theirs are listed here.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from safetensors import SafetensorError, safe_open

from tts_study.engines.checkpoints import check_reachable
from tts_study.errors import UserError

LLAMA_LIKE = ("llama", "mistral", "qwen2")
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
STORED_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I8": 1, "U8": 1}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A transformer's shape.

    Attributes:
        parameters: all weights; a matrix that is both input embedding and output head counts once.
        embedding: weights of the input embedding, a look-up that costs no FLOPs, and no further memory if `tied`.
        head: weights of the output head: a matrix product for each token that is predicted.
        tied: whether embedding and head are one matrix.
        layers: transformer layers.
        query_width: query heads times their width: attention multiplies vectors of it with each key and each value.
        kv_width: key-value heads times their width: the KV cache stores two vectors of it for each token and layer.
        weight_bytes: size of the weights.
    """

    parameters: int
    embedding: int
    head: int
    tied: bool
    layers: int
    query_width: int
    kv_width: int
    weight_bytes: int

    @property
    def body(self) -> int:
        """Weights that every computed token is multiplied by: all but the embedding and the head."""
        return self.parameters - self.head - (0 if self.tied else self.embedding)


def _llama(layers: int, hidden: int, feed_forward: int, heads: int, *, tied: bool = False) -> Mapping[str, Any]:
    return {
        "model_type": "llama", "num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": feed_forward,
        "num_attention_heads": heads, "num_key_value_heads": 8, "vocab_size": 128_256, "tie_word_embeddings": tied,
        "dtype": "bfloat16",
    }  # fmt: skip


def _qwen(
    layers: int, hidden: int, feed_forward: int, heads: int, kv_heads: int, vocabulary: int = 152_064
) -> Mapping[str, Any]:
    return {
        "model_type": "qwen2", "num_hidden_layers": layers, "hidden_size": hidden, "intermediate_size": feed_forward,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": vocabulary,
        "tie_word_embeddings": vocabulary < 152_064, "dtype": "bfloat16",
    }  # fmt: skip


# Qwen Team 2024 (arXiv 2412.15115), table 1; the vocabulary of the small ones, which are tied, is not padded
QWEN_SIZES: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "0.5B": _qwen(24, 896, 4864, 14, 2, 151_936),
    "1.5B": _qwen(28, 1536, 8960, 12, 2, 151_936),
    "3B": _qwen(36, 2048, 11_008, 16, 2, 151_936),
    "7B": _qwen(28, 3584, 18_944, 28, 4),
    "72B": _qwen(80, 8192, 29_568, 64, 8),
})  # fmt: skip
# config.json of each model on the hub; Grattafiori et al. 2024 (arXiv 2407.21783), table 3, for 8B and 70B
KNOWN: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "meta-llama/Llama-3.2-1B-Instruct": {**_llama(16, 2048, 8192, 32, tied=True), "head_dim": 64},
    "meta-llama/Llama-3.2-3B-Instruct": {**_llama(28, 3072, 8192, 24, tied=True), "head_dim": 128},
    "meta-llama/Llama-3.1-8B-Instruct": _llama(32, 4096, 14_336, 32),
    "meta-llama/Llama-3.1-70B-Instruct": _llama(80, 8192, 28_672, 64),
    "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data": _llama(32, 4096, 14_336, 32),
    "RLHFlow/Llama3.1-8B-PRM-Mistral-Data": _llama(32, 4096, 14_336, 32),
    **{f"Qwen/Qwen2.5-{size}-Instruct": config for size, config in QWEN_SIZES.items()},
    **{f"Qwen/Qwen2.5-Math-{size}-Instruct": QWEN_SIZES[size] for size in ("1.5B", "7B", "72B")},
    **{f"Qwen/Qwen2.5-Math-PRM-{size}": QWEN_SIZES[size] for size in ("7B", "72B")},
})  # fmt: skip


def shape_of(model: str) -> Shape:
    """The shape of a checkpoint in a folder, or of a model on the hub.

    Raises:
        UserError: there is no such model, it cannot be reached, or it is not built like Llama.
    """
    folder = Path(model)
    if not folder.is_dir():
        return from_config(KNOWN.get(model) or _hub_config(model), model)
    config = _read_json(folder / "config.json")
    files = sorted(folder.glob("*.safetensors"))
    shape = from_config(config, model)
    if not files:
        return shape
    stored = [tensor for path in files for tensor in _tensors(path)]
    size = sum(numbers * STORED_BYTES.get(dtype, 4) for numbers, dtype in stored)
    return replace(shape, parameters=sum(numbers for numbers, _ in stored), weight_bytes=size)


def shape_at_hand(model: str) -> Shape | None:
    """The shape of a model, from what is known here or stored on this machine; the hub is not asked.

    Returns:
        None where it is unknown, or where the model is not built like Llama.
    """
    from huggingface_hub import try_to_load_from_cache

    try:
        if Path(model).is_dir() or model in KNOWN:
            return shape_of(model)
        cached = try_to_load_from_cache(model, "config.json")
        return from_config(_read_json(Path(cached)), model) if isinstance(cached, str) else None
    except (UserError, ValueError):  # the engine, which needs more of the model, says what is wrong with it
        return None


def kv_bytes(shape: Shape, tokens: float, dtype: str = "bfloat16") -> float:
    """Size in bytes of the KV cache of some tokens: a key and a value for each layer and key-value head."""
    return 2 * shape.layers * shape.kv_width * DTYPE_BYTES[dtype] * tokens


def from_config(config: Mapping[str, Any], model: str) -> Shape:
    """The shape that a config.json describes, for architectures built like Llama (Mistral, Qwen 2 and 2.5 too).

    Raises:
        UserError: it is of another architecture, or lacks a size.
    """
    if config.get("model_type") not in LLAMA_LIKE:
        kind = config.get("model_type")
        raise UserError(f"{model}: the size of {kind!r} models is unknown here: use one of {', '.join(LLAMA_LIKE)}")
    try:
        layers, hidden, feed_forward, heads, vocabulary = (
            int(config[name])
            for name in ("num_hidden_layers", "hidden_size", "intermediate_size", "num_attention_heads", "vocab_size")
        )
    except KeyError as error:
        raise UserError(f"{model}: its config.json lacks {error}: complete it") from None
    head_dim = config.get("head_dim") or hidden // heads
    query, kv = heads * head_dim, (config.get("num_key_value_heads") or heads) * head_dim
    biased = config["model_type"] == "qwen2" or config.get("attention_bias", False)
    biases = (query + 2 * kv if biased else 0) + (hidden if config.get("attention_bias", False) else 0)
    layer = 2 * hidden * query + 2 * hidden * kv + biases + 3 * hidden * feed_forward + 2 * hidden
    tied = bool(config.get("tie_word_embeddings", False))
    matrix = vocabulary * hidden
    parameters = layers * layer + hidden + matrix * (1 if tied else 2)
    dtype = config.get("dtype") or config.get("torch_dtype") or "bfloat16"
    return Shape(
        parameters=parameters, embedding=matrix, head=matrix, tied=tied, layers=layers,
        query_width=query, kv_width=kv, weight_bytes=parameters * DTYPE_BYTES.get(dtype, 2),
    )  # fmt: skip


def _hub_config(model: str) -> Mapping[str, Any]:
    from huggingface_hub import hf_hub_download

    check_reachable(model)  # the library would try again for half a minute
    try:
        return _read_json(Path(hf_hub_download(model, "config.json")))
    except UserError:
        raise
    except Exception:  # unreachable, gated, no such model, not a name …
        raise UserError(
            f"cannot find the size of {model!r}: it is neither a checkpoint's folder nor a model whose config.json the "
            "hub or its cache has; check the name, or download the model"
        ) from None


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError):
        config = None
    if not isinstance(config, dict):
        raise UserError(f"cannot read {path}: it is not the config.json of a checkpoint")
    return config


def _tensors(path: Path) -> list[tuple[int, str]]:
    """How many numbers each tensor of a safetensors file has, and their type; only the header is read."""
    try:
        with safe_open(path, "np") as file:
            slices = [file.get_slice(name) for name in file.keys()]
            return [(math.prod(tensor.get_shape()), tensor.get_dtype()) for tensor in slices]
    except (OSError, SafetensorError):
        raise UserError(f"cannot read {path}: not a safetensors file; download or train the model again") from None
