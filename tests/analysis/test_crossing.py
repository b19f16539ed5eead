"""Crossings by hand, and whether the intervals contain the truth as often as they say."""

import numpy as np
import pytest

from tts_study.analysis.crossing import Curve, compute_ratios, curve_over, first_reached, gains, overtaking
from tts_study.analysis.inference import bootstrap, paired_test
from tts_study.errors import UserError

NS = (1, 2, 4, 8, 16)


def flat(*levels: float, ns=None, P: int = 3) -> Curve:
    """A curve that is the same for each problem."""
    accuracy_n_P = np.tile(np.array(levels)[:, None], P)
    return curve_over(ns or NS[: len(levels)], accuracy_n_P, seed=0, resamples=50)


def test_a_crossing_lies_between_the_budgets_linearly_in_log_n():
    reach = overtaking(flat(0.1, 0.2, 0.3, 0.5, 0.6), flat(0.4))
    assert [reach.estimate, reach.low, reach.high] == pytest.approx([np.sqrt(4 * 8)] * 3)
    assert str(reach) == "5.66 (5.66 to 5.66)"


def test_what_is_never_reached_is_more_than_the_last_budget():
    reach = overtaking(flat(0.1, 0.2, 0.3, 0.3, 0.3), flat(0.4))
    assert reach.estimate == np.inf and str(reach) == ">16 (>16 to >16)"


def test_what_is_ahead_from_the_start_is_at_most_the_first_budget():
    assert str(overtaking(flat(0.5, 0.2, 0.3, 0.3, 0.3), flat(0.4))) == "≤1 (≤1 to ≤1)"


def test_the_first_crossing_counts():
    assert first_reached(NS, np.array([[-1.0, 0.0, -1.0, 1.0, 1.0]])).tolist() == [2.0]
    assert first_reached(NS, np.array([[-1.0, -1.0, -1.0, -1.0, 0.0]])).tolist() == pytest.approx([16.0])


def test_a_curve_may_be_overtaken_by_a_curve_with_other_budgets():
    small, large = flat(0.1, 0.2, 0.4, 0.6, 0.7), flat(0.3, 0.5, ns=(1, 16))
    assert overtaking(small, large).estimate == pytest.approx(4.0)
    with pytest.raises(UserError, match="no budget in common"):
        overtaking(small, flat(0.3, 0.5, ns=(32, 64)))


def test_the_interval_reaches_to_more_than_the_last_where_resamples_do():
    rng = np.random.default_rng(0)
    small = curve_over(NS, rng.random(50) < np.array([0.2, 0.3, 0.4, 0.5, 0.6])[:, None], seed=0)
    reach = overtaking(small, curve_over([1], [rng.random(50) < 0.55], seed=0))
    assert reach.low < 16 and reach.high == np.inf and str(reach).endswith("to >16)")


def test_a_ratio_is_how_many_times_the_baseline_spends():
    baseline = flat(0.1, 0.2, 0.3, 0.4, 0.5)
    ratios = compute_ratios(flat(0.1, 0.4, 0.6, 0.35, ns=(1, 2, 4, 16)), baseline)
    # as good at once; 8 instead of 2; beyond 16 instead of 4; sqrt(4 * 8) instead of 16
    assert [ratio.estimate for ratio in ratios] == pytest.approx([1.0, 4.0, np.inf, np.sqrt(32) / 16])
    assert str(ratios[2]) == ">4 (>4 to >4)"


def test_below_the_baselines_first_budget_a_ratio_is_at_most():
    (ratio,) = compute_ratios(flat(0.05, ns=[4]), flat(0.1, 0.2, 0.3, 0.4, 0.5))
    assert str(ratio) == "≤0.25 (≤0.25 to ≤0.25)"


def test_a_gain_is_measured_at_equal_cost_where_the_baseline_is():
    table = gains(flat(0.5, 0.7, 0.8, ns=(8, 16, 64)), flat(0.0, 0.4, 0.8, ns=(2, 4, 16)))
    assert table["n"].tolist() == [8, 16]
    assert table["baseline"].tolist() == pytest.approx([0.6, 0.8])
    assert table["difference"].tolist() == pytest.approx([-0.1, -0.1])


def test_equal_curves_have_no_gain_and_a_p_value_of_one():
    (row,) = gains(flat(0.5), flat(0.5)).to_dict("records")
    assert (row["difference"], row["low"], row["high"], row["p_value"]) == (0, 0, 0, 1)


def test_values_between_budgets_are_linear_in_log_n_and_nan_outside():
    curve = flat(0.0, 0.4, ns=(4, 16))
    mean, mean_R = curve.at(8)
    assert mean == pytest.approx(0.2) and mean_R == pytest.approx(np.full(50, 0.2))
    assert (curve.at(16)[0], curve.at(4)[0]) == pytest.approx((0.4, 0.0))
    assert np.isnan(curve.at(17)[0]) and np.isnan(curve.at(3)[1]).all()


@pytest.mark.parametrize("xs", [(0, 1), (2, 1), (1, 1), (1, 2, 3)])
def test_budgets_that_do_not_grow_or_do_not_fit_are_refused(xs):
    with pytest.raises(UserError, match="budgets"):
        flat(0.1, 0.2, ns=xs)


def test_missing_budgets_and_other_draws_are_refused():
    with pytest.raises(UserError, match="no value at some"):
        flat(0.1, np.nan)
    other = curve_over([1], [[0.5]], seed=0, resamples=10)
    for compare in (overtaking, compute_ratios, gains):
        with pytest.raises(UserError, match="same draws"):
            compare(flat(0.1, 0.2), other)


def simulated(rng: np.random.Generator, P: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Problems' chances by a small model at each of NS, by a better strategy, and by a large model.

    Means: 0.3 + 0.05 log2 n, 0.3 + 0.1 log2 n, and 0.425, which the small model reaches at n = 2 ** 2.5.
    """
    ease_P = rng.uniform(-0.25, 0.25, size=P)
    small_n_P = 0.3 + 0.05 * np.log2(NS)[:, None] + ease_P
    return small_n_P, small_n_P + 0.05 * np.log2(NS)[:, None], np.clip(0.425 + ease_P, 0, 1)[None]


def test_each_interval_contains_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    trials, P, few = 300, 150, {"resamples": 400}
    held = dict.fromkeys(("mean", "paired", "gain", "overtaking", "ratio"), 0)
    for trial in range(trials):
        solved = [(rng.random(p.shape) < p).astype(float) for p in simulated(rng, P)]
        mean = bootstrap(solved[0][0], seed=trial, **few)
        test = paired_test(solved[1][2], solved[0][2], seed=trial, **few)
        small, better, large = (curve_over(NS[: len(x)], x, seed=trial, **few) for x in solved)
        gain = gains(better, small).iloc[2]
        reach, ratio = overtaking(small, large), compute_ratios(better, small)[1]
        held["mean"] += mean.low <= 0.3 <= mean.high
        held["paired"] += test.low <= 0.1 <= test.high
        held["gain"] += gain["low"] <= 0.1 <= gain["high"]
        held["overtaking"] += reach.low <= 2**2.5 <= reach.high
        held["ratio"] += ratio.low <= 2 <= ratio.high  # better at 2 is as good as small at 4
    # 300 trials at 95 % have a standard error of 1.3 %
    assert {name: 0.91 <= count / trials <= 0.99 for name, count in held.items()} == dict.fromkeys(held, True), held
