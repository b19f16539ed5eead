"""A policy and a PRM on servers: what `vllm serve` (or `tts-study serve`) runs, here or on other machines.

Only the way to the engine differs: prompts are the same token ids, built here with the checkpoint's own tokenizer, and
results are read by the same code as those of an engine in this process. Which model answers is checked with the first
request; whether it runs in the same precision cannot be seen from here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tts_study.engines.checkpoints import describe_model, relative
from tts_study.engines.engine import Engine, NextToken, Pooled, Sample
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.prm import VllmPRM
from tts_study.engines.replies import Refused, Unavailable, read_cards, read_next_token, read_pooled, read_sample
from tts_study.engines.servers import Server, Servers
from tts_study.engines.settings import EngineSettings, PolicySettings, PRMSettings
from tts_study.errors import EngineUnavailable, RunStopped, UserError, one_line
from tts_study.records import OWN_SAMPLER, VLLM_SAMPLER

PATIENCE = 120.0  # seconds
# explicit values for what a server would otherwise take from the model's generation_config.json
PLAIN = {
    "n": 1, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0,
    "return_token_ids": True,
}  # fmt: skip
# prefixes of further model names of a server: the hash of its weights, and what draws its samples
WEIGHTS, SAMPLER = "sha256:", "sampler:"


class RemotePolicy(VllmPolicy):
    """A `Policy` on one or several servers."""

    def __init__(self, settings: PolicySettings, urls: Sequence[str], **options: float) -> None:
        """Note the settings; nothing is asked yet.

        Args:
            settings: the model, whose tokenizer must be available here, and how to sample.
            urls: of the servers; those of other models are ignored.
            options: `patience`, as `RemoteEngine` takes it.

        Raises:
            UserError: one of the URLs is invalid.
        """
        super().__init__(settings, RemoteEngine(settings, urls, check_sampler, **options))


class RemotePRM(VllmPRM):
    """A `PRM` on one or several servers; a last step costs as much there as all steps up to it."""

    def __init__(self, settings: PRMSettings, urls: Sequence[str], **options: float) -> None:
        """Note the settings; nothing is asked yet. As `RemotePolicy`."""
        super().__init__(settings, RemoteEngine(settings, urls, check_classifier, **options))


class RemoteEngine(Engine):
    """The servers of one model."""

    what = "The server of"

    def __init__(
        self,
        settings: EngineSettings,
        urls: Sequence[str],
        probe: "Probe",
        *,
        patience: float = PATIENCE,
    ) -> None:
        """Note the addresses; nothing is asked yet.

        Args:
            settings: the model, and how much of its context is used.
            urls: of the servers; those of other models are ignored.
            probe: makes sure that a server can do what is asked of it.
            patience: seconds for which a request is tried again after its first failure.

        Raises:
            UserError: one of the URLs is invalid.
        """
        super().__init__(settings)
        self._probe = probe
        self._servers = Servers(
            urls, connections=settings.max_num_seqs, timeout=settings.reply_limit, patience=patience,
            heard=self._in_flight.heard,
        )  # fmt: skip
        self._starting = asyncio.Lock()
        self._checked = False

    async def _ready(self) -> None:
        """Make sure that the servers answer, have the model, and can do what is asked of them.

        Raises:
            UserError: one does not answer, none has the model, or one that has it cannot do what is asked of it.
        """
        async with self._starting:
            if self._checked:
                return
            self.tokenizer  # noqa: B018  no request can be made without it
            try:
                replies = await asyncio.gather(*(self._models(server) for server in self._servers.servers))
                self._servers.servers = self._holding_the_model(replies)
                await asyncio.gather(*(self._probe(self._servers, server) for server in self._servers.servers))
            except Unavailable as failure:
                raise UserError(f"{failure}: start it (tts-study serve, or vllm serve) or leave it out.") from failure
            own = all(server.sampler == OWN_SAMPLER for server in self._servers.servers)
            self.sampler = OWN_SAMPLER if own else VLLM_SAMPLER
            self._checked = self._in_flight.ready = True

    async def _generate(self, token_ids: Sequence[int], sampling: Mapping[str, Any]) -> Sample:
        """Continue a prompt once: with the noise of a CPU's engine if all servers have it, else by vLLM's own seed."""
        await self._ready()
        listed = {"return_tokens_as_token_ids": True} if "logprobs" in sampling else {}  # tokens of equal text differ
        asked = _noisy(sampling) if self.sampler == OWN_SAMPLER else sampling
        body = {**PLAIN, **asked, **listed, "prompt": list(token_ids)}
        return await self._servers.post("/v1/completions", body, read_sample)

    async def _encode(self, token_ids: Sequence[int], read_cache: bool) -> Pooled:
        """Score every token; servers do not use the prefix cache where each token needs a score."""
        await self._ready()
        body = {"input": list(token_ids), "task": "token_classify"}
        return await self._servers.post("/pooling", body, read_pooled)

    async def _next_token(self, token_ids: Sequence[int], among: Sequence[int]) -> NextToken:
        await self._ready()
        body = {
            **PLAIN, "prompt": list(token_ids), "max_tokens": 1, "temperature": 0.0, "logprobs": len(among),
            "logprob_token_ids": list(among), "return_tokens_as_token_ids": True,
        }  # fmt: skip
        return await self._servers.post("/v1/completions", body, lambda reply: read_next_token(reply, among))

    async def _close(self, reason: UserError) -> None:
        """Close all connections; the servers keep running."""
        self._in_flight.end(reason)
        await self._servers.close()

    def _lose(self, reason: str) -> None:
        self._in_flight.end(RunStopped(f"{reason} Restart it, and run the same command again."))

    async def _models(self, server: Server) -> list[dict[str, Any]]:
        return await self._servers.ask(server, "GET", "/v1/models", None, read_cards)

    def _holding_the_model(self, models: Sequence[Sequence[Mapping[str, Any]]]) -> list[Server]:
        """The servers of the model, in whatever folder it is there, with their name for it."""
        names, holding = {self.settings.model, relative(self.settings.model)}, []
        for server, cards in zip(self._servers.servers, models, strict=True):
            names_there = [card["id"] for card in cards]
            for card in cards:
                if server not in holding and names & {card["id"], card.get("root")}:
                    server.model = card["id"]
                    server.sampler = OWN_SAMPLER if SAMPLER + OWN_SAMPLER in names_there else VLLM_SAMPLER
                    self._check_weights(server, names_there)
                    self._check_context(server, card.get("max_model_len"))
                    holding.append(server)
        if not holding:
            found = "; ".join(
                f"{server.url} has {one_line(', '.join(dict.fromkeys(card['id'] for card in cards)))}"
                for server, cards in zip(self._servers.servers, models, strict=True)
            )
            raise EngineUnavailable(
                f"No server has the model {relative(self.settings.model)!r} ({found}): ask for what is there, or "
                f"serve it (from another folder: vllm serve … --served-model-name {relative(self.settings.model)})."
            )
        return holding

    def _check_weights(self, server: Server, names: Sequence[str]) -> None:
        weights = next((name for name in names if name.startswith(WEIGHTS)), None)
        if weights and Path(self.settings.model).is_dir() and weights != weights_name(self.settings.model):
            raise UserError(
                f"The server at {server.url} has different weights from {self.settings.model!r} here: "
                "copy the checkpoint from one to the other, and restart the server."
            )

    def _check_context(self, server: Server, context: int | None) -> None:
        wanted = self.settings.max_model_len
        if context is not None and context < wanted:
            raise UserError(
                f"The context of the server at {server.url} is {context} tokens, and max_model_len is {wanted}: "
                f"restart the server with --max-model-len {wanted}, or lower max_model_len to {context}."
            )


Probe = Callable[[Servers, Server], Awaitable[None]]


def weights_name(folder: str) -> str:
    """A second name under which a server may list a folder's model: it identifies the weights."""
    return WEIGHTS + describe_model(folder)["sha256"]


async def check_sampler(servers: Servers, server: Server) -> None:
    """Make sure that a server samples and counts tokens.

    Raises:
        UserError: it does not.
        Unavailable: it does not answer.
    """
    body = {**PLAIN, "temperature": 1.0, "seed": 1, "prompt": [0], "max_tokens": 1, "ignore_eos": True}
    try:
        await servers.ask(server, "POST", "/v1/completions", body, read_sample)
    except Refused as refusal:
        raise UserError(f"The server at {server.url} cannot be a policy: {refusal}.") from refusal


def _noisy(sampling: Mapping[str, Any]) -> dict[str, Any]:
    """The sampling parameters of a CPU's engine in this process, in the form that servers take."""
    from tts_study.engines.cpu.sampling import with_noise

    noisy = with_noise(sampling)
    return noisy | ({"vllm_xargs": noisy.pop("extra_args")} if "extra_args" in noisy else {})


async def check_classifier(servers: Servers, server: Server) -> None:
    """Make sure that a server scores tokens.

    Raises:
        UserError: it does not.
        Unavailable: it does not answer.
    """
    body = {"input": [0, 0], "task": "token_classify"}
    try:
        await servers.ask(server, "POST", "/pooling", body, read_pooled)
    except Refused as refusal:
        raise UserError(
            f"The server at {server.url} cannot be a PRM ({refusal}): serve it as tts-study serve does "
            """(vllm serve … --runner pooling --pooler-config '{"task": "token_classify"}')."""
        ) from refusal
