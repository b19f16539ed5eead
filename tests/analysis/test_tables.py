"""From small hand-made runs to tables whose every number can be worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tts_study import paths
from tts_study.analysis import accuracy, tables
from tts_study.analysis.accuracy import RULES, accuracy_P, paired_tests, powers_of_two, solved
from tts_study.analysis.grading import Graded, grade
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.study import Study


def completion(answer: str | None, score: float | None = None, *, finished: bool = True) -> Completion:
    last = "I give up" if answer is None else rf"\boxed{{{answer}}}"
    return Completion(("1+1=2", last), 10, finished, () if score is None else (0.9, score))


def result(problem_id: str, *completions: Completion) -> SearchResult:
    return SearchResult(problem_id, completions, Cost())


def graded(*rows: Sequence[tuple[str | None, float]], gold: str = "1/2", levels: Sequence[int] | None = None) -> Graded:
    problems = [Problem(f"p{i}", "?", gold, None if levels is None else levels[i]) for i in range(len(rows))]
    return grade(problems, [result(f"p{i}", *(completion(*pair) for pair in row)) for i, row in enumerate(rows)])


def curve_of(run: Graded, *rules_and_ns, **options) -> pd.DataFrame:
    return accuracy.table(solved(run, *rules_and_ns, **options))


def by_level(run: Graded, *rules_and_ns) -> pd.DataFrame:
    return accuracy.table_by_level(solved(run, *rules_and_ns), run.level_P)


def test_equivalent_answers_are_one_group_and_right_if_the_gold_one_is_among_them():
    run = graded([("3", 0.1), ("2/4", 0.2), (None, 0.9), ("0.5", 0.4)])
    assert run.groups_P_N.tolist() == [[0, 1, -1, 1]]
    assert run.correct_P_N.tolist() == [[False, True, False, True]]


def test_the_numbers_of_the_groups_do_not_tell_which_is_right():
    wrong_first, right_first = graded([("3", 0.1), ("1/2", 0.2)]), graded([("1/2", 0.1), ("3", 0.2)])
    assert wrong_first.groups_P_N.tolist() == right_first.groups_P_N.tolist() == [[0, 1]]


def test_no_answer_is_not_right_where_the_gold_one_cannot_be_read():
    assert not graded([(None, 0.5), ("3", 0.5)], gold="").correct_P_N.any()


def test_a_cut_completion_counts_only_with_a_closed_box():
    cut = Completion(("1+1=2", r"\boxed{1/"), 10, False)
    run = grade([Problem("p", "?", "1/2")], [result("p", cut, completion("1/2", finished=False))])
    assert run.groups_P_N.tolist() == [[-1, 0]]
    assert run.correct_P_N.tolist() == [[False, True]]


def test_a_graded_run_keeps_what_the_data_set_and_the_policy_said():
    problem = Problem("a", "?", "2", level=3, subject="Algebra")
    run = grade([problem, Problem("b", "?", "2")], [result("a", completion("2")), result("b", completion("2"))])
    assert run.ids == ("a", "b") and run.subject_P == ("Algebra", None)
    assert run.level_P[0] == 3 and np.isnan(run.level_P[1])
    assert run.tokens_P_N.tolist() == [[10], [10]]


def test_scores_follow_the_aggregation_and_are_minus_infinity_without_an_answer():
    run = graded([("1/2", 0.5), (None, 0.8)])
    assert run.scores_P_N("last").tolist() == [[0.5, -np.inf]]
    assert run.scores_P_N("prod").tolist() == [[0.45, -np.inf]]
    assert run.verdict(0, 0) == "✓ last score 0.50"
    assert run.verdict(0, 1, "min") == "✗ min score 0.80"


def test_a_run_without_step_scores_votes_but_is_not_ranked():
    run = grade([Problem("p", "?", "1/2")], [result("p", completion("1/2"))])
    assert curve_of(run, ("majority", "pass"))["accuracy"].tolist() == [1.0, 1.0]
    with pytest.raises(UserError, match="step scores"):
        curve_of(run, ("best",))


def test_results_of_other_problems_are_refused():
    with pytest.raises(UserError, match="not those of the problems"):
        grade([Problem("p", "?", "1")], [result("q", completion("1"))])


def test_unequal_numbers_of_completions_are_refused():
    problems = [Problem("p", "?", "1"), Problem("q", "?", "1")]
    with pytest.raises(UserError, match=r"\[1, 2\] completions in subtrees of \[1\]"):
        grade(problems, [result("p", completion("1")), result("q", completion("1"), completion("1"))])


def test_an_empty_run_is_refused():
    with pytest.raises(UserError, match="no problems"):
        grade([], [])


# best picks the right answer in the first row only, the majority is right in the second only
ROWS = ([("3", 0.2), ("3", 0.1), ("1/2", 0.9), ("4", 0.3)], [("3", 0.8), ("1/2", 0.3), ("1/2", 0.2), ("1/2", 0.1)])


def test_a_curve_has_a_row_for_each_method_and_n_and_ends_at_what_the_whole_run_picks():
    curve = curve_of(graded(*ROWS))
    assert list(curve.columns) == ["method", "n", "accuracy", "low", "high"]
    assert curve["n"].tolist() == [1, 2, 4] * 4
    ends = curve[curve["n"] == 4].set_index("method")["accuracy"]
    assert ends.to_dict() == {"majority": 0.5, "best": 0.5, "weighted": 0.5, "pass": 1.0}
    assert (curve["low"] <= curve["accuracy"]).all() and (curve["accuracy"] <= curve["high"]).all()


def test_all_methods_are_the_mean_at_one():
    curve = curve_of(graded(*ROWS), ns=[1])
    np.testing.assert_allclose(curve["accuracy"], 0.5)


def test_the_aggregation_reaches_the_ranking():
    # the last steps rank the wrong one first, the weakest steps the right one
    wrong = Completion(("1+1=3", r"\boxed{3}"), 10, True, (0.1, 0.9))
    right = Completion(("1+1=2", r"\boxed{1/2}"), 10, True, (0.8, 0.7))
    run = grade([Problem("p", "?", "1/2")], [result("p", wrong, right)])
    accuracy = {a: curve_of(run, ("best",), [2], aggregation=a)["accuracy"].item() for a in ("last", "min")}
    assert accuracy == {"last": 0.0, "min": 1.0}


def test_levels_are_reported_apart_and_their_mean_is_the_whole():
    run = graded(*ROWS, levels=[1, 5])
    table = by_level(run, ("majority", "best"), [4])
    assert list(table.columns) == ["level", "method", "n", "accuracy", "low", "high"]
    assert table[["level", "method", "accuracy"]].values.tolist() == [
        [1, "majority", 0.0],
        [1, "best", 1.0],
        [5, "majority", 1.0],
        [5, "best", 0.0],
    ]
    whole = curve_of(run, ("weighted",), [2])["accuracy"].item()
    assert by_level(run, ("weighted",), [2])["accuracy"].mean() == pytest.approx(whole)


def test_a_data_set_without_levels_has_no_table_by_level():
    with pytest.raises(UserError, match="level"):
        by_level(graded(*ROWS))


def test_an_unknown_method_is_refused_and_the_known_ones_reported():
    with pytest.raises(UserError, match="'luck'.*majority, best, weighted, pass"):
        accuracy_P(graded(*ROWS), "luck", 1)


@pytest.mark.parametrize(("N", "expected"), [(1, (1,)), (8, (1, 2, 4, 8)), (12, (1, 2, 4, 8, 12))])
def test_powers_of_two_end_at_the_whole_run(N, expected):
    assert powers_of_two(N) == expected


def test_methods_are_compared_on_the_same_problems_and_corrected_for_several_tests():
    values = solved(graded(*[ROWS[0]] * 10), ("best", "majority"), [2, 4])
    tests = paired_tests({
        "better": (values["best", 4], values["majority", 4]), "equal": (values["best", 2], values["best", 2]),
    }).set_index("test")  # fmt: skip
    assert tests.loc["better", "difference"] == 1.0 and tests.loc["better", "p_value"] < 0.01
    assert tests.loc["equal", "p_value"] == 1.0
    assert tests.loc["better", "p_holm"] == 2 * tests.loc["better", "p_value"]


def test_a_reader_sees_shares_in_percent_and_p_values_that_are_never_zero():
    table = pd.DataFrame(
        {"n": [1, 2], "accuracy": [0.1234, 1.0], "p_value": [0.00001, 0.04567], "flops": [123456.0, 1.0]}
    )
    shown = tables.show(table)
    assert shown["accuracy"].tolist() == [12.3, 100.0] and shown["p_value"].tolist() == ["<0.0001", "0.0457"]
    assert shown["n"].tolist() == [1, 2] and shown["flops"].tolist() == ["123,456", "1"]


def test_a_table_is_turned_with_columns_in_its_own_order():
    table = pd.DataFrame({"method": ["weighted", "best"], "n": [1, 1], "accuracy": [0.25, 0.5]})
    wide = tables.show(table, index="n", columns="method")
    assert list(wide) == ["weighted", "best"] and wide.loc[1].tolist() == [25.0, 50.0]


def test_rows_are_in_the_order_of_names_and_of_numbers_and_what_is_missing_is_a_dash():
    table = pd.DataFrame({"policy": ["8b", "8b", "70b"], "n": [16, 4, 4], "accuracy": [0.5, 0.25, 0.75]})
    of_one = tables.show(table.assign(method="best"), index=["policy", "n"], columns="method")
    assert of_one.index.tolist() == [("8b", 4), ("8b", 16), ("70b", 4)]
    by_n = tables.show(table.assign(method="best"), index=["n", "policy"], columns="method")
    assert by_n.index.tolist() == [(4, "8b"), (4, "70b"), (16, "8b")]
    wide = tables.show(table, index="policy", columns="n")
    assert wide.to_dict("index") == {"8b": {16: "50.0", 4: 25.0}, "70b": {16: "-", 4: 75.0}}
    assert tables.show(pd.DataFrame({"solutions": [800.0, None]}))["solutions"].tolist() == ["800.00", "-"]


def test_a_table_without_rows_is_shown_without_rows():
    table = pd.DataFrame(columns=["policy", "method", "rival", "text"])
    assert tables.show(table, index=["policy", "method"], columns="rival", values="text").empty


def test_a_table_is_saved_beside_its_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "figures", lambda: tmp_path / "figures")
    curve = curve_of(graded([("1/2", 0.5), ("1/3", 0.6)]), ("pass",))
    path = tables.save(curve, "01_best_of_n")
    assert path == tmp_path / "figures" / "01_best_of_n.csv"
    assert pd.read_csv(path)[["method", "n"]].equals(curve[["method", "n"]])


@pytest.mark.parametrize(("subtree", "ns"), [(1, [1, 2, 4]), (2, [2, 4]), (4, [4])])
def test_a_curve_has_points_at_whole_subtrees_only(subtree, ns):
    run = replace(graded(*ROWS), subtree=subtree)
    assert curve_of(run, ("best",))["n"].tolist() == ns


def test_a_beam_search_is_not_subsampled():
    problem, row = Problem("p", "?", "1/2"), [completion(*pair) for pair in ROWS[0]]
    run = grade([problem], [replace(result("p", *row), subtree=4)])
    assert accuracy_P(run, "best", 4).tolist() == [1.0]
    for method in RULES:
        with pytest.raises(UserError, match="choose a multiple of 4, or run the search with n = 2"):
            accuracy_P(run, method, 2)


def test_what_models_write_into_tables_is_not_typeset():
    table = pd.DataFrame({"last step": ["it costs $5 or $6"]})
    with pd.option_context("display.html.use_mathjax", True):
        assert "tex2jax_ignore" not in table._repr_html_()
        Study("micro")
        assert "tex2jax_ignore" in table._repr_html_()
