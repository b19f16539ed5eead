"""What several test files share: tokenizers, tiny checkpoints, and one running engine of each kind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import family_tokenizers
import pytest
import torch
from engine_settings import SHARED
from hypothesis import settings
from transformers import PreTrainedTokenizerFast

from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.settings import PolicySettings, PRMSettings
from tts_study.micro.models import CONTEXT, ModelSpec, build_model
from tts_study.micro.tokenizer import END, build_tokenizer

# The same examples each time: a test that fails on one run in a hundred says nothing about the change it stops.
# New ones: make test ARGS="--hypothesis-profile=random PATH"
settings.register_profile("random", print_blob=True, max_examples=1000, deadline=None)
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also run what takes minutes and shows little more")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        for item in items:
            if "full" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="takes minutes: make test ARGS='--full PATH' runs it"))


@pytest.fixture(scope="session")
def micro_tokenizer() -> PreTrainedTokenizerFast:
    return build_tokenizer(CONTEXT)


@pytest.fixture(scope="session")
def llama_tokenizer() -> PreTrainedTokenizerFast:
    """A small byte-level BPE that splits, merges and adds a BOS as Llama 3's does."""
    return family_tokenizers.llama3(real=False)


@pytest.fixture(scope="session")
def policy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random policy that often ends steps, and sometimes solutions."""
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


@pytest.fixture(scope="session")
def engines(loop, policy_folder, prm_folder):
    """A running policy and PRM, both in fp32."""
    policy = VllmPolicy(PolicySettings(
        model=str(policy_folder), dtype="float32", max_tokens=200, max_step_tokens=100, **SHARED
    ))  # fmt: skip
    prm = VllmPRM(PRMSettings(model=str(prm_folder), dtype="float32", **SHARED))

    async def start():
        await asyncio.gather(policy.start(), prm.start())

    async def close():
        await asyncio.gather(policy.close(), prm.close())

    loop.run_until_complete(start())
    yield policy, prm
    loop.run_until_complete(close())
