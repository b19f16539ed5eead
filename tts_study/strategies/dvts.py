"""Diverse verifier tree search (DVTS): many small greedy searches instead of one large beam search.

    1. split the n completions among n/M independent subtrees
    2. in each, sample M next steps of its solution so far (at first, of the problem)
    3. drop those with the same text, and score the last step of the others
    4. continue with the best one; repeat from 2, unless it is finished, or after max_steps steps
    5. return the M siblings of each subtree's last expansion

Source: blog "Scaling test-time compute with open models", section "DVTS: boosting performance with diversity", and
search-and-learn's `diverse_verifier_tree_search.py`. What they leave unspecified: a solution that a token limit has cut
is not continued, even if it is the best, and ends its subtree if it is alone.

A subtree's randomness is its own and does not depend on n, so that the first subtrees of a large run are those of a
small one, and a run may be subsampled by whole subtrees.
"""

from dataclasses import dataclass

from tts_study.engines.interface import PRM, Policy
from tts_study.records import Problem, SearchResult
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import strategy
from tts_study.strategies.tree_search import Beam, Growth, own_seed


@dataclass
class Subtree:
    """One of the greedy searches.

    Attributes:
        best: the solution so far.
        seed: of its draws.
        siblings: what was drawn at the last expansion.
    """

    best: Beam
    seed: int
    siblings: list[Beam]


@strategy(label="DVTS", smaller_n="subtrees", always_named=("beam_width", "max_steps", "lookahead"))
async def dvts(
    problem: Problem,
    policy: Policy,
    prm: PRM,
    *,
    n: int,
    seed: int,
    max_tokens: int,
    aggregation: Aggregation,
    beam_width: int = 4,
    max_steps: int = 40,
    lookahead: int = 0,
) -> SearchResult:
    """Search with `n // beam_width` subtrees; arguments as those of `beam_search`.

    Returns:
        The `n` completions, those of a subtree together and in the order drawn.
    """
    growth = Growth(problem, policy, prm, aggregation=aggregation, max_tokens=max_tokens, lookahead=lookahead)
    # 1. the subtrees
    subtrees = [Subtree(growth.root, own_seed(seed, i), []) for i in range(n // beam_width)]
    growing = subtrees
    for step in range(1, max_steps + 1):
        # 2. sample
        sampled = await growth.sample([(subtree.best, beam_width, subtree.seed) for subtree in growing])
        # 3. drop and score within each subtree; what several of them ask is scored once
        families = await growth.value(sampled)
        # 4. continue with the best; the first of equals
        for subtree, siblings, candidates in zip(growing, sampled, families, strict=True):
            subtree.siblings = siblings
            uncut = [beam for beam in candidates if beam.state != "cut"]
            subtree.best = max(uncut or candidates, key=lambda beam: beam.value)
        growing = [subtree for subtree in growing if subtree.best.state == "alive"]
        growth.settle([subtree.best for subtree in growing], "kept" if step < max_steps else "cut")
        if not growing:
            break
    # 5. the last siblings of each
    leaves = [beam.node for subtree in subtrees for beam in subtree.siblings if beam.node is not None]
    return growth.result(leaves, subtree=beam_width)
