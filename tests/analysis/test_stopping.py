"""Adaptive stopping read off recorded samples, against walking through every order."""

from functools import cache
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import beta

from tts_study.analysis import stopping
from tts_study.errors import UserError
from tts_study.strategies.selection import NO_ANSWER, certainty, is_decided

GROUPS = np.array([[0, 1, 0, 0, 2], [0, 0, 1, 1, -1], [-1, -1, -1, -1, -1], [0, 0, 0, 0, 0]])
CORRECT = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 1, 0], [0] * 5, [1] * 5], dtype=bool)
SCORES = np.array([
    [0.9, 0.7, 0.2, 0.4, 0.6], [0.3, 0.1, 0.4, 0.4, -np.inf], [-np.inf] * 5, [0.5, 0.8, 0.5, 0.1, 0.2],
])  # fmt: skip


@cache
def tail(a, b):
    return beta.sf(0.5, a + 1, b + 1)


def walked_until_trusted(correct, scores, order, cap):
    """The chance to be right and how many were drawn: one order, as the live strategy walks it."""
    for count, i in enumerate(order[:cap], start=1):
        if scores[i] > 0.5:
            return float(correct[i]), count
    top = max(scores[i] for i in order[:cap])
    tied = [i for i in order[:cap] if scores[i] == top > -np.inf]
    return (float(np.mean(correct[tied])) if tied else 0.0), cap


def walked_until_decided(groups, correct, order, cap, confidence):
    for count in range(1, cap + 1):
        seen = [int(groups[i]) for i in order[:count] if groups[i] != NO_ANSWER]
        ranked = sorted({g: seen.count(g) for g in seen}.items(), key=lambda pair: -pair[1])
        a, b = (*(number for _, number in ranked), 0, 0)[:2]
        if count == cap or (a and tail(a, b) >= confidence):
            winners = [group for group, number in ranked if number == a]
            return float(np.mean([correct[list(groups).index(g)] for g in winners])) if winners else 0.0, count
    raise AssertionError


@pytest.mark.parametrize("cap", [1, 2, 3, 5])
def test_stopping_when_trusted_is_the_mean_over_every_order(cap):
    found = stopping.when_trusted(CORRECT, SCORES, cap)
    for p in range(len(CORRECT)):
        walks = [walked_until_trusted(CORRECT[p], SCORES[p], order, cap) for order in permutations(range(5))]
        assert (found.solved_P[p], found.drawn_P[p]) == pytest.approx(tuple(np.mean(walks, axis=0)))
    assert found.error == 0


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_stopping_when_decided_is_the_mean_over_every_order_within_its_monte_carlo_error(confidence):
    asked = dict(seed=0, confidence=confidence, orders=4000)
    for cap, found in stopping.when_decided(GROUPS, CORRECT, [1, 3, 5], **asked).items():
        exact = [
            np.mean([walked_until_decided(GROUPS[p], CORRECT[p], order, cap, confidence)
                     for order in permutations(range(5))], axis=0)
            for p in range(len(GROUPS))
        ]  # fmt: skip
        assert found.solved_P.mean() == pytest.approx(np.mean(exact, axis=0)[0], abs=4 * found.error + 1e-9)
        assert found.drawn_P == pytest.approx(np.array(exact)[:, 1], abs=0.1)
        assert found.error < 0.01


def test_a_vote_of_one_answer_stops_after_four_samples_and_without_answers_never():
    found = stopping.when_decided(GROUPS, CORRECT, [5], seed=0)[5]
    assert found.drawn_P[3] == 4 and found.drawn_P[2] == 5, "Beta(5, 1) gives 0.969, Beta(4, 1) gives 0.9375"


def test_certainty_is_the_tail_of_the_beta_distribution_and_exact_for_long_votes():
    for a, b in [(0, 0), (1, 0), (3, 0), (4, 0), (7, 2), (60, 40), (3, 5), (5000, 4800)]:
        assert certainty(a, b) == pytest.approx(beta.sf(0.5, a + 1, b + 1), rel=1e-9)


def test_a_vote_is_decided_by_its_two_most_frequent_answers_alone():
    assert is_decided([0] * 4, 0.95) and not is_decided([0] * 3, 0.95)
    assert not is_decided([0, 0, 0, 0, 1], 0.95) and is_decided([0] * 4 + [NO_ANSWER] * 9, 0.95)
    assert not is_decided([], 0.0) and not is_decided([NO_ANSWER], 0.0)


def test_caps_beyond_the_samples_are_refused():
    with pytest.raises(UserError, match="between 1 and 5"):
        stopping.when_decided(GROUPS, CORRECT, [6], seed=0)
    with pytest.raises(UserError, match="between 1 and 5"):
        stopping.when_trusted(CORRECT, SCORES, 6)
