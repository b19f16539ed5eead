"""Small against large with prices worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from test_compute_optimal import grid

from tts_study.analysis import cost
from tts_study.analysis.crossing import curve_over
from tts_study.analysis.frontier import best_under, contender, options, overtakings, pareto
from tts_study.analysis.grid import Grid
from tts_study.engines.shapes import Shape
from tts_study.errors import UserError

GENERATED, SCORED = cost.KINDS.index("generated"), cost.KINDS.index("scored")


def shape(body: int) -> Shape:
    return Shape(parameters=body, embedding=0, head=0, tied=False, layers=1, query_width=0, kv_width=1,
                 weight_bytes=2 * body)  # fmt: skip


def priced(levels: dict[str, list[float]], ns=(1, 2, 4), asks_prm: bool = True) -> Grid:
    """Ten problems that all have the same chance; each sample takes 10 generated and 20 scored tokens, 1 second."""
    accuracy = np.array([[[level] * 10 for level in curve] for curve in levels.values()])
    one = grid(accuracy, ns=ns, strategies=tuple(levels))
    one.tokens_M_n_P_K[:] = 0
    one.tokens_M_n_P_K[..., GENERATED] = 10 * np.array(ns)[:, None]
    one.tokens_M_n_P_K[..., SCORED] = 20 * np.array(ns)[:, None] * asks_prm
    one.seconds_M_n[:] = np.array(ns, dtype=float)
    return one


SMALL = contender("1b", priced({"best": [0.2, 0.4, 0.6]}), shape(100), shape(800), context=30)
LARGE = contender("8b", priced({"greedy": [0.5]}, ns=(1,), asks_prm=False), shape(800), shape(800), context=30)


def test_prices_by_hand():
    row = SMALL.options[SMALL.options["n"] == 4].iloc[0]
    assert (row["policy"], row["method"], row["accuracy"]) == ("1b", "best", pytest.approx(0.6))
    assert (row["generated"], row["scored"], row["seconds"]) == (40, 80, 4)
    assert row["flops_policy"] == 2 * 100 * 40 and row["flops_prm"] == 2 * 800 * 80
    assert row["flops"] == row["flops_policy"] + row["flops_prm"]
    assert row["weights"] == 200 + 1600
    # a key and a value of 2 bytes for each of 30 tokens of 4 sequences in each of the two models
    assert row["memory"] == row["weights"] + 2 * (2 * 2 * 4 * 30)


def test_a_strategy_that_asks_no_prm_does_not_pay_for_its_weights():
    (row,) = LARGE.options.to_dict("records")
    assert row["weights"] == 1600 and row["flops_prm"] == 0 and row["memory"] == 1600 + 2 * 2 * 30


def test_a_policy_that_judges_itself_pays_for_each_token_and_for_one_copy_of_its_weights():
    row = options("1b", priced({"best": [0.2, 0.4, 0.6]}), shape(100), None, context=30).iloc[-1]
    assert row["flops_prm"] == 2 * 100 * 80 and row["flops"] == row["flops_policy"] + row["flops_prm"]
    assert row["weights"] == 200 and row["memory"] == 200 + 2 * 2 * 4 * 30


def test_budgets_that_a_strategy_lacks_are_no_options():
    one = priced({"best": [0.1, 0.2], "beam_search": [np.nan, 0.3]}, ns=(1, 4))
    assert options("1b", one, shape(1), shape(1), context=1)[["method", "n"]].values.tolist() == [
        ["best", 1], ["best", 4], ["beam_search", 4]]  # fmt: skip


def test_the_small_one_overtakes_between_two_budgets_and_pays_what_lies_between():
    (row,) = overtakings(SMALL, LARGE).to_dict("records")
    n = 2**1.5  # 0.5 lies midway between 0.4 at 2 and 0.6 at 4
    assert (row["policy"], row["method"], row["rival"]) == ("1b", "best", "8b greedy")
    assert [row["n"], row["n_low"], row["n_high"]] == pytest.approx([n, n, n]) and row["text"] == "2.83 (2.83 to 2.83)"
    assert row["flops_policy_ratio"] == pytest.approx(n * 100 / 800)
    assert row["flops_ratio"] == pytest.approx(n * (100 + 2 * 800) / 800)
    assert row["weights_ratio"] == pytest.approx(1800 / 1600) and row["seconds_ratio"] == pytest.approx(n)


def test_what_is_not_overtaken_has_no_price():
    never = contender("1b", priced({"best": [0.2, 0.3, 0.4]}), shape(100), shape(800), context=30)
    (row,) = overtakings(never, LARGE).to_dict("records")
    assert row["text"].startswith(">4") and row["n"] == row["flops_ratio"] == row["seconds_ratio"] == np.inf


def test_a_rival_with_a_curve_is_met_at_equal_n():
    large = contender("8b", priced({"best": [0.3, 0.4, 0.5]}), shape(800), shape(800), context=30)
    (row,) = overtakings(SMALL, large, rival="best").to_dict("records")
    assert row["n"] == pytest.approx(2) and row["flops_policy_ratio"] == pytest.approx(1 / 8)


def test_a_choices_own_curve_replaces_that_of_its_mean():
    curve = curve_over((1, 2, 4), np.full((3, 10), 0.1), seed=0)
    one = contender("1b", SMALL.grid, shape(100), shape(800), context=30, choices={"best": curve})
    assert one.curves["best"] is curve and overtakings(one, LARGE)["n"].item() == np.inf


TABLE = pd.DataFrame(
    [("a", 0.5, 10, 1.0), ("b", 0.4, 20, 5.0), ("c", 0.7, 30, 2.0), ("d", 0.7, 30, 9.0), ("e", 0.9, 40, np.nan)],
    columns=["method", "accuracy", "flops", "seconds"],
)


def test_on_the_frontier_nothing_is_better_for_less():
    assert pareto(TABLE, "flops")["method"].tolist() == ["a", "c", "e"]
    assert pareto(TABLE, "seconds")["method"].tolist() == ["a", "c"], "an unknown price is no price"


def test_what_to_run_is_the_most_accurate_within_all_limits():
    assert best_under(TABLE, flops=35)["method"] == "c"
    assert best_under(TABLE, flops=100)["method"] == "e"
    assert best_under(TABLE, flops=100, seconds=1.5)["method"] == "a"
    with pytest.raises(UserError, match="at most 5 flops: the cheapest option left costs 10"):
        best_under(TABLE, flops=5)


def test_unknown_prices_and_other_problems_are_refused():
    with pytest.raises(UserError, match="'dollars'.*flops_policy"):
        pareto(TABLE, "dollars")
    with pytest.raises(UserError, match="has its seconds"):
        best_under(TABLE.assign(seconds=np.nan), seconds=1)
    other = contender("8b", grid([[[0.5] * 9]], strategies=["greedy"]), shape(8), shape(8), context=1)
    with pytest.raises(UserError, match="run on different problems"):
        overtakings(SMALL, other)
    with pytest.raises(UserError, match="no strategy 'dvts'"):
        overtakings(SMALL, LARGE, rival="dvts")
