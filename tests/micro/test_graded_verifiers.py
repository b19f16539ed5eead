"""The verifiers of graded quality, and the labels by rollouts that one of them learns from."""

import asyncio
import json

import pytest
import torch
from scripted_engines import ScriptedPolicy
from transformers import LlamaForCausalLM

from tts_study.micro.models import CONTEXT, ModelSpec, build_model
from tts_study.micro.packing import IGNORE
from tts_study.micro.problems import parse_problem
from tts_study.micro.rollouts import ROLLOUTS, read_rollouts, rollouts
from tts_study.micro.tokenizer import build_tokenizer
from tts_study.micro.verifiers import quality, reset_upper_layers, solves
from tts_study.paths import data

TEXT = "Start with 52, add 40, subtract 20."


def test_quality_is_that_of_processbench_worked_out_by_hand():
    judged = [
        ([0.9, 0.8, 0.9], [True, True, True]),  # passed, rightly
        ([0.9, 0.4, 0.9], [True, True, True]),  # an error is seen where there is none
        ([0.9, 0.3], [True, False, False]),  # the first error is found; what comes after it is not judged
        ([0.2, 0.1], [True, False]),  # an error is seen too early
        ([0.9, 0.6], [True, False]),  # the error is missed
    ]
    found = quality(judged)
    assert (found["on_right"], found["on_wrong"]) == (0.5, pytest.approx(1 / 3, abs=1e-4))
    assert found["f1"] == pytest.approx(2 * (0.5 / 3) / (0.5 + 1 / 3), abs=1e-4)
    # right steps 0.9 0.8 0.9 0.9 0.4 0.9 0.9 0.2 0.9, wrong ones 0.3 0.1 0.6: of 27 pairs 24 are in order
    assert found["auroc"] == pytest.approx(24 / 27, abs=1e-4)
    assert 0 < found["calibration_error"] < 0.5


def test_new_upper_layers_begin_as_the_identity_and_the_lower_ones_stay():
    model = build_model(ModelSpec("any", hidden=32, layers=3, steps=1, learning_rate=1.0), seed=0).eval()
    before = model.model.layers[0].mlp.up_proj.weight.clone()
    tokens = torch.tensor([[1, 5, 9]])
    with torch.inference_mode():
        states = model.model(tokens, output_hidden_states=True).hidden_states
        reset_upper_layers(model, 2)
        after = model.model(tokens, output_hidden_states=True).hidden_states
    assert torch.equal(model.model.layers[0].mlp.up_proj.weight, before)
    torch.testing.assert_close(after[1], states[1])
    torch.testing.assert_close(after[2], states[1], msg="the second layer passes on what it gets")


def test_a_verifier_solves_a_problem_in_its_own_format():
    model = LlamaForCausalLM.from_pretrained(data() / "micro" / "prm", dtype=torch.float32).eval()
    assert solves(model, build_tokenizer(CONTEXT), parse_problem(TEXT))


def test_a_step_has_the_share_of_its_continuations_that_reach_the_right_answer():
    right, wrong = r"\boxed{72}", r"\boxed{70}"
    tree = {"": ["52+40=92"], "52+40=92": ["92-20=72", "92-20=70"],
            "52+40=92\n\n92-20=72": [right, right, right, wrong], "52+40=92\n\n92-20=70": [wrong]}  # fmt: skip
    policy = ScriptedPolicy(tree)
    steps, shares = asyncio.run(rollouts(policy, parse_problem(TEXT), seed=3))
    assert (steps, shares[1:]) == (["52+40=92", "92-20=72", right], [0.75, 1.0])
    assert shares[0] == 6 / 8, "of the five leaves in turn, and again the first three, all but two are right"
    asked = [(request.solution, request.n) for request in policy.requests]
    assert asked == [("", 1), ("52+40=92", ROLLOUTS), ("52+40=92", 1), ("52+40=92\n\n92-20=72", ROLLOUTS),
                     ("52+40=92\n\n92-20=72", 1)]  # fmt: skip


def test_a_step_counts_as_right_if_one_rollout_was(tmp_path):
    line = {"problem": TEXT, "steps": ["52+40=92", "92-20=70"], "shares": [0.125, 0.0]}
    (tmp_path / "rollouts.jsonl").write_text(json.dumps(line) + "\n")
    tokenizer = build_tokenizer(CONTEXT)
    (document,) = read_rollouts(tokenizer, tmp_path / "rollouts.jsonl")
    assert [verdict for verdict in document.verdicts if verdict != IGNORE] == [1, 0]
    judged = [token for token, verdict in zip(document.tokens, document.verdicts, strict=True) if verdict != IGNORE]
    assert tokenizer.convert_ids_to_tokens(judged) == ["<|assistant|>"] * 2
