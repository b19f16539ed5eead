"""Random Llamas and a tokenizer like theirs: to check or measure a machine without the hub or real models."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tts_study.prompts.policy import LLAMA3_TEMPLATE, MATH_SYSTEM_PROMPT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY = 128_256  # Llama 3's
SPECIAL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)  # Llama 3's

# standard deviation of the logits of a step's end and of a solution's: large enough to be drawn out of 128,256
STEP_ENDS, ENDS = 5.0, 3.5


@dataclass(frozen=True)
class Size:
    """A Llama's size; embedding and head are two matrices."""

    hidden: int
    feed_forward: int
    layers: int
    heads: int
    kv_heads: int


TINY = Size(hidden=64, feed_forward=128, layers=2, heads=2, kv_heads=1)
ONE_B = Size(hidden=2048, feed_forward=8192, layers=16, heads=32, kv_heads=8)  # Llama-3.2-1B's


def make_llama(folder: Path, size: Size, *, seed: int) -> Path:
    """Save a random Llama in bfloat16, with its tokenizer; its random text has steps, and sometimes ends.

    Args:
        folder: where to.
        size: the model's.
        seed: of its weights.

    Returns:
        The folder.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = llama_tokenizer()
    torch.manual_seed(seed)
    spread = 0.02
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=size.hidden, intermediate_size=size.feed_forward,
        num_hidden_layers=size.layers, num_attention_heads=size.heads, num_key_value_heads=size.kv_heads,
        max_position_embeddings=4096, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        initializer_range=spread,
    )  # fmt: skip
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(default)
    with torch.no_grad():
        for token, deviation in ((separator(tokenizer), STEP_ENDS), (tokenizer.eos_token_id, ENDS)):
            model.lm_head.weight[token] *= deviation / (spread * size.hidden**0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama_tokenizer() -> "PreTrainedTokenizerFast":
    """A byte-level tokenizer that splits text as Llama 3's and is as large.

    Its words are those of the prompts, all numbers up to 999, and made-up ones; other text is split into bytes.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    split = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    prompts = "\n\n".join((MATH_SYSTEM_PROMPT, LLAMA3_TEMPLATE, "user assistant system", "+ - * / = . ,"))
    known = [word for word, _ in split.pre_tokenize_str(prompts)]
    words = itertools.chain(sorted(pre_tokenizers.ByteLevel.alphabet()), known, map(str, range(1000)), _made_up())
    vocabulary = list(itertools.islice(dict.fromkeys(words), VOCABULARY - len(SPECIAL)))
    numbered = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.BPE(vocab=numbered, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer, tokenizer.decoder = split, decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    bos, end = SPECIAL[0], SPECIAL[-1]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, bos_token=bos, eos_token=end,
        chat_template=LLAMA3_TEMPLATE,
    )  # fmt: skip


def separator(tokenizer: "PreTrainedTokenizerFast") -> int:
    """The token that ends a step."""
    (token,) = tokenizer.encode("\n\n", add_special_tokens=False)
    return int(token)


def made_up_words(tokenizer: "PreTrainedTokenizerFast") -> range:
    """The ids of words that follow a space."""
    return range(tokenizer.get_vocab()[next(_made_up())], VOCABULARY - len(SPECIAL))


def _made_up() -> Iterator[str]:
    """More words than are needed: a space, and three syllables."""
    syllables = [a + b for a in "bcdfghjklmnprstvz" for b in "aeiou"]
    return (f"Ġ{a}{b}{c}" for a in syllables for b in syllables for c in syllables)
