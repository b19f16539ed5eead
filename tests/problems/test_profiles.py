from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_study import paths
from tts_study.engines.settings import MachineSettings, PairSettings
from tts_study.errors import UserError
from tts_study.profiles import PROFILES, load_profile, read_options, write_options


def refusal(profile="micro", **overrides) -> str:
    with pytest.raises(UserError) as error:
        load_profile(profile, **overrides)
    return str(error.value)


def test_llama_is_the_setting_of_search_and_learn():
    llama = load_profile("llama")
    assert llama.policy_model == "meta-llama/Llama-3.2-1B-Instruct"
    assert llama.prm_model == "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"
    assert (llama.dataset, llama.dataset_split) == ("HuggingFaceH4/MATH-500", "test")
    assert (llama.temperature, llama.top_p, llama.max_tokens) == (0.8, 1.0, 2048)
    assert llama.system_prompt.startswith("Solve the following math problem efficiently and clearly:")
    assert llama.chat_template is not None
    assert "strftime" not in llama.chat_template


@pytest.mark.parametrize("name", ["micro", "llama"])
def test_a_profile_has_the_four_policies_of_the_ladder(name):
    assert list(PROFILES[name].policies) == ["1b", "3b", "8b", "70b"]
    assert PROFILES[name].policy == "1b"


def test_qwens_ladders_have_qwens_prm_and_its_way_to_score_a_solution():
    for name, largest in (("qwen2.5", "Qwen/Qwen2.5-72B-Instruct"), ("qwen2.5-math", "Qwen/Qwen2.5-Math-72B-Instruct")):
        profile = load_profile(name, policy="72b")
        assert profile.policy_model == largest
        assert (profile.prm_model, profile.aggregation) == ("Qwen/Qwen2.5-Math-PRM-7B", "prod")
        assert profile.chat_template is None


def test_a_short_name_a_folder_and_a_hub_name_are_all_policies(tmp_path):
    assert load_profile("llama", policy="8b").policy_model == "meta-llama/Llama-3.1-8B-Instruct"
    assert load_profile("micro", policy=str(tmp_path)).policy_model == str(tmp_path)
    assert load_profile("micro", policy="Qwen/Qwen2.5-1.5B").policy_model == "Qwen/Qwen2.5-1.5B"


def test_models_of_the_project_are_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    (tmp_path / "data" / "micro" / "3b").mkdir(parents=True)
    monkeypatch.chdir("/")
    assert load_profile("micro", policy="3b").policy_model == str(tmp_path / "data" / "micro" / "3b")


def test_text_from_a_command_line_becomes_what_the_field_wants():
    profile = load_profile("micro", temperature="0.7", max_tokens="64", dtype="float32", top_p=1)
    assert (profile.temperature, profile.max_tokens, profile.dtype, profile.top_p) == (0.7, 64, "float32", 1.0)
    eager = load_profile("micro", enforce_eager="true")
    assert eager.enforce_eager is True and eager.settings() == load_profile("micro").settings()
    assert load_profile(eager, enforce_eager=False).enforce_eager is False


def test_the_largest_policy_has_machine_settings_of_its_own_that_a_given_one_replaces():
    large = load_profile("llama", policy="70b").resolved()
    assert (large.tensor_parallel_size, large.policy_memory, large.prm_memory) == (4, 0.65, 0.25)
    assert load_profile("llama", policy="8b").resolved().tensor_parallel_size == 1
    assert load_profile(load_profile("llama", policy="70b"), policy="8b").resolved().policy_memory == 0.45
    asked = load_profile(load_profile("llama", tensor_parallel_size=8), policy="70b").resolved()
    assert (asked.tensor_parallel_size, asked.policy_memory) == (8, 0.65)
    assert large.settings() == load_profile("llama").settings(), "the machine is no part of a run"


@pytest.mark.parametrize("setting", [*fields(MachineSettings), *fields(PairSettings)], ids=lambda each: each.name)
def test_no_setting_of_the_machine_identifies_a_run(setting):
    other = {int: 7, float: 0.5, bool: True}.get(setting.type, "http://127.0.0.1:8000")
    changed = load_profile("micro", **{setting.name: other})
    assert changed != load_profile("micro") and changed.settings() == load_profile("micro").settings()


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), st.text()))
def test_options_as_one_text_are_read_as_they_were_written(settings):
    assert read_options(write_options(settings)) == settings


def test_options_as_one_text_are_overridden_by_those_given_apart():
    profile = load_profile("micro", "temperature=0.7 max_tokens=9", max_tokens=8)
    assert (profile.temperature, profile.max_tokens) == (0.7, 8)
    for options, message in (("temperature", "'temperature' has no ="), ("'", "cannot read the profile's options")):
        with pytest.raises(UserError, match=message):
            load_profile("micro", options)


def test_overrides_add_up_and_none_overrides_nothing():
    warm = load_profile("micro", temperature=0.5, top_p=None)
    both = load_profile(warm, max_tokens=9)
    assert (both.temperature, both.top_p, both.max_tokens) == (0.5, 1.0, 9)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (dict(profile="macro"), "unknown profile 'macro': choose one of micro, llama, qwen2.5"),
        (dict(temprature=1), "has no setting 'temprature': choose one of"),
        (dict(name="x"), "has no setting 'name'"),
        (dict(policy="4b"), "unknown policy '4b': choose one of 1b, 3b, 8b, 70b"),
        (dict(policy="no/such/folder"), "unknown policy 'no/such/folder'"),
        (dict(temperature=-0.1), "temperature must be 0 (greedy) or more, and -0.1 is not"),
        (dict(temperature="nan"), "temperature must be 0"),
        (dict(temperature="1e39"), "temperature must be at most 100000, and '1e39' is not"),
        (dict(policy_url="http://h:1,http://h:x"), "'http://h:x' is not a server's URL"),
        (dict(prm_url="http://me:se,cret@h"), "a server's URL contains a name or a password: put"),
        (dict(temperature="hot"), "temperature must be a number, and 'hot' is not"),
        (dict(temperature=True), "temperature must be a number, and True is not"),
        (dict(prm_burst=-1), "prm_burst must be 0 (at once) or more, and -1 is not"),
        (dict(top_p=0), "top_p must lie above 0 and be at most 1, and 0 does not"),
        (dict(top_p=1.1), "top_p must lie above 0"),
        (dict(kv_cache_gib=0), "kv_cache_gib must lie above 0"),
        (dict(max_tokens=0), "max_tokens must be at least 1, and 0 is not"),
        (dict(beam_width=4), "has no setting 'beam_width'"),
        (dict(max_tokens=1.5), "max_tokens must be a whole number, and 1.5 is not"),
        (dict(max_tokens=10**400), "max_tokens must be a whole number"),
        (dict(enforce_eager="yes"), "enforce_eager must be true or false, and 'yes' is not"),
        (dict(enforce_eager=1), "enforce_eager must be true or false, and 1 is not"),
        (dict(dtype="int8"), "unknown dtype 'int8': choose one of bfloat16"),
    ],
)
def test_what_cannot_be_is_refused_with_the_reason(overrides, message):
    assert message in refusal(**overrides)
