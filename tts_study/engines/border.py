"""Checks of everything that an engine reports, before it is used.

The same checks apply to engines in this process and on servers. A model in too small a number format answers NaN, and
a server may answer anything: neither may become a stored result.
"""

import math
from collections.abc import Sequence

from tts_study.engines.engine import NextToken, Pooled, Sample
from tts_study.engines.settings import EngineSettings
from tts_study.errors import RunStopped

ROUNDING = 1e-3  # by which a probability in bfloat16 may exceed 1
LOWEST = -3.5e38  # below any 32-bit float; JSON has whole numbers that no float can be


def check_sample(
    settings: EngineSettings, sample: Sample, *, vocabulary: int, prompt: int, most: int, logprobs: bool = False,
    stops: Sequence[str] = (),
) -> Sample:  # fmt: skip
    """Make sure that a sample can come from the model, and is no longer than was requested.

    Args:
        settings: of the engine, for the message.
        sample: what it reported.
        vocabulary: size of the model's vocabulary.
        prompt: tokens of the prompt.
        most: tokens that were asked for at most.
        logprobs: whether each token's log-probability was asked for, too.
        stops: the texts that it was to stop at.

    Raises:
        RunStopped: it cannot.
    """
    if len(sample.token_ids) > most:
        raise _fault(settings, f"{len(sample.token_ids)} tokens where at most {most} were asked for")
    for token in sample.token_ids:
        if not is_whole(token, 0, vocabulary - 1):
            raise _fault(settings, f"the token {token!r:.40}, and its vocabulary has the tokens 0 to {vocabulary - 1}")
    reason = sample.stop_reason
    if reason is not None and reason not in stops and not is_whole(reason, 0, vocabulary - 1):
        raise _fault(settings, f"{reason!r:.40} as what stopped it, which was not asked for")
    _check_cached(settings, sample.cached, prompt)
    if len(sample.logprobs) != (len(sample.token_ids) if logprobs else 0):
        raise _fault(settings, f"{len(sample.logprobs)} log-probabilities for {len(sample.token_ids)} tokens")
    for logprob, confidence in sample.logprobs:
        _check_logprob(settings, logprob)
        _check_logprob(settings, -confidence)
    return sample


def check_pooled(settings: EngineSettings, pooled: Pooled, *, prompt: int, first: int) -> Pooled:
    """Make sure that there is one score in [0, 1] for each token of the prompt that was computed.

    Args:
        settings: of the engine, for the message.
        pooled: what it reported.
        prompt: tokens of the prompt.
        first: the first token whose score is needed: it must not be among the cached ones.

    Raises:
        RunStopped: there is not.
    """
    _check_cached(settings, pooled.cached, first)
    computed = prompt - pooled.cached
    if len(pooled.scores) != computed:
        raise _fault(settings, f"{len(pooled.scores)} scores for {computed} tokens")
    for score in pooled.scores:
        if not is_score(score):
            raise _fault(settings, f"the score {score!r:.40}, which is not a number from 0 to 1", score)
    return pooled


def check_next_token(settings: EngineSettings, reply: NextToken, *, prompt: int, among: int) -> NextToken:
    """Make sure that there is a log-probability for each of `among` tokens after a prompt of `prompt` tokens.

    Raises:
        RunStopped: there is not.
    """
    _check_cached(settings, reply.cached, prompt)
    if len(reply.logprobs) != among:
        raise _fault(settings, f"{len(reply.logprobs)} log-probabilities for {among} tokens")
    for value in reply.logprobs:
        _check_logprob(settings, value)
    return reply


def _check_logprob(settings: EngineSettings, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not LOWEST < value < ROUNDING:  # type: ignore[operator]
        raise _fault(settings, f"{value!r:.40}, which is not the logarithm of a probability", value)


def is_score(value: object) -> bool:
    """Whether a value is a number in [0, 1]; NaN is not, nor is a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def is_whole(value: object, least: int, most: int) -> bool:
    """Whether a value is a whole number from `least` to `most`; a bool is not."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _check_cached(settings: EngineSettings, cached: object, most: int) -> None:
    if not is_whole(cached, 0, most):
        raise _fault(settings, f"{cached!r:.40} cached tokens, where 0 to {most} are possible")


def _fault(settings: EngineSettings, what: str, value: object = None) -> RunStopped:
    overflow = isinstance(value, float) and not math.isfinite(value)
    advice = (
        "numbers overflow in this dtype, try another (--set dtype=float32)"
        if overflow
        else "nothing that it reports can be used, check the model and its server"
    )
    return RunStopped(f"the model {settings.model!r} (dtype {settings.dtype}) returned {what}: {advice}.")
