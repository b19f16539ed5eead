"""From a profile to engines: their settings, and the pair of them that a process shares among its runs."""

from typing import TYPE_CHECKING

from tts_study.profiles import Profile

if TYPE_CHECKING:
    from tts_study.engines.policy import PolicySettings, VllmPolicy
    from tts_study.engines.prm import PRMSettings, VllmPRM

# fields that a profile and the engines' settings have in common
SHARED = ("dtype", "max_model_len", "max_num_seqs", "block_size", "kv_cache_gib", "tensor_parallel_size")
SAMPLING = ("system_prompt", "temperature", "top_p", "max_tokens", "max_step_tokens")


class Engines:
    """The vLLM engines of this process: one policy and one PRM, kept from run to run until others are asked for."""

    def __init__(self) -> None:
        self._policy: VllmPolicy | None = None
        self._prm: VllmPRM | None = None

    async def of(self, profile: Profile, *, needs_prm: bool) -> "tuple[VllmPolicy, VllmPRM | None]":
        """A profile's engines; each starts when it is first needed.

        Raises:
            UserError: there is no such checkpoint.
        """
        from tts_study.engines.policy import VllmPolicy
        from tts_study.engines.prm import VllmPRM

        for_policy, for_prm = policy_settings(profile), prm_settings(profile)
        if self._policy is None or self._policy.settings != for_policy:
            if self._policy is not None:
                await self._policy.close()
            self._policy = VllmPolicy(for_policy)
        if needs_prm and (self._prm is None or self._prm.settings != for_prm):
            if self._prm is not None:
                await self._prm.close()
            self._prm = VllmPRM(for_prm)
        return self._policy, self._prm if needs_prm else None

    async def close(self) -> None:
        """Shut both down."""
        for engine in (self._policy, self._prm):
            if engine is not None:
                await engine.close()
        self._policy = self._prm = None


ENGINES = Engines()


def policy_settings(profile: Profile) -> "PolicySettings":
    """What a profile says about its policy's engine."""
    from tts_study.engines.policy import PolicySettings

    return PolicySettings(
        model=profile.policy_model,
        gpu_memory_utilization=profile.policy_memory,
        chat_template=profile.chat_template,
        **{name: getattr(profile, name) for name in (*SHARED, *SAMPLING)},
    )


def prm_settings(profile: Profile) -> "PRMSettings":
    """What a profile says about its PRM's engine."""
    from tts_study.engines.prm import PRMSettings

    return PRMSettings(
        model=profile.prm_model,
        gpu_memory_utilization=profile.prm_memory,
        chat_template=profile.prm_chat_template,
        prm_format=profile.prm_format,
        **{name: getattr(profile, name) for name in SHARED},
    )
