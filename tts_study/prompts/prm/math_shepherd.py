r"""Math-Shepherd's PRM (Wang et al. 2023, 2312.08935): the problem and the steps, a tag after each step.

::

    Start with 42, subtract 17, multiply by 3. 42-17=25 ки
    25*3=75 ки
    \boxed{75} ки

A step's score is P("+") against P("-") at the step's tag, in whose place the model has learnt to see the verdict.
Source: the model card of peiyi9979/math-shepherd-mistral-7b-prm.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tts_study.prompts.policy import defused
from tts_study.prompts.prm.format import (
    Config,
    Marked,
    PRMFormat,
    architecture,
    check_grows,
    check_single,
    verdict_classifier,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TAG = "ки"
# as a SentencePiece vocabulary spells " ки", " +" and " -"; the bare "+" and "-" are other tokens
TAG_TOKEN, GOOD, BAD = "▁ки", "▁+", "▁-"


def math_shepherd_tokens(
    tokenizer: "PreTrainedTokenizerBase", problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> Marked:
    """A solution in Math-Shepherd's format; a step is judged at its tag."""
    shown = [_plain(tokenizer, step) for step in steps]
    solution = "\n".join(f"{step} {TAG}" for step in shown).lstrip()
    token_ids = tokenizer.encode(f"{_plain(tokenizer, problem)} {solution}")
    tag = tokenizer.convert_tokens_to_ids(TAG_TOKEN)
    return tuple(token_ids), tuple(position for position, token in enumerate(token_ids) if token == tag)


def _plain(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """The text without what would create or break a tag: the tag itself, and space before one, with which it merges."""
    text = text.replace("▁", " ").replace(TAG, " ".join(TAG))  # "▁" is how the vocabulary spells a space
    return defused(tokenizer, text).rstrip()


def _check(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
    check_single(tokenizer, (TAG_TOKEN, GOOD, BAD), MATH_SHEPHERD.name)
    check_grows(math_shepherd_tokens, tokenizer, chat_template)


def _recognises(model: str, config: Config) -> bool:
    name = model.lower().replace("_", "-")
    return architecture(config).endswith("ForCausalLM") and "math-shepherd" in name


MATH_SHEPHERD = PRMFormat(
    name="math-shepherd",
    models=("peiyi9979/math-shepherd-mistral-7b-prm",),
    recognises=_recognises,
    mark=math_shepherd_tokens,
    check=_check,
    engine_args=lambda config: verdict_classifier(config, BAD, GOOD),
)
