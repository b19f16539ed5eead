"""Beam search guided by a process reward model.

    1. sample n first steps of the problem
    2. score the last step of each; equal texts are scored once, and each keeps its place
    3. keep the best n/M of them, together with the finished solutions that were kept before
    4. stop if all that is kept is finished, or after max_steps steps
    5. sample M next steps of each kept beam; go to 2
    6. return the n best finished solutions

Source: Snell et al. 2024 (arXiv 2408.03314), section 5.1 and appendix E, with n and M for their N and M; blog "Scaling
test-time compute with open models", section "Beam search with process reward models". What they leave unspecified:

- A finished beam keeps its place among the n/M as long as no more than n/M candidates are valued higher, and costs
  nothing more: fewer steps are sampled as more beams finish. No round samples more than n.
- Equal texts have equal scores, and each keeps a place of its own: its next steps are sampled with its own seed. Snell
  et al. drop nothing. With `drop_duplicates`, as in search-and-learn's recipes, only one of them keeps its place: a
  step that was drawn often then gets no more samples than one that was drawn once (notebook 03).
- Where fewer than n/M beams are left to keep, they share the n samples.
- Every finished solution that was sampled counts in the end, whether it was kept or not, and as often as it was drawn.
  Where they are fewer than n, unfinished ones fill up, the longest and then the best first: there are always enough,
  since no round leaves fewer leaves than the one before. They are marked, and vote only if they contain an answer.
"""

from tts_study.engines.interface import PRM, Policy
from tts_study.records import Problem, SearchResult
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.registry import strategy
from tts_study.strategies.tree_search import Beam, Growth, own_seed


@strategy(before={"drop_duplicates": True}, always_named=("beam_width", "max_steps", "lookahead"))
async def beam_search(
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
    drop_duplicates: bool = False,
) -> SearchResult:
    """Search with `n` samples a step.

    Args:
        problem: what to solve.
        policy: proposes steps.
        prm: scores them.
        n: candidates of each step, and completions in the end; a multiple of `beam_width`.
        seed: of every random draw.
        max_tokens: longest solution in tokens.
        aggregation: from the scores of a beam's steps to its value.
        beam_width: M, the expansions of each kept beam; n / M beams are kept.
        max_steps: longest solution in steps.
        lookahead: steps to look ahead before a candidate is valued.
        drop_duplicates: keep only one of the candidates with the same text.
    """
    growth = Growth(problem, policy, prm, aggregation=aggregation, max_tokens=max_tokens, lookahead=lookahead)
    n_beams = n // beam_width
    kept_finished: list[Beam] = []
    requests = [(growth.root, n, seed)]  # 1. n first steps
    for step in range(1, max_steps + 1):
        sampled = await growth.sample(requests)
        # 2. where copies are dropped, those of all beams together: equal texts are equal, whichever beam they come from
        every = [beam for of_one in sampled for beam in of_one]
        families = await growth.value([every] if drop_duplicates else [[beam] for beam in every])
        candidates = [beam for family in families for beam in family]
        # 3. keep the best; the sort is stable, so the earlier of equals
        rivals = [*kept_finished, *(beam for beam in candidates if beam.state != "cut")]
        kept = sorted(rivals, key=lambda beam: -beam.value)[:n_beams]
        kept_finished = [beam for beam in kept if beam.state == "finished"]
        growing = [beam for beam in kept if beam.state == "alive"]
        growth.settle(growing, "kept" if step < max_steps else "cut")
        # 4. stop
        if not growing:
            break
        # 5. M next steps of each, and more where places are left
        widths = _shares(beam_width * (n_beams - len(kept_finished)), len(growing))
        # copies of a beam need seeds of their own; without copies one seed is enough
        seeds = [seed if drop_duplicates else own_seed(seed, beam.node) for beam in growing]
        requests = list(zip(growing, widths, seeds, strict=True))
    # 6. the completions depend on each other: a smaller n would have kept other beams
    return growth.result(growth.best_leaves(n), subtree=n)


def _shares(total: int, parts: int) -> list[int]:
    """Split a total into whole parts that differ by at most 1, the larger ones first."""
    share, left = divmod(total, parts)
    return [share + (part < left) for part in range(parts)]
