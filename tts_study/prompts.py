r"""Text to token ids: the policy's prompt, and the PRM's reading of a solution. Pure functions of a tokenizer.

RLHFlow's PRM format is a chat in which the user shows one step at a time and the assistant judges it with one token::

    user: Start with 42, subtract 17, multiply by 3. 42-17=25     assistant: +
    user: 25*3=75                                                 assistant: +
    user: \boxed{75}                                              assistant: ?

A step's score is P("+") against P("-") where the model *predicts* that token, which is the last token of the
assistant's header; earlier verdicts are always written as "+". Source: RLHFlow/RLHF-Reward-Modeling, math-rm.
"""

import re
from collections.abc import Sequence
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from tts_study.errors import UserError

# search-and-learn's system prompt, word for word
MATH_SYSTEM_PROMPT = r"""Solve the following math problem efficiently and clearly:

- For simple problems (2 steps or fewer):
Provide a concise solution with minimal explanation.

- For complex problems (3 steps or more):
Use this step-by-step format:

## Step 1: [Concise description]
[Brief explanation and calculations]

## Step 2: [Concise description]
[Brief explanation and calculations]

...

Regardless of the approach, always conclude with:

Therefore, the final answer is: $\boxed{answer}$. I hope it is correct.

Where [answer] is just the final number or expression that solves the problem."""

# Llama 3.1 and 3.2 without tools: the stock template writes today's date, so that the prompt changes every day, and
# trims messages, so that a continued solution loses its blank line. Here the date is the one that the stock template
# falls back to, and messages stay as they are.
LLAMA3_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] != 'system' %}{% set messages = [{'role': 'system', 'content': ''}] "
    "+ messages %}{% endif %}"
    "{% for message in messages %}"
    "{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if message['role'] == 'system' %}"
    "{{ 'Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' }}{% endif %}"
    "{{ message['content'] + '<|eot_id|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

GOOD, BAD = "+", "-"
_VERDICT = "\ue000"  # stands for a verdict while the chat is put together; private use, so no tokenizer's own


def policy_tokens(
    tokenizer: PreTrainedTokenizerBase, problem: str, *, system_prompt: str = "", chat_template: str | None = None
) -> tuple[int, ...]:
    """The prompt of one problem, up to where the policy's solution begins.

    Args:
        tokenizer: the policy's.
        problem: the problem's text.
        system_prompt: the system turn; "" leaves it out.
        chat_template: a Jinja template in place of the tokenizer's own.
    """
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    user = {"role": "user", "content": _defused(tokenizer, problem)}
    text = _render(tokenizer, [*system, user], chat_template, add_generation_prompt=True)
    # the template has written the BOS if the model wants one: the tokenizer must not add a second
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def rlhflow_tokens(
    tokenizer: PreTrainedTokenizerBase, problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A solution in RLHFlow's format, and where each of its steps is judged.

    Args:
        tokenizer: the PRM's.
        problem: the problem's text.
        steps: the solution's steps, at least one.
        chat_template: a Jinja template in place of the tokenizer's own.

    Returns:
        Token ids up to the last step's verdict (not included), and one position per step: the token at which the
        model predicts that step's verdict. The last position is always the last token.
    """
    shown = [f"{problem} {steps[0]}", *steps[1:]]
    messages = []
    for text in shown:
        messages += [{"role": "user", "content": _defused(tokenizer, text)}, {"role": "assistant", "content": _VERDICT}]
    # A verdict is one token between a header and a turn's end, where no tokenizer merges. So the text may be cut there
    # and its parts be tokenised apart, which gives the positions for free; `check_rlhflow` makes sure.
    parts = _render(tokenizer, messages, chat_template).split(_VERDICT)[: len(steps)]
    verdict = verdict_ids(tokenizer)[0]
    token_ids: list[int] = []
    positions = []
    for part in tokenizer(parts, add_special_tokens=False)["input_ids"]:
        token_ids += [verdict, *part] if token_ids else part
        positions.append(len(token_ids) - 1)
    return tuple(token_ids), tuple(positions)


def rlhflow_prefix(
    tokenizer: PreTrainedTokenizerBase, problem: str, steps: Sequence[str], *, chat_template: str | None = None
) -> tuple[int, ...]:
    """The same for the last step alone, templated the plain way: the chat so far and an opened assistant turn."""
    messages = [{"role": "user", "content": _defused(tokenizer, f"{problem} {steps[0]}")}]
    for step in steps[1:]:
        messages += [{"role": "assistant", "content": GOOD}, {"role": "user", "content": _defused(tokenizer, step)}]
    text = _render(tokenizer, messages, chat_template, add_generation_prompt=True)
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def check_rlhflow(tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None) -> None:
    """Make sure that a tokenizer and its template can carry the format, by templating a sample the plain way too.

    Raises:
        UserError: the verdicts are not single tokens, or a turn's tokens depend on what follows it.
    """
    verdict_ids(tokenizer)
    problem, steps = "Start with 2, add 3.", ("Step 1: 2+3=5.", "So it is $5$\n", r"\boxed{5}")
    token_ids, positions = rlhflow_tokens(tokenizer, problem, steps, chat_template=chat_template)
    for count, position in enumerate(positions, 1):
        if rlhflow_prefix(tokenizer, problem, steps[:count], chat_template=chat_template) != token_ids[: position + 1]:
            raise UserError(
                f"The chat template of the PRM {tokenizer.name_or_path!r} does not keep earlier turns as they are, "
                "so a step's score has no fixed place in it: give another template."
            )


@lru_cache(maxsize=8)
def verdict_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[int, int]:
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


def _render(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[dict[str, str]],
    chat_template: str | None,
    add_generation_prompt: bool = False,
) -> str:
    if chat_template is None and tokenizer.chat_template is None:
        raise UserError(f"The tokenizer {tokenizer.name_or_path!r} has no chat template: give one with the profile.")
    text = tokenizer.apply_chat_template(
        messages, chat_template=chat_template, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    assert isinstance(text, str)
    return text


def _defused(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The text with every special token spelled in it broken by a space, so that it cannot open or close a turn.

    Tokenizers can read such text literally (`split_special_tokens`), but only for a whole input, and ours also holds
    the template's own special tokens.
    """
    text = text.replace(_VERDICT, "")
    return _special(tokenizer).sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


@lru_cache(maxsize=8)
def _special(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str]:
    special = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, special)) or r"(?!)")
