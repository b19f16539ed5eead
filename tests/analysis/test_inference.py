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
def test_the_interval_of_a_standard_deviation_holds_the_truth_as_often_as_it_says(count):
    values = np.random.default_rng(0).normal(0, 2.0, (4000, count))
    bands = [sd_interval(sd, count) for sd in values.std(axis=1, ddof=1)]
    assert np.mean([low <= 2.0 <= high for low, high in bands]) == pytest.approx(0.95, abs=0.012)
    assert np.isnan(sd_interval(1.0, 1)).all()
