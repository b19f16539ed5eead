"""A verifier that is a user's Python function, in place of a process reward model: rules, tools, a checker.

The function takes a `Problem` and the steps of a solution, and returns a score in [0, 1] for each step. It may be
`async`. It has no tokens, so a search guided by it is charged none.
"""

import inspect
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import cached_property
from itertools import islice
from typing import Any

from tts_study.engines import user_code
from tts_study.engines.border import is_score
from tts_study.errors import RunStopped, UserError
from tts_study.records import Cost, Problem, Scored


class FunctionPRM:
    """A `PRM` that calls a function for each distinct solution."""

    def __init__(self, name: str) -> None:
        """Note the function's name: "my_file.py:name"; its file is not run yet.

        Raises:
            UserError: there is no such file; this is reported before an engine starts.
        """
        user_code.digest(user_code.split(name)[0])
        self.name = name

    async def start(self) -> None:
        """Read the function's file now instead of with the first solution.

        Raises:
            UserError: there is no such function.
        """
        self._function  # noqa: B018

    async def close(self) -> None:
        """Nothing runs that could be shut down."""

    @cached_property
    def _function(self) -> Any:
        function = user_code.load(self.name)
        if not callable(function):
            raise UserError(f"there is no function {self.name}: docs/extend.md shows a verifier")
        return function

    async def score_solutions(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score every step of whole solutions; equal solutions are scored once.

        Raises:
            UserError: the function fails.
            RunStopped: it does not return a score in [0, 1] for each step.
        """
        distinct = dict.fromkeys(tuple(steps) for steps in solutions)
        scores = {steps: await self._score(problem, steps) for steps in distinct}
        return Scored(tuple(scores[tuple(steps)] for steps in solutions), Cost())

    async def score_last_steps(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score the last step of each partial solution; the function sees the steps before it, too."""
        scored = await self.score_solutions(problem, solutions)
        return Scored(tuple(scores[-1:] for scores in scored.step_scores), scored.cost)

    async def _score(self, problem: Problem, steps: tuple[str, ...]) -> tuple[float, ...]:
        if not steps:
            return ()
        try:
            scores: Any = self._function(problem, steps)
            if inspect.isawaitable(scores):
                scores = await scores
            # a generator may fail, or never end; a set and a dictionary have no order to go by
            ordered = isinstance(scores, Iterable) and not isinstance(scores, Set | Mapping)
            found = tuple(map(_plain, islice(scores, len(steps) + 1))) if ordered else ()
        except user_code.FAILURES as error:
            raise UserError(f"the verifier {self.name} failed: {type(error).__name__}: {error}") from error
        if len(found) != len(steps) or not all(map(is_score, found)):
            raise RunStopped(
                f"the verifier {self.name} returned {scores!r:.60} for {len(steps)} steps: it has to return a number "
                "from 0 to 1 for each of them"
            )
        return tuple(map(float, found))


def _plain(score: Any) -> Any:
    """A score of numpy or torch as Python's own number; anything else as it is."""
    return score.item() if hasattr(score, "item") else score
