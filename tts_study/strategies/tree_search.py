"""How the searches grow a tree: sample next steps, drop those with the same text, and score the rest.

It counts every token that it asks for, pruned branches included. The strategy chooses which candidates to continue. A
beam is a partial solution; its candidates are the beams that are one step longer.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tts_study.engines.interface import PRM, Policy
from tts_study.prompts.steps import split_steps
from tts_study.records import Cost, Fate, Generation, Node, Problem, SearchResult
from tts_study.strategies import tree
from tts_study.strategies.aggregation import Aggregation, aggregate


@dataclass(frozen=True)
class Beam:
    """A partial solution, or one that has ended.

    Attributes:
        node: where it ends in the tree; None for the problem itself.
        prefix: the prompt and all that was sampled after it, as token ids.
        steps: its steps; an empty one is left out, and so is a thought.
        step_scores: their scores.
        tokens: how many tokens it is long, without the prompt and a thought.
        state: whether it can grow, the model has ended it, or a limit has cut it.
        value: what it is ranked by.
        thought: what a thinking model wrote before its first step.
    """

    node: int | None
    prefix: tuple[int, ...]
    steps: tuple[str, ...] = ()
    step_scores: tuple[float, ...] = ()
    tokens: int = 0
    state: Literal["alive", "finished", "cut"] = "alive"
    value: float = 0.0
    thought: str = ""


@dataclass(frozen=True)
class Lookahead:
    """What may follow a candidate: further steps, and how many tokens they took."""

    steps: tuple[str, ...] = ()
    tokens: int = 0


class Growth:
    """The tree of one problem's search, as it grows."""

    def __init__(
        self, problem: Problem, policy: Policy, prm: PRM, *, aggregation: Aggregation, max_tokens: int, lookahead: int
    ) -> None:
        """Start with the problem alone.

        Args:
            problem: what to solve.
            policy: proposes steps.
            prm: scores them.
            aggregation: from the scores of a beam's steps to its value.
            max_tokens: longest solution, as for a strategy that samples whole ones: a longer one is cut.
            lookahead: how many steps to look ahead, greedily, before a candidate is valued.
        """
        self.root = Beam(None, policy.prompt(problem))
        self._problem, self._policy, self._prm = problem, policy, prm
        self._aggregation, self._max_tokens, self._lookahead = aggregation, max_tokens, lookahead
        self._nodes: list[Node] = []
        self._cost = Cost()

    async def sample(self, requests: Sequence[tuple[Beam, int, int]]) -> list[list[Beam]]:
        """Sample next steps.

        Args:
            requests: a beam, how many steps to sample for it, and the seed, each.

        Returns:
            The candidates of each request, in the order drawn; not valued yet.
        """
        replies = await asyncio.gather(
            *(self._policy.steps(beam.prefix, n=n, seed=seed) for beam, n, seed in requests)
        )
        self._cost += sum((reply.cost for reply in replies), Cost())
        return [
            [self._grown(beam, generation) for generation in reply.generations]
            for (beam, _, _), reply in zip(requests, replies, strict=True)
        ]

    async def value(self, families: Sequence[Sequence[Beam]]) -> list[list[Beam]]:
        """Drop the duplicates within each family of candidates, and value the others.

        Candidates with the same text and the same end are equal to the PRM and in the answer: one of them is continued.
        """
        distinct = [self._distinct(family) for family in families]
        beams = [beam for family in distinct for beam in family]
        aheads = await asyncio.gather(*map(self._look_ahead, beams))
        valued = await self._score(beams, aheads)
        self._settle_duplicates(families, valued)
        in_order = iter(valued)
        return [[next(in_order) for _ in family] for family in distinct]

    def settle(self, beams: Sequence[Beam], fate: Fate) -> None:
        """Record the fate of beams that could grow; those without a record are pruned."""
        for beam in beams:
            self._change(beam, fate=fate)

    def best_leaves(self, n: int) -> list[int]:
        """The `n` best leaves: finished ones by value, then the longest of the others; the earlier one of equals."""

        def rank(leaf: int) -> tuple[bool, int, float]:
            finished = tree.finished(self._nodes, leaf)
            return not finished, 0 if finished else -len(tree.path(self._nodes, leaf)), -self._nodes[leaf].value

        return sorted(tree.leaves(self._nodes), key=rank)[:n]

    def result(self, leaves: Sequence[int], subtree: int) -> SearchResult:
        """The tree as it is, and the completions that end at the given leaves."""
        completions = tuple(tree.completion(self._nodes, leaf) for leaf in leaves)
        return SearchResult(self._problem.id, completions, self._cost, tuple(self._nodes), subtree)

    def _grown(self, beam: Beam, generation: Generation) -> Beam:
        # one request, one step: where a token contains a separator and more, the blank line is removed
        text = "\n".join(split_steps(generation.text))
        is_thought = bool(generation.thought and not text)  # it has a budget of its own
        tokens = beam.tokens + (0 if is_thought else len(generation.token_ids))
        ended = generation.stop == "end"
        cut = generation.stop == "length" or tokens > self._max_tokens or (tokens == self._max_tokens and not ended)
        state: Literal["alive", "finished", "cut"] = "cut" if cut else "finished" if ended else "alive"
        fate: Fate = "pruned" if state == "alive" else state
        self._nodes.append(Node(beam.node, text or generation.thought, len(generation.token_ids), None, 0.0, fate))
        return Beam(
            node=len(self._nodes) - 1,
            prefix=(*beam.prefix, *generation.token_ids),
            steps=(*beam.steps, text) if text else beam.steps,
            step_scores=beam.step_scores,
            tokens=tokens,
            state=state,
            thought=beam.thought + generation.thought,
        )

    def _distinct(self, family: Sequence[Beam]) -> list[Beam]:
        first: dict[tuple[str, tuple[str, ...], str], Beam] = {}
        for beam in family:
            twin = first.setdefault((beam.thought, beam.steps, beam.state), beam)
            if twin is not beam:
                self._change(beam, fate="duplicate", twin=twin.node)
        return list(first.values())

    async def _look_ahead(self, beam: Beam) -> Lookahead:
        """Continue a beam that can grow by up to `lookahead` steps at temperature 0."""
        ahead = Lookahead()
        prefix, more = beam.prefix, beam.state == "alive"
        for _ in range(self._lookahead):
            if not more:
                break
            sampled = await self._policy.steps(prefix, n=1, seed=0, temperature=0.0)
            self._cost += sampled.cost
            (generation,) = sampled.generations
            prefix += generation.token_ids
            text = "\n".join(split_steps(generation.text))
            ahead = Lookahead(
                (*ahead.steps, text) if text else ahead.steps, ahead.tokens + len(generation.token_ids)
            )
            more = generation.stop == "step" and beam.tokens + ahead.tokens < self._max_tokens
        return ahead

    async def _score(self, beams: Sequence[Beam], aheads: Sequence[Lookahead]) -> list[Beam]:
        """Score each beam's new step, if it has one, and the last step that was looked ahead to."""
        new = [beam for beam in beams if len(beam.steps) > len(beam.step_scores)]
        far = [(*beam.steps, *ahead.steps) for beam, ahead in zip(beams, aheads, strict=True) if ahead.steps]
        scored = await self._prm.score_last_steps(self._problem, [*(beam.steps for beam in new), *far])
        self._cost += scored.cost
        scores = iter(scored.step_scores)
        of_new = {beam.node: next(scores) for beam in new}
        valued = []
        for beam, ahead in zip(beams, aheads, strict=True):
            step_score = of_new.get(beam.node, ())
            seen = (*beam.step_scores, *step_score, *(next(scores) if ahead.steps else ()))
            beam = replace(
                beam, step_scores=(*beam.step_scores, *step_score), value=aggregate(seen, self._aggregation)
            )
            self._change(beam, score=step_score[0] if step_score else None, value=beam.value, ahead=ahead.tokens)
            valued.append(beam)
        return valued

    def _settle_duplicates(self, families: Sequence[Sequence[Beam]], valued: Sequence[Beam]) -> None:
        by_node = {beam.node: beam for beam in valued}
        for beam in (beam for family in families for beam in family):
            assert beam.node is not None
            node = self._nodes[beam.node]
            if node.twin is not None:
                twin = by_node[node.twin]
                # the last step that both read: the twin may have written it earlier, and then an empty one
                scored = bool(node.text and twin.step_scores)  # not so for an empty step, and for a thought
                self._change(beam, score=twin.step_scores[-1] if scored else None, value=twin.value)

    def _change(self, beam: Beam, **changes: object) -> None:
        assert beam.node is not None, "the root is no node"
        self._nodes[beam.node] = replace(self._nodes[beam.node], **changes)  # type: ignore[arg-type]


def own_seed(seed: int, number: int | None) -> int:
    """A seed of 63 bits for one part of a search: a subtree, or the beam that ends at a node."""
    return random.Random(f"{seed} {number}").getrandbits(63)
