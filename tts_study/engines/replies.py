"""What servers of vLLM reply: JSON within limits, checked before it is used, and the errors that a reply may mean."""

import json
import os
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from http.client import responses
from typing import Any

import aiohttp

from tts_study.engines.border import is_whole
from tts_study.engines.engine import NextToken, Pooled, Sample, of_token
from tts_study.errors import UserError, one_line
from tts_study.records import TOP

API_KEY = "TTS_STUDY_API_KEY"  # the environment variable, the only place from which a key is read
MOST_BYTES = 2**26  # of a reply: a score for each of a million tokens is less
LARGEST = 2**53  # tokens of a context: up to it, whole numbers in JSON are the same for every reader
BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}


class Unavailable(Exception):
    """A failure after which another try, or another server, may succeed."""


class Refused(UserError):
    """A server says that the request itself is wrong; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


async def read_content(url: str, reply: aiohttp.ClientResponse) -> bytes:
    """The body of a server's reply.

    Raises:
        UserError: it is too long, or compressed.
    """
    if (coding := reply.headers.get("Content-Encoding", "identity")) != "identity":
        raise UserError(f"The server at {url} compresses its replies ({one_line(coding, 20)}): switch that off there.")
    content = bytearray()
    async for chunk in reply.content.iter_any():
        content += chunk
        if len(content) > MOST_BYTES:
            raise UserError(f"A reply of the server at {url} is longer than {MOST_BYTES >> 20} MiB: check the URL.")
    return bytes(content)


def read_json(url: str, status: int, content: bytes) -> Any:
    """The reply's JSON, if the server reports success.

    Raises:
        Unavailable: it reports a failure of its own.
        Refused: it says that the request is wrong.
        UserError: it requires another API key, or is not a server of vLLM.
    """
    try:
        reply = json.loads(content)
    except (ValueError, RecursionError):
        reply = None
    said = _message(reply) or responses.get(status, "no reason given")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in BUSY:
        raise Unavailable(f"The server at {url} fails (HTTP {status}: {said})")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        have = f"does not accept the key in ${API_KEY}" if os.environ.get(API_KEY) else "requires an API key"
        raise UserError(f"The server at {url} {have}: set ${API_KEY} to its key.")
    if status != HTTPStatus.OK:
        raise Refused(f"The server at {url} refuses the request (HTTP {status}: {said})", status)
    if not isinstance(reply, dict):
        raise stranger(url)
    return reply


def stranger(url: str) -> UserError:
    """The error for a reply that is not one of vLLM."""
    return UserError(f"What answers at {url} is not a server of vLLM 0.32 or later: check the URL.")


def _message(reply: Any) -> str:
    error = reply.get("error", reply.get("detail", "")) if isinstance(reply, dict) else ""
    text = error.get("message", "") if isinstance(error, dict) else error
    try:
        return one_line(str(text))
    except RecursionError:
        return ""


def read_cards(reply: Any) -> list[dict[str, Any]]:
    """The models in a reply of /v1/models."""
    cards = list(reply["data"])
    for card in cards:
        names, context = (card["id"], card.get("root") or ""), card.get("max_model_len")
        if not all(isinstance(name, str) for name in names) or not (context is None or is_whole(context, 1, LARGEST)):
            raise TypeError
    return cards


def read_sample(reply: Mapping[str, Any]) -> Sample:
    """The sample in a reply of /v1/completions.

    Raises:
        Unavailable: the server ended it before it was done.
        UserError: the server does not return token ids, or how many came from its cache.
    """
    choice = reply["choices"][0]
    if choice["finish_reason"] not in ("stop", "length"):
        raise Unavailable(f"A server ended a request early ({one_line(str(choice['finish_reason']), 40)})")
    if choice.get("token_ids") is None:
        raise UserError("A server does not return token ids: it must be vLLM 0.32 or later.")
    stopped, logprobs = choice["finish_reason"] == "stop", _logprobs(choice.get("logprobs"))
    return Sample(_listed(choice["token_ids"]), stopped, choice.get("stop_reason"), _cached(reply), logprobs)


def _listed(values: Any) -> tuple[Any, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(values)


def _logprobs(listed: Mapping[str, Any] | None) -> tuple[tuple[float, float], ...]:
    """What `of_token` makes of each token: `TOP` of them are the likeliest, and the sampled one may be one more."""
    if listed is None:
        return ()
    tops = (sorted(top.values(), reverse=True)[:TOP] for top in listed["top_logprobs"])
    return tuple(of_token(sampled, top) for sampled, top in zip(listed["token_logprobs"], tops, strict=True))


def read_next_token(reply: Mapping[str, Any], among: Sequence[int]) -> NextToken:
    """The log-probabilities of some tokens in a reply of /v1/completions.

    Raises:
        Unavailable: the server ended it before it was done.
        UserError: the server does not return them, or how many tokens came from its cache.
    """
    choice = reply["choices"][0]
    if choice["finish_reason"] not in ("stop", "length"):
        raise Unavailable(f"A server ended a request early ({one_line(str(choice['finish_reason']), 40)})")
    found = choice["logprobs"]["top_logprobs"][0]
    if not all(f"token_id:{token}" in found for token in among):
        raise UserError("A server does not return the probabilities of given tokens: it must be vLLM 0.32 or later.")
    return NextToken(tuple(found[f"token_id:{token}"] for token in among), _cached(reply))


def _cached(reply: Mapping[str, Any]) -> Any:
    details = reply["usage"].get("prompt_tokens_details")
    if details is None:
        raise UserError("A server does not count cached tokens: restart it with --enable-prompt-tokens-details.")
    cached = details.get("cached_tokens")
    return 0 if cached is None else cached


def read_pooled(reply: Mapping[str, Any]) -> Pooled:
    """The scores in a reply of /pooling.

    Raises:
        UserError: the model has other outputs than a PRM.
    """
    rows = reply["data"][0]["data"]
    if not all(isinstance(row, list) and len(row) in (1, 2) for row in rows):
        raise UserError("A server's model is not a PRM: it returns something other than P(right) at each token.")
    return Pooled(tuple(row[-1] for row in rows), cached=0)
