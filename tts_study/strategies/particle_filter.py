"""Particle filtering: sample solutions step by step, in proportion to their scores by the process reward model.

    1. start n particles at the problem
    2. sample one next step of each particle that is not finished, and score it
    3. weigh each particle by the odds r / (1 - r) of its value r; a finished one keeps its weight
    4. draw n particles with replacement, in proportion to their weights
    5. stop if all of them are finished, or after max_steps steps; else go to 2
    6. return the n particles

Source: Puri et al. 2025 (arXiv 2502.01618), algorithm 1: the softmax over logits of the PRM's score is the odds. What
it leaves unspecified: a particle that a limit of tokens has cut keeps its weight but does not grow; step 4 is left out
after the last step, so that the rule that picks an answer sees every particle.

Where beam search keeps only the best, a filter may keep the others too, in proportion to their weights: one wrong
score does not end a solution. Particles with the same text keep their places.
"""

import random
from collections import Counter

from tts_study.engines.interface import PRM, Policy
from tts_study.records import Problem, SearchResult
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import strategy
from tts_study.strategies.tree_search import Beam, Growth, own_seed

SURE = 1e-7  # values are kept at least this far from 0 and 1


@strategy(label="Particle filtering")
async def particle_filter(
    problem: Problem,
    policy: Policy,
    prm: PRM,
    *,
    n: int,
    seed: int,
    max_tokens: int,
    aggregation: Aggregation,
    max_steps: int = 40,
) -> SearchResult:
    """Search with `n` particles; arguments as those of `beam_search`."""
    growth = Growth(problem, policy, prm, aggregation=aggregation, max_tokens=max_tokens, lookahead=0)
    rng = random.Random(f"{seed} resampling")
    particles = [growth.root] * n  # 1. start
    for step in range(1, max_steps + 1):
        # 2. one next step each: copies of a particle are one request of several samples
        copies = Counter(particle for particle in particles if particle.state == "alive")
        requests = [(particle, count, own_seed(seed, particle.node)) for particle, count in copies.items()]
        sampled = [beam for of_one in await growth.sample(requests) for beam in of_one]
        grown = [beam for (beam,) in await growth.value([[beam] for beam in sampled])]
        particles = [particle for particle in particles if particle.state != "alive"] + grown
        alive = [particle for particle in particles if particle.state == "alive"]
        if not alive or step == max_steps:
            growth.settle(alive, "cut")
            break
        # 3. weigh and 4. draw
        particles = rng.choices(particles, [_odds(particle) for particle in particles], k=n)
        growth.settle(list({p for p in particles if p.state == "alive"}), "kept")
        # 5. stop
        if all(particle.state != "alive" for particle in particles):
            break
    # 6. a smaller n would have drawn others
    return growth.result([particle.node for particle in particles if particle.node is not None], subtree=n)


def _odds(particle: Beam) -> float:
    value = min(max(particle.value, SURE), 1 - SURE)
    return value / (1 - value)
