r"""RLHFlow's PRMs, and our own: a chat in which the user shows one step at a time and the assistant judges it.

::

    user: Start with 42, subtract 17, multiply by 3. 42-17=25     assistant: +
    user: 25*3=75                                                 assistant: +
    user: \boxed{75}                                              assistant: ?

A step's score is P("+") against P("-") where the model *predicts* that token, which is the last token of the
assistant's header; earlier verdicts are always written as "+". Source: RLHFlow/RLHF-Reward-Modeling, math-rm.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import cycle
from typing import TYPE_CHECKING

from tts_study.errors import UserError
from tts_study.prompts.policy import defused, render
from tts_study.prompts.prm.format import (
    SAMPLE,
    Config,
    Marked,
    PRMFormat,
    architecture,
    unstable,
    verdict_classifier,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GOOD, BAD = "+", "-"
_VERDICT = "\ue000"  # stands for a verdict while the chat is put together; private use, so no tokenizer's own
_NAME = re.compile(r"prm([\d_.-].*)?|.*\bprm-(mistral|deepseek)-data")


def rlhflow_tokens(
    tokenizer: "PreTrainedTokenizerBase", problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> Marked:
    """A solution in RLHFlow's format; a step is judged at the token that predicts its verdict."""
    parts = [_part(tokenizer, f"{problem} {steps[0]}", chat_template, first=True)]
    parts += (_part(tokenizer, step, chat_template, first=False) for step in steps[1:])
    verdict = verdict_ids(tokenizer)[0]
    token_ids: list[int] = []
    positions = []
    for part in parts:
        token_ids += (verdict, *part) if token_ids else part
        positions.append(len(token_ids) - 1)
    return tuple(token_ids), tuple(positions)


@lru_cache(maxsize=2**16)  # a search asks about the same steps again with each step that follows them
def _part(
    tokenizer: "PreTrainedTokenizerBase", text: str, chat_template: str | None, *, first: bool
) -> tuple[int, ...]:
    """The tokens from one verdict to the next, as the template writes them (Llama's trims), with a step in between.

    A verdict is one token between a header and a turn's end, where no tokenizer merges. So the chat may be cut there
    and its parts be tokenised apart, which gives the positions for free; `check_rlhflow` makes sure.
    """
    texts = [text] if first else ["", text]
    contents = [content for shown in texts for content in (_plain(tokenizer, shown), _VERDICT)]
    chat = [{"role": role, "content": content} for role, content in zip(cycle(("user", "assistant")), contents)]
    part = render(tokenizer, chat, chat_template).split(_VERDICT)[len(texts) - 1]
    return tuple(tokenizer.encode(part, add_special_tokens=False))


def rlhflow_prefix(
    tokenizer: "PreTrainedTokenizerBase", problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> tuple[int, ...]:
    """The same for the last step alone, templated the plain way: the chat so far and an opened assistant turn."""
    messages = [{"role": "user", "content": _plain(tokenizer, f"{problem} {steps[0]}")}]
    for step in steps[1:]:
        messages += [{"role": "assistant", "content": GOOD}, {"role": "user", "content": _plain(tokenizer, step)}]
    text = render(tokenizer, messages, chat_template, add_generation_prompt=True)
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def check_rlhflow(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None = None) -> None:
    """Make sure that a tokenizer and its template can carry the format, by templating a sample the plain way too.

    Raises:
        UserError: the verdicts are not single tokens, or a turn's tokens depend on what follows it.
    """
    verdict_ids(tokenizer)
    problem, steps = SAMPLE
    token_ids, positions = rlhflow_tokens(tokenizer, problem, steps, chat_template=chat_template)
    for count, position in enumerate(positions, 1):
        if rlhflow_prefix(tokenizer, problem, steps[:count], chat_template=chat_template) != token_ids[: position + 1]:
            raise unstable(tokenizer)


@lru_cache(maxsize=8)
def verdict_ids(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, int]:
    """The token ids of "+" and "-".

    Raises:
        UserError: one of them is not a single token.
    """
    vocabulary = tokenizer.get_vocab()
    good, bad = vocabulary.get(GOOD, -1), vocabulary.get(BAD, -1)
    if [tokenizer.encode(verdict, add_special_tokens=False) for verdict in (GOOD, BAD)] != [[good], [bad]]:
        raise UserError(
            f"The PRM {tokenizer.name_or_path!r} does not write {GOOD!r} and {BAD!r} as single tokens: "
            "choose a PRM in RLHFlow's format."
        )
    return good, bad


def _plain(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    return defused(tokenizer, text.replace(_VERDICT, ""))


def _recognises(model: str, config: Config) -> bool:
    """Only the name distinguishes such a model from other causal ones: RLHFlow's own names, or just "prm"."""
    owner, _, name = model.rstrip("/").lower().rpartition("/")
    return architecture(config).endswith("ForCausalLM") and (owner == "rlhflow" or bool(_NAME.fullmatch(name)))


RLHFLOW = PRMFormat(
    name="rlhflow",
    models=("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", "RLHFlow/Llama3.1-8B-PRM-Mistral-Data"),
    recognises=_recognises,
    mark=rlhflow_tokens,
    check=check_rlhflow,
    engine_args=lambda config: verdict_classifier(config, BAD, GOOD),
)
