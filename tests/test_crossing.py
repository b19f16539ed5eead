"""Crossings by hand, and whether the intervals hold the truth as often as they say."""

import numpy as np
import pytest

from tts_study.crossing import compute_ratios, first_reached, interpolated, overtaking
from tts_study.errors import UserError
from tts_study.estimators import bootstrap, paired_test

NS = (1, 2, 4, 8, 16)


def flat(*levels: float, P: int = 3) -> np.ndarray:
    """A curve that is the same for each problem."""
    return np.tile(np.array(levels)[:, None], P)


def test_a_crossing_lies_between_the_budgets_linearly_in_log_n():
    reach = overtaking(NS, flat(0.1, 0.2, 0.3, 0.5, 0.6), np.full(3, 0.4), seed=0)
    assert reach.estimate == pytest.approx(np.sqrt(4 * 8)) and reach.low == reach.high == reach.estimate
    assert str(reach) == "5.66 (5.66 to 5.66)"


def test_what_is_never_reached_is_more_than_the_last_budget():
    reach = overtaking(NS, flat(0.1, 0.2, 0.3, 0.3, 0.3), np.full(3, 0.4), seed=0)
    assert reach.estimate == np.inf and str(reach) == ">16 (>16 to >16)"


def test_what_is_ahead_from_the_start_is_at_most_the_first_budget():
    assert str(overtaking(NS, flat(0.5, 0.2, 0.3, 0.3, 0.3), np.full(3, 0.4), seed=0)) == "≤1 (≤1 to ≤1)"


def test_the_first_crossing_counts():
    assert first_reached(NS, np.array([[-1.0, 0.0, -1.0, 1.0, 1.0]])).tolist() == [2.0]
    assert first_reached(NS, np.array([[-1.0, -1.0, -1.0, -1.0, 0.0]])).tolist() == pytest.approx([16.0])


def test_a_curve_may_be_overtaken_by_a_curve():
    small, large = flat(0.1, 0.2, 0.4, 0.6, 0.7), flat(0.3, 0.35, 0.4, 0.45, 0.5)
    assert overtaking(NS, small, large, seed=0).estimate == pytest.approx(4.0)


def test_the_interval_reaches_to_more_than_the_last_where_resamples_do():
    rng = np.random.default_rng(0)
    small = (rng.random(50) < np.array([0.2, 0.3, 0.4, 0.5, 0.6])[:, None]).astype(float)
    reach = overtaking(NS, small, (rng.random(50) < 0.55).astype(float), seed=0)
    assert reach.low < 16 and reach.high == np.inf and str(reach).endswith("to >16)")


def test_a_ratio_is_how_many_times_the_baseline_spends():
    baseline = flat(0.1, 0.2, 0.3, 0.4, 0.5)
    ratios = compute_ratios((1, 2, 4, 16), flat(0.1, 0.4, 0.6, 0.35), NS, baseline, seed=0)
    # as good at once; 8 instead of 2; beyond 16 instead of 4; sqrt(4 * 8) instead of 16
    assert [ratio.estimate for ratio in ratios] == pytest.approx([1.0, 4.0, np.inf, np.sqrt(32) / 16])
    assert str(ratios[2]) == ">4 (>4 to >4)"


def test_below_the_baselines_first_budget_a_ratio_is_at_most():
    (ratio,) = compute_ratios([4], flat(0.05), NS, flat(0.1, 0.2, 0.3, 0.4, 0.5), seed=0)
    assert str(ratio) == "≤0.25 (≤0.25 to ≤0.25)"


def test_values_between_budgets_are_linear_in_log_n_and_nan_outside():
    values = np.array([[0.0, 1.0], [0.4, 0.0]])
    assert interpolated((4, 16), values, 8) == pytest.approx([0.2, 0.5])
    assert interpolated((4, 16), values, 16).tolist() == [0.4, 0.0] and interpolated((4, 16), values, 4)[1] == 1.0
    assert np.isnan(interpolated((4, 16), values, 17)).all() and np.isnan(interpolated((4, 16), values, 3)).all()


@pytest.mark.parametrize("xs", [(0, 1), (2, 1), (1, 1), (1, 2, 3)])
def test_budgets_that_do_not_grow_or_do_not_fit_are_refused(xs):
    with pytest.raises(UserError, match="budgets"):
        overtaking(xs, flat(0.1, 0.2), np.zeros(3), seed=0)


def test_missing_budgets_and_other_problems_are_refused():
    with pytest.raises(UserError, match="lacks"):
        overtaking((1, 2), flat(0.1, np.nan), np.zeros(3), seed=0)
    with pytest.raises(UserError, match="same problems"):
        compute_ratios((1, 2), flat(0.1, 0.2), (1, 2), flat(0.1, 0.2, P=4), seed=0)


def simulated(rng: np.random.Generator, P: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Problems' chances by a small model at each of NS, by a better strategy, and by a large model.

    Means: 0.3 + 0.05 log2 n, 0.3 + 0.1 log2 n, and 0.425, which the small model reaches at n = 2 ** 2.5.
    """
    ease_P = rng.uniform(-0.25, 0.25, size=P)
    small_n_P = 0.3 + 0.05 * np.log2(NS)[:, None] + ease_P
    return small_n_P, small_n_P + 0.05 * np.log2(NS)[:, None], np.clip(0.425 + ease_P, 0, 1)


def test_each_interval_holds_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    trials, P, few = 300, 150, {"resamples": 400}
    held = {"mean": 0, "difference": 0, "overtaking": 0, "ratio": 0}
    for trial in range(trials):
        small, better, large = ((rng.random(p.shape) < p).astype(float) for p in simulated(rng, P))
        mean, test = bootstrap(small[0], seed=trial, **few), paired_test(better[2], small[2], seed=trial, **few)
        reach = overtaking(NS, small, large, seed=trial, **few)
        (ratio,) = compute_ratios([2], better[1:2], NS, small, seed=trial, **few)
        held["mean"] += mean.low <= 0.3 <= mean.high
        held["difference"] += test.low <= 0.1 <= test.high
        held["overtaking"] += reach.low <= 2**2.5 <= reach.high
        held["ratio"] += ratio.low <= 2 <= ratio.high  # better at 2 is as good as small at 4
    # 300 trials at 95 % have a standard error of 1.3 %
    assert {name: 0.91 <= count / trials <= 0.99 for name, count in held.items()} == dict.fromkeys(held, True), held
