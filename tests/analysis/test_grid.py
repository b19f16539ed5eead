"""Several runs on one grid of strategies and budgets."""

from dataclasses import replace

import numpy as np
import pytest

from tts_study.analysis import cost
from tts_study.analysis.accuracy import Rule
from tts_study.analysis.grading import grade
from tts_study.analysis.grid import Grid, Part, build
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs.store import Run


def part(strategy: str = "best", rule: Rule = "best", ns=(1, 2), n: int = 2, problems: int = 2) -> Part:
    """Each problem's first completion is right and scores high, the others are wrong and score low."""
    message = [Problem(f"p{p}", "?", "1") for p in range(problems)]
    answers = [(r"\boxed{1}", 0.9)] + [(rf"\boxed{{{i + 2}}}", 0.1) for i in range(n - 1)]
    completions = tuple(Completion((text,), 4, True, (score,)) for text, score in answers)
    results = [SearchResult(problem.id, completions, Cost(4 * n, 6 * n, 0, 10 * n, 0)) for problem in message]
    run = Run({"strategy": "best_of_n"}, tuple(message), tuple(results), seconds=3.0)
    return Part(strategy, run, grade(message, results), rule, ns)


def test_each_cell_contains_what_its_run_says_and_the_others_nothing():
    one = build(
        [part("majority", "majority"), part("best"), part("beam_search", n=4, ns=[4]), part("beam_search", ns=[2])]
    )
    assert one.strategies == ("majority", "best", "beam_search") and one.ns == (1, 2, 4)
    means = one.accuracy_M_n_P.mean(axis=2)
    np.testing.assert_allclose(means, [[0.5, 0.5, np.nan], [0.5, 1, np.nan], [np.nan, 1, 1]])
    np.testing.assert_allclose(one.seconds_M_n, [[1.5, 3, np.nan], [1.5, 3, np.nan], [np.nan, 3, 3]])
    generated, scored = (one.tokens_M_n_P_K[..., 0, cost.KINDS.index(kind)] for kind in ("generated", "scored"))
    np.testing.assert_allclose(generated, [[4, 8, np.nan], [4, 8, np.nan], [np.nan, 8, 16]])
    np.testing.assert_allclose(scored, [[0, 0, np.nan], [10, 20, np.nan], [np.nan, 20, 40]])


def test_a_strategy_has_its_own_budgets_and_a_curve_over_them():
    one = build([part("best"), part("beam_search", n=4, ns=[4])])
    ns, accuracy_n_P = one.of("beam_search")
    assert ns == (4,) and accuracy_n_P.tolist() == [[1, 1]]
    curves = one.curves()
    assert curves[["method", "n", "accuracy"]].values.tolist() == [
        ["best", 1, 0.5],
        ["best", 2, 1],
        ["beam_search", 4, 1],
    ]
    assert (curves["low"] <= curves["accuracy"]).all()


def test_a_search_is_read_off_by_whole_subtrees_only():
    one = part("dvts", n=4, ns=[2, 4])
    results = tuple(replace(result, subtree=2) for result in one.run.results)
    run = replace(one.run, results=results)
    dvts = replace(one, run=run, graded=grade(run.problems, results))
    # one of its two subtrees contains the right answer
    assert build([dvts]).accuracy_M_n_P[0].tolist() == [[0.5, 0.5], [1, 1]]
    assert build([dvts]).tokens_M_n_P_K[0, 0, 0, :5].tolist() == [8, 12, 0, 20, 0]
    with pytest.raises(UserError):
        build([replace(dvts, ns=[1])])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "at least one run"),
        ([part(), part("dvts", problems=3)], "dvts: not a run of the same problems as best"),
        ([part(), part(ns=[2])], "two runs give best at n = 2"),
        ([part(ns=[4])], "n = 4 of 2"),
    ],
)
def test_what_does_not_fit_together_is_refused(parts, message):
    with pytest.raises(UserError, match=message):
        build(parts)


def test_a_run_and_the_grades_of_another_are_refused():
    with pytest.raises(UserError, match="same problems"):
        build([replace(part(), run=part(problems=1).run)])


def test_a_grid_is_what_its_fields_say():
    one = build([part()])
    assert isinstance(one, Grid) and one.ids == ("p0", "p1")


def test_a_variant_of_a_strategy_stands_beside_it_with_its_own_budgets_and_tokens():
    one = build([part("best"), part("beam_search", n=4, ns=[4])])
    both = one.beside("beam_search", build([part("beam_search", n=8, ns=[8])]), "dropped")
    assert both.strategies == ("best", "beam_search", "dropped")
    assert [both.of(name)[0] for name in both.strategies] == [(1, 2), (4,), (8,)]
    tokens = both.tokens([2, 8]).set_index(["method", "n"])
    assert tokens["generated"].to_dict() == {("best", 2): 8, ("dropped", 8): 32}
    with pytest.raises(UserError, match="dropped: not of the same problems as best"):
        one.beside("best", build([part("best", problems=3)]), "dropped")
