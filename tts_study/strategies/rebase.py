"""REBASE (reward-balanced search): share the samples of each depth among all steps, in proportion to exp(reward / T).

    1. sample n first steps of the problem; the budget B is n
    2. score the last step of each
    3. reduce B by the number of solutions that have ended at this depth; stop if it is 0, or after max_steps steps
    4. give each step that can grow, with reward R, its share of B:
       W = Round(B * exp(R / T) / sum of exp(R / T) over these steps)
    5. sample W next steps of each; go to 2
    6. return the n solutions

Source: Wu et al. 2024 (arXiv 2408.00724), section 3.1.2 and equation 1, with n and T for their N and T_b. What they
leave unspecified:

- Rounded shares may add up to more or less than B. Here they add up to B: all are rounded down, and what is left goes
  to the largest remainders, the earlier of equals. So each round samples B steps, and in the end there are n solutions.
- A solution that a limit of tokens has cut has ended, too: it reduces B, and is marked.
- Steps with the same text are nodes of their own, with seeds of their own. The PRM scores them once.

Like a particle filter it keeps some of the less valued steps, but it draws nothing at random: the same rewards
give the same shares. At a large T the shares are equal, at a small one the best step gets all of them.
"""

import math
from collections.abc import Sequence

from tts_study.engines.interface import PRM, Policy
from tts_study.records import Problem, SearchResult
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import strategy
from tts_study.strategies.tree_search import Beam, Growth, own_seed

COLDEST = 1e-9  # a balance temperature below it counts as this: the best step gets every sample


@strategy(label="REBASE", rule="weighted")
async def rebase(
    problem: Problem,
    policy: Policy,
    prm: PRM,
    *,
    n: int,
    seed: int,
    max_tokens: int,
    aggregation: Aggregation,
    balance_temperature: float = 0.1,
    max_steps: int = 40,
) -> SearchResult:
    """Search for `n` solutions; `balance_temperature` is T, other arguments as those of `beam_search`."""
    growth = Growth(problem, policy, prm, aggregation=aggregation, max_tokens=max_tokens, lookahead=0)
    requests = [(growth.root, n, seed)]  # 1. n first steps
    ended: list[Beam] = []
    for step in range(1, max_steps + 1):
        # 2. sample and score; each step is a family of its own, so that copies keep their places
        sampled = [beam for of_one in await growth.sample(requests) for beam in of_one]
        steps = [beam for (beam,) in await growth.value([[beam] for beam in sampled])]
        # 3. the budget that is left
        ended += [beam for beam in steps if beam.state != "alive"]
        alive = [beam for beam in steps if beam.state == "alive"]
        if not alive or step == max_steps:
            growth.settle(alive, "cut")
            break
        # 4. its shares
        widths = _shares(n - len(ended), [beam.value for beam in alive], balance_temperature)
        # 5. grow those that get one
        requests = [
            (beam, width, own_seed(seed, beam.node)) for beam, width in zip(alive, widths, strict=True) if width
        ]
        growth.settle([beam for beam, _, _ in requests], "kept")
    # 6. the solutions depend on each other: a smaller n would have shared otherwise
    return growth.result([beam.node for beam in (*ended, *alive) if beam.node is not None], subtree=n)


def _shares(budget: int, rewards: Sequence[float], temperature: float) -> list[int]:
    """Whole shares of a budget in proportion to exp(reward / temperature), which add up to it."""
    best = max(rewards)
    weights = [math.exp((reward - best) / max(temperature, COLDEST)) for reward in rewards]
    total = sum(weights)
    exact = [budget * weight / total for weight in weights]
    shares = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[: budget - sum(shares)]:
        shares[i] += 1
    return shares
