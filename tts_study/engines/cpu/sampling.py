"""How a request asks vLLM's CPU engine for a sample by our own noise. It imports nothing heavy: clients use it, too."""

from collections.abc import Mapping
from typing import Any

# the logits processor, as vLLM's process loads it, and its argument
NOISE = "tts_study.engines.cpu.noise:SeededNoise"
NOISE_ARGUMENT = "seeded_noise"


def with_noise(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """A request in terms of our own noise; vLLM draws where decoding is greedy, or from a nucleus that it finds."""
    temperature, top_p, seed = (sampling[name] for name in ("temperature", "top_p", "seed"))
    if temperature == 0 or top_p < 1:
        return dict(sampling)
    return {**sampling, "temperature": 0.0, "seed": None, "extra_args": {NOISE_ARGUMENT: (seed, temperature)}}
