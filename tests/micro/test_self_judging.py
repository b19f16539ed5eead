"""A policy that is trained to judge its own steps."""

import json

from transformers import AutoModelForCausalLM

from tts_study import paths
from tts_study.analysis.verifiers import self_judges
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.self_prm import SelfPRM
from tts_study.engines.settings import PolicySettings
from tts_study.micro.prm import prm_document
from tts_study.micro.problems import parse_problem, solutions
from tts_study.micro.self_judging import train_self_judge, write_card
from tts_study.records import Problem

TEXT = "Start with 52, add 40, subtract 20."


def test_what_prm_self_asks_is_what_the_policy_is_trained_on(policy_folder, micro_tokenizer):
    micro = parse_problem(TEXT)
    steps = solutions(micro)[0]
    _, prm_format = self_judges("micro")
    prm = SelfPRM(VllmPolicy(PolicySettings(model=str(policy_folder))), prm_format)
    trained = prm_document(micro_tokenizer, micro, steps)
    asked = prm.prompts(Problem("a", TEXT, "72"), steps)
    assert all(list(each) == trained.tokens[: len(each)] for each in asked)
    assert [trained.verdicts[len(each) - 1] for each in asked] == [1] * len(steps), "judged where it is asked"


def test_training_changes_one_set_of_weights_and_keeps_the_policys_shape(policy_folder, tmp_path):
    samples = tmp_path / "samples.jsonl"
    line = json.dumps({"problem": TEXT, "completions": ["52+40=92\n\n92-20=71\n\n\\boxed{71}"] * 500})
    samples.write_text(line + "\n")
    train_self_judge(policy_folder, samples, tmp_path / "self", 0, steps=1)
    before, after = (AutoModelForCausalLM.from_pretrained(each) for each in (policy_folder, tmp_path / "self"))
    assert {name: each.shape for name, each in before.named_parameters()} == {
        name: each.shape for name, each in after.named_parameters()
    }
    assert not before.lm_head.weight.equal(after.lm_head.weight)


def test_the_card_shows_both_policies(tmp_path):
    row = dict(greedy=0.5, f1=0.25, on_wrong=0.2, on_right=0.4, auroc=0.7, calibration_error=0.1, solutions=400)
    write_card([{"policy": "3b", **row}, {"policy": "self-3b", **row, "greedy": 0.45}], tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "| validation problems solved greedily | 0.500 | 0.450 |" in card and "self-judge\n--policy 3b" in card
    assert len((tmp_path / "quality.jsonl").read_text().splitlines()) == 2


def test_no_committed_policy_solves_less_for_having_learned_to_judge():
    judges, _ = self_judges("micro")
    for judge in judges:
        plain, taught = map(json.loads, (paths.root() / judge / "quality.jsonl").read_text().splitlines())
        assert judge.endswith(f"self-{plain['policy']}") and taught["policy"] == f"self-{plain['policy']}"
        assert taught["greedy"] >= plain["greedy"] - 0.03, "at most 3 points are lost"
