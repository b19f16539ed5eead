"""How long a bf16 model's products take as PyTorch computes them, and in float32, rounded at the end."""

from collections.abc import Sequence

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from benchmarks.engines import median_seconds, take_turns
from tts_study.engines.cpu.bf16 import InFloat32, imitates_bf16

ROWS = (1, 4, 16, 64, 256)  # tokens in a batch
TURNS = 9  # whose median counts
Product = tuple[torch.Tensor, torch.Tensor, InFloat32]  # inputs, weights, their copy


async def compare(model: str) -> str:
    """A table of the time that all linear layers of a model take, one after the other, on one core.

    Args:
        model: a checkpoint.
    """
    torch.set_num_threads(1)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    layers = [each.weight.detach() for each in loaded.modules() if isinstance(each, nn.Linear)]
    lines = [
        f"this processor {'imitates' if imitates_bf16() else 'computes in'} bf16; {len(layers)} products by {model}",
        f"{'tokens':>8} {'bf16':>10} {'float32':>10} {'ratio':>6}",
    ]
    for rows in ROWS:
        work = [(torch.randn(rows, each.shape[1], dtype=torch.bfloat16), each, InFloat32(each)) for each in layers]
        wide, narrow = median_seconds(await take_turns(_in_float32, _in_bf16, work, TURNS))
        lines.append(f"{rows:8} {narrow * 1e6:7.0f} us {wide * 1e6:7.0f} us {narrow / wide:6.1f}")
    return "\n".join(lines)


async def _in_float32(work: Sequence[Product]) -> None:
    for inputs, weight, copy in work:
        copy(inputs, weight, None)


async def _in_bf16(work: Sequence[Product]) -> None:
    for inputs, weight, _ in work:
        nn.functional.linear(inputs, weight)
