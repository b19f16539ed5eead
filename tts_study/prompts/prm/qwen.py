r"""Qwen2.5-Math-PRM: one chat turn contains the whole solution, with a special token after each step.

::

    system: Please reason step by step, and put your final answer within \boxed{}.
    user: Start with 42, subtract 17, multiply by 3.
    assistant: 42-17=25<extra_0>25*3=75<extra_0>\boxed{75}<extra_0>

A head of two layers gives two numbers at each token; their softmax at a step's special token is (wrong, right).
Source: the model card of Qwen/Qwen2.5-Math-PRM-7B.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tts_study.prompts.policy import QWEN_MATH_SYSTEM_PROMPT, defused, render
from tts_study.prompts.prm.format import Config, Marked, PRMFormat, architecture, check_grows, check_single

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

STEP_END = "<extra_0>"


def qwen_tokens(
    tokenizer: "PreTrainedTokenizerBase", problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> Marked:
    """A solution in Qwen's format; a step is judged at the special token that ends it."""
    messages = [
        {"role": "system", "content": QWEN_MATH_SYSTEM_PROMPT},
        {"role": "user", "content": defused(tokenizer, problem)},
        {"role": "assistant", "content": "".join(defused(tokenizer, step) + STEP_END for step in steps)},
    ]
    token_ids = tokenizer.encode(render(tokenizer, messages, chat_template), add_special_tokens=False)
    end = tokenizer.convert_tokens_to_ids(STEP_END)
    positions = tuple(position for position, token in enumerate(token_ids) if token == end)
    return tuple(token_ids[: positions[-1] + 1]), positions


def _check(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
    check_single(tokenizer, (STEP_END,), QWEN.name)
    check_grows(qwen_tokens, tokenizer, chat_template)


def _engine_args(config: Config) -> dict[str, Any]:
    """VLLM's own pooling for this model returns the steps alone but does not use the prefix cache; this does both."""
    return {"runner": "pooling", "pooler_config": {"tok_pooling_type": "ALL"}}


QWEN = PRMFormat(
    name="qwen",
    models=("Qwen/Qwen2.5-Math-PRM-7B", "Qwen/Qwen2.5-Math-PRM-72B"),
    recognises=lambda model, config: architecture(config) == "Qwen2ForProcessRewardModel",
    mark=qwen_tokens,
    check=_check,
    engine_args=_engine_args,
)
