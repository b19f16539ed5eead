"""The policy: a language model that proposes solutions, sampled by vLLM.

It knows token ids and separators, but no strategies. A prefix is token ids throughout: what was sampled is
appended as it is and never tokenised again, so that a continuation is exact and the prefix cache hits.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from tokenizers.decoders import DecodeStream

from tts_study.engines.border import check_sample
from tts_study.engines.engine import Engine, OnEngine, Sample
from tts_study.engines.settings import PolicySettings
from tts_study.engines.vllm import local_engine
from tts_study.prompts.policy import policy_tokens
from tts_study.prompts.prm import load_config
from tts_study.prompts.steps import STEP_SEPARATOR, split_steps, steps_of
from tts_study.records import TOP, Cost, Generation, Problem, Sampled, Signal, Stop


class VllmPolicy(OnEngine):
    """A `Policy` on a vLLM engine that starts with the first request."""

    def __init__(self, settings: PolicySettings, engine: Engine | None = None) -> None:
        """Note the settings; nothing is loaded yet.

        Args:
            settings: how to prompt and to sample.
            engine: what runs the model; an engine in this process if None.

        Raises:
            UserError: there is no such checkpoint.
        """
        self.settings = settings
        self.engine = engine or local_engine(settings)

    @property
    def sampler(self) -> str:
        """What draws the samples; "" before `start` with servers, which must be asked."""
        return self.engine.sampler

    async def start(self) -> None:
        """Start the engine now instead of with the first request."""
        await self.engine.start()

    def prompt(self, problem: Problem) -> tuple[int, ...]:
        """The problem as token ids; needs the tokenizer but no engine.

        Raises:
            UserError: it leaves no room in the model's context.
        """
        settings = self.settings
        token_ids = policy_tokens(
            self.engine.tokenizer, problem.text,
            system_prompt=settings.system_prompt, chat_template=settings.chat_template,
        )  # fmt: skip
        self.engine.check_fits(token_ids, room=1)
        return token_ids

    def no_thought(self, prompt: Sequence[int]) -> tuple[int, ...]:
        """What follows a prompt in place of a thought: nothing, unless the policy thinks."""
        return ()

    async def complete(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        """Sample `n` continuations up to the model's own end."""
        signals = {"logprobs": TOP} if self.settings.signals else {}
        return await self._sample(prefix, n, seed, temperature, self.settings.max_tokens, **signals)

    async def steps(self, prefix: Sequence[int], *, n: int, seed: int, temperature: float | None = None) -> Sampled:
        r"""Sample `n` next steps; each includes the whole token that completes the separator.

        Most separators are one token that ends with a blank line (".\n\n", say): the engine stops at its id.
        The stop string finds those of two tokens ("\n" twice), sometimes a token too late.
        """
        return await self._sample(
            prefix, n, seed, temperature, self.settings.max_step_tokens,
            stop=[STEP_SEPARATOR], stop_token_ids=self._separators, include_stop_str_in_output=True,
        )  # fmt: skip

    async def _sample(
        self, prefix: Sequence[int], n: int, seed: int, temperature: float | None, max_tokens: int, **stopping: Any
    ) -> Sampled:
        """One request a sample and not `SamplingParams(n=…)`, which takes as long but reports one sample's cache hits.

        A sample is a function of (prefix, seed, its index): it depends neither on `n` nor on what else is running,
        as far as the engine's arithmetic does not depend on the batch.
        """
        self.engine.check_fits(prefix, room=0)
        room = self.settings.max_model_len - len(prefix)
        if room == 0:
            return Sampled((Generation((), "", "length"),) * n, Cost())
        sampling = {
            "temperature": self.settings.temperature if temperature is None else temperature,
            "top_p": self.settings.top_p,
            "max_tokens": min(max_tokens, room),
            **stopping,
        }
        requests = (sampling | {"seed": sample_seed} for sample_seed in sample_seeds(prefix, seed, n))
        samples = await asyncio.gather(*(self._one(prefix, request) for request in requests))
        generations = tuple(map(self._generation, samples))
        cached = sum(sample.cached for sample in samples)
        generated = sum(len(generation.token_ids) for generation in generations)
        return Sampled(generations, Cost(generated, n * len(prefix) - cached, cached))

    async def _one(self, prefix: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        sample = await self.engine.generate(prefix, sampling)
        return check_sample(
            self.settings, sample, vocabulary=self._vocabulary, prompt=len(prefix), most=sampling["max_tokens"],
            logprobs="logprobs" in sampling, stops=sampling.get("stop", ()),
        )  # fmt: skip

    def _generation(self, sample: Sample) -> Generation:
        decode = self.engine.tokenizer.decode
        text = str(decode(list(sample.token_ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))
        stop: Stop = "length"
        if sample.stopped:
            at_separator = isinstance(sample.stop_reason, str) or sample.stop_reason in self._separators
            stop = "step" if at_separator else "end"
        return Generation(sample.token_ids, text, stop, signals=self._signals(sample, text) if sample.logprobs else ())

    def _signals(self, sample: Sample, text: str) -> tuple[Signal, ...]:
        """How sure the policy was of each step of a text, from what it reported of each token."""
        stream = DecodeStream(skip_special_tokens=True)  # a letter may take several tokens
        tokenizer = self.engine.tokenizer.backend_tokenizer
        pieces = [stream.step(tokenizer, token) or "" for token in sample.token_ids]
        pieces[-1] += text[sum(map(len, pieces)) :]  # half a letter at the end
        sums = [(0, 0.0, 0.0)] * len(split_steps(text))
        for step, (logprob, confidence) in zip(steps_of(pieces), sample.logprobs, strict=True):
            if sums:
                tokens, logprobs, confidences = sums[step]
                sums[step] = tokens + 1, logprobs + logprob, confidences + confidence
        return tuple(Signal(*each) for each in sums)

    @cached_property
    def _vocabulary(self) -> int:
        """Token ids are below it; a model's output may be padded beyond its tokenizer's vocabulary."""
        config = load_config(self.settings.model)
        sizes = (each.get("vocab_size") for each in (config, config.get("text_config") or {}))
        return max(len(self.engine.tokenizer), *(size for size in sizes if isinstance(size, int)), 0)

    @cached_property
    def _separators(self) -> list[int]:
        """Every token that contains a whole step separator."""
        tokenizer = self.engine.tokenizer
        texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
        return [token for token, text in enumerate(texts) if STEP_SEPARATOR in text]


def sample_seeds(prefix: Sequence[int], seed: int, n: int) -> list[int]:
    """One seed for each sample: different prefixes or seeds, even consecutive ones, share no randomness."""
    base = hashlib.sha256(f"{seed} {list(prefix)}".encode())
    seeds = []
    for index in range(n):
        digest = base.copy()
        digest.update(f" {index}".encode())
        seeds.append(int.from_bytes(digest.digest()[:8]) >> 1)  # vLLM takes 63 bits
    return seeds
