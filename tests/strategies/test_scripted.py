"""The scripted policy and PRM keep the promises of the interface, so that tests of strategies can rely on them."""

import asyncio

import pytest
from scripted_engines import ScriptedPolicy, ScriptedPRM

from tts_study.records import Cost, Problem
from tts_study.strategies.best_of_n import best_of_n

PROBLEM = Problem(id="p", text="What is 2+3 ?", answer="5")
TREE = {
    "": ["add them", "guess it"],
    "add them": ["2+3=5", "2+3=6"],
    "add them\n\n2+3=5": ["so 5"],
    "guess it": ["so 7"],
}


def run(coroutine):
    return asyncio.run(coroutine)


def test_steps_come_in_the_order_of_the_tree_and_start_over():
    policy = ScriptedPolicy(TREE)
    sampled = run(policy.steps(policy.prompt(PROBLEM), n=3, seed=0))
    assert [g.text for g in sampled.generations] == ["add them\n\n", "guess it\n\n", "add them\n\n"]
    assert {g.stop for g in sampled.generations} == {"step"}


def test_a_prefix_extended_by_sampled_tokens_leads_down_the_tree():
    policy = ScriptedPolicy(TREE)
    prefix = policy.prompt(PROBLEM)
    texts = []
    for _ in range(3):
        (generation,) = run(policy.steps(prefix, n=1, seed=0)).generations
        prefix += generation.token_ids
        texts.append(generation.text)
    assert texts == ["add them\n\n", "2+3=5\n\n", "so 5"]
    assert generation.stop == "end"
    assert [request.solution for request in policy.requests] == ["", "add them", "add them\n\n2+3=5"]


def test_completions_are_the_leaves_below_the_prefix():
    policy = ScriptedPolicy(TREE)
    sampled = run(policy.complete(policy.prompt(PROBLEM), n=4, seed=0))
    assert [g.text for g in sampled.generations] == [
        "add them\n\n2+3=5\n\nso 5", "add them\n\n2+3=6", "guess it\n\nso 7", "add them\n\n2+3=5\n\nso 5",
    ]  # fmt: skip
    assert {g.stop for g in sampled.generations} == {"end"}


def test_a_cut_solution_stops_at_a_limit_and_has_no_end_token():
    policy = ScriptedPolicy(TREE, cut=["guess it"])
    whole = run(policy.complete(policy.prompt(PROBLEM), n=3, seed=0)).generations
    steps = run(policy.steps(policy.prompt(PROBLEM), n=2, seed=0)).generations
    assert [g.stop for g in whole] == ["end", "end", "length"]
    assert [g.stop for g in steps] == ["step", "length"]
    assert steps[1].text == "guess it" and len(steps[1].token_ids) == 2


def test_the_policy_counts_a_token_a_word_a_separator_and_an_end():
    policy = ScriptedPolicy(TREE)
    prefix = policy.prompt(PROBLEM)
    assert len(prefix) == len("What is 2+3 ?".split()) + 1
    assert run(policy.steps(prefix, n=2, seed=0)).cost == Cost(generated=2 * 3, prompt=2 * 5)
    assert run(policy.complete(prefix, n=1, seed=0)).cost == Cost(generated=2 + 1 + 1 + 1 + 2 + 1, prompt=5)


@pytest.mark.parametrize("scores", [{"a": 0.5, "b": 0.25, "a\n\nb": 0.75}, lambda steps: {1: 0.5, 2: 0.75}[len(steps)]])
def test_the_prm_scores_by_solution_before_step_or_by_a_function(scores):
    prm = ScriptedPRM(scores)
    assert run(prm.score_solutions(PROBLEM, [("a", "b"), ()])).step_scores == ((0.5, 0.75), ())
    assert run(prm.score_last_steps(PROBLEM, [("a", "b"), ()])).step_scores == ((0.75,), ())


def test_the_prm_pays_once_for_equal_solutions_and_only_for_last_steps():
    prm = ScriptedPRM(lambda steps: 1.0)
    twice = [("one two", "three"), ("one two", "three")]
    assert run(prm.score_solutions(PROBLEM, twice)).cost == Cost(scored=4 + 3)
    assert run(prm.score_last_steps(PROBLEM, twice)).cost == Cost(scored=1, scored_cached=4 + 2)


def test_requests_of_concurrent_searches_interleave():
    policy = ScriptedPolicy(TREE)
    order = []

    async def walk(name, text):
        prefix = policy.prompt(Problem(id=name, text=text, answer=""))
        for _ in range(2):
            sampled = await policy.steps(prefix, n=1, seed=0)
            prefix += sampled.generations[0].token_ids
            order.append(name)

    async def both():
        await asyncio.gather(walk("a", "first"), walk("b", "second"))

    run(both())
    assert order not in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_best_of_n_runs_on_the_script():
    policy, prm = ScriptedPolicy(TREE), ScriptedPRM(lambda steps: 0.5 / len(steps))
    result = run(best_of_n(PROBLEM, policy, prm, n=3, seed=0))
    assert [completion.steps for completion in result.completions] == [
        ("add them", "2+3=5", "so 5"), ("add them", "2+3=6"), ("guess it", "so 7"),
    ]  # fmt: skip
    assert result.completions[0].step_scores == (0.5, 0.25, 0.5 / 3)
    assert all(completion.finished for completion in result.completions)
