r"""PRMs trained with TRL's `PRMTrainer`: a token classifier, asked at the separator after each step.

::

    Start with 42, subtract 17, multiply by 3.42-17=25⏎25*3=75⏎\boxed{75}⏎

The softmax over the two labels at a separator is (wrong, right). The separator is the trainer's default, a line's end,
since a checkpoint does not say which one it was trained with. Source: huggingface/trl, `PRMTrainer.tokenize_row`,
which tokenises the problem and each step apart.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tts_study.errors import UserError
from tts_study.prompts.policy import defused
from tts_study.prompts.prm.format import Config, Marked, PRMFormat, architecture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEPARATOR = "\n"
SUFFIX = "ForTokenClassification"


def trl_tokens(
    tokenizer: "PreTrainedTokenizerBase", problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> Marked:
    """A solution as TRL writes it; a step is judged at the last token of its separator."""
    problem_ids, separator, *steps_ids = tokenizer(
        [defused(tokenizer, problem), SEPARATOR, *(defused(tokenizer, step) for step in steps)],
        add_special_tokens=False,
    )["input_ids"]
    token_ids = problem_ids if tokenizer.bos_token_id is None else [tokenizer.bos_token_id, *problem_ids]
    positions = []
    for step_ids in steps_ids:
        token_ids = [*token_ids, *step_ids, *separator]
        positions.append(len(token_ids) - 1)
    return tuple(token_ids), tuple(positions)


def _check(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
    """Any tokenizer will do."""


def _engine_args(config: Config) -> dict[str, Any]:
    labels = len(config.get("id2label") or "01")  # two go without saying
    if labels != 2:
        raise UserError(f"The PRM is a token classifier with {labels} labels, and needs two: wrong and right.")
    return {
        "runner": "pooling",
        "hf_overrides": {"architectures": [architecture(config).replace(SUFFIX, "ForSequenceClassification")]},
    }


TRL = PRMFormat(
    name="trl",
    models=(),
    recognises=lambda model, config: architecture(config).endswith(SUFFIX),
    mark=trl_tokens,
    check=_check,
    engine_args=_engine_args,
)
