"""The process reward model: P(step is right) for each step of a solution, scored by vLLM.

A causal language model that answers "+" or "-" is loaded as a classifier with one output, the sigmoid of the
difference of the two tokens' logits, which is the softmax over the two: P("+"). One engine answers both questions:
every step of a whole solution in one pass (task "token_classify": a score at each token), and the last step alone
(task "classify": a score at the last token), for which the earlier steps come from the prefix cache.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tts_study.engines.vllm import EngineSettings, OnVllm, VllmEngine
from tts_study.prompts import BAD, GOOD, check_rlhflow, rlhflow_tokens
from tts_study.records import Cost, Problem, Scored

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase
    from vllm.tasks import PoolingTask


@dataclass(frozen=True, kw_only=True)
class PRMSettings(EngineSettings):
    """How a PRM is run: on an engine, with nothing more to set."""


class VllmPRM(OnVllm):
    """A `PRM` in RLHFlow's format on a vLLM engine that starts with the first request."""

    def __init__(self, settings: PRMSettings) -> None:
        """Note the settings; nothing is loaded yet.

        Raises:
            UserError: there is no such checkpoint.
        """
        self.settings = settings
        self.engine = VllmEngine(
            settings,
            runner="pooling",
            hf_overrides={
                "architectures": ["LlamaForSequenceClassification"],
                "classifier_from_token": [BAD, GOOD],
                "method": "from_2_way_softmax",
            },
        )

    async def start(self) -> None:
        """Start the engine now instead of with the first request.

        Raises:
            UserError: the checkpoint's tokenizer or template cannot carry the format.
        """
        self._tokenizer  # noqa: B018  checked before anything heavy starts
        await self.engine.start()

    async def score_solutions(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score every step of whole solutions, each in one pass; a solution without steps has no scores."""
        return await self._score(problem, solutions, "token_classify")

    async def score_last_steps(self, problem: Problem, solutions: Sequence[Sequence[str]]) -> Scored:
        """Score the last step of each partial solution; the steps before it come from the prefix cache."""
        return await self._score(problem, solutions, "classify")

    async def _score(self, problem: Problem, solutions: Sequence[Sequence[str]], task: "PoolingTask") -> Scored:
        distinct = list(dict.fromkeys(tuple(steps) for steps in solutions if steps))
        replies = await asyncio.gather(*(self._score_one(problem, steps, task) for steps in distinct))
        scores = {(): ()} | {steps: reply[0] for steps, reply in zip(distinct, replies, strict=True)}
        cost = sum((reply[1] for reply in replies), Cost())
        return Scored(tuple(scores[tuple(steps)] for steps in solutions), cost)

    async def _score_one(
        self, problem: Problem, steps: Sequence[str], task: "PoolingTask"
    ) -> tuple[tuple[float, ...], Cost]:
        """Scores and cost of one solution; a step that ends beyond the PRM's context cannot be judged and scores 0."""
        token_ids, positions = rlhflow_tokens(
            self._tokenizer, problem.text, steps, chat_template=self.settings.chat_template
        )
        context = self.settings.max_model_len
        self.engine.check_fits(token_ids[: positions[0] + 1], room=0)
        if task == "classify":
            positions = positions[-1:]
        judged = [position for position in positions if position < context]
        unjudged = (0.0,) * (len(positions) - len(judged))
        if not judged:
            return unjudged, Cost()
        await self.engine.start()
        from vllm import PoolingParams

        output = await self.engine.encode(token_ids[: judged[-1] + 1], PoolingParams(task=task))
        scores = output.outputs.data.flatten().tolist()
        picked = scores if task == "classify" else [scores[position] for position in judged]
        cached = output.num_cached_tokens
        return (*picked, *unjudged), Cost(scored=judged[-1] + 1 - cached, scored_cached=cached)

    @cached_property
    def _tokenizer(self) -> "PreTrainedTokenizerBase":
        check_rlhflow(self.engine.tokenizer, self.settings.chat_template)
        return self.engine.tokenizer
