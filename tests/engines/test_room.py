"""Which engines a machine has room for, by its devices, their memory and the model's shape."""

import pytest

from tts_study.engines.room import SHARED_SOCKETS, Machine, check_room, cpu_machine
from tts_study.errors import EngineUnavailable
from tts_study.profiles import PROFILES, load_profile
from tts_study.runs.engines import policy_settings, prm_settings

H100, CPU = Machine(1, 80e9, gpu=True), Machine(1, 24e9, gpu=False)


def fitting(machine: Machine, profile: str = "llama", **settings) -> list[str]:
    """The policies of a ladder that a machine has room for, beside the PRM."""
    fit = []
    for policy in PROFILES[profile].policies:
        ours = load_profile(profile, policy=policy, **settings)
        try:
            check_room(policy_settings(ours), machine)
            check_room(prm_settings(ours), machine)
        except EngineUnavailable:
            continue
        fit.append(policy)
    return fit


def test_one_h100_carries_every_llama_but_the_70b_and_four_carry_all():
    assert fitting(H100) == ["1b", "3b", "8b"]
    assert fitting(Machine(4, 80e9, gpu=True)) == ["1b", "3b", "8b", "70b"]
    assert fitting(Machine(4, 80e9, gpu=True), "qwen2.5")[-1] == "72b"
    assert fitting(H100, data_parallel_size=2) == [], "copies take GPUs of their own"


def test_memory_decides_where_there_are_gpus_enough():
    assert fitting(Machine(4, 40e9, gpu=True)) == ["1b", "3b", "8b"]
    assert fitting(Machine(1, 24e9, gpu=True)) == [], "the PRM's 16 GB exceed its share"
    assert fitting(Machine(1, 24e9, gpu=True), policy_memory=0.2, prm_memory=0.75) == ["1b"]
    assert fitting(CPU) == ["1b", "3b", "8b"]
    assert fitting(CPU, kv_cache_gib=20) == []


def test_the_reason_says_what_is_missing(monkeypatch):
    for name in SHARED_SOCKETS:
        monkeypatch.delenv(name, raising=False)
    large = policy_settings(load_profile("llama", policy="70b"))
    with pytest.raises(EngineUnavailable, match=r"70B-Instruct takes 4 GPUs .* and this machine has 1: use a larger"):
        check_room(large, H100)
    with pytest.raises(EngineUnavailable, match=r"takes 4 CPU sockets .* and this machine has 1: "):
        check_room(large, CPU)
    small = policy_settings(load_profile("llama", policy="8b"))
    with pytest.raises(EngineUnavailable, match=r"takes at least 16\.6 GB of each GPU .* its share is 10\.8 GB: "):
        check_room(small, Machine(1, 24e9, gpu=True))


def test_what_cannot_be_reported_is_left_to_vllm(monkeypatch):
    unknown = policy_settings(load_profile("llama", policy="some-owner/some-model"))
    check_room(unknown, Machine(1, 1e6, gpu=True))
    check_room(policy_settings(load_profile("llama", policy="70b")), None)
    monkeypatch.setenv("VLLM_CPU_SIM_MULTI_NUMA", "1")  # several workers then share a socket
    check_room(policy_settings(load_profile("micro", tensor_parallel_size=2)), CPU)


def test_this_machine_has_room_for_the_micro_models():
    for policy in PROFILES["micro"].policies:
        check_room(policy_settings(load_profile("micro", policy=policy)), cpu_machine())
