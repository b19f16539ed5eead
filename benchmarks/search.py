"""How fast is a search, next to the least that its tokens cost?

The floor is what plain vLLM takes, engines started and warmed, one after the other, for

- `LLM.generate`: as many tokens as the search generated for each problem, pruned ones included, but in as few requests
  as the problem has completions, all at once, so that every batch is full;
- `LLM.encode`: the tokens that the PRM had to read, each once: what the solutions and partial solutions of a problem
  have in common is counted once, and all is packed into texts as long as the longest.

Both are approximate lower bounds: none of their steps waits for another, and nothing is read twice. Beside the
wall-clock times, the processor time of all processes is printed: on a CPU that others use too, read that ratio.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.engines import WARM_UP
from benchmarks.processor_time import Clocks, Time, started
from benchmarks.request_clock import ClockedPolicy, ClockedPRM
from tts_study.cli.gpu_checks.plain import generation, lengths_of, packed, plain_llm, shut_down, tokens_prompts
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.settings import PolicySettings, PRMSettings
from tts_study.errors import UserError
from tts_study.profiles import Profile
from tts_study.records import Cost, Problem, SearchResult
from tts_study.runs.engines import policy_settings, prm_settings
from tts_study.runs.run import Search, at_once
from tts_study.runs.spec import arguments_of
from tts_study.strategies import Search as Strategy


@dataclass(frozen=True)
class Searched:
    """A search that was measured.

    Attributes:
        time: of all problems.
        idle: share of it in which each engine had nothing to do: the policy's, the PRM's.
        cost: tokens, of all problems.
        requests: how many samples were drawn, and how many solutions or partial ones scored, each once.
        lengths: a request's prompt and how many tokens to generate, for the floor.
        texts: the PRM's tokens, each once, for the floor.
    """

    time: Time
    idle: tuple[float, float]
    cost: Cost
    requests: tuple[int, int]
    lengths: tuple[tuple[tuple[int, ...], int], ...]
    texts: tuple[tuple[int, ...], ...]

    @property
    def distinct(self) -> int:
        """How many tokens the PRM had to read, each once."""
        return sum(map(len, self.texts))


@dataclass(frozen=True)
class SearchBench:
    """A search and its floor: the policy's and the PRM's part."""

    strategy: str
    n: int
    problems: int
    searched: Searched
    generating: Time
    scoring: Time

    @property
    def ratio(self) -> float:
        """Our time over the floor; lower is better."""
        return self.searched.time.wall / (self.generating + self.scoring).wall

    @property
    def processor_ratio(self) -> float:
        """The same of the processors' time."""
        return self.searched.time.processors / (self.generating + self.scoring).processors

    def __str__(self) -> str:
        searched, cost, wall = self.searched, self.searched.cost, self.searched.time.wall
        most = 1.2 if self.strategy not in ("beam_search", "dvts") else 1.6
        return (
            f"{self.strategy}, n={self.n}, {self.problems} problems: {wall:.1f} s, "
            f"{1000 * wall / self.n / self.problems:.2f} ms a completion\n"
            f"floor     {(self.generating + self.scoring).wall:.1f} s: generating {cost.generated:,} tokens "
            f"{self.generating.wall:.1f} s, scoring {searched.distinct:,} tokens {self.scoring.wall:.1f} s; "
            f"ratio {self.ratio:.2f} (at most {most}), of processor time {self.processor_ratio:.2f}\n"
            f"policy    {searched.requests[0]:,} requests, {cost.prompt:,} tokens of their prompts computed, "
            f"{cost.prompt_cached:,} cached\n"
            f"PRM       {searched.requests[1]:,} requests, {cost.scored:,} tokens computed, "
            f"over distinct ones {cost.scored / searched.distinct:.2f} "
            f"(at most 1.30), {cost.scored_cached:,} cached\n"
            f"processors {_parts(searched.time)}; floor {_parts(self.generating + self.scoring)}\n"
            f"idle      policy {searched.idle[0]:.0%}, PRM {searched.idle[1]:.0%} of the time"
        )


def _parts(time: Time) -> str:
    return f"here {time.here:.1f} s, policy {time.policy:.1f} s, PRM {time.prm:.1f} s"


async def run_search_bench(
    profile: Profile,
    strategy: Strategy,
    options: Mapping[str, Any],
    problems: Sequence[Problem],
    *,
    ns: Sequence[int],
    seed: int,
) -> list[SearchBench]:
    """Time a search of all problems for each n, and measure its floor; starts four engines, two at a time.

    Args:
        profile: which models, and how to search.
        strategy: a search that asks a PRM.
        options: its options, all of them.
        problems: what to search.
        ns: numbers of completions.
        seed: of the search.

    Raises:
        UserError: the strategy asks no PRM, or there is no such checkpoint.
    """
    if not strategy.needs_prm:
        raise UserError(f"{strategy.name} asks no PRM: time one that does, such as beam_search, dvts or best_of_n")
    for_policy, for_prm = policy_settings(profile), prm_settings(profile)
    async with VllmPolicy(for_policy) as policy, VllmPRM(for_prm) as prm:
        await policy.start()  # one after the other, to know which processes belong to which
        of_policy = started()
        await prm.start()
        clocks = Clocks(of_policy, started() - of_policy)
        await _measured(profile, strategy, options, problems[:WARM_UP], policy, prm, clocks, ns[0], seed + 1)
        searches = []
        for n in ns:
            for engine in (policy.engine, prm.engine):  # searches with the same seed have much in common
                await engine.forget()
            searches.append(await _measured(profile, strategy, options, problems, policy, prm, clocks, n, seed))
        prm_args = prm.engine_args()
    generating = _generate_plainly(for_policy, searches)
    scoring = _score_plainly(for_prm, prm_args, searches)
    measured = zip(ns, searches, generating, scoring, strict=True)
    return [SearchBench(strategy.name, n, len(problems), s, generated, scored) for n, s, generated, scored in measured]


async def _measured(
    profile: Profile,
    strategy: Strategy,
    options: Mapping[str, Any],
    problems: Sequence[Problem],
    policy: VllmPolicy,
    prm: VllmPRM,
    clocks: Clocks,
    n: int,
    seed: int,
) -> Searched:
    clocked_policy, clocked_prm = ClockedPolicy(policy), ClockedPRM(prm)
    search = Search(strategy, clocked_policy, clocked_prm, n, seed, arguments_of(strategy, profile, options))
    room = asyncio.Semaphore(at_once(profile, n))

    async def solve(problem: Problem) -> SearchResult:
        async with room:
            return await search.solve(problem)

    began = clocks.now()
    results = await asyncio.gather(*map(solve, problems))
    taken = clocks.now() - began
    idle = clocked_policy.clock.idle() / taken.wall, clocked_prm.clock.idle() / taken.wall
    both = zip(problems, results, strict=True)
    lengths = [each for problem, result in both for each in lengths_of(policy.prompt(problem), result)]
    asked: dict[Problem, set[tuple[str, ...]]] = {problem: set() for problem in problems}
    for problem, steps in clocked_prm.asked:
        if steps:
            asked[problem].add(steps)
    texts = [text for problem, solutions in asked.items() for text in packed(_marked(prm, problem, solutions))]
    cost = sum((result.cost for result in results), Cost())
    requests = sum(len(result.tree or result.completions) for result in results), sum(map(len, asked.values()))
    return Searched(taken, idle, cost, requests, tuple(lengths), tuple(texts))


def _marked(prm: VllmPRM, problem: Problem, solutions: Iterable[tuple[str, ...]]) -> list[tuple[int, ...]]:
    """A problem's texts as the PRM read them."""
    marked = (prm.mark(problem, steps) for steps in solutions)
    return [token_ids[: positions[-1] + 1] for token_ids, positions in marked]


def _generate_plainly(settings: PolicySettings, searches: Sequence[Searched]) -> list[Time]:
    llm = plain_llm(settings)
    clocks = Clocks(policy=started())

    def timed(lengths: Sequence[tuple[tuple[int, ...], int]]) -> Time:
        generate = generation(llm, settings, lengths)
        began = clocks.now()
        generate()
        return clocks.now() - began

    timed(searches[0].lengths[: settings.max_num_seqs])
    times = [timed(searched.lengths) for searched in searches]
    shut_down(llm)
    return times


def _score_plainly(settings: PRMSettings, prm_args: dict, searches: Sequence[Searched]) -> list[Time]:
    llm = plain_llm(settings, **prm_args)
    clocks = Clocks(prm=started())

    def score(texts: Sequence[tuple[int, ...]]) -> Time:
        prompts = tokens_prompts(texts)
        began = clocks.now()
        llm.encode(prompts, pooling_task="token_classify", use_tqdm=False)
        return clocks.now() - began

    score(searches[0].texts[: settings.max_num_seqs])
    times = [score(searched.texts) for searched in searches]
    shut_down(llm)
    return times
