r"""A policy and a PRM that follow a script: for tests of strategies, without any model.

The script is a tree written by hand. It maps a partial solution to the steps that may follow it, and a solution that
nothing follows is finished::

    tree = {"": ["2+3=5", "2+3=6"], "2+3=5": [r"\boxed{5}"], "2+3=6": [r"\boxed{6}"]}
    policy = ScriptedPolicy(tree)
    prm = ScriptedPRM({"2+3=5": 0.9, "2+3=6": 0.2, r"\boxed{5}": 0.9, r"\boxed{6}": 0.1})

A token is a word with the space after it, or a separator, so that every count can be checked by hand.
"""

import asyncio
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts_study.engines.interface import PRM, Policy
from tts_study.prompts.steps import STEP_SEPARATOR, split_steps
from tts_study.records import Cost, Generation, Problem, Sampled, Scored, Stop
from tts_study.runs.collect import collect
from tts_study.runs.run import Search
from tts_study.runs.store import Run
from tts_study.strategies import find

END, ASSISTANT = 0, 1  # token ids: the solution ends, the prompt ends


@dataclass(frozen=True)
class Request:
    """What a policy was asked: the solution so far, how many draws, and how."""

    solution: str
    n: int
    seed: int
    temperature: float | None


class ScriptedPolicy:
    """A `Policy` that draws from a tree: the i-th sample of a request takes the i-th entry, round and round.

    Attributes:
        requests: everything asked so far, in order.
    """

    sampler = "scripted"

    def __init__(self, tree: Mapping[str, Sequence[str]], cut: Sequence[str] = ()) -> None:
        r"""Follow a tree.

        Args:
            tree: solution so far (steps joined by "\n\n", "" at first) -> the steps that may follow.
            cut: solutions that end at a token limit instead of by themselves.
        """
        self.requests: list[Request] = []
        self._tree = tree
        self._cut = set(cut)
        self._ids: dict[str, int] = {}

    async def start(self) -> None:
        """Nothing to start."""

    def prompt(self, problem: Problem) -> tuple[int, ...]:
        """One token a word, and one that ends the prompt."""
        return (*self._encode(problem.text), ASSISTANT)

    async def complete(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Draw whole solutions: the leaves below the prefix, in the order of the tree."""
        solution = await self._asked(prefix, n, seed, temperature)
        return self._sampled(prefix, solution, self._leaves(solution), n)

    async def steps(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Draw next steps in the order of the tree."""
        solution = await self._asked(prefix, n, seed, temperature)
        return self._sampled(prefix, solution, [_joined(solution, step) for step in self._tree[solution]], n)

    async def _asked(self, prefix: Sequence[int], n: int, seed: int, temperature: float | None) -> str:
        words = {number: word for word, number in self._ids.items()}
        start = len(prefix) - list(reversed(prefix)).index(ASSISTANT)
        solution = STEP_SEPARATOR.join(split_steps("".join(words[token] for token in prefix[start:])))
        self.requests.append(Request(solution, n, seed, temperature))
        await _be_slow(solution)
        return solution

    def _sampled(self, prefix: Sequence[int], solution: str, options: Sequence[str], n: int) -> Sampled:
        generations = tuple(self._generation(solution, options[i % len(options)]) for i in range(n))
        generated = sum(len(generation.token_ids) for generation in generations)
        return Sampled(generations, Cost(generated=generated, prompt=n * len(prefix)))

    def _generation(self, solution: str, extended: str) -> Generation:
        text = extended.removeprefix(solution).removeprefix(STEP_SEPARATOR)
        if extended in self._cut:
            return Generation(self._encode(text), text, "length")
        stop: Stop = "step" if extended in self._tree else "end"
        if stop == "step":
            return Generation(self._encode(text + STEP_SEPARATOR), text + STEP_SEPARATOR, stop)
        return Generation((*self._encode(text), END), text, stop)

    def _leaves(self, solution: str) -> list[str]:
        if solution not in self._tree or solution in self._cut:
            return [solution]
        return [leaf for step in self._tree[solution] for leaf in self._leaves(_joined(solution, step))]

    def _encode(self, text: str) -> tuple[int, ...]:
        first = ASSISTANT + 1
        return tuple(self._ids.setdefault(word, first + len(self._ids)) for word in _words(text))


class ScriptedPRM:
    """A `PRM` that looks its scores up, by the solution up to a step or by the step alone, or asks a function."""

    def __init__(self, scores: Mapping[str, float] | Callable[[Sequence[str]], float]) -> None:
        r"""Follow a script.

        Args:
            scores: solution so far (steps joined by "\n\n") or step -> score; or a function of the steps so far.
        """
        self._scores = scores

    async def start(self) -> None:
        """Nothing to start."""

    async def score_solutions(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score every step; each distinct solution costs its words and the problem's, once."""
        await _be_slow(problem.text)
        distinct = {tuple(steps) for steps in solutions if steps}
        words = sum(len(_words(" ".join((problem.text, *steps)))) for steps in distinct)
        return Scored(
            tuple(tuple(self._score(steps[: i + 1]) for i in range(len(steps))) for steps in solutions),
            Cost(scored=words),
        )

    async def score_last_steps(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score last steps; each distinct solution costs the words of its last step, the rest counts as cached."""
        await _be_slow(problem.text)
        distinct = {tuple(steps) for steps in solutions if steps}
        last = sum(len(_words(steps[-1])) for steps in distinct)
        words = sum(len(_words(" ".join((problem.text, *steps)))) for steps in distinct)
        return Scored(
            tuple((self._score(steps),) if steps else () for steps in solutions),
            Cost(scored=last, scored_cached=words - last),
        )

    def _score(self, steps: Sequence[str]) -> float:
        if callable(self._scores):
            return self._scores(steps)
        solution = STEP_SEPARATOR.join(steps)
        return self._scores[solution if solution in self._scores else steps[-1]]


def _joined(solution: str, step: str) -> str:
    return f"{solution}{STEP_SEPARATOR}{step}" if solution else step


def _words(text: str) -> list[str]:
    """Cut a text into tokens; they add up to the text again."""
    return re.findall(rf"{STEP_SEPARATOR}|\S+ ?|\s", text)


async def _be_slow(text: str) -> None:
    """Let other coroutines go first, by a number of turns that differs from request to request."""
    for _ in range(1 + zlib.crc32(text.encode()) % 4):
        await asyncio.sleep(0)


async def run_strategy(
    strategy: str,
    problems: Sequence[Problem],
    policy: Policy,
    prm: PRM | None,
    *,
    n: int,
    seed: int,
    options: Mapping[str, Any] | None = None,
    concurrency: int = 8,
    **collecting: Any,
) -> Run:
    """Collect the results of a method's search with these engines; `collecting` are arguments of `collect`."""
    search = find(strategy).search
    search.check_budget(n, options or {})
    solver = Search(search, policy, prm, n, seed, options or {})
    return await collect(problems, solver, title=f"{strategy} n={n}", concurrency=concurrency, **collecting)
