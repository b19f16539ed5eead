"""Text to token ids: the policy's prompt, and what PRM formats share with it. Pure functions of a tokenizer."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from tts_study.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

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

# Qwen2.5-Math's, both of its policies and of its PRM
QWEN_MATH_SYSTEM_PROMPT = r"Please reason step by step, and put your final answer within \boxed{}."

# for small chat models, which follow a short prompt sooner than a long one
STEPS_PROMPT = (
    "You solve math problems. Write one short step a paragraph, with a blank line after each. "
    r"Then write the answer alone, as \boxed{number}."
)

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


def policy_tokens(
    tokenizer: "PreTrainedTokenizerBase", problem: str, *, system_prompt: str = "", chat_template: str | None = None
) -> tuple[int, ...]:
    """The prompt of one problem, up to where the policy's solution begins.

    Args:
        tokenizer: the policy's.
        problem: the problem's text.
        system_prompt: the system turn; "" leaves it out.
        chat_template: a Jinja template in place of the tokenizer's own.
    """
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    user = {"role": "user", "content": defused(tokenizer, problem)}
    text = render(tokenizer, [*system, user], chat_template, add_generation_prompt=True)
    # the template has written the BOS if the model needs one: the tokenizer must not add a second
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def render(
    tokenizer: "PreTrainedTokenizerBase",
    messages: list[dict[str, str]],
    chat_template: str | None,
    add_generation_prompt: bool = False,
) -> str:
    """Chat messages as the text that a model reads.

    Raises:
        UserError: there is no template.
    """
    chat_template = chat_template or None  # an empty one means the tokenizer's own
    if chat_template is None and tokenizer.chat_template is None:
        raise UserError(f"The tokenizer {tokenizer.name_or_path!r} has no chat template: give one with the profile.")
    text = tokenizer.apply_chat_template(
        messages, chat_template=chat_template, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    assert isinstance(text, str)
    return text


def defused(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """The text with every special token spelled in it broken by a space, so that it cannot open or close a turn.

    Tokenizers can read such text literally (`split_special_tokens`), but only for a whole input, and ours also contains
    the template's own special tokens.
    """
    return _special(tokenizer).sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


@lru_cache(maxsize=8)
def _special(tokenizer: "PreTrainedTokenizerBase") -> re.Pattern[str]:
    special = sorted(tokenizer.get_added_vocab(), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, special)) or r"(?!)")
