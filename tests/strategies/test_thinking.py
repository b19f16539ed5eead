"""Models that think first: the thought is one step that no PRM sees, and no part of the answer."""

import asyncio
from dataclasses import replace

import pytest
from scripted_engines import ScriptedPolicy, ScriptedPRM

from tts_study.analysis.grading import grade
from tts_study.engines.engine import Sample
from tts_study.engines.settings import PolicySettings
from tts_study.engines.thinking import CLOSE, ThinkingPolicy
from tts_study.errors import UserError
from tts_study.profiles import load_profile
from tts_study.records import Cost, Problem
from tts_study.runs.lines import read_result, write_result
from tts_study.strategies.best_of_n import best_of_n
from tts_study.strategies.dvts import dvts

PROBLEM = Problem("a", "2+3?", "5")
GOOD, BAD = r"<think>so, \boxed{6}?", "<think>well"
TREE = {
    "": [GOOD, BAD],
    GOOD: ["2+3=5"], f"{GOOD}\n\n2+3=5": [r"\boxed{5}"],
    BAD: ["2+3=6"], f"{BAD}\n\n2+3=6": [r"\boxed{6}"],
}  # fmt: skip
SCORES = {"2+3=5": 0.9, r"\boxed{5}": 0.8, "2+3=6": 0.2, r"\boxed{6}": 0.1}


class Thinker(ScriptedPolicy):
    """Follows a tree whose first steps are thoughts."""

    def _generation(self, solution, extended):
        generation = super()._generation(solution, extended)
        if solution:
            return generation
        thought, _, text = generation.text.removeprefix("<think>").partition("\n\n")
        return replace(generation, text=text, thought=thought)


class PRM(ScriptedPRM):
    """Notes which steps it was asked about; a thought has no score, and asking for it would fail."""

    def _score(self, steps):
        assert not any("so," in step or "well" in step for step in steps)
        return super()._score(steps)


async def test_best_of_n_scores_and_grades_what_follows_the_thought():
    result = await best_of_n(PROBLEM, Thinker(TREE), PRM(SCORES), n=2, seed=0)
    first, second = result.completions
    assert (first.thought, second.thought) == (r"so, \boxed{6}?", "well")
    assert first.steps == ("2+3=5", r"\boxed{5}") and first.step_scores == (0.9, 0.8)
    graded = grade([PROBLEM], [result])
    assert graded.correct_P_N.tolist() == [[True, False]]
    assert read_result(write_result(PROBLEM, result)) == (PROBLEM, result)
    assert "thought" not in str(write_result(PROBLEM, await best_of_n(
        PROBLEM, ScriptedPolicy({"": [r"\boxed{5}"]}), PRM(SCORES), n=1, seed=0)))  # fmt: skip


async def test_in_a_search_the_thought_is_a_node_without_a_score_and_steps_begin_after_it():
    limits = dict(aggregation="min", max_tokens=4)  # as long as the steps are without the thought
    result = await dvts(PROBLEM, Thinker(TREE), PRM(SCORES), n=4, seed=0, beam_width=2, **limits)
    assert [node.text for node in result.tree[:2]] == [r"so, \boxed{6}?", "well"]
    assert [node.score for node in result.tree[:2]] == [None, None]
    assert not [node for node in result.tree[:2] if node.fate == "duplicate"], "different thoughts are different beams"
    for completion in result.completions:
        assert completion.thought == r"so, \boxed{6}?" and completion.finished
        assert completion.steps == ("2+3=5", r"\boxed{5}") and completion.step_scores == (0.9, 0.8)
    assert read_result(write_result(PROBLEM, result)) == (PROBLEM, result)


async def test_equal_thoughts_are_one_beam():
    result = await dvts(PROBLEM, Thinker(TREE), PRM(SCORES), n=4, seed=0, beam_width=4, aggregation="min", max_tokens=9)
    fates = [node.fate for node in result.tree[:4]]
    assert fates == ["kept", "pruned", "duplicate", "duplicate"] and result.tree[2].score is None


# --- the policy ------------------------------------------------------------------------------------------------------


class Said:
    """An engine's stand-in: gives what is written for a prompt's end, as a model that stops where it is asked to."""

    def __init__(self, policy, said):
        self.tokenizer, self.check_fits = policy.engine.tokenizer, policy.engine.check_fits
        self.said, self.asked = dict(said), []

    async def generate(self, token_ids, sampling):
        self.asked.append(sampling)
        text = self.said[CLOSE in self.tokenizer.decode(token_ids)]
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        for place, token in enumerate(ids, 1):
            if token in sampling.get("stop_token_ids", ()) or token == self.tokenizer.eos_token_id:
                reason = None if token == self.tokenizer.eos_token_id else token
                return Sample(tuple(ids[:place]), True, reason, 0)
            if place == sampling["max_tokens"]:
                break
        return Sample(tuple(ids[: sampling["max_tokens"]]), False, None, 0)


@pytest.fixture(scope="module")
def thinking_folder(tmp_path_factory, policy_folder):
    """The tiny policy's folder, with marks of a thought in its vocabulary."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("thinking")
    tokenizer = AutoTokenizer.from_pretrained(policy_folder)
    tokenizer.add_tokens(["<think>", CLOSE])
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text((policy_folder / "config.json").read_text())
    return folder


def thinker(folder, said, **settings):
    policy = ThinkingPolicy(PolicySettings(model=str(folder), max_model_len=256, max_thought_tokens=8, **settings))
    policy.engine = Said(policy, said)
    return policy


def end(folder):
    return thinker(folder, {}).engine.tokenizer.eos_token


def sampled(policy, what="complete", prefix=(), n=1):
    ask = getattr(policy, what)
    return asyncio.run(ask((*policy.prompt(PROBLEM), *prefix), n=n, seed=0))


def test_a_solution_follows_the_thought_and_both_are_counted(thinking_folder):
    said = {False: f"<think>2+3{CLOSE}", True: f"2+3=5\n\n5{end(thinking_folder)}"}
    policy = thinker(thinking_folder, said, max_tokens=64)
    got = sampled(policy, n=2)
    (one, two) = got.generations
    assert (one.thought, one.text, one.stop) == ("2+3", "2+3=5\n\n5", "end")
    whole = policy.engine.tokenizer.decode(list(one.token_ids))
    assert whole == f"<think>2+3{CLOSE}\n\n2+3=5\n\n5{end(thinking_folder)}", "a blank line is added where it ends"
    prompt, thought = len(policy.prompt(PROBLEM)), 5
    assert got.cost == Cost(generated=2 * (len(one.token_ids) - 1), prompt=2 * (prompt + prompt + thought + 1))
    assert one.token_ids == two.token_ids and len({asked["seed"] for asked in policy.engine.asked}) == 4


def test_a_thought_that_spends_its_budget_is_ended(thinking_folder):
    said = {False: "<think>" + "2" * 40, True: f"5{end(thinking_folder)}"}
    policy = thinker(thinking_folder, said)
    got = sampled(policy)
    (one,) = got.generations
    assert (one.thought, one.text, one.stop) == ("2" * 7, "5", "end")
    assert f"2\n{CLOSE}\n\n5" in policy.engine.tokenizer.decode(list(one.token_ids))
    assert got.cost.generated == 8 + 2
    assert [asked["max_tokens"] for asked in policy.engine.asked][0] == 8


def test_a_search_samples_the_thought_first_and_steps_after_it(thinking_folder):
    said = {False: f"<think>2\n\n3{CLOSE}", True: "2+3=5\n\n"}
    policy = thinker(thinking_folder, said)
    (thought,) = sampled(policy, "steps").generations
    assert (thought.thought, thought.text, thought.stop) == ("2\n\n3", "", "step")
    (step,) = sampled(policy, "steps", thought.token_ids).generations
    assert (step.thought, step.text, step.stop) == ("", "2+3=5\n\n", "step")


@pytest.mark.parametrize(("text", "thought", "answer"), [("<think>2+3", "2+3", ""), ("5", "", "5")])
def test_a_model_that_ends_in_its_thought_or_does_not_think_is_not_asked_again(thinking_folder, text, thought, answer):
    policy = thinker(thinking_folder, {False: text + end(thinking_folder)})
    (one,) = sampled(policy).generations
    assert (one.thought, one.text, one.stop) == (thought, answer, "end") and len(policy.engine.asked) == 1


def test_a_model_that_ends_without_a_token_is_not_asked_again(thinking_folder, monkeypatch):
    policy = thinker(thinking_folder, {})

    async def nothing(prefix, sampling):
        return Sample((), True, None, 0)

    monkeypatch.setattr(policy.engine, "generate", nothing)
    (one,) = sampled(policy).generations
    assert (one.token_ids, one.text, one.stop) == ((), "", "end")


def test_a_thought_that_fills_the_context_is_cut(thinking_folder):
    policy = thinker(thinking_folder, {False: "2" * 300})
    (one,) = sampled(policy, prefix=[5] * (256 - 10 - len(policy.prompt(PROBLEM)))).generations
    assert (one.text, one.stop) == ("", "length") and one.thought == "2" * 8


def test_what_stands_for_a_thought_continues_the_template(thinking_folder):
    policy = thinker(thinking_folder, {})
    encode = policy.engine.tokenizer.encode
    prompt = policy.prompt(PROBLEM)
    assert policy.engine.tokenizer.decode(list(policy.no_thought(prompt))) == f"<think>\n\n{CLOSE}\n\n"
    opened = (*prompt, *encode("<think>\n", add_special_tokens=False))
    assert policy.engine.tokenizer.decode(list(policy.no_thought(opened))) == f"\n{CLOSE}\n\n"


def test_a_tokenizer_that_cannot_end_a_thought_is_refused(policy_folder):
    with pytest.raises(UserError, match="does not write </think> as a single token"):
        sampled(ThinkingPolicy(PolicySettings(model=str(policy_folder), max_thought_tokens=8)))


def test_only_a_run_of_a_model_that_thinks_says_so():
    assert "max_thought_tokens" not in load_profile("micro").settings()
    assert load_profile("micro", max_thought_tokens="64").settings()["max_thought_tokens"] == 64
    with pytest.raises(UserError, match="max_thought_tokens must be at least 1"):
        load_profile("micro", max_thought_tokens=0)
