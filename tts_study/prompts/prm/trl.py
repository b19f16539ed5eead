r"""PRMs trained with TRL's `PRMTrainer`: a token classifier, asked at the separator after each step.

::

    Start with 42, subtract 17, multiply by 3.42-17=25⏎25*3=75⏎\boxed{75}⏎

The softmax over the two labels at a separator is (wrong, right). A checkpoint does not say which separator it was
trained with: it is a setting (`prm_separator`), the trainer's default, a line's end, unless the model is a known one.
In most vocabularies a blank line is one token, and not twice a line's end: a PRM that is asked at another separator
than its own has never seen the token. Source: huggingface/trl, `PRMTrainer.tokenize_row`, which tokenises the problem
and each step apart; huggingface/search-and-learn, recipes/training, for the known models.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from tts_study.errors import UserError
from tts_study.prompts.policy import defused
from tts_study.prompts.prm.format import Config, Marked, PRMFormat, architecture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEPARATOR = "\n"
# published models that were trained with another one
KNOWN = {
    "HuggingFaceH4/Qwen2.5-Math-1.5B-Instruct-PRM-0.2": "\n\n",
    "HuggingFaceH4/Qwen2.5-Math-7B-Instruct-PRM-0.2": "\n\n",
}
SUFFIX = "ForTokenClassification"


def separator_of(model: str, given: str | None = None) -> str:
    """What stands between the steps that a model was trained with: as given, or as is known by its name."""
    name = model.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    known = {full.rpartition("/")[2].lower(): separator for full, separator in KNOWN.items()}
    return given or known.get(name, SEPARATOR)


def trl_tokens(
    tokenizer: "PreTrainedTokenizerBase",
    problem: str,
    steps: Sequence[str],
    *,
    chat_template: str | None = None,
    separator: str = SEPARATOR,
) -> Marked:
    """A solution as TRL writes it; a step is judged at the last token of its separator."""
    problem_ids, separator_ids, *steps_ids = tokenizer(
        [defused(tokenizer, problem), separator, *(defused(tokenizer, step) for step in steps)],
        add_special_tokens=False,
    )["input_ids"]
    token_ids = [*([] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]), *problem_ids]
    positions = []
    for step_ids in steps_ids:
        token_ids += [*step_ids, *separator_ids]
        positions.append(len(token_ids) - 1)
    return tuple(token_ids), tuple(positions)


def _check(
    tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None, *, separator: str = SEPARATOR
) -> None:
    """Make sure that the tokenizer can write the separator.

    Raises:
        UserError: it cannot; nothing else shows that a PRM was trained with another one.
    """
    token_ids = tokenizer.encode(separator, add_special_tokens=False)
    written = tokenizer.decode(token_ids, clean_up_tokenization_spaces=False)
    if not token_ids or tokenizer.unk_token_id in token_ids or written != separator:
        raise UserError(
            f"The PRM {tokenizer.name_or_path!r} cannot have been trained with the separator {separator!r}: its "
            f"tokenizer writes {written!r} for it; set prm_separator to the step_separator of its training."
        )


def _engine_args(config: Config) -> dict[str, Any]:
    labels = len(config.get("id2label") or "01")  # two are the default
    if labels != 2:
        raise UserError(f"The PRM is a token classifier with {labels} labels, and needs two: wrong and right.")
    return {
        "runner": "pooling",
        "hf_overrides": {"architectures": [architecture(config).replace(SUFFIX, "ForSequenceClassification")]},
    }


TRL = PRMFormat(
    name="trl",
    models=tuple(KNOWN),
    recognises=lambda model, config: architecture(config).endswith(SUFFIX),
    mark=trl_tokens,
    check=_check,
    engine_args=_engine_args,
)


def separated(separator: str) -> PRMFormat:
    """The family with another separator."""
    return replace(TRL, mark=partial(trl_tokens, separator=separator), check=partial(_check, separator=separator))
