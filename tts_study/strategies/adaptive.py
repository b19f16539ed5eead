"""Adaptive stopping: draw one solution at a time, and stop as soon as another one would hardly change the answer.

    1. sample one more completion of the problem
    2. stop if the verifier trusts it:  the PRM's score of it is above `trust`; it is the answer
       or if the vote is decided:       of the two most frequent answers, given a and b times, the first is the more
                                        likely one: P(x > 1/2) >= `confidence` for x ~ Beta(a + 1, b + 1)
    3. after n completions without a stop, answer as Best-of-N or as majority voting does

Source: Aggarwal et al. 2023 (arXiv 2305.11860), section 3, for the vote. Completions that were not drawn are empty, so
that each problem has n. `tts_study.analysis.stopping` reads both off a recorded run of independent samples.
"""

import asyncio

from tts_study import answers
from tts_study.engines.interface import PRM, Policy
from tts_study.prompts.steps import split_steps
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.strategies.aggregation import Aggregation, aggregate
from tts_study.strategies.registry import strategy
from tts_study.strategies.selection import is_decided
from tts_study.strategies.tree_search import own_seed

NOT_DRAWN = Completion((), 0, False)


@strategy(label="Best-of-N, stopped when trusted")
async def stop_when_trusted(
    problem: Problem, policy: Policy, prm: PRM, *, n: int, seed: int, aggregation: Aggregation, trust: float = 0.5
) -> SearchResult:
    """Draw up to `n` completions, one at a time, until the PRM's score of one with an answer is above `trust`."""
    drawn: list[Completion] = []
    cost = Cost()
    for i in range(n):
        completion, spent = await _draw(problem, policy, own_seed(seed, i))  # 1. one more
        scored = await prm.score_solutions(problem, [completion.steps])
        completion = Completion(completion.steps, completion.tokens, completion.finished, scored.step_scores[0])
        drawn.append(completion)
        cost += spent + scored.cost
        # 2. trusted: an attempt without an answer is never picked, whatever its score
        trusted = aggregate(completion.step_scores, aggregation) > trust
        if trusted and (await _groups([completion]))[0] != answers.NO_ANSWER:
            break
    return _padded(problem, drawn, cost, n)  # 3. the rule "best" finds the trusted one: no other is above `trust`


@strategy(label="Majority, stopped when decided", rule="majority", needs_prm=False)
async def stop_when_decided(
    problem: Problem, policy: Policy, prm: PRM | None, *, n: int, seed: int, confidence: float = 0.95
) -> SearchResult:
    """Draw up to `n` completions, one at a time, until the vote of their answers is decided."""
    drawn: list[Completion] = []
    cost = Cost()
    for i in range(n):
        completion, spent = await _draw(problem, policy, own_seed(seed, i))  # 1. one more
        drawn.append(completion)
        cost += spent
        if is_decided(await _groups(drawn), confidence):  # 2. decided
            break
    return _padded(problem, drawn, cost, n)  # 3. the rule "majority"


async def _draw(problem: Problem, policy: Policy, seed: int) -> tuple[Completion, Cost]:
    sampled = await policy.complete(policy.prompt(problem), n=1, seed=seed)
    (one,) = sampled.generations
    return Completion(split_steps(one.text), len(one.token_ids), one.stop == "end"), sampled.cost


async def _groups(completions: list[Completion]) -> list[int]:
    """Completions by their answers; in a thread, since reading a hard answer takes time that other problems can use."""
    given = [answers.extract(completion.text, finished=completion.finished) for completion in completions]
    return await asyncio.to_thread(answers.group, given)


def _padded(problem: Problem, drawn: list[Completion], cost: Cost, n: int) -> SearchResult:
    return SearchResult(problem.id, (*drawn, *[NOT_DRAWN] * (n - len(drawn))), cost)
