"""A chat model that writes verdicts, as a PRM: the policy itself on its own engine, or another model.

For each solution it writes `k` verdicts, and a step's score is the share of them that find no error up to it. This is
generative verification (Zhang et al. 2024, GenRM, arXiv 2408.15240, section 3.3: the mean over sampled chains of
thought), and self-verification by sampling (Zhao et al. 2025, arXiv 2502.01839). The tokens that it reads and writes
are counted as the PRM's.
"""

from collections.abc import Sequence
from dataclasses import replace

from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import StepScorer
from tts_study.prompts.policy import policy_tokens
from tts_study.prompts.prm.critique import asked, scores
from tts_study.records import Cost, Problem

SEED = 0  # the same solution gets the same verdicts


class CritiquePRM(StepScorer):
    """A `PRM` that lets a chat model write verdicts."""

    def __init__(self, critic: VllmPolicy, k: int, *, owns_engine: bool) -> None:
        """Note the critic; nothing is asked yet.

        Args:
            critic: writes the verdicts with its own temperature and length, without its system prompt.
            k: verdicts on each solution.
            owns_engine: closing this closes the critic's engine.
        """
        self.critic = type(critic)(replace(critic.settings, system_prompt="", signals=False), critic.engine)
        self.engine, self.k, self._owns_engine = critic.engine, k, owns_engine

    async def start(self) -> None:
        """Start the critic's engine now instead of with the first request."""
        await self.critic.start()

    async def close(self) -> None:
        """Shut the engine down, if it is not another's."""
        if self._owns_engine:
            await super().close()

    async def _score_one(
        self, problem: Problem, steps: Sequence[str], last_only: bool
    ) -> tuple[tuple[float, ...], Cost]:
        """Ask once about all steps; the verdicts on the steps before the last one are part of the same answer."""
        settings = self.critic.settings
        prompt = policy_tokens(
            self.engine.tokenizer, asked(problem.text, steps), chat_template=settings.chat_template
        )  # fmt: skip
        if len(prompt) >= settings.max_model_len:
            return (0.0,) * (1 if last_only else len(steps)), Cost()
        written = await self.critic.complete(prompt, n=self.k, seed=SEED)
        found = scores([generation.text for generation in written.generations], len(steps))
        cost = Cost(scored=written.cost.generated + written.cost.prompt, scored_cached=written.cost.prompt_cached)
        return found[-1:] if last_only else found, cost
