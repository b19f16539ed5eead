"""What several test files share: tokenizers, tiny checkpoints, and one running engine of each kind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from tts_study.micro.models import CONTEXT, ModelSpec, build_model
from tts_study.micro.tokenizer import END, build_tokenizer

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPECIAL = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")


@pytest.fixture(scope="session")
def micro_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(CONTEXT)


@pytest.fixture(scope="session")
def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A small byte-level BPE that splits, merges and adds a BOS as Llama 3's does."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    text = (
        "## Step 1: [Add them]\n2 + 3 = 5.\n\n## Step 2: $x$\n\n\nuser assistant system (so)\n\n$\\boxed{5}$.\n\n" * 20
    )
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([text], trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in LLAMA3_SPECIAL])
    bos = LLAMA3_SPECIAL[0]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=bos, eos_token="<|eot_id|>", clean_up_tokenization_spaces=False
    )


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random policy that likes to end steps, and now and then solutions."""
    model = build_model(ModelSpec("tiny", hidden=64, layers=2, steps=0, learning_rate=0.0), seed=0)
    tokenizer = build_tokenizer(CONTEXT)
    with torch.no_grad():
        model.lm_head.weight *= 4
        model.lm_head.weight[tokenizer.convert_tokens_to_ids("\n\n")] *= 3
        model.lm_head.weight[tokenizer.convert_tokens_to_ids(END)] *= 2
    return _saved(model, tokenizer, tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="session")
def prm_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random PRM."""
    model = build_model(ModelSpec("tiny", hidden=64, layers=3, steps=0, learning_rate=0.0), seed=1)
    return _saved(model, build_tokenizer(CONTEXT), tmp_path_factory.mktemp("prm"))


def _saved(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """The one event loop that all engines of the session belong to."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()
