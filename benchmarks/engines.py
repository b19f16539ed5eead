"""How fast are the engines, next to plain vLLM on the same prompts with the same settings?

Two ratios, each measured side by side in one run: the two contestants are both up, warmed, and take turns, and the
medians of their turns are compared.

- sampling: tokens a second of `VllmPolicy.complete` over all problems at once, over those of `LLM.generate`.
  Ours draws every sample with a seed of its own, so that results can be repeated; plain vLLM is left unseeded.
- scoring: seconds of `VllmPRM.score_solutions` on everything that was sampled, templates and tokenisation included,
  over those of `LLM.encode(pooling_task="token_classify")` on the ready token ids.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tts_study.cli.gpu_checks.plain import plain_llm, shut_down, tokens_prompts
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.settings import PolicySettings, PRMSettings
from tts_study.prompts.steps import split_steps
from tts_study.records import Problem, Sampled

WARM_UP = 4  # problems
Turns = tuple[list[tuple[float, Any]], list[tuple[float, Any]]]  # seconds and result of each turn of both contestants


@dataclass(frozen=True)
class Bench:
    """What was measured; medians over the repeats.

    Attributes:
        n: completions per problem.
        problems: how many problems.
        tokens: tokens that our policy sampled in one pass.
        sampling: tokens a second, ours.
        plain_sampling: tokens a second of `LLM.generate`.
        solutions: distinct solutions that were scored in one pass.
        scoring: seconds to score them all, ours.
        plain_scoring: seconds of `LLM.encode`.
    """

    n: int
    problems: int
    tokens: int
    sampling: float
    plain_sampling: float
    solutions: int
    scoring: float
    plain_scoring: float

    @property
    def sampling_ratio(self) -> float:
        """Our throughput over the plain one; higher is better."""
        return self.sampling / self.plain_sampling

    @property
    def scoring_ratio(self) -> float:
        """Our time over the plain one; lower is better."""
        return self.scoring / self.plain_scoring

    def __str__(self) -> str:
        return (
            f"sampling  {self.problems} problems, n={self.n}: {self.sampling:,.0f} tokens/s, "
            f"LLM.generate {self.plain_sampling:,.0f} tokens/s, ratio {self.sampling_ratio:.2f} (at least 0.85)\n"
            f"scoring   {self.solutions} distinct solutions: {self.scoring:.1f} s, "
            f"LLM.encode {self.plain_scoring:.1f} s, ratio {self.scoring_ratio:.2f} (at most 1.20)"
        )


async def run_bench(
    policy_settings: PolicySettings,
    prm_settings: PRMSettings,
    problems: Sequence[Problem],
    *,
    n: int,
    seed: int,
    repeats: int = 3,
) -> Bench:
    """Measure both ratios; starts four engines, two at a time.

    Args:
        policy_settings: the policy; its share of GPU memory must leave room for a second one.
        prm_settings: the PRM; the same.
        problems: what to sample.
        n: completions per problem.
        seed: of our samples.
        repeats: turns of each contestant.
    """
    samples, speed, plain_speed = await _bench_sampling(policy_settings, problems, n, seed, repeats)
    solutions = [[split_steps(g.text) for g in sampled.generations] for sampled in samples]
    distinct, seconds, plain_seconds = await _bench_scoring(prm_settings, problems, solutions, repeats)
    tokens = sum(sampled.cost.generated for sampled in samples)
    return Bench(n, len(problems), tokens, speed, plain_speed, distinct, seconds, plain_seconds)


async def _bench_sampling(
    settings: PolicySettings, problems: Sequence[Problem], n: int, seed: int, repeats: int
) -> tuple[list[Sampled], float, float]:
    """Our samples, our tokens a second, and the plain ones."""
    async with VllmPolicy(settings) as policy:
        await policy.start()
        prompts = [policy.prompt(problem) for problem in problems]
        llm = plain_llm(settings)
        from vllm import SamplingParams

        params = SamplingParams(
            n=n, temperature=settings.temperature, top_p=settings.top_p, max_tokens=settings.max_tokens
        )

        async def ours(prompts: Sequence[tuple[int, ...]]) -> list[Sampled]:
            return await asyncio.gather(*(policy.complete(prompt, n=n, seed=seed) for prompt in prompts))

        async def plain(prompts: Sequence[tuple[int, ...]]) -> int:
            outputs = llm.generate(tokens_prompts(prompts), params, use_tqdm=False)
            return sum(len(sample.token_ids) for output in outputs for sample in output.outputs)

        turns = await take_turns(ours, plain, prompts, repeats)
        shut_down(llm)
    samples = turns[0][0][1]
    speeds = [sum(sampled.cost.generated for sampled in result) / seconds for seconds, result in turns[0]]
    plain_speeds = [tokens / seconds for seconds, tokens in turns[1]]
    return samples, statistics.median(speeds), statistics.median(plain_speeds)


async def _bench_scoring(
    settings: PRMSettings, problems: Sequence[Problem], solutions: Sequence[Sequence[tuple[str, ...]]], repeats: int
) -> tuple[int, float, float]:
    """How many solutions were scored, our seconds, and the plain ones."""
    async with VllmPRM(settings) as prm:
        await prm.start()
        texts = [
            prm.mark(problem, steps)[0]
            for problem, attempts in zip(problems, solutions, strict=True)
            for steps in dict.fromkeys(attempts)
            if steps
        ]
        llm = plain_llm(settings, **prm.engine_args())

        async def ours(pairs: Sequence[tuple[Problem, Any]]) -> None:
            await asyncio.gather(*(prm.score_solutions(problem, attempts) for problem, attempts in pairs))

        async def plain(pairs: Sequence[tuple[Problem, Any]]) -> None:
            chosen = texts if len(pairs) == len(problems) else texts[: len(pairs)]
            llm.encode(tokens_prompts(chosen), pooling_task="token_classify", use_tqdm=False)

        turns = await take_turns(ours, plain, list(zip(problems, solutions, strict=True)), repeats)
        shut_down(llm)
    seconds, plain_seconds = median_seconds(turns)
    return len(texts), seconds, plain_seconds


async def take_turns(
    ours: Callable[[Sequence[Any]], Awaitable[Any]],
    plain: Callable[[Sequence[Any]], Awaitable[Any]],
    work: Sequence[Any],
    repeats: int,
) -> Turns:
    """Seconds and result of every turn of both."""
    turns: tuple[list, list] = ([], [])
    for contestant in (ours, plain):
        await contestant(work[:WARM_UP])
    for repeat in range(repeats):
        order = ((ours, turns[0]), (plain, turns[1]))
        for contestant, results in order if repeat % 2 == 0 else reversed(order):
            began = time.perf_counter()
            result = await contestant(work)
            results.append((time.perf_counter() - began, result))
    return turns


def median_seconds(turns: Turns) -> tuple[float, float]:
    """The median of each contestant's turns."""
    ours, plain = (statistics.median(seconds for seconds, _ in contestant) for contestant in turns)
    return ours, plain
