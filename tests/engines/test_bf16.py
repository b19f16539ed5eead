"""Products in float32 on a processor that imitates bf16: the same numbers, for small bf16 models only."""

import pytest
import torch
from torch import nn

from tts_study.engines.cpu import bf16
from tts_study.engines.cpu.bf16 import InFloat32, imitates_bf16, widen


def vllm_layer(dtype: torch.dtype, bias: bool) -> nn.Linear:
    """A layer as vLLM prepares it on a CPU."""
    layer = nn.Linear(24, 40, bias=bias, dtype=dtype)
    layer.cpu_linear = nn.functional.linear
    return layer


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(24,), (1, 24), (7, 24), (2, 7, 24)])
def test_a_product_in_float32_is_the_exact_one_rounded_to_bf16(shape, bias):
    torch.manual_seed(0)
    layer, x = vllm_layer(torch.bfloat16, bias), torch.randn(shape, dtype=torch.bfloat16)
    exact = x.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    widen(layer)
    found = layer.cpu_linear(x, layer.weight, layer.bias)
    assert found.dtype == torch.bfloat16 and found.shape == (*shape[:-1], 40)
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=1e-6)  # half a unit in the last place of bf16


def test_only_the_linear_layers_of_vllm_s_bf16_models_change():
    bf16_layer, float32_layer = vllm_layer(torch.bfloat16, False), vllm_layer(torch.float32, False)
    others = nn.Embedding(4, 24, dtype=torch.bfloat16)
    packed = vllm_layer(torch.bfloat16, False)
    packed.weight = nn.Parameter(torch.empty(0, dtype=torch.bfloat16))
    widen(nn.ModuleList([bf16_layer, float32_layer, others, packed]))
    assert isinstance(bf16_layer.cpu_linear, InFloat32) and bf16_layer.weight.dtype == torch.bfloat16
    assert float32_layer.cpu_linear is packed.cpu_linear is nn.functional.linear
    assert not hasattr(others, "cpu_linear")


def test_a_model_whose_copies_take_too_much_memory_stays_as_it_is(monkeypatch):
    layers = [vllm_layer(torch.bfloat16, False) for _ in range(2)]
    monkeypatch.setattr(bf16, "LARGEST", 2 * 4 * 24 * 40 - 1)
    widen(nn.ModuleList(layers))
    assert all(layer.cpu_linear is nn.functional.linear for layer in layers)
    monkeypatch.setattr(bf16, "LARGEST", 2 * 4 * 24 * 40)
    widen(nn.ModuleList(layers))
    assert all(isinstance(layer.cpu_linear, InFloat32) for layer in layers)


@pytest.mark.parametrize(
    ("abilities", "imitated"),
    [
        ({"architecture": "x86_64", "avx512_f": True}, False),
        ({"architecture": "x86_64", "avx512_f": False}, True),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_bf16_is_imitated_on_x86_without_avx_512(abilities, imitated, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: abilities)
    assert imitates_bf16() == imitated
