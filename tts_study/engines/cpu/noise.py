"""Seeded sampling for a whole batch at once, inside vLLM.

The largest of `logits / temperature + Gumbel noise` is a sample of the softmax (the Gumbel-max trick: Maddison et al.
2014, arXiv 1411.0030). The noise is a hash of (seed, position, token): a sample depends on nothing but its prefix and
its seed. vLLM's own seeds draw each row of a batch with its own generator, which costs a small model on a CPU about a
tenth of its speed, and stops the CPU engine with an error where a prompt is prefilled in chunks.
"""

import torch
from vllm import SamplingParams
from vllm.config import VllmConfig
from vllm.v1.sample.logits_processor import BatchUpdate, LogitsProcessor
from vllm.v1.sample.logits_processor.builtin import process_dict_updates

from tts_study.engines.cpu.sampling import COLDEST, NOISE_ARGUMENT, is_noise
from tts_study.engines.settings import HOTTEST

Row = tuple[int, float, list[int]]  # seed, temperature, tokens so far


class SeededNoise(LogitsProcessor):
    """Turns greedy decoding into seeded sampling, for the requests that ask for it."""

    def __init__(self, vllm_config: VllmConfig, device: torch.device, is_pin_memory: bool) -> None:
        self.device = device
        self.rows: dict[int, Row] = {}

    @classmethod
    def validate_params(cls, sampling_params: SamplingParams) -> None:
        """Refuse a malformed argument where a request comes in: later it would end the engine for all requests.

        Raises:
            ValueError: it is not a seed of 63 bits and a temperature; a server answers with HTTP 400.
        """
        wanted = (sampling_params.extra_args or {}).get(NOISE_ARGUMENT)
        if wanted is not None and not is_noise(wanted):
            raise ValueError(
                f"{NOISE_ARGUMENT} must be a seed (0 to 2^63 - 1) and a temperature from {COLDEST:g} to {HOTTEST:g}"
            )

    def is_argmax_invariant(self) -> bool:
        """It moves the largest logit: that is its purpose."""
        return False

    def update_state(self, batch_update: BatchUpdate | None) -> None:
        """Follow the requests that come, go and move."""
        process_dict_updates(self.rows, batch_update, _new_row)

    def apply(self, logits: torch.Tensor) -> torch.Tensor:
        """Add the noise to the rows that ask for it; `logits` are (requests, vocabulary), in float32."""
        if not self.rows:
            return logits
        seeds = torch.tensor([seed for seed, _, _ in self.rows.values()], device=self.device)
        positions = torch.tensor([len(tokens) for _, _, tokens in self.rows.values()], device=self.device)
        temperatures = torch.tensor([temperature for _, temperature, _ in self.rows.values()], device=self.device)
        index = torch.tensor(list(self.rows), device=self.device)
        logits[index] = logits[index] / temperatures[:, None] + gumbel(seeds, positions, logits.shape[1])
        return logits


def _new_row(params: SamplingParams, prompt: list[int] | None, output: list[int]) -> Row | None:
    wanted = (params.extra_args or {}).get(NOISE_ARGUMENT)
    return (*wanted, output) if wanted else None


def gumbel(seeds: torch.Tensor, positions: torch.Tensor, vocabulary: int) -> torch.Tensor:
    """Standard Gumbel noise of shape (rows, vocabulary), a function of each row's seed and position (int64, rows)."""
    rows = _mixed(_mixed(seeds) + positions)
    tokens = torch.arange(vocabulary, device=seeds.device)
    bits = _shifted(_mixed(rows[:, None] ^ _mixed(tokens)), 41)  # the upper 23: with a half added, exact in float32
    return -torch.log(-torch.log((bits.float() + 0.5) * 2.0**-23))


def _mixed(x: torch.Tensor) -> torch.Tensor:
    """SplitMix64's finalizer (Steele et al. 2014), on int64 that wrap around."""
    x = x + -7046029254386353131
    x = (x ^ _shifted(x, 30)) * -4658895280553007687
    x = (x ^ _shifted(x, 27)) * -7723592293110705685
    return x ^ _shifted(x, 31)


def _shifted(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift right, zeros from the left."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)
