"""Tokenizers of the real model families without a hub: out of Python packages, or stand-ins that behave the same."""

import importlib.util
import shutil
import tempfile
from functools import cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaTokenizerFast, PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import TikTokenConverter

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT, QWEN_SPLIT = SPLIT % 3, SPLIT % 1
LLAMA3_SPECIAL = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_0>"]
# Qwen2.5's, less its tools
QWEN_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = "## Step 1: [Add them]\n2 + 3 = 5.\n\n## Step 2: $x$\n\n\nuser assistant system (so)\n\n$\\boxed{5}$.\n\n"


@cache
def llama3(*, real: bool = True) -> PreTrainedTokenizerFast:
    """Llama 3's, from the package llama-models."""
    file = _packaged("llama_models", "llama3/tokenizer.model") if real else None
    tokenizer = _byte_level(file, LLAMA3_SPLIT, LLAMA3_SPECIAL)
    bos = LLAMA3_SPECIAL[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return _wrapped(tokenizer, bos_token=bos, eos_token="<|eot_id|>")


@cache
def qwen(*, real: bool = True) -> PreTrainedTokenizerFast:
    """Qwen 2.5's, from the package dashscope: no BOS, and a digit a token."""
    file = _packaged("dashscope", "resources/qwen.tiktoken") if real else None
    tokenizer = _byte_level(file, QWEN_SPLIT, QWEN_SPECIAL)
    return _wrapped(tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=QWEN_TEMPLATE)


@cache
def mistral() -> PreTrainedTokenizerFast:
    """Mistral 7B's, from the package mistral-common, which vLLM brings."""
    file = _packaged("mistral_common", "data/tokenizer.model.v1")
    assert file is not None
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(file, Path(folder, "tokenizer.model"))
        return LlamaTokenizerFast.from_pretrained(folder, add_bos_token=True)


def _packaged(package: str, file: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return Path(folders[0]) / file if folders else None


def _byte_level(file: Path | None, split: str, special: list[str]) -> Tokenizer:
    if file is not None:
        return TikTokenConverter(vocab_file=str(file), pattern=split, extra_special_tokens=special).converted()
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(split), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT * 20], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokenizer


def _wrapped(tokenizer: Tokenizer, **tokens: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **tokens)
