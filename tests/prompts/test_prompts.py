"""Prompts: one BOS, no special tokens out of a text, and PRM positions that plain templating confirms."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from tts_study.errors import UserError
from tts_study.prompts.policy import LLAMA3_TEMPLATE, MATH_SYSTEM_PROMPT, policy_tokens
from tts_study.prompts.prm.rlhflow import check_rlhflow, rlhflow_prefix, rlhflow_tokens, verdict_ids

PROBLEM = "Start with 42, subtract 17, multiply by 3."
STEPS = ("42-17=25", "25*3=75", r"\boxed{75}")
# a template that writes a turn differently once others follow it
FORGETFUL = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' }}"
    "{% if loop.last or m['role'] == 'assistant' %}{{ m['content'] }}{% else %}...{% endif %}{{ '<|end|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture(params=["micro", "llama"])
def family(request):
    """A tokenizer with the template to use for it (None: its own)."""
    tokenizer = request.getfixturevalue(f"{request.param}_tokenizer")
    return tokenizer, LLAMA3_TEMPLATE if request.param == "llama" else None


def test_a_micro_prompt_is_the_turns_that_the_policies_were_trained_on(micro_tokenizer):
    assert micro_tokenizer.decode(policy_tokens(micro_tokenizer, PROBLEM)) == f"<|user|>{PROBLEM}<|end|><|assistant|>"


def test_a_llama_prompt_has_exactly_one_bos(llama_tokenizer):
    token_ids = policy_tokens(llama_tokenizer, PROBLEM, system_prompt=MATH_SYSTEM_PROMPT, chat_template=LLAMA3_TEMPLATE)
    assert token_ids[0] == llama_tokenizer.bos_token_id
    assert token_ids.count(llama_tokenizer.bos_token_id) == 1


def test_the_llama_prompt_is_pinned_word_for_word(llama_tokenizer):
    token_ids = policy_tokens(llama_tokenizer, " 2+3?\n\n", system_prompt="Be brief.", chat_template=LLAMA3_TEMPLATE)
    assert llama_tokenizer.decode(token_ids) == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n"
        "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\n 2+3?\n\n<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_a_llama_prompt_without_a_system_prompt_keeps_the_system_header(llama_tokenizer):
    text = llama_tokenizer.decode(policy_tokens(llama_tokenizer, "2+3?", chat_template=LLAMA3_TEMPLATE))
    assert "26 Jul 2024\n\n<|eot_id|><|start_header_id|>user" in text


def test_the_llama_like_tokenizer_merges_a_full_stop_with_the_blank_line_after_it(llama_tokenizer):
    assert llama_tokenizer.convert_tokens_to_ids(".ĊĊ") in llama_tokenizer.encode("5.\n\n")


def test_a_step_is_judged_at_the_token_that_predicts_its_verdict(family):
    tokenizer, template = family
    token_ids, positions = rlhflow_tokens(tokenizer, PROBLEM, STEPS, chat_template=template)
    plus, _ = verdict_ids(tokenizer)
    assert [token_ids[position + 1] for position in positions[:-1]] == [plus, plus]
    assert positions[-1] == len(token_ids) - 1
    header = "<|assistant|>" if template is None else "<|start_header_id|>assistant<|end_header_id|>\n\n"
    assert all(tokenizer.decode(token_ids[: position + 1]).endswith(header) for position in positions)


def test_the_first_user_turn_is_the_problem_a_space_and_the_first_step(micro_tokenizer):
    token_ids, _ = rlhflow_tokens(micro_tokenizer, PROBLEM, STEPS)
    assert micro_tokenizer.decode(token_ids) == (
        f"<|user|>{PROBLEM} 42-17=25<|end|><|assistant|>+<|end|>"
        r"<|user|>25*3=75<|end|><|assistant|>+<|end|><|user|>\boxed{75}<|end|><|assistant|>"
    )


texts = st.text(st.characters(codec="utf-8", exclude_characters="\ue000"), min_size=1, max_size=30)
special = st.sampled_from(["<|end|>", "<|eot_id|>", "<|user|>", "<|begin_of_text|>", "<<|end|>"])


@settings(deadline=None, max_examples=200)
@given(
    problem=texts, steps=st.lists(texts | special | st.sampled_from(["+", "-", " ", "\n\n"]), min_size=1, max_size=6)
)
def test_every_position_agrees_with_plain_templating_of_its_prefix(micro_tokenizer, llama_tokenizer, problem, steps):
    for tokenizer, template in ((micro_tokenizer, None), (llama_tokenizer, LLAMA3_TEMPLATE)):
        token_ids, positions = rlhflow_tokens(tokenizer, problem, steps, chat_template=template)
        assert len(positions) == len(steps)
        for count, position in enumerate(positions, 1):
            plain = rlhflow_prefix(tokenizer, problem, steps[:count], chat_template=template)
            assert token_ids[: position + 1] == plain


@settings(deadline=None, max_examples=200)
@given(pieces=st.lists(special | texts, max_size=5))
def test_no_text_makes_a_special_token(micro_tokenizer, llama_tokenizer, pieces):
    hostile = "".join(pieces)
    for tokenizer, template in ((micro_tokenizer, None), (llama_tokenizer, LLAMA3_TEMPLATE)):
        added = {token for token in tokenizer.get_added_vocab().values() if token != tokenizer.unk_token_id}

        def special_tokens(text, tokenizer=tokenizer, template=template, added=added):
            prompt = policy_tokens(tokenizer, text, system_prompt="s", chat_template=template)
            scored, _ = rlhflow_tokens(tokenizer, text, [text, text], chat_template=template)
            return [token for token in (*prompt, *scored) if token in added]

        assert special_tokens(hostile) == special_tokens("harmless")


def test_a_template_that_trims_turns_as_llamas_own_does_is_followed(llama_tokenizer):
    trimming = LLAMA3_TEMPLATE.replace("message['content'] +", "(message['content'] | trim) +")
    check_rlhflow(llama_tokenizer, trimming)
    token_ids, _ = rlhflow_tokens(llama_tokenizer, PROBLEM, ["a\n", "\n b "], chat_template=trimming)
    assert token_ids == rlhflow_tokens(llama_tokenizer, PROBLEM, ["a", "b"], chat_template=trimming)[0]
    assert token_ids != rlhflow_tokens(llama_tokenizer, PROBLEM, ["a\n", "\n b "], chat_template=LLAMA3_TEMPLATE)[0]


def test_a_template_that_rewrites_earlier_turns_is_refused(micro_tokenizer):
    with pytest.raises(UserError, match="does not keep earlier turns"):
        check_rlhflow(micro_tokenizer, FORGETFUL)


def test_the_templates_of_both_families_carry_the_format(family):
    check_rlhflow(*family)


def test_an_empty_template_is_the_tokenizers_own(micro_tokenizer):
    own = policy_tokens(micro_tokenizer, PROBLEM)
    assert policy_tokens(micro_tokenizer, PROBLEM, chat_template="") == own
    assert policy_tokens(micro_tokenizer, PROBLEM, chat_template=LLAMA3_TEMPLATE) != own


def test_a_tokenizer_without_a_template_is_refused(llama_tokenizer):
    with pytest.raises(UserError, match="no chat template"):
        policy_tokens(llama_tokenizer, PROBLEM)


def test_a_prm_without_verdicts_of_one_token_is_refused():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel({"?": 0, "+": 1}, unk_token="?")))
    with pytest.raises(UserError, match="as single tokens"):
        verdict_ids(tokenizer)
