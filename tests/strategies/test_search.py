"""Beam search and DVTS on trees that are worked out by hand, and on random ones that keep the same promises."""

import asyncio
import math
import random
from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy

from tts_study.analysis.grading import grade
from tts_study.records import Cost, Generation, Node, Problem, Sampled
from tts_study.runs.lines import read_result, write_result
from tts_study.runs.store import load
from tts_study.strategies import SEARCHES, tree
from tts_study.strategies.beam_search import beam_search
from tts_study.strategies.dvts import dvts
from tts_study.strategies.particle_filter import particle_filter
from tts_study.strategies.rebase import rebase

PROBLEM = Problem("p", "What is it ?", "5")
dropping = partial(beam_search, drop_duplicates=True)
OPTIONS = dict(seed=0, beam_width=2, max_steps=9, max_tokens=99, lookahead=0, aggregation="last")


def searched(strategy, policy, scores, n, **options):
    return asyncio.run(strategy(PROBLEM, policy, ScriptedPRM(scores), n=n, **OPTIONS | options))


def shown(result):
    """Each node as "solution: fate"."""
    solutions = ["/".join(result.tree[i].text for i in tree.path(result.tree, j)) for j in range(len(result.tree))]
    return [f"{solution}: {node.fate}" for solution, node in zip(solutions, result.tree, strict=True)]


def texts(result):
    return ["/".join(completion.steps) for completion in result.completions]


def asked(policy):
    return [(request.solution.replace("\n\n", "/"), request.n) for request in policy.requests]


TREE = {
    "": ["a", "b", "a", "c"],
    "a": ["x", "y"],
    "c": ["y", "z"],
    "c\n\ny": ["e", "e"],
    "a\n\ny": ["f", "g"],
}
SCORES = {
    "a": 0.9, "b": 0.5, "c": 0.7,
    "a\n\nx": 0.6, "a\n\ny": 0.8, "c\n\ny": 0.95, "c\n\nz": 0.1,
    "e": 0.7, "f": 0.85, "g": 0.2,
}  # fmt: skip


def test_beam_search_that_drops_duplicates_of_a_tree_worked_out_by_hand():
    policy = ScriptedPolicy(TREE | {"b": ["never asked"]})
    result = searched(dropping, policy, SCORES, n=4)
    assert shown(result) == [
        "a: kept", "b: pruned", "a: duplicate", "c: kept",  # the best 2 of 4
        "a/x: finished", "a/y: kept", "c/y: kept", "c/z: finished",  # 2 of each
        "c/y/e: finished", "c/y/e: duplicate", "a/y/f: finished", "a/y/g: finished",  # the better beam first
    ]  # fmt: skip
    assert asked(policy) == [("", 4), ("a", 2), ("c", 2), ("c/y", 2), ("a/y", 2)]
    assert texts(result) == ["a/y/f", "c/y/e", "c/y/e", "a/x"], "the best 4 of the finished, kept or not"
    assert [completion.step_scores for completion in result.completions][:2] == [(0.9, 0.8, 0.85), (0.7, 0.95, 0.7)]
    assert all(completion.finished for completion in result.completions)
    assert result.subtree == 4
    # a word is a token, and so is each separator or end: every sample above has two
    assert result.cost.generated == 12 * 2
    assert [node.twin for node in result.tree if node.fate == "duplicate"] == [0, 8]


def test_beam_search_gives_each_copy_its_place_and_a_seed_of_its_own():
    policy = ScriptedPolicy(TREE | {"b": ["never asked"], "c": ["never asked"]})
    result = searched(beam_search, policy, SCORES, n=4)
    assert shown(result) == [
        "a: kept", "b: pruned", "a: kept", "c: pruned",  # both copies of a are among the best 2 of 4
        "a/x: finished", "a/y: kept", "a/x: finished", "a/y: kept",
        "a/y/f: finished", "a/y/g: finished", "a/y/f: finished", "a/y/g: finished",
    ]  # fmt: skip
    assert asked(policy) == [("", 4), ("a", 2), ("a", 2), ("a/y", 2), ("a/y", 2)]
    assert len({request.seed for request in policy.requests}) == 5, "copies would else draw the same again"
    assert texts(result) == ["a/y/f", "a/y/f", "a/x", "a/x"]
    assert result.cost.scored == 3 + 2 + 2, "a, b, c, then x, y, then f, g: what reads alike is scored once"
    assert not any(node.twin is not None for node in result.tree)
    drawn = tree.merged(result.tree)
    assert [(i, node.twin) for i, node in enumerate(drawn) if node.twin is not None] == [
        (2, 0), (6, 4), (7, 5), (10, 8), (11, 9),
    ]  # fmt: skip
    assert tree.merged(drawn) == drawn


def test_a_tree_is_drawn_with_the_best_fate_of_its_copies():
    node = Node(None, "a", 2, 0.9, 0.9, "pruned")
    copies = [node, replace(node, fate="kept"), replace(node, fate="finished"), replace(node, fate="duplicate", twin=1)]
    below = Node(1, "x", 2, 0.5, 0.5, "finished")
    assert tree.merged([*copies, below]) == [
        replace(node, fate="kept"), replace(node, fate="duplicate", twin=0), replace(node, fate="finished"),
        replace(node, fate="duplicate", twin=0), below,
    ]  # fmt: skip


def test_a_particle_filter_of_a_tree_worked_out_by_hand():
    policy = ScriptedPolicy(TREE | {"b": ["never asked"], "c": ["never asked"]})
    sure = SCORES | {"a": 1.0, "b": 0.0, "c": 0.0, "a\n\nx": 0.0, "a\n\ny": 1.0}
    result = asyncio.run(particle_filter(
        PROBLEM, policy, ScriptedPRM(sure), n=4, seed=0, max_tokens=99, aggregation="last"
    ))  # fmt: skip
    drawn = Counter(text for text in shown(result) if text.startswith("a:"))
    assert set(shown(result)[:4]) == {"a: kept", "b: pruned", "a: pruned", "c: pruned"} or drawn == {"a: kept": 2}
    first = [request for request in policy.requests if request.solution == "a"]
    assert sum(request.n for request in first) == 4, "all particles follow a"
    assert {text for text in shown(result) if "/" in text and text.count("/") == 1} <= {
        "a/x: finished", "a/y: kept", "a/y: pruned",
    }  # fmt: skip
    assert set(texts(result)) == {"a/y/f", "a/y/g"} and len(texts(result)) == 4
    assert result.subtree == 4
    assert result.cost.generated == sum(node.tokens for node in result.tree)


def test_particles_are_drawn_by_their_odds_and_a_finished_one_keeps_its_weight():
    """Values 0.8 (finished) and 0.5 have odds 4 and 1: the first is 80 % of what is drawn."""
    policy = ScriptedPolicy({"": ["a", "b"], "b": ["x"]})
    prm = ScriptedPRM({"a": 0.8, "b": 0.5, "x": 0.5})
    asked = dict(n=2, max_tokens=99, aggregation="last")
    results = [asyncio.run(particle_filter(PROBLEM, policy, prm, seed=seed, **asked)) for seed in range(500)]
    share = Counter(text for result in results for text in texts(result))
    assert set(share) == {"a", "b/x"}
    assert share["a"] / 1000 == pytest.approx(0.8, abs=0.04)


def test_a_particle_that_is_not_finished_in_time_is_marked_and_a_cut_one_does_not_grow():
    policy = ScriptedPolicy({"": ["a", "b"], "b": ["x"], "b\n\nx": ["never asked"]}, cut=["a"])
    prm = ScriptedPRM({"a": 0.5, "b": 0.5, "x": 0.5})
    asked = dict(n=8, seed=0, max_tokens=99, max_steps=2, aggregation="last")
    result = asyncio.run(particle_filter(PROBLEM, policy, prm, **asked))
    assert set(texts(result)) == {"a", "b/x"}
    assert not any(completion.finished for completion in result.completions)
    assert {node.fate for node in result.tree if node.text == "x"} == {"cut"}


DOUBLED = 0.5 / math.log(2)  # a balance temperature at which a reward that is higher by 0.5 doubles the share


def rebased(policy, scores, n, temperature=DOUBLED, **options):
    asked = dict(n=n, seed=0, max_tokens=99, aggregation="last", balance_temperature=temperature) | options
    return asyncio.run(rebase(PROBLEM, policy, ScriptedPRM(scores), **asked))


def test_rebase_of_a_tree_worked_out_by_hand():
    policy = ScriptedPolicy({
        "": ["a", "b", "c"], "a": ["x", "y"], "b": ["z"], "c": ["never asked"],
        "a\n\ny": ["e"],
    })  # fmt: skip
    result = rebased(policy, {"a": 1.0, "b": 0.5, "c": 0.0, "x": 0.9, "y": 0.1, "z": 0.2, "e": 0.3}, n=3)
    # weights 4 : 2 : 1 of a budget of 3 are 1.71, 0.86 and 0.43: one for a, and the two that are left for b and a
    assert asked(policy) == [("", 3), ("a", 2), ("b", 1), ("a/y", 1)], "x and z have ended: one sample is left"
    assert shown(result) == [
        "a: kept", "b: kept", "c: pruned",
        "a/x: finished", "a/y: kept", "b/z: finished",
        "a/y/e: finished",
    ]  # fmt: skip
    assert texts(result) == ["a/x", "b/z", "a/y/e"]
    assert result.subtree == 3
    assert len({request.seed for request in policy.requests}) == 4
    assert result.cost.generated == sum(node.tokens for node in result.tree)


def test_in_rebase_a_finished_step_takes_one_of_the_budget_and_gets_no_share():
    policy = ScriptedPolicy({"": ["a", "b", "c", "c"], "b": ["x"], "c": ["x"]})
    result = rebased(policy, {"a": 1.0, "b": 0.5, "c": 0.5, "x": 0.5}, n=4)
    assert asked(policy) == [("", 4), ("b", 1), ("c", 1), ("c", 1)], "copies of c have a share each"
    assert texts(result) == ["a", "b/x", "c/x", "c/x"]


def test_a_cold_rebase_grows_the_best_step_only_and_a_hot_one_all_alike():
    tree_ = {"": ["a", "b", "c", "c"], "a": ["x"], "b": ["x"], "c": ["x"]}
    cold, hot = ScriptedPolicy(tree_), ScriptedPolicy(tree_)
    scores = {"a": 0.5, "b": 0.6, "c": 0.0, "x": 0.5}
    rebased(cold, scores, n=4, temperature=0.0)
    rebased(hot, scores, n=4, temperature=1e6)
    assert asked(cold)[1:] == [("b", 4)]
    assert asked(hot)[1:] == [("a", 1), ("b", 1), ("c", 1), ("c", 1)]


def test_dvts_of_a_tree_worked_out_by_hand():
    policy = ScriptedPolicy(TREE | {"b": ["never asked"]})
    result = searched(dvts, policy, SCORES, n=4)
    # the script draws the same in both subtrees, which search on nevertheless
    assert shown(result) == [
        "a: kept", "b: pruned", "a: kept", "b: pruned",
        "a/x: finished", "a/y: kept", "a/x: finished", "a/y: kept",
        "a/y/f: finished", "a/y/g: finished", "a/y/f: finished", "a/y/g: finished",
    ]  # fmt: skip
    assert asked(policy) == [("", 2)] * 2 + [("a", 2)] * 2 + [("a/y", 2)] * 2
    assert texts(result) == ["a/y/f", "a/y/g"] * 2, "the last siblings of each subtree"
    assert [completion.leaf for completion in result.completions] == [8, 9, 10, 11]
    assert len({request.seed for request in policy.requests}) == 2
    assert result.subtree == 2
    assert result.cost.generated == 12 * 2


def test_what_both_subtrees_ask_is_scored_once():
    result = searched(dvts, ScriptedPolicy(TREE), SCORES, n=4)
    assert result.cost.scored == 6, "a, b, then x, y, then f, g"


def test_a_beam_of_one_is_greedy_and_stops_with_its_first_finished_best():
    policy = ScriptedPolicy({"": ["a", "b"], "a": ["x", "y"]})
    result = searched(beam_search, policy, {"a": 0.5, "b": 0.6, "x": 0.1, "y": 0.1}, n=2)
    assert shown(result) == ["a: pruned", "b: finished"]
    assert [(text, c.finished) for text, c in zip(texts(result), result.completions, strict=True)] == [
        ("b", True), ("a", False),
    ]  # fmt: skip


@pytest.mark.parametrize("strategy", [beam_search, dvts])
def test_of_equal_values_the_earlier_one_is_kept(strategy):
    policy = ScriptedPolicy({"": ["a", "b"], "a": ["x", "y"], "b": ["never asked"]})
    result = searched(strategy, policy, lambda steps: 0.5, n=2)
    assert shown(result) == ["a: kept", "b: pruned", "a/x: finished", "a/y: finished"]
    assert texts(result) == ["a/x", "a/y"]


def test_a_finished_beam_keeps_its_place_and_costs_nothing_more():
    policy = ScriptedPolicy({"": ["a", "b", "c", "d"], "b": ["x", "y"], "b\n\nx": ["e", "f"]})
    scores = {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "x": 0.5, "y": 0.4, "e": 0.3, "f": 0.2}
    result = searched(beam_search, policy, scores, n=4)
    assert asked(policy) == [("", 4), ("b", 2), ("b/x", 2)], "c does not take its place"
    assert shown(result)[4:] == ["b/x: kept", "b/y: finished"] or asked(policy)[2:] == [("b/x", 2)]


def test_a_finished_beam_loses_its_place_to_better_ones_but_not_its_solution():
    policy = ScriptedPolicy({
        "": ["a", "b", "c", "d"], "b": ["x", "y"],
        "b\n\nx": ["e", "f"], "b\n\ny": ["g", "h"],
    })  # fmt: skip
    scores = {"a": 0.5, "b": 0.8, "c": 0.1, "d": 0.2, "x": 0.7, "y": 0.6, "e": 0.9, "f": 0.3, "g": 0.4, "h": 0.8}
    result = searched(beam_search, policy, scores, n=4)
    assert asked(policy) == [("", 4), ("b", 2), ("b/x", 2), ("b/y", 2)]
    assert texts(result) == ["b/x/e", "b/y/h", "a", "b/y/g"]


def test_few_candidates_share_the_samples():
    tree_ = {"": ["a"], "a": ["x", "y", "z"], **{f"a\n\n{s}": ["e"] for s in "xyz"}}
    policy = ScriptedPolicy(tree_)
    result = searched(dropping, policy, {"a": 1.0, "x": 0.5, "y": 0.7, "z": 0.6, "e": 1.0}, n=8)
    assert asked(policy) == [("", 8), ("a", 8), ("a/y", 3), ("a/z", 3), ("a/x", 2)]
    assert Counter(texts(result)) == {"a/y/e": 3, "a/z/e": 3, "a/x/e": 2}, "each as often as it was drawn"


@pytest.mark.parametrize("strategy", [beam_search, dvts])
def test_a_search_that_reaches_max_steps_returns_what_it_has_and_marks_it(strategy):
    never = {solution: ["never asked"] for solution in ("b", "a\n\nx", "a\n\ny")}
    policy = ScriptedPolicy({"": ["a", "b"], "a": ["x", "y"]} | never)
    scores = {"a": 0.9, "b": 0.8, "x": 0.7, "y": 0.6}
    result = searched(strategy, policy, scores, n=2, max_steps=2)
    assert asked(policy) == [("", 2), ("a", 2)]
    assert shown(result) == ["a: kept", "b: pruned", "a/x: cut", "a/y: pruned"]
    assert texts(result) == ["a/x", "a/y"], "the longest, though b has a higher value"
    assert not any(completion.finished for completion in result.completions)


@pytest.mark.parametrize("strategy", [beam_search, dvts])
def test_what_a_limit_of_tokens_has_cut_does_not_go_on(strategy):
    policy = ScriptedPolicy({"": ["a", "b"], "b": ["x", "y"]}, cut=["a"])
    result = searched(strategy, policy, {"a": 0.9, "b": 0.5, "x": 0.4, "y": 0.3}, n=2)
    assert shown(result) == ["a: cut", "b: kept", "b/x: finished", "b/y: finished"]


@pytest.mark.parametrize("strategy", [beam_search, dvts])
def test_a_search_in_which_everything_is_cut_ends_unfinished(strategy):
    policy = ScriptedPolicy({"": ["a", "b"]}, cut=["a", "b"])
    result = searched(strategy, policy, {"a": 0.2, "b": 0.5}, n=2)
    assert shown(result) == ["a: cut", "b: cut"]
    assert sorted(texts(result)) == ["a", "b"]
    assert not any(completion.finished for completion in result.completions)


@pytest.mark.parametrize(("max_tokens", "fates"), [(4, ["finished"]), (3, ["cut"]), (2, [])])
def test_a_solution_longer_than_max_tokens_is_cut(max_tokens, fates):
    policy = ScriptedPolicy({"": ["a"], "a": ["x"]})
    result = searched(beam_search, policy, lambda steps: 0.5, n=1, beam_width=1, max_tokens=max_tokens)
    assert [node.fate for node in result.tree][1:] == fates
    assert result.completions[0].finished == (fates == ["finished"])


@pytest.mark.parametrize("strategy", [beam_search, dvts])
def test_an_empty_step_has_no_score_and_its_solution_keeps_its_value(strategy):
    # "a", a mere separator, and then a mere end
    policy = ScriptedPolicy({"": ["a"], "a": [""], "a\n\n": [""]})
    result = searched(strategy, policy, {"a": 0.4}, n=1, beam_width=1, max_steps=3)
    assert [(node.text, node.score, node.value) for node in result.tree][:2] == [("a", 0.4, 0.4), ("", None, 0.4)]
    assert result.completions[0].steps == ("a",)
    assert result.completions[0].step_scores == (0.4,)
    assert result.completions[0].tokens == sum(node.tokens for node in result.tree)


@pytest.mark.parametrize("strategy", [beam_search, dvts])
def test_a_model_that_says_nothing_at_all_gives_n_empty_completions(strategy):
    policy = ScriptedPolicy({"nothing": []})
    policy._tree = {"": [""]}
    result = searched(strategy, policy, {}, n=4, max_steps=3)
    assert texts(result) == [""] * 4
    assert all(completion.step_scores == () for completion in result.completions)


def test_what_reads_alike_is_a_duplicate_though_its_tokens_differ():
    policy = ScriptedPolicy({"": ["a", "a ", "b", "b"], "a": ["x"], "a ": ["x"], "b": ["x"]})
    result = searched(dropping, policy, {"a": 0.5, "b": 0.4, "x": 0.3}, n=4)
    assert shown(result)[:4] == ["a: kept", "a: duplicate", "b: kept", "b: duplicate"]


def test_the_same_words_are_no_duplicate_if_one_has_ended_there_and_the_other_not():
    class Both(ScriptedPolicy):
        async def steps(self, prefix, *, n, seed, temperature=None):
            sampled = await super().steps(prefix, n=n, seed=seed, temperature=temperature)
            ended = replace(sampled.generations[-1], stop="end")
            return replace(sampled, generations=(*sampled.generations[:-1], ended))

    result = searched(beam_search, Both({"": ["a"], "a": ["x"]}), {"a": 0.5, "x": 0.6}, n=2, beam_width=1)
    assert shown(result)[:2] == ["a: kept", "a: finished"]


def test_the_aggregation_decides_what_is_kept():
    policy = ScriptedPolicy({"": ["a", "b"], "a": ["x"], "b": ["x"], "a\n\nx": ["e"], "b\n\nx": ["e"]})
    scores = {"a": 0.3, "b": 0.8, "a\n\nx": 0.9, "b\n\nx": 0.7, "e": 1.0}
    best = {
        aggregation: texts(searched(beam_search, policy, scores, n=2, beam_width=1, aggregation=aggregation))[0]
        for aggregation in ("last", "min", "prod")
    }
    assert best == {"last": "a/x/e", "min": "b/x/e", "prod": "b/x/e"}


@pytest.mark.parametrize("strategy", [beam_search, dvts])
@pytest.mark.parametrize(("lookahead", "kept"), [(0, "a"), (1, "b"), (2, "a")])
def test_a_lookahead_values_a_candidate_by_where_it_leads(strategy, lookahead, kept):
    policy = ScriptedPolicy({
        "": ["a", "b"], "a": ["x", "y"], "b": ["x", "y"],
        "a\n\nx": ["e"], "b\n\nx": ["e"],
    })  # fmt: skip
    scores = {
        "a": 0.9, "b": 0.5, "a\n\nx": 0.2, "b\n\nx": 0.8, "y": 0.1,
        "a\n\nx\n\ne": 0.7, "b\n\nx\n\ne": 0.6,
    }  # fmt: skip
    result = searched(strategy, policy, scores, n=2, lookahead=lookahead)
    assert f"{kept}: kept" in shown(result)
    ahead = [request for request in policy.requests if request.temperature == 0.0]
    assert [request.n for request in ahead] == [1] * len(ahead)
    assert bool(ahead) == (lookahead > 0)
    assert [node.score for node in result.tree][:2] == [0.9, 0.5], "the steps' own scores stay what they are"
    assert result.cost.generated == sum(node.tokens + node.ahead for node in result.tree)
    assert result.tree[0].ahead == 2 * lookahead, "a word and a separator, or an end, for each step"


def test_a_lookahead_stops_where_the_solution_ends():
    policy = ScriptedPolicy({"": ["a", "b"]})
    result = searched(dvts, policy, {"a": 0.1, "b": 0.2}, n=2, lookahead=5)
    assert len(policy.requests) == 1 and [node.ahead for node in result.tree] == [0, 0]


def test_why_tells_what_became_of_each_node():
    result = searched(dropping, ScriptedPolicy(TREE | {"b": ["never asked"]}), SCORES, n=4)
    message = [tree.why(result.tree, i) for i in range(5)]
    assert message == [
        "kept: value 0.90 is among the best", "pruned: value 0.50 is not among the best",
        "duplicate: it reads as node 0 does", "kept: value 0.70 is among the best",
        "finished: the model ended it, value 0.60",
    ]  # fmt: skip


class DicePolicy(ScriptedPolicy):
    """Writes a few short steps, now and then none, and ends or is cut, all by prefix, seed and index."""

    def __init__(self) -> None:
        super().__init__({})

    async def steps(self, prefix, *, n, seed, temperature=None):
        words = {number: word for word, number in self._ids.items()}
        text = "".join(words.get(token, "|") for token in prefix)
        await asyncio.sleep(0)
        generations = tuple(self._draw(random.Random(f"{seed} {text} {i} {temperature}")) for i in range(n))
        generated = sum(len(generation.token_ids) for generation in generations)
        return Sampled(generations, Cost(generated=generated, prompt=n * len(prefix)))

    def _draw(self, dice: random.Random) -> Generation:
        text = dice.choice(["1+1=2", "1+1=3", "so it is", r"\boxed{5}", r"\boxed{6}", ""])
        stop = dice.choices(["step", "end", "length"], [6, 3, 1])[0]
        text = text + "\n\n" if stop == "step" else text
        return Generation((*self._encode(text), *((0,) if stop == "end" else ())), text, stop)


def dice_score(steps):
    return random.Random("/".join(steps)).randrange(5) / 4  # with many ties


@settings(max_examples=150, deadline=None)
@given(
    strategy=st.sampled_from([beam_search, dropping, dvts]),
    beam_width=st.integers(1, 4),
    n_beams=st.integers(1, 4),
    options=st.fixed_dictionaries({
        "seed": st.integers(0, 99), "max_steps": st.integers(1, 6), "max_tokens": st.integers(1, 20),
        "lookahead": st.integers(0, 2), "aggregation": st.sampled_from(["last", "min", "prod"]),
    }),
)  # fmt: skip
@example(
    strategy=dvts, beam_width=2, n_beams=1,
    options={"seed": 15, "max_steps": 6, "max_tokens": 10, "lookahead": 1, "aggregation": "prod"},
)  # fmt: skip
@example(
    strategy=beam_search, beam_width=3, n_beams=3,
    options={"seed": 94, "max_steps": 3, "max_tokens": 4, "lookahead": 1, "aggregation": "min"},
)  # fmt: skip
def test_every_search_keeps_its_promises(strategy, beam_width, n_beams, options):
    n = beam_width * n_beams
    result = searched(strategy, DicePolicy(), dice_score, n=n, beam_width=beam_width, **options)
    grown = result.tree
    assert len(result.completions) == n
    assert result.cost.generated == sum(node.tokens + node.ahead for node in grown)
    depths = [len(tree.path(grown, i)) for i in range(len(grown))]
    assert max(depths) <= options["max_steps"]
    assert max(Counter(depths).values()) <= n, "no round samples more than n"
    parents = {node.parent for node in grown}
    for i, node in enumerate(grown):
        assert (i in parents) == (node.fate == "kept")
        assert (node.twin is None) == (node.fate != "duplicate")
    for depth in set(depths):
        assert sum(node.fate == "kept" for node, d in zip(grown, depths, strict=True) if d == depth) <= n_beams
    for completion in result.completions:
        assert completion == tree.completion(grown, completion.leaf)
        assert len(completion.steps) == len(completion.step_scores)
        assert not completion.finished or completion.tokens <= options["max_tokens"]
    if strategy is not dvts:
        finished = [i for i in tree.leaves(grown) if tree.finished(grown, i)]
        values = sorted((grown[i].value for i in finished), reverse=True)[:n]
        assert [grown[c.leaf].value for c in result.completions if c.finished] == values
    rounded = tuple(replace(node, value=float(f"{node.value:.6g}")) for node in grown)  # as it is stored
    assert read_result(write_result(PROBLEM, result)) == (PROBLEM, replace(result, tree=rounded))


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 9), temperature=st.sampled_from([0.0, 0.05, 0.3, 5.0]),
    seed=st.integers(0, 99), max_steps=st.integers(1, 6), max_tokens=st.integers(1, 20),
)  # fmt: skip
def test_rebase_shares_out_all_of_its_budget(n, temperature, seed, max_steps, max_tokens):
    result = asyncio.run(rebase(
        PROBLEM, DicePolicy(), ScriptedPRM(dice_score), n=n, seed=seed, max_tokens=max_tokens, max_steps=max_steps,
        balance_temperature=temperature, aggregation="last",
    ))  # fmt: skip
    grown = result.tree
    assert len(result.completions) == n
    assert result.cost.generated == sum(node.tokens for node in grown)
    parents = {node.parent for node in grown}
    assert all((i in parents) == (node.fate == "kept") for i, node in enumerate(grown))
    left = n
    for depth in range(1, max(len(tree.path(grown, i)) for i in range(len(grown))) + 1):
        at_depth = [(i, node) for i, node in enumerate(grown) if len(tree.path(grown, i)) == depth]
        assert len(at_depth) == left
        left -= sum(node.fate in ("finished", "cut") for _, node in at_depth)
        children = Counter(node.parent for node in grown)
        rewards = sorted((node.value, children[i]) for i, node in at_depth if node.fate in ("kept", "pruned"))
        assert all(
            fewer <= more for (low, fewer), (high, more) in zip(rewards, rewards[1:], strict=False) if low < high
        )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), beam_width=st.integers(1, 3), small=st.integers(1, 3), more=st.integers(1, 3))
def test_the_first_subtrees_of_a_large_dvts_run_are_those_of_a_small_one(seed, beam_width, small, more):
    few, many = (
        searched(dvts, DicePolicy(), dice_score, n=beam_width * size, beam_width=beam_width, seed=seed)
        for size in (small, small + more)
    )
    first = [replace(completion, leaf=None) for completion in many.completions[: len(few.completions)]]
    assert first == [replace(completion, leaf=None) for completion in few.completions]


@pytest.mark.parametrize("strategy", ["beam_search", "dvts", "particle_filter", "rebase"])
async def test_problems_searched_together_give_what_each_gives_alone(tmp_path, strategy):
    problems = tuple(Problem(f"test/{i}", f"What is {i} ?", "5") for i in range(5))
    search = SEARCHES[strategy]
    options = {name: OPTIONS[name] for name in (*search.defaults, *search.from_profile) if name in OPTIONS}

    async def run(name, chosen):
        return await run_strategy(
            strategy, chosen, DicePolicy(), ScriptedPRM(dice_score), n=8, seed=0, path=tmp_path / name,
            header={"n": 8}, progress=False, options=options,
        )  # fmt: skip

    together = await run("all", problems)
    alone = [await run(problem.id.replace("/", "-"), [problem]) for problem in problems]
    assert together.results == tuple(one.results[0] for one in alone)
    assert load(tmp_path / "all").of(problems) == together
    graded = grade(together.problems, together.results)
    assert graded.groups_P_N.shape == (5, 8)
    assert graded.subtree == (2 if strategy == "dvts" else 8)
