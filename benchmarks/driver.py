"""How many tokens a second can one driver handle, at a Llama's sizes?

The driver is this process: the strategy, the requests, vLLM's side of them, the replies, detokenising. Its engines are
vLLM's with all that surrounds a model, and no model (`benchmarks.instant`): a token is there as soon as the scheduler
asks for it. A solution has 10 steps of 40 tokens, the vocabulary 128,256, and tokens arrive one by one, as from a GPU.

What counts is the processor time of this process for a token, since its work runs in one thread: on one core
it sustains the inverse. On a GPU machine the engines' processes have other cores; their time is printed, too.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psutil
from transformers import PreTrainedTokenizerFast

from benchmarks import instant
from benchmarks.gpu_cost.assumptions import Assumptions
from benchmarks.gpu_cost.report import ladder
from benchmarks.gpu_cost.simulator import Pair, work
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.random_models import TINY, made_up_words, make_llama, separator
from tts_study.engines.settings import PolicySettings, PRMSettings
from tts_study.engines.vllm import VllmEngine
from tts_study.profiles import PROFILES
from tts_study.prompts.policy import LLAMA3_TEMPLATE, MATH_SYSTEM_PROMPT
from tts_study.records import Cost, Problem
from tts_study.runs.run import Search
from tts_study.strategies import find

STRATEGIES = ("best_of_n", "beam_search", "dvts")
LLAMA: dict[str, Any] = {"dtype": "bfloat16", "max_model_len": 4096, "max_num_seqs": 256, "block_size": 16}


@dataclass(frozen=True)
class Driven:
    """One strategy's run.

    Attributes:
        strategy: its name.
        n: completions of each problem.
        cost: tokens of all problems.
        seconds: processor time of this process.
        engines: the same of the policy's and the PRM's.
        wall: seconds by the clock.
        steps: samples that were drawn.
    """

    strategy: str
    n: int
    cost: Cost
    seconds: float
    engines: tuple[float, float]
    wall: float
    steps: int

    @property
    def rate(self) -> float:
        """Generated tokens that a core of the driver handles in a second."""
        return self.cost.generated / self.seconds

    def row(self, pair: Pair) -> str:
        """A row of the table; `pair` is a policy and a PRM that share a GPU, as docs/scale.md simulates them."""
        policy, prm = (self.cost.generated / seconds for seconds in self.engines)
        needed = work(self.strategy, self.n, pair.given)
        shared = needed.generated / (3600 * pair.gpu_hours(needed))
        return (
            f"| {self.strategy} | {self.n} | {self.cost.generated:,} | {self.steps:,} | {self.seconds:.1f} | "
            f"{self.rate:,.0f} | {self.rate / pair.decoded:.1f} | {self.rate / shared:.1f} | "
            f"{policy:,.0f} | {prm:,.0f} |"
        )


HEAD = (
    "| strategy | n | tokens | samples | processor s | driver, tokens/s | times an H100 that generates "
    "| times one that also scores | policy's scheduler, tokens/s | PRM's scheduler, tokens/s |\n" + "|---" * 10 + "|"
)


async def run_driver_bench(*, n: int, problems: int) -> AsyncIterator[str]:
    """The table, line by line: a row a strategy.

    Args:
        n: completions of each problem.
        problems: how many, all at once.
    """
    pair = ladder(Assumptions())["1b"]
    yield f"one H100 generates {pair.decoded:,.0f} tokens/s with the 1b (docs/scale.md)\n\n{HEAD}"
    with tempfile.TemporaryDirectory() as folder:
        model = str(make_llama(Path(folder), TINY, seed=0))
        async with _policy(model) as policy, _prm(model) as prm:
            await policy.start()  # one after the other, to know which processes belong to which
            of_policy = _children()
            await prm.start()
            of_prm = _children() - of_policy
            for name in STRATEGIES:
                await _drive(name, policy, prm, n=n, problems=_problems(2, "warm"), children=(of_policy, of_prm))
                driven = await _drive(
                    name, policy, prm, n=n, problems=_problems(problems, name), children=(of_policy, of_prm)
                )
                yield driven.row(pair)


def _policy(model: str) -> VllmPolicy:
    settings = PolicySettings(
        model=model, system_prompt=MATH_SYSTEM_PROMPT, chat_template=LLAMA3_TEMPLATE, temperature=0.8, **LLAMA
    )
    tokenizer = cast(PreTrainedTokenizerFast, VllmEngine(settings).tokenizer)
    words = list(made_up_words(tokenizer)[:5000])
    ids: dict[str, Any] = {"words": words, "separator": separator(tokenizer), "end": tokenizer.eos_token_id}
    policy = VllmPolicy(settings, VllmEngine(settings, lambda: _instant(ids)))
    ids["prompts"] = policy.prompt(_problems(1, "any")[0]).count(separator(tokenizer))
    return policy


def _prm(model: str) -> VllmPRM:
    settings = PRMSettings(model=model, prm_format="rlhflow", **LLAMA)
    ids = {"words": [0], "separator": 0, "end": 0, "prompts": 0}
    prm = VllmPRM(settings, VllmEngine(settings, lambda: prm.engine_args() | _instant(ids)))
    return prm


def _instant(ids: dict[str, Any]) -> dict[str, Any]:
    return {"distributed_executor_backend": instant.NAME, "additional_config": {instant.OPTION: ids}}


def _problems(count: int, name: str) -> list[Problem]:
    text = "Let $x$ and $y$ be whole numbers with $x + y = {}$ and $x - y = {}$; what is the value of $x y$ ({})?"
    return [Problem(f"{name}/{i}", text.format(2 * i, i, name), "0") for i in range(count)]


def _children() -> frozenset[psutil.Process]:
    return frozenset(psutil.Process().children(recursive=True))


def _used(processes: frozenset[psutil.Process]) -> float:
    return sum(process.cpu_times().user + process.cpu_times().system for process in processes)


async def _drive(
    name: str, policy: VllmPolicy, prm: VllmPRM, *, n: int, problems: Sequence[Problem], children: Any
) -> Driven:
    strategy = find(name).search
    options = strategy.options({}) | {key: getattr(PROFILES["llama"], key) for key in strategy.from_profile}
    search = Search(strategy, policy, prm, n, 0, options)
    before = time.process_time(), *map(_used, children), time.perf_counter()
    results = await asyncio.gather(*map(search.solve, problems))
    after = time.process_time(), *map(_used, children), time.perf_counter()
    here, of_policy, of_prm, wall = (b - a for a, b in zip(before, after, strict=True))
    cost = sum((result.cost for result in results), Cost())
    samples = sum(len(result.tree or result.completions) for result in results)
    return Driven(name, n, cost, here, (of_policy, of_prm), wall, samples)
