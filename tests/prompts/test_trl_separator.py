"""PRMs trained by TRL with another separator than its default are judged at their own."""

import family_tokenizers
import pytest

from tts_study.errors import UserError
from tts_study.profiles import load_profile
from tts_study.prompts.prm import choose_format
from tts_study.runs.engines import prm_settings

CONFIG = {"architectures": ["Qwen2ForTokenClassification"]}
H4 = "HuggingFaceH4/Qwen2.5-Math-1.5B-Instruct-PRM-0.2"
STEPS = ("2+3=5", r"\boxed{5}")


def marked(separator=None, model="mine/trl-prm", tokenizer=None):
    tokenizer = tokenizer or family_tokenizers.qwen(real=False)
    return tokenizer, *choose_format("auto", model, CONFIG, separator).mark(tokenizer, "What is 2+3?", STEPS)


@pytest.mark.parametrize(
    ("model", "given", "judged"),
    [
        ("mine/trl-prm", None, "\n"),
        ("mine/trl-prm", "\n\n", "\n\n"),
        ("mine/trl-prm", " ки", " ки"),
        (H4, None, "\n\n"),
        ("/models/" + H4.split("/")[1].lower(), None, "\n\n"),
        (H4, "\n", "\n"),
    ],
)
def test_a_step_ends_with_the_separator_of_the_models_training(model, given, judged):
    tokenizer, token_ids, positions = marked(given, model)
    assert tokenizer.decode(token_ids) == f"What is 2+3?{STEPS[0]}{judged}{STEPS[1]}{judged}"
    assert positions[-1] == len(token_ids) - 1


@pytest.mark.parametrize("make", [family_tokenizers.qwen, family_tokenizers.llama3])
def test_a_blank_line_is_one_token_and_not_twice_a_lines_end(make):
    tokenizer = make()
    if len(tokenizer) < 100_000:
        pytest.skip("the package with the real tokenizer is not installed")
    (line,), (blank,) = (tokenizer.encode(text, add_special_tokens=False) for text in ("\n", "\n\n"))
    assert line != blank
    at = [marked(separator, tokenizer=tokenizer)[1:] for separator in ("\n", "\n\n")]
    assert [{ids[position] for position in positions} for ids, positions in at] == [{line}, {blank}]


def test_a_separator_that_the_tokenizer_cannot_write_is_noticed(micro_tokenizer):
    with pytest.raises(UserError, match="cannot have been trained with the separator 'ки'"):
        choose_format("trl", "m", CONFIG, "ки").check(micro_tokenizer, None)
    choose_format("trl", "m", CONFIG, "\n\n").check(micro_tokenizer, None)


def test_families_with_a_separator_of_their_own_do_not_take_another():
    with pytest.raises(UserError, match="prm_separator is for the family 'trl'"):
        choose_format("qwen", "m", CONFIG, "\n\n")


def test_the_header_names_the_separator_only_where_it_is_not_the_default():
    assert "prm_separator" not in load_profile("micro").settings()
    assert "prm_separator" not in load_profile("micro", prm_separator="\n").settings()
    assert load_profile("micro", prm_separator=r"\n\n").settings()["prm_separator"] == "\n\n"
    assert load_profile("llama", prm=H4).settings()["prm_separator"] == "\n\n"
    assert prm_settings(load_profile("micro", prm_separator=r"\n\n")).prm_separator == "\n\n"
    with pytest.raises(UserError, match="must not be empty"):
        load_profile("micro", prm_separator="")
    for no_text in (["\n"], True, b"\n", "\ud800"):
        with pytest.raises(UserError, match="prm_separator must be"):
            load_profile("micro", prm_separator=no_text)
