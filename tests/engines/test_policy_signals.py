"""How sure a policy says it is of each step, against transformers and as servers report it."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from tts_study.engines.border import check_sample
from tts_study.engines.engine import Sample, of_token
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.replies import read_sample
from tts_study.engines.settings import PolicySettings
from tts_study.errors import RunStopped
from tts_study.prompts.steps import split_steps
from tts_study.records import TOP, Problem

PROBLEM = Problem(id="a", text="Start with 42, subtract 17, multiply by 3.", answer="75")


@pytest.mark.engine
def test_signals_are_the_sums_over_a_steps_tokens_by_transformers_and_change_no_sample(engines, loop, policy_folder):
    plain = engines[0]
    policy = VllmPolicy(replace(plain.settings, signals=True), plain.engine)
    prompt = policy.prompt(PROBLEM)
    asked = [each.complete(prompt, n=4, seed=3) for each in (plain, policy)]
    without, found = (loop.run_until_complete(each).generations for each in asked)
    assert [each.token_ids for each in found] == [each.token_ids for each in without]
    assert not any(each.signals for each in without) and any(len(each.signals) > 2 for each in found)
    model = AutoModelForCausalLM.from_pretrained(policy_folder, dtype=torch.float32)
    tokenizer = policy.engine.tokenizer
    for generation in found:
        ids = list(generation.token_ids)
        with torch.inference_mode():
            logits = model(torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
        logprobs = logits.log_softmax(-1)
        confidences = -logprobs.topk(TOP).values.mean(-1)
        sums, place = [], 0
        for signal in generation.signals:
            part = slice(place, place + signal.tokens)
            own = logprobs[range(part.start, part.stop), ids[part]]
            sums.append((float(own.sum()), float(confidences[part].sum())))
            place += signal.tokens
        assert place == len(ids) and len(sums) == len(split_steps(generation.text))
        reported = [(signal.logprob, signal.confidence) for signal in generation.signals]
        assert [pytest.approx(each, rel=1e-3) for each in sums] == reported
        last = generation.signals[-1].tokens
        assert tokenizer.decode(ids[-last:], skip_special_tokens=True).strip() == split_steps(generation.text)[-1]


def test_a_servers_list_of_tokens_gives_the_same_whether_the_sampled_one_is_among_the_likeliest_or_not():
    top = {f"token_id:{i}": -float(i) for i in range(1, TOP + 1)}
    listed = {"token_logprobs": [-1.0, -30.0], "top_logprobs": [top, top | {"token_id:99": -30.0}]}
    choice = {"token_ids": [1, 99], "finish_reason": "stop", "logprobs": listed}
    sample = read_sample({"choices": [choice], "usage": {"prompt_tokens_details": {"cached_tokens": 0}}})
    assert sample.logprobs == ((-1.0, 10.5), (-30.0, 10.5))


def test_a_token_that_the_model_rules_out_has_a_finite_confidence():
    assert of_token(-0.0, [0.0, float("-inf")]) == (0.0, 52.0)


@pytest.mark.parametrize("logprobs", [((-1.0, 2.0),), ((-1.0, 2.0), (float("nan"), 1.0)), ((-1.0, 2.0), ("0", 1.0))])
def test_log_probabilities_that_are_too_few_or_no_numbers_stop_the_run(logprobs):
    settings = PolicySettings(model="m")
    with pytest.raises(RunStopped, match="log"):
        check_sample(settings, Sample((1, 2), True, None, 0, logprobs), vocabulary=9, prompt=3, most=4, logprobs=True)
