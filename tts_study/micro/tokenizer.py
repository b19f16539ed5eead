r"""The micro models' tokenizer: one token a character, and one for each word or mark that problems often repeat.

It is an ordinary Hugging Face fast tokenizer with a chat template, so that vLLM and every other toolkit load it with
no code of ours. A micro prompt reads::

    <|user|>Start with 42, subtract 17, multiply by 3.<|end|><|assistant|>

and the solution that follows ends with `<|end|>`. The PRM reads the same turns in RLHFlow's format: the problem and
the first step in a user turn, "+" or "-" in an assistant turn, and so on.
"""

import re
import string

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

END, USER, ASSISTANT, SYSTEM, UNKNOWN = "<|end|>", "<|user|>", "<|assistant|>", "<|system|>", "<|unknown|>"
SPECIAL_TOKENS = (END, USER, ASSISTANT, SYSTEM, UNKNOWN)

# what is one token although it is longer than a character; learning to spell words is not what this study is about
WORDS = ("\n\n", r"\boxed{", "Start with ", ", add ", ", subtract ", ", multiply by ", ". The result is ", ". Find x.")

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def build_tokenizer(max_length: int) -> PreTrainedTokenizerFast:
    """Build the tokenizer; the same one serves all policies and the PRM.

    Args:
        max_length: the models' context, in tokens.
    """
    pieces = (*WORDS, *string.digits, *string.ascii_letters, *string.punctuation, " ", "\n")
    vocabulary = {piece: i for i, piece in enumerate((*SPECIAL_TOKENS, *pieces))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    longest_first = "|".join(re.escape(word) for word in sorted(WORDS, key=len, reverse=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{longest_first}|[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM],
        chat_template=CHAT_TEMPLATE,
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
