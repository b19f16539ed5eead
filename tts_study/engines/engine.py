"""The engine that runs a policy's or a PRM's model: in this process, or on a server."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from tts_study.engines.background import in_background
from tts_study.engines.checkpoints import check_reachable
from tts_study.engines.in_flight import InFlight
from tts_study.engines.settings import EngineSettings
from tts_study.errors import UserError, one_line

T = TypeVar("T")

LEAST = -104.0  # the logarithm of the smallest 32-bit float
SUMMARY = "summary_of_logprobs"  # by which a request asks `schedulers` for two numbers a token (`of_token`)


@dataclass(frozen=True)
class Sample:
    """One continuation, as an engine reports it.

    Attributes:
        token_ids: what was sampled, what ended it included.
        stopped: it ended by itself, and not at a limit.
        stop_reason: the stop string or stop token that ended it; None for the model's own end, and at a limit.
        cached: tokens of the prompt that the prefix cache supplied.
        logprobs: where asked, of each token its log-probability and the confidence there, as `of_token` makes them.
    """

    token_ids: tuple[int, ...]
    stopped: bool
    stop_reason: int | str | None
    cached: int
    logprobs: tuple[tuple[float, float], ...] = ()


def of_token(sampled: float, top: Sequence[float]) -> tuple[float, float]:
    """The log-probability of a sampled token, and the confidence there: minus the mean of the likeliest tokens' ones.

    A token that a model rules out has minus infinity, and no log-probability in a 32-bit float lies below -104.
    """
    return sampled, -sum(max(each, LEAST) for each in top) / len(top)


@dataclass(frozen=True)
class Pooled:
    """The outputs of a token classifier for a prompt.

    Attributes:
        scores: the last of its outputs at each token that was computed: those after the cached ones.
        cached: tokens of the prompt that the prefix cache supplied.
    """

    scores: tuple[float, ...]
    cached: int


@dataclass(frozen=True)
class NextToken:
    """How likely some tokens are to come next after a prompt.

    Attributes:
        logprobs: natural logarithms of their probabilities at temperature 1, in the order asked.
        cached: tokens of the prompt that the prefix cache supplied.
    """

    logprobs: tuple[float, ...]
    cached: int


class Engine(ABC):
    """Runs one model, and starts with the first request; any thread and any event loop may ask.

    Its state belongs to the background loop, where its subclasses' methods run.

    Attributes:
        sampler: what draws its samples, once it is known: `records.VLLM_SAMPLER` or `records.OWN_SAMPLER`.
    """

    sampler: str = ""
    what = "The engine of"  # for messages

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings
        self._in_flight = InFlight(f"{self.what} {settings.model!r}", settings.reply_limit, self._lose)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The checkpoint's tokenizer."""
        return load_tokenizer(self.settings.model)

    async def start(self) -> None:
        """Start, unless it is running."""
        await in_background(self._answered(self._ready()))

    async def generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """Continue a prompt once; `sampling` in the terms that vLLM's `SamplingParams` and its servers share.

        Raises:
            EngineLost: the engine died, or did not answer; the next request starts it again.
            UserError: it was closed meanwhile.
        """
        return await in_background(self._answered(self._generate(token_ids, sampling)))

    async def encode(self, token_ids: Sequence[int], *, read_cache: bool) -> Pooled:
        """Score the tokens of a prompt: all of them, or with `read_cache` those that are not in the prefix cache.

        Raises:
            EngineLost: as `generate`.
            UserError: as `generate`.
        """
        return await in_background(self._answered(self._encode(token_ids, read_cache)))

    async def next_token(self, token_ids: Sequence[int], among: Sequence[int]) -> NextToken:
        """How likely each of some tokens is to come next.

        Raises:
            EngineLost: as `generate`.
            UserError: as `generate`.
        """
        return await in_background(self._answered(self._next_token(token_ids, among)))

    async def close(self) -> None:
        """Free its resources, and end the requests in flight; a later request starts it again."""
        closed = f"{self.what} {self.settings.model!r} was closed before it had answered: ask again, and it starts."
        await in_background(self._close(UserError(closed)))

    async def forget(self) -> None:  # noqa: B027  servers are shared: their caches stay
        """Empty the prefix cache: for benchmarks."""

    async def _answered(self, answer: Awaitable[T]) -> T:
        async with self._in_flight.request():
            return await answer

    @abstractmethod
    async def _ready(self) -> None:
        """Start, unless it is running."""

    @abstractmethod
    async def _generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """Continue a prompt once, as soon as it is ready."""

    @abstractmethod
    async def _encode(self, token_ids: Sequence[int], read_cache: bool) -> Pooled:
        """Score the tokens of a prompt, as soon as it is ready."""

    @abstractmethod
    async def _next_token(self, token_ids: Sequence[int], among: Sequence[int]) -> NextToken:
        """How likely each of some tokens is to come next, as soon as it is ready."""

    @abstractmethod
    async def _close(self, reason: UserError) -> None:
        """End the requests in flight for this reason, and free its resources."""

    @abstractmethod
    def _lose(self, reason: str) -> None:
        """End the requests in flight: the engine was silent for too long."""

    def check_fits(self, token_ids: Sequence[int], room: int) -> None:
        """Make sure that a prompt leaves room in the context.

        Raises:
            UserError: it does not.
        """
        context = self.settings.max_model_len
        if len(token_ids) + room > context:
            raise UserError(
                f"A prompt of {len(token_ids)} tokens (at least {len(token_ids) + room} are needed) does not fit the "
                f"context of {context} tokens of {self.settings.model!r}: raise max_model_len if the model allows it, "
                "or leave the problem out."
            )


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """Load a checkpoint's tokenizer.

    Raises:
        UserError: there is no such checkpoint, it cannot be reached, or its tokenizer is broken.
    """
    check_reachable(model)
    try:
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise anything at a broken file
        if not isinstance(error, OSError | ValueError) or (Path(model) / "tokenizer.json").exists():
            raise UserError(
                f"The tokenizer of {model!r} cannot be loaded ({one_line(str(error), 200)}): "
                "copy or download its files again."
            ) from error
        raise UserError(
            f"Cannot load a tokenizer from {model!r}: it is neither a checkpoint's folder "
            "nor a model that can be reached on the hub; check the name."
        ) from error


class OnEngine:
    """An object that has an engine and closes it: a policy or a PRM."""

    engine: Engine

    async def close(self) -> None:
        """Shut the engine down."""
        await self.engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
