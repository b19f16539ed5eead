"""How long a bf16 model's products take as PyTorch computes them, and in float32, rounded at the end."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from tts_study.engines.cpu.bf16 import InFloat32, imitates_bf16

ROWS = (1, 4, 16, 64, 256)  # tokens in a batch
TURNS = 9  # the median counts


def compare(model: str) -> Iterator[str]:
    """Lines of a table: all linear layers of a model, one after the other, on one core.

    Args:
        model: a checkpoint.
    """
    torch.set_num_threads(1)
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.bfloat16)
    layers = [each.weight.detach() for each in loaded.modules() if isinstance(each, nn.Linear)]
    wide = [InFloat32(weight) for weight in layers]
    yield f"this processor {'imitates' if imitates_bf16() else 'computes in'} bf16; {len(layers)} products by {model}"
    yield f"{'tokens':>8} {'bf16':>10} {'float32':>10} {'ratio':>6}"
    for rows in ROWS:
        inputs = [torch.randn(rows, weight.shape[1], dtype=torch.bfloat16) for weight in layers]
        narrow = _median([partial(nn.functional.linear, x, w) for x, w in zip(inputs, layers, strict=True)])
        other = _median([partial(f, x, w, None) for x, w, f in zip(inputs, layers, wide, strict=True)])
        yield f"{rows:8} {narrow * 1e6:7.0f} us {other * 1e6:7.0f} us {narrow / other:6.1f}"


def _median(calls: Sequence[Callable[[], torch.Tensor]]) -> float:
    """Seconds that all calls take, one after the other."""
    turns = []
    for _ in range(TURNS):
        started = time.perf_counter()
        for call in calls:
            call()
        turns.append(time.perf_counter() - started)
    return sorted(turns)[TURNS // 2]
