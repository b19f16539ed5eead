"""How a request asks vLLM's CPU engine for a sample by our own noise. It imports nothing heavy: clients use it, too."""

from collections.abc import Mapping
from typing import Any

from tts_study.engines.settings import HOTTEST

# the logits processor, as vLLM's process loads it, and its argument
NOISE = "tts_study.engines.cpu.noise:SeededNoise"
NOISE_ARGUMENT = "seeded_noise"
COLDEST = 1e-5  # the smallest temperature that logits in float32 are divided by; vLLM takes a smaller one for 0


def with_noise(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """A request in terms of our own noise; vLLM draws where decoding is greedy, or from a nucleus that it finds."""
    temperature, top_p, seed = (sampling[name] for name in ("temperature", "top_p", "seed"))
    if temperature < COLDEST or top_p < 1:
        return dict(sampling)
    return {**sampling, "temperature": 0.0, "seed": None, "extra_args": {NOISE_ARGUMENT: (seed, temperature)}}


def is_noise(value: object) -> bool:
    """Whether a value is what `with_noise` sends: a seed of 63 bits, and a temperature that float32 can hold."""
    if not isinstance(value, list | tuple) or len(value) != 2 or any(isinstance(each, bool) for each in value):
        return False
    seed, temperature = value
    is_seed = isinstance(seed, int) and 0 <= seed < 2**63
    return is_seed and isinstance(temperature, int | float) and COLDEST <= temperature <= HOTTEST
