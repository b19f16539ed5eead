r"""The policy as its own PRM: after each step it is asked, in its own chat, whether the step is right.

::

    system: (the policy's system prompt)
    user: Start with 42, subtract 17, multiply by 3.
    assistant: 42-17=25
    user: Is the last step above right? Answer with one word, Yes or No.
    assistant: ?

A step's score is P("Yes") against P("No") where the model predicts its answer (P(True) of Kadavath et al. 2022, arXiv
2207.05221). The chat up to the question is the prompt and the text that the policy sampled, so that its own prefix
cache has nearly all of it. A policy that was trained to judge in RLHFlow's format is asked in that one.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from tts_study.errors import UserError
from tts_study.prompts.policy import defused, render
from tts_study.prompts.steps import STEP_SEPARATOR

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SELF = "self"  # in place of a PRM's name
QUESTION = "Is the last step above right? Answer with one word, Yes or No."
RIGHT, WRONG = "Yes", "No"
_SOLUTION = "\ue000"  # stands for the solution while the chat is put together; private use, so no tokenizer's own


def solution_ids(tokenizer: "PreTrainedTokenizerBase", steps: Sequence[str]) -> tuple[int, ...]:
    """The steps of a solution as the policy would write them after its prompt."""
    text = defused(tokenizer, STEP_SEPARATOR.join(steps))
    return tuple(tokenizer.encode(text, add_special_tokens=False))


@lru_cache(maxsize=8)
def question_ids(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None) -> tuple[int, ...]:
    """What follows a solution: the end of its turn, the question, and the beginning of the answer's turn.

    Raises:
        UserError: as `policy.render`, or the template leaves solutions out.
    """
    return tuple(tokenizer.encode(_question(tokenizer, chat_template), add_special_tokens=False))


@lru_cache(maxsize=8)
def answer_ids(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None) -> tuple[int, int]:
    """The token ids of "Yes" and of "No" where the answer begins.

    Raises:
        UserError: as `question_ids`, or one of them is not a single token there.
    """
    asked = question_ids(tokenizer, chat_template)
    found = []
    for answer in (RIGHT, WRONG):
        *before, token = tokenizer.encode(_question(tokenizer, chat_template) + answer, add_special_tokens=False)
        if tuple(before) != asked or str(tokenizer.decode([token])).strip() != answer:
            raise UserError(
                f"{tokenizer.name_or_path!r} does not write {answer!r} as a single token, so it cannot be asked about "
                "its own steps: choose another PRM (--prm-format rlhflow asks for + or -, if it was trained to)."
            )
        found.append(token)
    return found[0], found[1]


def _question(tokenizer: "PreTrainedTokenizerBase", chat_template: str | None) -> str:
    chat = [
        {"role": role, "content": content}
        for role, content in (("user", "?"), ("assistant", _SOLUTION), ("user", QUESTION))
    ]
    parts = render(tokenizer, chat, chat_template, add_generation_prompt=True).split(_SOLUTION)
    if len(parts) != 2:
        raise UserError(
            f"The chat template of {tokenizer.name_or_path!r} does not keep an assistant's turn as it is, so the model "
            "cannot be asked about its own steps: give another template, or another PRM."
        )
    return parts[1]
