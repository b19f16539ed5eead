"""Intervals, tests and corrections against known truths, closed forms and full enumerations."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from tts_study.analysis.inference import FEWEST_FAMILIES, bootstrap, detectable, draws, holm, paired_test, sd_interval


def in_families(rng: np.random.Generator, families: int, size: int, truth: float = 0.0):
    """Values whose families differ: a standard deviation of 0.3 between families and of 0.3 within them."""
    shared = np.repeat(rng.normal(truth, 0.3, families), size)
    return shared + rng.normal(0, 0.3, families * size), np.repeat(np.arange(families), size)


def test_a_draw_has_as_many_problems_and_takes_each_about_once():
    drawn = draws(12, seed=0)
    assert drawn.shape == (2000, 12) and (drawn.sum(axis=1) == 12).all()
    assert drawn.mean() == pytest.approx(1, abs=0.02)


def test_problems_of_a_family_are_drawn_together():
    family_P = np.arange(30) % 10
    drawn = draws(30, family_P, seed=0)
    for family in range(10):
        members = drawn[:, family_P == family]
        assert (members == members[:, :1]).all()


def test_families_of_one_are_problems_and_too_few_families_are_not_drawn():
    values = np.random.default_rng(0).random(60)
    alone = bootstrap(values, seed=3)
    assert bootstrap(values, np.arange(60), seed=3) == alone
    few = np.arange(60) % (FEWEST_FAMILIES - 1)
    assert bootstrap(values, few, seed=3) == alone
    assert bootstrap(values, np.arange(60) % FEWEST_FAMILIES, seed=3) != alone


def test_the_bootstraps_error_is_the_closed_form_of_clustered_standard_errors():
    values, family_P = in_families(np.random.default_rng(1), 40, 5)
    band = bootstrap(values, family_P, seed=0, resamples=20_000, level=2 * norm.cdf(1) - 1)
    # Miller 2024, equation 4: the root of the sum over families of the squared sum of deviations, over P
    deviation_F = np.bincount(family_P, weights=values - values.mean())
    assert (band.high - band.low) / 2 == pytest.approx(np.sqrt((deviation_F**2).sum()) / len(values), rel=0.05)


def test_families_of_unequal_size_leave_the_mean_over_problems():
    family_P = np.repeat(np.arange(12), np.arange(1, 13))
    band = bootstrap((family_P > 5).astype(float), family_P, seed=0)
    assert band.estimate == pytest.approx((family_P > 5).mean()) and band.low < band.estimate < band.high


def test_intervals_over_families_hold_the_truth_where_those_over_problems_do_not():
    rng = np.random.default_rng(0)
    covered = {"families": 0, "problems": 0}
    for trial in range(400):
        values, family_P = in_families(rng, 20, 25)
        for name, families in (("families", family_P), ("problems", None)):
            band = bootstrap(values, families, seed=trial, resamples=500)
            covered[name] += band.low <= 0 <= band.high
    assert 0.89 <= covered["families"] / 400 <= 0.97
    assert covered["problems"] / 400 < 0.5


def test_flipping_families_keeps_the_level_where_flipping_problems_does_not():
    rng = np.random.default_rng(0)
    found = {"families": 0, "problems": 0}
    for trial in range(300):
        values, family_P = in_families(rng, 20, 10)
        for name, families in (("families", family_P), ("problems", None)):
            found[name] += paired_test(values, 0 * values, families, seed=trial, resamples=500).p_value <= 0.05
    assert found["families"] / 300 < 0.09
    assert found["problems"] / 300 > 0.3


def test_the_p_value_over_families_is_that_of_all_flips_of_their_sums():
    values, family_P = in_families(np.random.default_rng(2), 10, 3, truth=0.15)
    sums = np.bincount(family_P, weights=values)
    flips = np.array(list(product([-1, 1], repeat=10)))
    exact = np.mean(np.abs(flips @ sums) >= abs(sums.sum()) - 1e-12)
    assert paired_test(values, 0 * values, family_P, seed=0).p_value == pytest.approx(exact, abs=0.02)


def test_the_detectable_difference_is_found_in_four_of_five_cases():
    assert detectable(1.0) == pytest.approx(2.8016, abs=1e-4)
    rng = np.random.default_rng(0)
    error = 0.3 / np.sqrt(100)
    tests = [
        paired_test(rng.normal(detectable(error), 0.3, 100), np.zeros(100), seed=i, resamples=400) for i in range(400)
    ]
    assert np.mean([test.p_value <= 0.05 for test in tests]) == pytest.approx(0.8, abs=0.06)
    assert np.mean([test.detectable for test in tests]) == pytest.approx(detectable(error), rel=0.03)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]
    assert holm([]).tolist() == []
    corrected = holm([float("nan"), 0.02])
    assert np.isnan(corrected[0]) and corrected[1] == 0.02


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_rejects_what_stepping_down_rejects(p_values):
    level, left, rejected = 0.05, len(p_values), set()
    for i in sorted(range(len(p_values)), key=p_values.__getitem__):  # Holm's own procedure
        if left * p_values[i] > level:
            break
        rejected.add(i)
        left -= 1
    assert {i for i, p in enumerate(holm(p_values)) if p <= level} == rejected


def test_among_tests_without_a_difference_holm_finds_one_in_a_twentieth_of_all_pages():
    rng = np.random.default_rng(0)
    assert np.mean([(holm(rng.random(18)) <= 0.05).any() for _ in range(2000)]) == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize("count", [3, 5])
def test_the_interval_of_a_standard_deviation_contains_the_truth_as_often_as_it_says(count):
    values = np.random.default_rng(0).normal(0, 2.0, (4000, count))
    bands = [sd_interval(sd, count) for sd in values.std(axis=1, ddof=1)]
    assert np.mean([low <= 2.0 <= high for low, high in bands]) == pytest.approx(0.95, abs=0.012)
    assert np.isnan(sd_interval(1.0, 1)).all()


def test_the_bootstrap_interval_contains_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    truth, trials = 0.3, 400
    intervals = [bootstrap(rng.random(100) < truth, seed=trial, resamples=500) for trial in range(trials)]
    coverage = np.mean([interval.low <= truth <= interval.high for interval in intervals])
    assert 0.91 <= coverage <= 0.98


def test_a_higher_level_gives_a_wider_interval():
    values = np.random.default_rng(0).random(50)
    narrow, wide = (bootstrap(values, seed=0, level=level) for level in (0.5, 0.95))
    assert wide.low < narrow.low < narrow.estimate == values.mean() < narrow.high < wide.high


def test_without_problems_nothing_is_defined():
    nothing = np.array([])
    interval, test = bootstrap(nothing, seed=0), paired_test(nothing, nothing, seed=0)
    assert np.isnan([interval.estimate, interval.low, interval.high, test.difference, test.p_value]).all()


def test_without_a_difference_p_values_are_uniform():
    rng = np.random.default_rng(0)
    pairs = [rng.normal(size=(2, 30)) for _ in range(300)]
    p_values = np.array([paired_test(a, b, seed=i, resamples=400).p_value for i, (a, b) in enumerate(pairs)])
    # shares of 300 have a standard error of 0.03 at most
    for share in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(p_values <= share) == pytest.approx(share, abs=0.09 if share > 0.1 else 0.04)


def test_a_clear_difference_has_a_small_p_value_and_an_interval_above_zero():
    rng = np.random.default_rng(0)
    luck = rng.random(200)  # the same hard and easy problems for both
    test = paired_test(luck < 0.5, luck < 0.4, seed=0)
    assert test.p_value < 0.001 and 0 < test.low < test.difference < test.high < 0.2


def test_the_p_value_is_that_of_all_sign_flips():
    difference = np.array([1, 1, 1, 0, 1, -1, 1, 0.0])
    flips = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1)
    exact = np.mean(np.abs(difference @ flips) >= abs(difference.sum()))
    assert paired_test(difference, np.zeros(8), seed=0).p_value == pytest.approx(exact, abs=0.02)


def test_a_p_value_is_never_zero():
    assert paired_test(np.ones(60), np.zeros(60), seed=0, resamples=99).p_value == 0.01


def test_equal_results_have_a_p_value_of_one():
    assert paired_test([0, 1, 1], [0, 1, 1], seed=0).p_value == 1.0


def test_a_paired_test_of_different_problems_is_refused():
    with pytest.raises(ValueError, match="same problems"):
        paired_test([1.0], [1.0, 0.0], seed=0)
