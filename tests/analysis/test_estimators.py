"""Every closed form against the enumeration of all subsets, every random estimate against a known truth."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_study.analysis.estimators import (
    best_of_n,
    majority_at_n,
    pass_at_k,
    weighted_at_n,
)
from tts_study.errors import UserError
from tts_study.strategies import selection

INF = float("inf")
# few different values, so that ties are common; -inf is a sample without an answer
SCORES = st.sampled_from([-INF, 0.0, 0.1, 0.5, 0.5, 0.9, 1.0])
SAMPLES = st.lists(st.tuples(st.booleans(), SCORES), min_size=1, max_size=8)


def over_subsets(N: int, n: int, value: Callable[[tuple[int, ...]], float], subtree: int = 1) -> float:
    """The mean over all subsets of n of N samples, made of whole subtrees."""
    chosen = combinations([range(i, i + subtree) for i in range(0, N, subtree)], n // subtree)
    return float(np.mean([value(tuple(i for members in subtrees for i in members)) for subtrees in chosen]))


def brute_best(correct: list[bool], scores: list[float], n: int) -> float:
    def top_is_correct(subset: tuple[int, ...]) -> float:
        best = max(scores[i] for i in subset)
        top = [i for i in subset if scores[i] == best]
        return sum(correct[i] and scores[i] > -INF for i in top) / len(top)

    return over_subsets(len(scores), n, top_is_correct)


def brute_vote(groups: list[int], scores: list[float], correct: list[bool], n: int, subtree: int = 1) -> float:
    def winners_are_correct(subset: tuple[int, ...]) -> float:
        voters = [i for i in subset if groups[i] >= 0]
        votes = {groups[i]: math.fsum(scores[j] for j in voters if groups[j] == groups[i]) for i in voters}
        winners = [g for g in votes if math.isclose(votes[g], max(votes.values()), abs_tol=1e-12)]
        right = {groups[i] for i in voters if correct[i]}
        return sum(g in right for g in winners) / len(winners) if winners else 0.0

    return over_subsets(len(groups), n, winners_are_correct, subtree)


@given(SAMPLES, st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(samples, data):
    correct = [c for c, _ in samples]
    k = data.draw(st.integers(1, len(correct)))
    expected = over_subsets(len(correct), k, lambda subset: any(correct[i] for i in subset))
    assert pass_at_k([correct], k)[0] == pytest.approx(expected)


def test_pass_at_k_is_exact_where_factorials_overflow():
    correct = np.arange(10_000) < 3  # 3 of 10,000
    expected = 1 - math.prod((10_000 - 5_000 - i) / (10_000 - i) for i in range(3))
    assert pass_at_k([correct], 5_000)[0] == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=4))
def test_pass_at_k_never_falls_with_k_and_starts_at_the_mean(correct_P_N):
    curve = np.array([pass_at_k(correct_P_N, k) for k in range(1, 10)])
    assert (np.diff(curve, axis=0) >= -1e-12).all()
    np.testing.assert_allclose(curve[0], np.mean(correct_P_N, axis=1))
    np.testing.assert_array_equal(curve[-1], np.any(correct_P_N, axis=1))


@given(SAMPLES, st.data())
def test_best_of_n_is_the_mean_over_all_subsets(samples, data):
    correct, scores = map(list, zip(*samples, strict=True))
    n = data.draw(st.integers(1, len(correct)))
    assert best_of_n([correct], [scores], n)[0] == pytest.approx(brute_best(correct, scores, n))


@given(SAMPLES, st.data())
def test_best_of_n_lies_between_zero_and_pass_at_n(samples, data):
    correct, scores = map(list, zip(*samples, strict=True))
    n = data.draw(st.integers(1, len(correct)))
    assert -1e-12 <= best_of_n([correct], [scores], n)[0] <= pass_at_k([correct], n)[0] + 1e-12


def test_best_of_n_with_a_perfect_score_is_pass_at_n():
    correct = np.random.default_rng(0).random((20, 16)) < 0.2
    np.testing.assert_allclose(best_of_n(correct, correct.astype(float), 4), pass_at_k(correct, 4))


def test_best_of_n_with_a_useless_score_is_the_mean_at_every_n():
    correct = np.random.default_rng(0).random((20, 16)) < 0.2
    for n in (1, 4, 16):
        np.testing.assert_allclose(best_of_n(correct, np.full(correct.shape, 0.5), n), correct.mean(axis=1))


def test_a_sample_without_an_answer_never_counts_as_correct():
    assert best_of_n([[True, True]], [[-INF, -INF]], 1)[0] == 0.0


def test_a_nan_score_is_refused():
    with pytest.raises(UserError, match="NaN"):
        best_of_n([[True, False]], [[0.5, float("nan")]], 1)


VOTES = st.lists(st.tuples(st.integers(-1, 2), st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.9])), min_size=1, max_size=7)


@settings(max_examples=40, deadline=None)
@given(VOTES, st.integers(0, 2), st.data())
def test_votes_agree_with_the_enumeration_of_all_subsets(votes, right, data):
    groups, scores = map(list, zip(*votes, strict=True))
    correct = [g == right for g in groups]
    n = data.draw(st.integers(1, len(groups)))
    # the mean of 4,000 values in [0, 1] lies within 5 standard errors of 0.5 / sqrt(4,000) at most
    for weights, estimate in (
        ([1.0] * len(groups), majority_at_n([groups], [correct], n, seed=1, subsets=4_000)[0]),
        (scores, weighted_at_n([groups], [scores], [correct], n, seed=1, subsets=4_000)[0]),
    ):
        tolerance = 1e-12 if n == len(groups) else 5 * 0.5 / math.sqrt(4_000)
        assert estimate == pytest.approx(brute_vote(groups, weights, correct, n), abs=tolerance)


@given(st.lists(st.tuples(st.integers(-1, 3), st.floats(0.01, 1)), min_size=1, max_size=12), st.integers(0, 3))
def test_a_vote_of_all_samples_is_what_selection_picks_unless_tied(votes, right):
    groups, scores = map(list, zip(*votes, strict=True))
    correct = [g == right for g in groups]
    by_count, by_score = {}, {}
    for group, score in votes:
        if group >= 0:
            by_count[group] = by_count.get(group, 0) + 1
            by_score[group] = by_score.get(group, 0.0) + score
    if len(set(by_count.values())) == len(by_count):
        expected = selection.majority(groups) == right
        assert majority_at_n([groups], [correct], len(groups), seed=0)[0] == expected
    if min(np.diff(sorted(by_score.values())), default=1.0) > 1e-6:
        expected = selection.weighted(groups, scores) == right
        assert weighted_at_n([groups], [scores], [correct], len(groups), seed=0)[0] == expected


def test_one_vote_is_exactly_the_share_of_correct_samples():
    rng = np.random.default_rng(0)
    groups = rng.integers(-1, 4, (5, 8))
    np.testing.assert_allclose(majority_at_n(groups, groups == 0, 1, seed=0), (groups == 0).mean(axis=1))


def test_a_tie_that_rounding_hides_is_split():
    # 0.1 + 0.2 + 0.3 and 0.3 + 0.2 + 0.1 differ in the last bit
    scores = [0.1, 0.2, 0.3, 0.3, 0.2, 0.1]
    assert weighted_at_n([[0, 0, 0, 1, 1, 1]], [scores], [[True] * 3 + [False] * 3], 6, seed=0)[0] == 0.5


def test_nobody_votes_and_nothing_is_right():
    assert majority_at_n([[-1, -1]], [[False, False]], 2, seed=0)[0] == 0.0
    assert weighted_at_n([[-1, -1]], [[-INF, -INF]], [[False, False]], 1, seed=0)[0] == 0.0


def test_the_scores_of_samples_without_an_answer_are_not_read():
    assert weighted_at_n([[-1, 0, -1]], [[-INF, 0.2, float("nan")]], [[False, True, False]], 3, seed=0)[0] == 1.0


def test_the_seed_decides_the_subsets():
    groups = np.random.default_rng(0).integers(0, 3, (10, 12))
    first, again, other = (majority_at_n(groups, groups == 0, 5, seed=seed, subsets=20) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("n", [0, 3])
def test_an_impossible_n_is_refused_and_the_range_reported(n):
    ones = [[0, 0]]
    for call in (
        lambda: pass_at_k(ones, n),
        lambda: best_of_n(ones, ones, n),
        lambda: majority_at_n(ones, ones, n, seed=0),
        lambda: weighted_at_n(ones, ones, ones, n, seed=0),
    ):
        with pytest.raises(UserError, match=f"n = {n} .* between 1 and 2"):
            call()


@st.composite
def subtrees(draw):
    """Size, and right or wrong, score and answer of each sample, of up to four subtrees."""
    size, count = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    sample = st.tuples(st.booleans(), SCORES, st.integers(-1, 2))
    samples = draw(st.lists(sample, min_size=size * count, max_size=size * count))
    return size, size * draw(st.integers(1, count)), *map(list, zip(*samples, strict=True))


@given(subtrees())
def test_pass_at_k_of_subtrees_is_the_share_of_subsets_of_them_with_a_correct_sample(case):
    size, n, correct, _, _ = case
    expected = over_subsets(len(correct), n, lambda subset: any(correct[i] for i in subset), size)
    assert pass_at_k([correct], n, subtree=size)[0] == pytest.approx(expected)


@given(subtrees())
def test_best_of_n_of_subtrees_is_the_mean_over_subsets_of_them(case):
    size, n, correct, scores, _ = case

    def top_is_correct(subset: tuple[int, ...]) -> float:
        best = max(scores[i] for i in subset)
        shares = []
        for begin in range(0, len(subset), size):
            top = [i for i in subset[begin : begin + size] if scores[i] == best]
            if top:
                shares.append(sum(correct[i] and best > -INF for i in top) / len(top))
        return sum(shares) / len(shares)

    expected = over_subsets(len(correct), n, top_is_correct, size)
    assert best_of_n([correct], [scores], n, subtree=size)[0] == pytest.approx(expected)


@settings(max_examples=40, deadline=None)
@given(subtrees(), st.integers(0, 2))
def test_votes_of_subtrees_agree_with_the_enumeration_of_subsets_of_them(case, right):
    size, n, _, scores, groups = case
    scores = [max(score, 0.0) for score in scores]
    correct = [group == right for group in groups]
    for weights, estimate in (
        ([1.0] * len(groups), majority_at_n([groups], [correct], n, seed=1, subsets=4_000, subtree=size)[0]),
        (scores, weighted_at_n([groups], [scores], [correct], n, seed=1, subsets=4_000, subtree=size)[0]),
    ):
        tolerance = 1e-12 if n == len(groups) else 5 * 0.5 / math.sqrt(4_000)
        assert estimate == pytest.approx(brute_vote(groups, weights, correct, n, size), abs=tolerance)


@pytest.mark.parametrize("estimate", [
    lambda n: pass_at_k([[True] * 8], n, subtree=4),
    lambda n: best_of_n([[True] * 8], [[0.5] * 8], n, subtree=4),
    lambda n: majority_at_n([[0] * 8], [[True] * 8], n, seed=0, subtree=4),
    lambda n: weighted_at_n([[0] * 8], [[0.5] * 8], [[True] * 8], n, seed=0, subtree=4),
])  # fmt: skip
def test_a_part_of_a_subtree_is_refused(estimate):
    assert estimate(4)[0] == 1.0
    with pytest.raises(UserError, match="in groups of 4: choose a multiple of 4, or run the search with n = 6"):
        estimate(6)
