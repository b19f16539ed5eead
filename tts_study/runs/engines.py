"""From a profile to engines: their settings, and the pair of them that a process shares among its runs.

A model runs in this process, or on servers if the profile, or else the environment, says where those are.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from tts_study.engines.background import in_any_case, in_background
from tts_study.engines.ports import server_urls
from tts_study.engines.settings import (
    FamilySettings,
    MachineSettings,
    ModelSettings,
    PolicySettings,
    PRMSettings,
    SamplingSettings,
)
from tts_study.engines.user_code import is_function
from tts_study.errors import UserError
from tts_study.profiles import Profile
from tts_study.prompts.prm.critique import CRITIQUE
from tts_study.prompts.prm.self_verify import SELF

if TYPE_CHECKING:
    from tts_study.engines.function_prm import FunctionPRM
    from tts_study.engines.policy import VllmPolicy
    from tts_study.engines.prm import StepScorer

    AnyPRM = StepScorer | FunctionPRM

# the environment variables that name the servers where the profile does not: notebooks inherit them
POLICY_URL, PRM_URL = "TTS_STUDY_POLICY_URL", "TTS_STUDY_PRM_URL"


class Engines:
    """The engines of this process: one policy and one PRM, kept from run to run until others are asked for.

    A policy that judges itself is both, on one engine.
    """

    def __init__(self) -> None:
        self._policy: tuple[object, VllmPolicy] | None = None
        self._prm: tuple[object, AnyPRM] | None = None
        self._users: set[object] = set()
        self._closing = False
        self._free = asyncio.Condition()

    @asynccontextmanager
    async def lent(self, profile: Profile, *, needs_prm: bool) -> "AsyncIterator[tuple[VllmPolicy, AnyPRM | None]]":
        """A profile's engines, which stay open meanwhile: a request for others waits until they are returned.

        Raises:
            UserError: as `of`.
        """
        user = object()
        try:  # who is cancelled in the moment in which they were lent has them, and must give them back, too
            yield await in_background(self._lend(profile, needs_prm, user))
        finally:
            await in_any_case(self._give_back(user))

    async def of(self, profile: Profile, *, needs_prm: bool) -> "tuple[VllmPolicy, AnyPRM | None]":
        """A profile's engines; each starts when it is first needed.

        Raises:
            UserError: there is no such checkpoint, or a server's URL is invalid.
        """
        return await in_background(self._of(profile, needs_prm))

    async def close(self) -> None:
        """Shut both down, as soon as they are not in use."""
        await in_background(self._close_when_free())

    async def _of(self, profile: Profile, needs_prm: bool) -> "tuple[VllmPolicy, AnyPRM | None]":
        for_policy, for_prm = _wanted(profile)
        if self._policy is None or self._policy[0] != for_policy:
            if self._policy is not None:
                await self._policy[1].close()
            self._policy = for_policy, _policy(*for_policy)
        if self._prm is not None and self._prm[0] != for_prm:  # closed even if no PRM is needed now: it takes memory
            await self._prm[1].close()
            self._prm = None
        if needs_prm and self._prm is None:
            self._prm = for_prm, _prm(profile, self._policy[1])
        return self._policy[1], self._prm[1] if needs_prm and self._prm else None

    async def _lend(self, profile: Profile, needs_prm: bool, user: object) -> "tuple[VllmPolicy, AnyPRM | None]":
        async with self._free:
            await self._free.wait_for(lambda: not self._users or self._are_those_of(profile, needs_prm))
            pair = await self.of(profile, needs_prm=needs_prm)
            self._users.add(user)
            return pair

    def _are_those_of(self, profile: Profile, needs_prm: bool) -> bool:
        """Whether a profile's engines are available without closing any."""
        kept = self._policy, self._prm if needs_prm else None
        return all(have is None or have[0] == want for have, want in zip(kept, _wanted(profile), strict=True))

    async def _give_back(self, user: object) -> None:
        async with self._free:
            self._users.discard(user)
            self._free.notify_all()
            if self._closing and not self._users:
                await self._close()

    async def _close_when_free(self) -> None:
        async with self._free:  # nobody is lent what is being closed
            self._closing = bool(self._users)
            if not self._closing:
                await self._close()

    async def _close(self) -> None:
        self._closing, kept = False, (self._policy, self._prm)
        self._policy = self._prm = None
        for each in kept:
            if each is not None:
                await each[1].close()


ENGINES = Engines()


def _policy(settings: PolicySettings, urls: list[str]) -> "VllmPolicy":
    from tts_study.engines.policy import VllmPolicy

    policy = VllmPolicy(settings)
    if urls:
        from tts_study.engines.remote import RemotePolicy

        policy = RemotePolicy(settings, urls)
    if settings.max_thought_tokens:
        from tts_study.engines.thinking import ThinkingPolicy

        policy = ThinkingPolicy(settings, policy.engine)
    return policy


def _wanted(profile: Profile) -> tuple[tuple[PolicySettings, list[str]], tuple[object, object]]:
    """What identifies a profile's policy, and its PRM."""
    for_policy = policy_settings(profile), policy_urls(profile)
    if profile.judges_itself:
        return for_policy, (profile.prm_format, (profile.prm_verdicts, for_policy))
    if profile.prm_format == CRITIQUE:
        return for_policy, (critic_settings(profile), (profile.prm_verdicts, prm_urls(profile)))
    return for_policy, (prm_settings(profile), prm_urls(profile))


def _prm(profile: Profile, policy: "VllmPolicy") -> "AnyPRM":
    if profile.judges_itself and profile.prm_url:
        raise UserError(f"--prm {SELF} is asked on the policy's engine or servers: leave prm_url out")
    if profile.prm_format == CRITIQUE:
        from tts_study.engines.critique_prm import CritiquePRM

        critic = policy if profile.judges_itself else _policy(critic_settings(profile), prm_urls(profile))
        return CritiquePRM(critic, profile.prm_verdicts, owns_engine=critic is not policy)
    if profile.judges_itself:
        from tts_study.engines.self_prm import SelfPRM

        if profile.signals:  # in a batch with both, vLLM 0.32 on a CPU reports -inf for those of the signals
            raise UserError(
                f"signals are not kept in a run with --prm {SELF}: record them with --strategy majority or another PRM"
            )
        return SelfPRM(policy, profile.prm_format)
    settings, urls = prm_settings(profile), prm_urls(profile)
    if is_function(settings.model):
        from tts_study.engines.function_prm import FunctionPRM

        return FunctionPRM(settings.model)
    if urls:
        from tts_study.engines.remote import RemotePRM

        return RemotePRM(settings, urls)
    from tts_study.engines.prm import VllmPRM

    return VllmPRM(settings)


def policy_urls(profile: Profile) -> list[str]:
    """The URLs of the policy's servers; empty if it runs in this process."""
    return server_urls(profile.policy_url or os.environ.get(POLICY_URL, ""))


def prm_urls(profile: Profile) -> list[str]:
    """The URLs of the PRM's servers; empty if it runs in this process."""
    return server_urls(profile.prm_url or os.environ.get(PRM_URL, ""))


def policy_settings(profile: Profile) -> PolicySettings:
    """The settings of a profile's policy; one that judges itself has the PRM's share of the memory, too."""
    profile = profile.resolved()
    return PolicySettings(
        model=profile.policy_model,
        gpu_memory_utilization=profile.policy_memory + (profile.prm_memory if profile.judges_itself else 0),
        chat_template=profile.chat_template,
        **_common(profile, SamplingSettings, ModelSettings, MachineSettings),
    )


def prm_settings(profile: Profile) -> PRMSettings:
    """The settings of a profile's PRM."""
    profile = profile.resolved()
    return PRMSettings(
        burst=profile.prm_burst,
        **_of_prm(profile),
        **_common(profile, FamilySettings, ModelSettings, MachineSettings),
    )


def critic_settings(profile: Profile) -> PolicySettings:
    """The settings of a PRM that is a chat model: it samples as the policy does."""
    profile = profile.resolved()
    return PolicySettings(**_of_prm(profile), **_common(profile, SamplingSettings, ModelSettings, MachineSettings))


def _of_prm(profile: Profile) -> dict[str, Any]:
    """The settings of a PRM's engine only, whatever it does with the model."""
    return {
        "model": profile.prm_model, "gpu_memory_utilization": profile.prm_memory,
        "chat_template": profile.prm_chat_template,
    }  # fmt: skip


def _common(profile: Profile, *groups: type) -> dict[str, Any]:
    """The settings of some groups, which a profile and an engine have in common."""
    return {each.name: getattr(profile, each.name) for group in groups for each in fields(group)}
