r"""A policy that thinks before it answers, as Qwen3 and DeepSeek-R1 do: `<think>…</think>`, then the solution.

The thought is one step, which no PRM is asked about: it has blank lines of its own, and is not part of the answer. It
has a budget of its own, too. Where that is spent the thought is ended here ("budget forcing": Muennighoff et al. 2025,
arXiv 2501.19393), and the model writes its solution. Steps begin after the thought.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from tts_study.engines.policy import VllmPolicy, sample_seeds
from tts_study.errors import UserError
from tts_study.prompts.steps import STEP_SEPARATOR
from tts_study.records import Cost, Generation, Sampled

OPEN, CLOSE = "<think>", "</think>"


class ThinkingPolicy(VllmPolicy):
    """A `Policy` whose solutions follow a thought of at most `max_thought_tokens` tokens."""

    async def start(self) -> None:
        """Start the engine now instead of with the first request.

        Raises:
            UserError: the tokenizer cannot end a thought, or vLLM could not start it.
        """
        self._close  # noqa: B018  checked before anything heavy starts
        await super().start()

    async def complete(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Sample `n` thoughts, and a solution after each."""
        if self._close in prefix:
            return await super().complete(prefix, n=n, seed=seed, temperature=temperature)
        thoughts = await self._thoughts(prefix, n, seed, temperature)
        seeds = sample_seeds(prefix, seed, n)  # equal thoughts, too, are followed by solutions of their own
        answers = await asyncio.gather(*map(self._answer, [prefix] * n, thoughts.generations, seeds, [temperature] * n))
        cost = sum((answer.cost for answer in answers), thoughts.cost)
        return Sampled(tuple(generation for answer in answers for generation in answer.generations), cost)

    async def steps(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Sample `n` thoughts, or next steps if the prefix has a thought."""
        if self._close in prefix:
            return await super().steps(prefix, n=n, seed=seed, temperature=temperature)
        return await self._thoughts(prefix, n, seed, temperature)

    def no_thought(self, prompt: Sequence[int]) -> tuple[int, ...]:
        """What follows a prompt in place of a thought."""
        opened = "\n" if self._opens(prompt) else f"{OPEN}\n\n"
        return self._encode(f"{opened}{CLOSE}{STEP_SEPARATOR}")

    async def _thoughts(self, prefix: Sequence[int], n: int, seed: int, temperature: float | None) -> Sampled:
        most = self.settings.max_thought_tokens
        assert most is not None
        sampled = await self._sample(prefix, n, seed, temperature, most, stop_token_ids=[self._close])
        return Sampled(tuple(self._thought(prefix, generation) for generation in sampled.generations), sampled.cost)

    def _thought(self, prefix: Sequence[int], sampled: Generation) -> Generation:
        """What was sampled as a thought that has its end; as it is where the model ended, or the context did."""
        token_ids = sampled.token_ids
        if sampled.stop == "end" and token_ids[-1:] != (self._close,):
            thinks = self._opens(prefix) or sampled.text.lstrip().startswith(OPEN)
            return Generation(token_ids, "", "end", _inner(sampled.text)) if thinks else sampled
        end = STEP_SEPARATOR if sampled.stop == "end" else f"\n{CLOSE}{STEP_SEPARATOR}"
        closed = (*token_ids, *self._encode(end))
        if len(prefix) + len(closed) >= self.settings.max_model_len:
            return Generation(token_ids, "", "length", _inner(sampled.text))
        return Generation(closed, "", "step", _inner(sampled.text))

    async def _answer(
        self, prefix: Sequence[int], thought: Generation, seed: int, temperature: float | None
    ) -> Sampled:
        if thought.stop != "step":
            return Sampled((thought,), Cost())
        after = (*prefix, *thought.token_ids)
        sampled = await super().complete(after, n=1, seed=seed, temperature=temperature)
        (answer,) = sampled.generations
        whole = (*thought.token_ids, *answer.token_ids)
        return Sampled((replace(answer, token_ids=whole, thought=thought.thought),), sampled.cost)

    def _opens(self, prompt: Sequence[int]) -> bool:
        """Whether the chat template has opened the thought."""
        return str(self.engine.tokenizer.decode(list(prompt[-8:]))).rstrip().endswith(OPEN)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.engine.tokenizer.encode(text, add_special_tokens=False))

    @cached_property
    def _close(self) -> int:
        if len(found := self._encode(CLOSE)) != 1:
            raise UserError(
                f"{self.settings.model!r} does not write {CLOSE} as a single token, so it is no thinking model: leave "
                "max_thought_tokens out."
            )
        return found[0]


def _inner(text: str) -> str:
    """A thought without its marks; an empty one is shown by a dash, since an empty step is left out."""
    return text.strip().removeprefix(OPEN).removesuffix(CLOSE).strip() or "-"
