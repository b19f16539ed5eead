"""Products of bf16 weights on x86 processors without AVX-512, such as those of most laptops.

PyTorch imitates bf16 there, and vLLM has no kernel of its own for it. The same product in float32, rounded to bf16 at
its end, takes a fraction of the time: `python -m benchmarks bf16` prints it.
"""

from typing import Any

import torch
from torch import nn

LARGEST = 2**30  # bytes of float32 copies; the weights of a larger model stay as they are


def imitates_bf16() -> bool:
    """Whether PyTorch imitates bf16 on this processor."""
    abilities = torch.cpu.get_capabilities()
    return abilities["architecture"] == "x86_64" and not abilities["avx512_f"]


def widen(model: nn.Module) -> None:
    """Let the linear layers of a small bf16 model of vLLM multiply in float32, by a copy of their weights.

    Args:
        model: as loaded; its weights, its inputs and its outputs keep their type.
    """
    layers: list[Any] = [each for each in model.modules() if hasattr(each, "cpu_linear")]  # vLLM's name for a product
    # where a plugin of vLLM's has a kernel, it packs the weight and leaves an empty one
    layers = [layer for layer in layers if layer.weight.dtype == torch.bfloat16 and layer.weight.numel()]
    if 4 * sum(layer.weight.numel() for layer in layers) <= LARGEST:
        for layer in layers:
            layer.cpu_linear = InFloat32(layer.weight)


class InFloat32:
    """What vLLM calls for a layer's product."""

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight.detach().float()

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The product of inputs (…, in) with the weights (out, in), rounded to the inputs' type.

        Args:
            x: inputs.
            weight: the weights in bf16, of which this holds a copy.
            bias: (out,) or None.
        """
        wide = None if bias is None else bias.float()
        return nn.functional.linear(x.float(), self._weight, wide).to(x.dtype)
