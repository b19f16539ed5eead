"""The ladder of micro policies and the PRM: sizes, training lengths, and the two ways to build their inputs.

The names say which model of the real study each one stands in for. 1b : 3b : 8b keep the real ratio of parameters.
"""

import copy
from dataclasses import dataclass

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tts_study.micro.tokenizer import build_tokenizer

CONTEXT = 512  # tokens; the longest solution in PRM format takes about 250


@dataclass(frozen=True)
class ModelSpec:
    """One model of the ladder and how long it trains.

    Attributes:
        name: the model's name and the folder of its checkpoint.
        hidden: width; heads are 32 wide.
        layers: depth.
        steps: optimizer steps of `TOKENS_PER_STEP` tokens each.
        learning_rate: peak of the schedule.
    """

    name: str
    hidden: int
    layers: int
    steps: int
    learning_rate: float


POLICIES = (
    ModelSpec("1b", hidden=32, layers=4, steps=2500, learning_rate=6e-3),
    ModelSpec("3b", hidden=64, layers=3, steps=1300, learning_rate=4e-3),
    ModelSpec("8b", hidden=96, layers=5, steps=1100, learning_rate=3e-3),
    ModelSpec("70b", hidden=160, layers=6, steps=1130, learning_rate=2.5e-3),
)


# starts as the 8b policy with three more layers: it knows the arithmetic, and has room to compare it with the text
PRM_ROUNDS = (
    ModelSpec("prm-first", hidden=96, layers=8, steps=4000, learning_rate=3e-3),
    ModelSpec("prm", hidden=96, layers=8, steps=5000, learning_rate=1.5e-3),
)


def build_model(spec: ModelSpec, seed: int) -> LlamaForCausalLM:
    """A freshly initialised Llama of the spec's size (fp32)."""
    tokenizer = build_tokenizer(CONTEXT)
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=spec.hidden,
        intermediate_size=3 * spec.hidden,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.hidden // 32,
        num_key_value_heads=spec.hidden // 32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def deepen(policy: LlamaForCausalLM, layers: int) -> LlamaForCausalLM:
    """The same model with more layers on top, which begin as the identity: their outputs start at zero."""
    config = copy.deepcopy(policy.config)
    config.num_hidden_layers = layers
    model = LlamaForCausalLM(config)
    model.load_state_dict(policy.state_dict(), strict=False)
    for layer in model.model.layers[policy.config.num_hidden_layers :]:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model
