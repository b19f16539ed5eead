"""Engines and servers with invalid replies: for `faults`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestServer
from transformers import PreTrainedTokenizerBase

from tts_study.engines.engine import Pooled, Sample, load_tokenizer
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.servers import Servers
from tts_study.profiles import load_profile
from tts_study.records import Problem
from tts_study.runs.engines import policy_settings, prm_settings

PROBLEM = Problem("p", "1 +1", "2")
ACCEPTED = "WRONG: accepted"


@dataclass
class FaultyEngine:
    """In place of an engine: the same reply to every request.

    Attributes:
        sample: its reply to a policy.
        pooled: its reply to a PRM, by the number of the prompt's tokens.
    """

    sample: Sample = Sample((), True, None, 0)
    pooled: Callable[[int], Pooled] = lambda tokens: Pooled((0.5,) * tokens, 0)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The micro models'."""
        return load_tokenizer(load_profile("micro").prm_model)

    def check_fits(self, token_ids: Sequence[int], room: int) -> None:
        """Anything does."""

    async def generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """The reply."""
        return self.sample

    async def encode(self, token_ids: Sequence[int], *, read_cache: bool) -> Pooled:
        """The reply."""
        return self.pooled(len(token_ids))


def faulty_prm(engine: FaultyEngine) -> str:
    """Ask a PRM on such an engine for scores; returns only if they are accepted."""
    prm = VllmPRM(prm_settings(load_profile("micro")), engine)  # type: ignore[arg-type]
    asyncio.run(prm.score_solutions(PROBLEM, [("1+1=2",)]))
    return ACCEPTED


def faulty_policy(engine: FaultyEngine, *, signals: bool = False) -> str:
    """Ask a policy on such an engine for a sample; returns only if it is accepted."""
    policy = VllmPolicy(policy_settings(load_profile("micro", signals=signals)), engine)  # type: ignore[arg-type]
    asyncio.run(policy.complete(policy.prompt(PROBLEM), n=1, seed=0))
    return ACCEPTED


def asked_of_server(body: bytes, headers: Mapping[str, str]) -> str:
    """Ask a server that replies this; returns only if the reply is accepted."""

    async def reply(request: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    async def ask() -> None:
        app = web.Application()
        app.add_routes([web.post("/v1/completions", reply)])
        async with TestServer(app) as server:
            url = f"http://127.0.0.1:{server.port}"
            servers = Servers([url], connections=1, timeout=5.0, patience=1.0)
            try:
                await servers.post("/v1/completions", {}, lambda reply: reply)
            finally:
                await servers.close()

    asyncio.run(ask())
    return ACCEPTED
