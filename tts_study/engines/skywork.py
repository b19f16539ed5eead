"""Skywork-o1-Open-PRM as a vLLM model: Qwen2 with one output, whose weights a checkpoint calls `v_head.summary`.

Only vLLM imports this module, by the name that `plugin.py` gave it.
"""

from collections.abc import Iterable

import torch
from vllm.config import VllmConfig
from vllm.model_executor.models.adapters import as_seq_cls_model
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM

_Classifier: type = as_seq_cls_model(Qwen2ForCausalLM)  # type: ignore[type-abstract]


class Qwen2ForPrmModel(_Classifier):
    """A classifier with one output: P(right)."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        vllm_config.model_config.hf_config.num_labels = 1
        super().__init__(vllm_config=vllm_config, prefix=prefix)

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]:
        """Load a checkpoint, whose output for tokens is of no use here."""
        named = ((name.replace("v_head.summary.", "score."), weight) for name, weight in weights)
        return super().load_weights((name, weight) for name, weight in named if not name.startswith("lm_head."))
