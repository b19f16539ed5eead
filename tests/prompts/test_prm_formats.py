"""PRM formats as text and token ids: what the sources say, from any text; and which family a model belongs to."""

import family_tokenizers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_study.errors import UserError
from tts_study.profiles import load_profile
from tts_study.prompts.policy import LLAMA3_TEMPLATE
from tts_study.prompts.prm import FORMATS, choose_format
from tts_study.prompts.prm.math_shepherd import BAD, GOOD, TAG_TOKEN

PROBLEM = "Start with 42, subtract 17, multiply by 3."
STEPS = ("42-17=25", "25*3=75\nwhich is odd", r"\boxed{75}")
FAMILIES = ("rlhflow", "math-shepherd", "skywork", "qwen", "trl")
# a template that writes a turn differently once it is longer
FORGETFUL = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{{ m['content'] | length }}{{ m['content'] }}"
    "{{ '<|im_end|>' }}{% endfor %}"
)


def mark(family, problem, steps):
    """Token ids and positions, by a tokenizer that suits the family, which comes along."""
    if family == "math-shepherd":
        tokenizer, template = family_tokenizers.mistral(), None
    elif family == "rlhflow":
        tokenizer, template = family_tokenizers.llama3(real=False), LLAMA3_TEMPLATE
    else:
        tokenizer, template = family_tokenizers.qwen(real=False), None
    return tokenizer, *FORMATS[family].mark(tokenizer, problem, steps, chat_template=template)


@pytest.mark.parametrize(
    ("family", "shown", "judged"),
    [
        ("math-shepherd", f"<s> {PROBLEM} 42-17=25 ки\n25*3=75\nwhich is odd ки\n\\boxed{{75}} ки", " ки"),
        ("skywork", f"{PROBLEM}\n42-17=25\n25*3=75\nwhich is odd\n\\boxed{{75}}\n", "\n"),
        ("trl", f"{PROBLEM}42-17=25\n25*3=75\nwhich is odd\n\\boxed{{75}}\n", "\n"),
        (
            "qwen",
            "<|im_start|>system\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n"
            f"<|im_start|>user\n{PROBLEM}<|im_end|>\n<|im_start|>assistant\n"
            "42-17=25<extra_0>25*3=75\nwhich is odd<extra_0>\\boxed{75}<extra_0>",
            "<extra_0>",
        ),
    ],
)
def test_a_solution_reads_as_its_source_shows(family, shown, judged):
    tokenizer, token_ids, positions = mark(family, PROBLEM, STEPS)
    assert tokenizer.decode(token_ids) == shown
    for step, position in zip(STEPS, positions, strict=True):
        assert tokenizer.decode(token_ids[: position + 1]).endswith(step.rpartition("\n")[2] + judged)


texts = st.text(st.characters(codec="utf-8", exclude_characters="\ue000"), max_size=30)
hostile = st.sampled_from([
    "<extra_0>", "<|im_end|>", "<s>", "</s>", "<|eot_id|>", " ки", "ки", "кки и", "▁ки", "a ▁", "\n", "\n\n", " ", "+",
])  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=150)
@given(problem=texts | hostile, steps=st.lists(texts | hostile, min_size=1, max_size=5))
def test_any_text_keeps_a_place_for_each_step_and_more_steps_only_add_tokens(family, problem, steps):
    _, token_ids, positions = mark(family, problem, steps)
    assert len(positions) == len(steps)
    assert list(positions) == sorted(set(positions))
    assert positions[-1] == len(token_ids) - 1
    for count, position in enumerate(positions, 1):
        assert mark(family, problem, steps[:count])[1] == token_ids[: position + 1]


@pytest.mark.parametrize("family", FAMILIES)
@settings(deadline=None, max_examples=100)
@given(pieces=st.lists(hostile | texts, min_size=1, max_size=5))
def test_no_text_makes_a_special_token(family, pieces):
    tokenizer, token_ids, _ = mark(family, "".join(pieces), ["".join(pieces), "x"])
    _, harmless, _ = mark(family, "harmless", ["harmless", "x"])
    special = set(tokenizer.get_added_vocab().values()) - {tokenizer.unk_token_id}
    assert [token for token in token_ids if token in special] == [token for token in harmless if token in special]


def test_math_shepherds_tokens_are_those_of_its_model_card():
    tokenizer = family_tokenizers.mistral()
    assert tokenizer.convert_tokens_to_ids([TAG_TOKEN, GOOD, BAD]) == [12902, 648, 387]


def test_trls_tokens_are_those_of_its_docstring():
    tokenizer = family_tokenizers.qwen()
    if len(tokenizer) < 100_000:
        pytest.skip("the package dashscope, which holds Qwen's tokenizer, is not installed")
    steps = ["11 is greater than 8.", "Hence, 9.11 > 9.8."]
    token_ids, positions = FORMATS["trl"].mark(tokenizer, "Which number is larger, 9.8 or 9.11?", steps)
    assert token_ids == (
        23085, 1372, 374, 8131, 11, 220, 24, 13, 23, 476, 220, 24, 13, 16, 16, 30, 16, 16, 374, 7046, 1091, 220, 23,
        13, 198, 39, 763, 11, 220, 24, 13, 16, 16, 861, 220, 24, 13, 23, 13, 198,
    )  # fmt: skip
    assert positions == (24, 39)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        ("math-shepherd", "no token '▁ки', which the family 'math-shepherd' needs"),
        ("qwen", "no token '<extra_0>', which the family 'qwen' needs"),
    ],
)
def test_a_tokenizer_without_a_familys_tokens_is_refused(micro_tokenizer, family, message):
    with pytest.raises(UserError, match=message):
        FORMATS[family].check(micro_tokenizer, None)


def test_a_template_that_rewrites_what_came_before_is_refused():
    with pytest.raises(UserError, match="does not keep earlier turns"):
        FORMATS["qwen"].check(family_tokenizers.qwen(real=False), FORGETFUL)


def test_skywork_needs_a_line_end_of_one_token():
    with pytest.raises(UserError, match="line's end as a single token"):
        FORMATS["skywork"].check(family_tokenizers.mistral(), None)


def test_a_token_classifier_must_have_two_labels():
    config = {"architectures": ["Qwen2ForTokenClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}
    with pytest.raises(UserError, match="3 labels, and needs two"):
        FORMATS["trl"].engine_args(config)


@pytest.mark.parametrize(
    ("model", "architecture", "family"),
    [
        ("RLHFlow/Llama3.1-8B-PRM-Deepseek-Data", "LlamaForCausalLM", "rlhflow"),
        ("RLHFlow/Llama3.1-8B-PRM-Mistral-Data", "LlamaForCausalLM", "rlhflow"),
        ("/models/Llama3.1-8B-PRM-Mistral-Data", "LlamaForCausalLM", "rlhflow"),
        ("/home/me/tts-study/data/micro/prm", "LlamaForCausalLM", "rlhflow"),
        ("peiyi9979/math-shepherd-mistral-7b-prm", "MistralForCausalLM", "math-shepherd"),
        ("Skywork/Skywork-o1-Open-PRM-Qwen-2.5-7B", "Qwen2ForPrmModel", "skywork"),
        ("/models/prm", "Qwen2ForPrmModel", "skywork"),
        ("Qwen/Qwen2.5-Math-PRM-7B", "Qwen2ForProcessRewardModel", "qwen"),
        ("plaguss/Qwen2.5-0.5B-Math-Shepherd-PRM-0.1", "Qwen2ForTokenClassification", "trl"),
    ],
)
def test_a_model_is_recognised_by_its_config_or_name(model, architecture, family):
    assert choose_format("auto", model, {"architectures": [architecture]}).name == family


@pytest.mark.parametrize("model", ["meta-llama/Llama-3.2-1B-Instruct", "GenPRM/GenPRM-7B", "/models/improm"])
def test_a_model_of_no_known_family_is_refused_with_the_list(model):
    with pytest.raises(UserError, match="give prm_format, one of qwen, skywork, trl, math-shepherd, rlhflow"):
        choose_format("auto", model, {"architectures": ["LlamaForCausalLM"]})
    assert choose_format("rlhflow", model, {"architectures": ["LlamaForCausalLM"]}).name == "rlhflow"


def test_a_profile_only_tells_a_format_that_was_asked_for():
    assert "prm_format" not in load_profile("micro").settings()
    assert load_profile("micro", prm_format="trl").settings()["prm_format"] == "trl"
    with pytest.raises(UserError, match="unknown prm_format 'gpt': choose one of auto, qwen"):
        load_profile("micro", prm_format="gpt")


def test_skywork_asks_for_the_plugin_that_vllm_needs(monkeypatch):
    monkeypatch.setattr("tts_study.prompts.prm.skywork.entry_points", lambda group: [])
    with pytest.raises(UserError, match="install it again"):
        FORMATS["skywork"].engine_args({"architectures": ["Qwen2ForPrmModel"]})
