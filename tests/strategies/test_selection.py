import random
from itertools import product

import pytest

from tts_study.strategies.selection import NO_ANSWER, best, majority, weighted

RULES_WITH_SCORES = (best, weighted)


def test_majority_picks_the_most_frequent_group():
    assert majority([0, 1, 2, 1]) == 1


def test_majority_tie_goes_to_the_first_seen():
    assert majority([3, 1, 1, 3]) == 3
    assert majority([1, 3, 3, 1]) == 1


def test_best_picks_the_highest_score_and_the_first_of_equals():
    assert best([0, 1, 2], [0.1, 0.9, 0.3]) == 1
    assert best([5, 4, 5], [0.9, 0.9, 0.9]) == 5


def test_weighted_adds_scores_of_equal_answers():
    assert weighted([0, 1, 1], [0.6, 0.4, 0.3]) == 1
    assert weighted([2, 1, 2, 1], [0.25, 0.5, 0.5, 0.25]) == 2  # a tie: the first seen


def test_no_answer_is_never_a_vote():
    groups, scores = [NO_ANSWER, 0, NO_ANSWER], [1.0, 0.1, 1.0]
    assert majority(groups) == best(groups, scores) == weighted(groups, scores) == 0


@pytest.mark.parametrize("groups", [[], [NO_ANSWER, NO_ANSWER]])
def test_nobody_answers(groups):
    scores = [0.5] * len(groups)
    assert majority(groups) == best(groups, scores) == weighted(groups, scores) == NO_ANSWER


def test_an_answer_with_score_zero_beats_no_answer():
    assert best([NO_ANSWER, 0], [0.9, 0.0]) == weighted([NO_ANSWER, 0], [0.9, 0.0]) == 0


@pytest.mark.parametrize("rule", RULES_WITH_SCORES)
def test_a_missing_score_is_an_error(rule):
    with pytest.raises(ValueError):
        rule([0, 1], [0.5])


def first_with_highest(values, groups):
    top = max((value for value, group in zip(values, groups, strict=True) if group != NO_ANSWER), default=None)
    return next((g for v, g in zip(values, groups, strict=True) if g != NO_ANSWER and v == top), NO_ANSWER)


def test_rules_agree_with_brute_force_over_all_small_cases():
    rng = random.Random(0)
    for groups in product((NO_ANSWER, 0, 1, 2), repeat=4):
        scores = [rng.choice((0.0, 0.25, 0.5, 1.0)) for _ in groups]  # exact in binary: sums tie exactly
        counts = [groups.count(group) for group in groups]
        sums = [sum(s for s, g in zip(scores, groups, strict=True) if g == group) for group in groups]
        assert majority(groups) == first_with_highest(counts, groups)
        assert best(groups, scores) == first_with_highest(scores, groups)
        assert weighted(groups, scores) == first_with_highest(sums, groups)
