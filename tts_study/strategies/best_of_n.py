"""Sampling strategies: draw `n` whole solutions, let a PRM score them (or not), and pick.

    1. sample n completions of the problem independently
    2. score each completion's steps with the PRM
    3. Best-of-N:           the answer of the completion with the highest score
       weighted Best-of-N:  the answer whose completions' scores add up highest
       majority:            the answer given most often (needs no step 2)

Source: blog "Scaling test-time compute with open models", sections "Best-of-N" and "Majority voting"; weighted
Best-of-N after Li et al. 2023 (arXiv 2206.02336), equation 2. Step 3 is `tts_study.strategies.selection`, on the stored
run: all three rules, at every n up to N, come from one run of N completions.
"""

from tts_study.engines.interface import PRM, Policy
from tts_study.prompts.steps import split_steps
from tts_study.records import Completion, Generation, Problem, Sampled, SearchResult
from tts_study.strategies.registry import strategy


@strategy(rule="majority", needs_prm=False)
async def greedy(problem: Problem, policy: Policy, prm: PRM | None, *, n: int, seed: int) -> SearchResult:
    """The policy's single most likely completion, token by token (temperature 0); `n` must be 1."""
    sampled = await policy.complete(policy.prompt(problem), n=1, seed=seed, temperature=0.0)
    return _unscored(problem, sampled)


@strategy(
    methods={"majority": ("majority", "Majority")}, needs_prm=False, smaller_n="samples", contained_in=("best_of_n",)
)
async def sample(problem: Problem, policy: Policy, prm: PRM | None, *, n: int, seed: int) -> SearchResult:
    """Draw `n` completions for a vote; no PRM is asked."""
    sampled = await policy.complete(policy.prompt(problem), n=n, seed=seed)
    return _unscored(problem, sampled)


@strategy(methods={"best": ("best", "Best-of-N"), "weighted": ("weighted", "Weighted Best-of-N")}, smaller_n="samples")
async def best_of_n(problem: Problem, policy: Policy, prm: PRM, *, n: int, seed: int) -> SearchResult:
    """Draw `n` completions and score every step of each."""
    # 1. sample
    sampled = await policy.complete(policy.prompt(problem), n=n, seed=seed)
    steps = [split_steps(generation.text) for generation in sampled.generations]
    # 2. score
    scored = await prm.score_solutions(problem, steps)
    completions = tuple(map(_completion, sampled.generations, steps, scored.step_scores))
    return SearchResult(problem.id, completions, sampled.cost + scored.cost)


def _unscored(problem: Problem, sampled: Sampled) -> SearchResult:
    completions = tuple(_completion(generation, split_steps(generation.text)) for generation in sampled.generations)
    return SearchResult(problem.id, completions, sampled.cost)


def _completion(
    generation: Generation, steps: tuple[str, ...], step_scores: tuple[float, ...] = ()
) -> Completion:
    ended = generation.stop == "end"
    return Completion(
        steps, len(generation.token_ids), ended, step_scores, thought=generation.thought, signals=generation.signals
    )  # fmt: skip
