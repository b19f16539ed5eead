"""Strategies beside each other: what an experiment runs, and what is said about its grid."""

import numpy as np
import pytest
from test_grid import part

from tts_study.analysis import comparisons
from tts_study.analysis.grading import grade
from tts_study.analysis.grid import build
from tts_study.errors import EngineUnavailable, UserError
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.study import Study


def ask(strategies, ns, monkeypatch, **overrides):
    """An experiment on made-up runs, and the runs that it asked for."""
    asked = []

    def made_up(self, search, n, options):
        asked.append((search.name, n))
        return part(n=n, problems=3).run

    monkeypatch.setattr(Study, "_run", made_up)
    return Study("micro", **overrides).grid(strategies, ns), asked


def test_each_run_is_asked_for_once_and_beam_search_for_each_n(monkeypatch):
    found, asked = ask(["greedy", "majority", "best", "weighted", "beam_search"], [1, 4, 8], monkeypatch)
    assert asked == [("greedy", 1), ("best_of_n", 8), ("beam_search", 4), ("beam_search", 8)]
    assert found.grid.of("greedy")[0] == (1,)
    assert found.grid.of("best")[0] == found.grid.of("majority")[0] == (1, 4, 8)
    assert found.grid.of("beam_search")[0] == (4, 8)
    assert set(found.runs) == set(found.graded) == set(asked)


def test_a_search_leaves_out_budgets_that_its_beam_width_does_not_divide(monkeypatch):
    _, asked = ask(["beam_search"], [2, 4, 6, 8], monkeypatch, beam_width=2)
    assert asked == [("beam_search", n) for n in (2, 4, 6, 8)]
    _, asked = ask(["beam_search"], [2, 4, 6, 8], monkeypatch)
    assert asked == [("beam_search", 4), ("beam_search", 8)]
    with pytest.raises(UserError, match=r"none of n = \[1, 2\].* 4"):
        ask(["beam_search"], [1, 2], monkeypatch)


def test_an_unknown_strategy_is_refused_with_the_known_ones(monkeypatch):
    _, asked = ask(["majority"], [4], monkeypatch)
    assert asked == [("sample", 4)], "a vote alone asks no PRM"
    with pytest.raises(UserError, match="unknown strategy 'mcts'.*beam_search"):
        ask(["mcts"], [4], monkeypatch)


def test_policies_that_this_machine_has_no_room_for_are_left_out_with_the_reason():
    def ask(study):
        if study.profile.policy in without_room:
            raise EngineUnavailable("it takes 4 GPUs, and this machine has 1")
        return study.profile.policy

    without_room = ["70b"]
    found = Study("micro", temperature=0.5).by_policy(ask)
    assert found == {"1b": "1b", "3b": "3b", "8b": "8b"}
    assert found.note() == "1b, 3b, 8b; left out: 70b (it takes 4 GPUs, and this machine has 1)"
    assert list(Study("micro", policy="a/b").by_policy(ask)) == ["a/b", "1b", "3b", "8b"]
    without_room = ["1b", "3b", "8b", "70b"]
    with pytest.raises(EngineUnavailable, match="none of the policies can run here: 1b: it takes 4 GPUs"):
        Study("micro").by_policy(ask)


# --- comparisons ---------------------------------------------------------------------------------------------------

LEVELS = np.array([1, 1, 2, 2])


def two_strategies():
    """At n = 2 "best" solves all problems and "majority" half of each; at n = 1 they are equal."""
    return build([part("majority", "majority", problems=4), part("best", problems=4)])


def test_accuracy_by_level_has_a_row_for_each_level_strategy_and_n():
    table = comparisons.by_level(two_strategies(), ["best"], LEVELS)
    assert table[["level", "method", "n", "accuracy"]].values.tolist() == [
        [1, "best", 1, 0.5], [1, "best", 2, 1], [2, "best", 1, 0.5], [2, "best", 2, 1],
    ]  # fmt: skip


def test_paired_tests_are_over_all_problems_and_at_each_level():
    tests = comparisons.paired(two_strategies(), "best", ["majority"], LEVELS)
    assert set(tests["pair"]) == {"best - majority"} and (tests["p_holm"] >= tests["p_value"]).all()
    assert tests["level"].tolist() == ["all", "all", "1", "1", "2", "2"]
    assert tests["difference"].tolist() == [0, 0.5] * 3
    assert tests.loc[tests["n"] == 1, "p_value"].eq(1).all()
    assert len(comparisons.paired(two_strategies(), "best", ["majority"])) == 2


def test_diversity_counts_answers_and_how_evenly_they_are_given():
    given = [["1", "1", "2", "2"], ["1", "1", "1", None], [None] * 4]
    problems = [Problem(f"p{i}", "?", "1") for i in range(3)]
    results = [
        SearchResult(p.id, tuple(Completion((rf"\boxed{{{a}}}" if a else "I pass it.",), 1, True) for a in row), Cost())
        for p, row in zip(problems, given, strict=True)
    ]
    row = comparisons.diversity({"one": grade(problems, results)}).loc["one"]
    assert row["answered"] == pytest.approx((1 + 0.75 + 0) / 3)
    assert row["distinct"] == pytest.approx((2 + 1 + 0) / 3)
    assert row["effective"] == pytest.approx((2 + 1 + 0) / 3)
    assert row["pass"] == pytest.approx(2 / 3)
    uneven = [Completion((rf"\boxed{{{a}}}",), 1, True) for a in "1112"]
    (row,) = comparisons.diversity({"": grade(problems[:1], [SearchResult("p0", tuple(uneven), Cost())])}).iloc
    assert 1 < row["effective"] < row["distinct"] == 2
