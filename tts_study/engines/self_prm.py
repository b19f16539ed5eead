"""The policy as its own PRM, on the policy's engine and weights: no second model is loaded, and no engine started.

A score is one request of one token, of which the two answers' log-probabilities are read (`prompts.prm.self_verify`).
vLLM reports them as they are before sampling: exact, whatever the temperature.
"""

import math
from collections.abc import Sequence

from tts_study.engines.border import check_next_token
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import StepScorer
from tts_study.errors import UserError
from tts_study.prompts.prm import AUTO, RLHFLOW
from tts_study.prompts.prm.critique import CRITIQUE
from tts_study.prompts.prm.rlhflow import check_rlhflow, rlhflow_tokens, verdict_ids
from tts_study.prompts.prm.self_verify import SELF, answer_ids, question_ids, solution_ids
from tts_study.records import Cost, Problem

LARGEST = 700.0  # whose exponential a float can be


class SelfPRM(StepScorer):
    """A `PRM` that asks a policy whether its steps are right."""

    def __init__(self, policy: VllmPolicy, prm_format: str = AUTO) -> None:
        """Note the policy; nothing is asked yet.

        Args:
            policy: whose engine is asked; it stays the policy's, which closes it.
            prm_format: "auto" asks a question in the policy's chat, "rlhflow" for a verdict as that family's PRMs give.

        Raises:
            UserError: the family is another.
        """
        if prm_format not in (AUTO, RLHFLOW.name):
            raise UserError(
                f"a policy cannot be asked as a PRM of the family {prm_format!r}: with --prm {SELF}, leave prm_format "
                f"out, or give {RLHFLOW.name!r} for a policy that was trained to answer + or -, or {CRITIQUE!r} to let "
                "it write verdicts."
            )
        self.policy, self.engine = policy, policy.engine
        self._in_chat = prm_format == AUTO
        self._template = policy.settings.chat_template

    async def start(self) -> None:
        """Start the policy's engine.

        Raises:
            UserError: the policy's tokenizer or template cannot express the question, or vLLM could not start it.
        """
        self.answers  # noqa: B018  checked before anything heavy starts
        await self.engine.start()

    async def close(self) -> None:
        """Nothing to close: the engine is the policy's."""

    @property
    def answers(self) -> tuple[int, int]:
        """The tokens that say right and wrong.

        Raises:
            UserError: the tokenizer has none, or the template cannot express the question.
        """
        tokenizer = self.engine.tokenizer
        if self._in_chat:
            return answer_ids(tokenizer, self._template)
        check_rlhflow(tokenizer, self._template)
        return verdict_ids(tokenizer)

    def prompts(self, problem: Problem, steps: Sequence[str]) -> list[tuple[int, ...]]:
        """What is asked about each step, as token ids."""
        tokenizer = self.engine.tokenizer
        if not self._in_chat:
            token_ids, positions = rlhflow_tokens(tokenizer, problem.text, steps, chat_template=self._template)
            return [token_ids[: position + 1] for position in positions]
        prompt, asked = self.policy.prompt(problem), question_ids(tokenizer, self._template)
        prompt += self.policy.no_thought(prompt)
        asked += self.policy.no_thought(asked)
        return [(*prompt, *solution_ids(tokenizer, steps[: i + 1]), *asked) for i in range(len(steps))]

    async def _score_one(
        self, problem: Problem, steps: Sequence[str], last_only: bool
    ) -> tuple[tuple[float, ...], Cost]:
        """Ask about one step after the other, so that each finds those before it in the prefix cache."""
        prompts, scores, cost = self.prompts(problem, steps), [], Cost()
        for prompt in prompts[-1:] if last_only else prompts:
            if len(prompt) >= self.engine.settings.max_model_len:
                scores.append(0.0)
                continue
            score, of_step = await self._ask(prompt)
            scores.append(score)
            cost += of_step
        return tuple(scores), cost

    async def _ask(self, prompt: Sequence[int]) -> tuple[float, Cost]:
        answers = self.answers
        reply = await self.engine.next_token(prompt, answers)
        right, wrong = check_next_token(self.engine.settings, reply, prompt=len(prompt), among=len(answers)).logprobs
        score = 1 / (1 + math.exp(min(wrong - right, LARGEST)))
        return score, Cost(scored=len(prompt) - reply.cached, scored_cached=reply.cached)
