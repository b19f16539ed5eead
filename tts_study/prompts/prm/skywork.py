r"""Skywork-o1-Open-PRM: a line at a time, judged by a value head on the line's end.

::

    Start with 42, subtract 17, multiply by 3.⏎
    42-17=25⏎
    25*3=75⏎
    \boxed{75}⏎

The head gives one number at each token, whose sigmoid is P(right). The model was trained with one step a line; a step
of ours may have several, and then its last line's end judges it. Source: SkyworkAI/skywork-o1-prm-inference,
`model_utils/io_utils.py`, which tokenises each line apart.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tts_study.errors import UserError
from tts_study.prompts.policy import defused
from tts_study.prompts.prm.format import Config, Marked, PRMFormat, architecture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ARCHITECTURE = "Qwen2ForPrmModel"


def skywork_tokens(
    tokenizer: "PreTrainedTokenizerBase", problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> Marked:
    """A solution in Skywork's format; a step is judged at the end of its last line."""
    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    token_ids = bos + _encode(tokenizer, defused(tokenizer, problem) + "\n")
    (line_end,) = _encode(tokenizer, "\n")
    positions = []
    for step in steps:
        for line in defused(tokenizer, step).split("\n"):
            token_ids += [*_encode(tokenizer, line), line_end]
        positions.append(len(token_ids) - 1)
    return tuple(token_ids), tuple(positions)


def _encode(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False)


def _check(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
    if len(_encode(tokenizer, "\n")) != 1:
        raise UserError(
            f"The PRM {tokenizer.name_or_path!r} does not write a line's end as a single token, which PRMs of the "
            f"family {SKYWORK.name!r} need: choose another prm_format, or another PRM."
        )


def _engine_args(config: Config) -> dict[str, Any]:
    """Its class is ours: `engines/plugin.py` registers it with vLLM, once the project is installed with that plugin."""
    if not any(plugin.value.startswith("tts_study.") for plugin in entry_points(group="vllm.general_plugins")):
        raise UserError(
            "vLLM does not know Skywork's PRMs, since this project was installed before its plugin existed: "
            "install it again (make setup, or pip install --no-deps -e . in the project's folder)."
        )
    return {"runner": "pooling", "hf_overrides": {"architectures": [ARCHITECTURE]}}


SKYWORK = PRMFormat(
    name="skywork",
    models=("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-1.5B", "Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B"),
    recognises=lambda model, config: architecture(config) == ARCHITECTURE or "skywork-o1-open-prm" in model.lower(),
    mark=skywork_tokens,
    check=_check,
    engine_args=_engine_args,
)
