"""The process reward model: P(step is right) for each step of a solution, scored by vLLM.

One engine answers both questions in its task "token_classify", a score at each token: every step of a whole solution
in one pass, and the last step alone, for which the steps before it come from the prefix cache.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tts_study.engines.border import check_pooled
from tts_study.engines.checkpoints import check_reachable
from tts_study.engines.engine import Engine, OnEngine
from tts_study.engines.settings import PRMSettings
from tts_study.engines.vllm import local_engine
from tts_study.prompts.prm import choose_format, load_config
from tts_study.records import Cost, Problem, Scored

if TYPE_CHECKING:
    from tts_study.prompts.prm.format import Config, Marked, PRMFormat


class StepScorer(OnEngine):
    """A `PRM` that scores one solution at a time, equal ones once."""

    async def score_solutions(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score every step of whole solutions; a solution without steps has no scores."""
        return await self._score(problem, solutions, last_only=False)

    async def score_last_steps(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score the last step of each partial solution; the steps before it come from the prefix cache."""
        return await self._score(problem, solutions, last_only=True)

    async def _score(self, problem: Problem, solutions: Sequence[Sequence[str]], last_only: bool) -> Scored:
        distinct = list(dict.fromkeys(tuple(steps) for steps in solutions if steps))
        replies = await asyncio.gather(*(self._score_one(problem, steps, last_only) for steps in distinct))
        scores = {(): ()} | {steps: reply[0] for steps, reply in zip(distinct, replies, strict=True)}
        cost = sum((reply[1] for reply in replies), Cost())
        return Scored(tuple(scores[tuple(steps)] for steps in solutions), cost)

    @abstractmethod
    async def start(self) -> None:
        """Start the engine now instead of with the first request."""

    @abstractmethod
    async def _score_one(
        self, problem: Problem, steps: Sequence[str], last_only: bool
    ) -> tuple[tuple[float, ...], Cost]:
        """Scores and cost of one solution; a step beyond the model's context cannot be judged and scores 0."""


class VllmPRM(StepScorer):
    """A `PRM` of any family on a vLLM engine that starts with the first request."""

    def __init__(self, settings: PRMSettings, engine: Engine | None = None) -> None:
        """Note the settings; nothing is loaded yet.

        Args:
            settings: the model and the machine.
            engine: what runs the model; an engine in this process if None.

        Raises:
            UserError: there is no such checkpoint.
        """
        self.settings = settings
        self.engine = engine or local_engine(settings, self.engine_args)

    @cached_property
    def format(self) -> "PRMFormat":
        """The family that the model belongs to.

        Raises:
            UserError: the family cannot be derived, or the tokenizer or template cannot express its format.
        """
        prm_format = choose_format(
            self.settings.prm_format, self.settings.model, self._config, self.settings.prm_separator
        )
        prm_format.check(self.engine.tokenizer, self.settings.chat_template)
        return prm_format

    @cached_property
    def _config(self) -> "Config":
        check_reachable(self.settings.model)
        return load_config(self.settings.model)

    def engine_args(self) -> dict[str, Any]:
        """The `EngineArgs` of vLLM that a PRM of this family needs."""
        args = self.format.engine_args(self._config)
        return args | {"pooler_config": {"task": "token_classify"} | args.get("pooler_config", {})}

    async def start(self) -> None:
        """Start the engine now instead of with the first request.

        Raises:
            UserError: as `format`, or vLLM could not start it.
        """
        self.format  # noqa: B018  checked before anything heavy starts
        await self.engine.start()

    async def _score_one(
        self, problem: Problem, steps: Sequence[str], last_only: bool
    ) -> tuple[tuple[float, ...], Cost]:
        """Score one solution in one pass."""
        token_ids, positions = self.mark(problem, steps)
        context = self.settings.max_model_len
        self.engine.check_fits(token_ids[: positions[0] + 1], room=0)
        if last_only:
            positions = positions[-1:]
        judged = [position for position in positions if position < context]
        unjudged = (0.0,) * (len(positions) - len(judged))
        if not judged:
            return unjudged, Cost()
        prompt = token_ids[: judged[-1] + 1]
        reported = await self.engine.encode(prompt, read_cache=last_only)
        pooled = check_pooled(self.settings, reported, prompt=len(prompt), first=judged[0])
        picked = tuple(pooled.scores[position - pooled.cached] for position in judged)
        return (*picked, *unjudged), Cost(scored=len(prompt) - pooled.cached, scored_cached=pooled.cached)

    def mark(self, problem: Problem, steps: Sequence[str]) -> "Marked":
        """A solution as token ids, and the position in them at which each of its steps is judged."""
        return self.format.mark(self.engine.tokenizer, problem.text, steps, chat_template=self.settings.chat_template)
