"""ProcessBench's measures, on solutions that are judged by hand and against plain loops."""

import math
import random

import numpy as np
import pytest

from tts_study.analysis import first_errors
from tts_study.analysis.first_errors import NO_ERROR, Judged

# label, scores: the first score below 0.5 is where an error is seen
BY_HAND = [
    Judged(1, (0.9, 0.2, 0.1), "a"),  # exact
    Judged(1, (0.4, 0.2), "a"),  # early
    Judged(0, (0.6, 0.3), "b"),  # late
    Judged(2, (0.9, 0.8, 0.7), "b"),  # missed
    Judged(NO_ERROR, (0.5, 0.9), "c"),  # exact: 0.5 is not below 0.5
    Judged(NO_ERROR, (0.9, 0.1), "c"),  # early
    Judged(NO_ERROR, (0.8,), "d"),  # exact
]


def test_f1_is_the_harmonic_mean_of_the_accuracies_on_wrong_and_on_right_solutions():
    found = first_errors.quality(BY_HAND)
    assert (found.on_wrong, found.on_right) == (1 / 4, 2 / 3)
    assert found.f1 == pytest.approx(2 * (1 / 4) * (2 / 3) / (1 / 4 + 2 / 3))


def test_the_confusion_counts_each_solution_once():
    counts = first_errors.confusion({"made": BY_HAND}).set_index("solutions")
    assert counts.loc["wrong", ["exact", "early", "late", "missed"]].tolist() == [1, 1, 1, 1]
    assert counts.loc["right", ["exact", "early", "late", "missed"]].tolist() == [2, 1, 0, 0]


def test_auroc_counts_the_pairs_of_steps_up_to_the_first_wrong_one():
    found = first_errors.quality(BY_HAND)
    steps = [
        (score, i != each.label)
        for each in BY_HAND
        for i, score in enumerate(each.step_scores)
        if each.label == NO_ERROR or i <= each.label
    ]
    pairs = [(a > b) + (a == b) / 2 for a, right in steps if right for b, other in steps if not other]
    assert found.auroc == pytest.approx(sum(pairs) / len(pairs))


def test_the_calibration_error_of_two_bins_by_hand():
    # in the bin of 0.2: two steps, one right, so 0.5 against 0.25; in the last bin: one right step of 1.0
    assert first_errors.calibration_error([0.2, 0.29, 1.0], [True, False, True]) == pytest.approx(
        (abs(0.49 - 1) + abs(1.0 - 1)) / 3
    )


def test_measures_without_right_or_without_wrong_solutions_are_undefined_and_not_zero():
    only_right = first_errors.quality([Judged(NO_ERROR, (0.9,))])
    assert only_right.on_right == 1 and math.isnan(only_right.on_wrong)
    assert math.isnan(only_right.f1) and math.isnan(only_right.auroc)
    shown = first_errors.table({"right": [Judged(NO_ERROR, (0.9,))]})
    assert math.isnan(shown["f1"][0]) and math.isnan(shown["f1_low"][0])
    assert math.isnan(first_errors.calibration_error([], []))


def test_a_prm_that_is_never_right_has_an_f1_of_0():
    assert first_errors.quality([Judged(0, (0.9,)), Judged(NO_ERROR, (0.1,))]).f1 == 0


def test_intervals_are_those_of_a_plain_bootstrap_and_the_mean_is_over_splits():
    dice = random.Random(0)
    made = {
        split: [Judged(dice.choice([NO_ERROR, 0, 1]), (dice.random(), dice.random()), f"{split}{i}") for i in range(60)]
        for split in ("one", "two")
    }
    shown = first_errors.table(made, seed=3).set_index("split")
    plain = {}
    for split, solutions in made.items():
        drawn = [first_errors.quality([dice.choice(solutions) for _ in solutions]).f1 for _ in range(500)]
        plain[split] = np.array(drawn)
        low, high = np.quantile(drawn, [0.025, 0.975])
        assert shown.loc[split, "f1_low"] == pytest.approx(low, abs=0.03)
        assert shown.loc[split, "f1_high"] == pytest.approx(high, abs=0.03)
    assert shown.loc["mean", "f1"] == pytest.approx(shown.loc[["one", "two"], "f1"].mean())
    width = shown["f1_high"] - shown["f1_low"]
    assert width["mean"] < width[["one", "two"]].min()
    assert shown.loc["mean", "solutions"] == 120 and math.isnan(shown.loc["mean", "auroc"])


def test_solutions_of_one_problem_are_drawn_together():
    alone = [Judged(i % 2 - 1, (0.1 if (i // 2) % 3 else 0.9,), str(i)) for i in range(120)]
    together = [Judged(each.label, each.step_scores, str(i // 6)) for i, each in enumerate(sorted(alone, key=str))]
    width = [
        (found["f1_high"] - found["f1_low"])[0]
        for found in (first_errors.table({"": alone}), first_errors.table({"": together}))
    ]
    assert width[1] > 1.5 * width[0]


def test_the_best_threshold_is_that_of_the_highest_f1():
    shifted = [Judged(0, (0.25,)), Judged(NO_ERROR, (0.35,)), Judged(NO_ERROR, (0.45,))]
    assert first_errors.best_threshold(shifted) == 0.35, "the nearest to 0.5 of those between 0.25 and 0.35"
    assert first_errors.quality(shifted, 0.35).f1 == 1
    assert first_errors.best_threshold([Judged(0, (0.1,)), Judged(NO_ERROR, (0.9,))]) == 0.5
