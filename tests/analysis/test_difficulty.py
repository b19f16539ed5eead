"""Levels, their ties, and what it does to take them from the samples that are scored."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_study.analysis.difficulty import agreement, oracle, predicted, quintiles, stated
from tts_study.analysis.grading import Graded
from tts_study.errors import UserError

EASE = st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40)


def graded(correct_P_N, scores_P_N=None, level_P=None) -> Graded:
    correct_P_N = np.asarray(correct_P_N, dtype=bool)
    P, N = correct_P_N.shape
    scores = np.full((P, N), 0.5) if scores_P_N is None else scores_P_N
    return Graded(
        ids=tuple(f"p{p}" for p in range(P)),
        level_P=np.full(P, np.nan) if level_P is None else np.asarray(level_P, dtype=float),
        subject_P=(None,) * P,
        groups_P_N=np.where(correct_P_N, 0, 1),
        correct_P_N=correct_P_N,
        tokens_P_N=np.tile(np.arange(1, N + 1), (P, 1)),
        step_scores_P_N_S=tuple(tuple((float(score),) for score in row) for row in scores),
    )


def test_different_values_make_equal_levels_the_highest_being_the_first():
    assert quintiles(np.arange(10)).tolist() == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]


def test_equals_share_the_level_of_their_middle_rank():
    # 4 of 10 are never solved: ranks 7 to 10 from the easy end, 8.5 in the middle, which is the fifth quintile
    assert quintiles([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0, 0, 0, 0]).tolist() == [1, 1, 2, 2, 3, 3, 5, 5, 5, 5]
    assert quintiles([0.3] * 7).tolist() == [3] * 7
    assert quintiles([0.0, 1.0]).tolist() == [4, 2]


@given(EASE, st.randoms())
def test_levels_do_not_depend_on_order_and_never_rise_with_ease(ease, random):
    level = dict(zip(ease, quintiles(ease).tolist(), strict=True))
    shuffled = random.sample(ease, len(ease))
    assert quintiles(shuffled).tolist() == [level[value] for value in shuffled]
    by_ease = [level[value] for value in sorted(level)]
    assert by_ease == sorted(by_ease, reverse=True) and {1, 2, 3, 4, 5} >= set(by_ease)


@pytest.mark.parametrize("ease", [[], [0.1, float("nan")]])
def test_no_problems_and_no_numbers_are_refused(ease):
    with pytest.raises(UserError, match="there are no problems, or one is NaN"):
        quintiles(ease)


def test_oracle_levels_follow_the_share_of_right_completions():
    right = np.arange(10)[:, None] > np.arange(9)  # problem p has p right completions
    assert oracle(graded(right)).tolist() == [5, 5, 4, 4, 3, 3, 2, 2, 1, 1]


def test_the_data_sets_levels_are_taken_as_they_are_and_missing_ones_refused():
    assert stated(graded([[True], [False]], level_P=[2, 5])).tolist() == [2, 5]
    with pytest.raises(UserError, match="no level"):
        stated(graded([[True], [False]], level_P=[2, np.nan]))


def test_predicted_levels_follow_the_mean_score_of_the_probe_and_tell_its_cost():
    scores = [[0.9, 0.7, 0.0], [0.1, 0.2, 1.0]]  # the third completion is not in the probe
    found = predicted(graded([[True] * 3, [True] * 3], scores), 2)
    assert found.score_P.tolist() == pytest.approx([0.8, 0.15])
    assert found.level_P.tolist() == [2, 4]
    assert (found.generations, found.tokens) == (2, 3.0)


@pytest.mark.parametrize("k", [0, 4])
def test_a_probe_that_the_run_cannot_give_is_refused(k):
    with pytest.raises(UserError, match="between 1 and 3"):
        predicted(graded([[True] * 3]), k)


def test_without_scores_nothing_is_predicted():
    run = graded([[True]])
    with pytest.raises(UserError, match="step scores"):
        predicted(replace(run, step_scores_P_N_S=(((),),)), 1)


def test_levels_from_the_scored_samples_make_the_easy_level_look_easier_and_the_hard_one_harder():
    rng = np.random.default_rng(0)
    ease_P = rng.random(2000)
    one, other = (graded(rng.random((2000, 6)) < ease_P[:, None]) for _ in range(2))
    same_P, other_P = oracle(one), oracle(other)
    accuracy_P = one.correct_P_N.mean(axis=1)

    def gap(level_P, level):
        """By how much the scored samples of a level are better than its problems truly are."""
        return (accuracy_P - ease_P)[level_P == level].mean()

    assert gap(same_P, 1) > 0.05 and gap(same_P, 5) < -0.05
    assert abs(gap(other_P, 1)) < 0.02 and abs(gap(other_P, 5)) < 0.02


def test_agreement_counts_pairs_of_levels():
    found = agreement([1, 1, 2, 5], [1, 2, 2, 3], seed=0)
    assert found.counts.loc[1].tolist() == [1, 1, 0, 0] and found.counts.loc[5, 3] == 1
    assert found.counts.to_numpy().sum() == 4 and list(found.counts.columns) == [1, 2, 3, 5]
    assert (found.exact.estimate, found.within_one.estimate) == (0.5, 0.75)
    assert found.exact.low <= 0.5 <= found.exact.high


def test_spearman_is_scipys():
    from scipy.stats import spearmanr

    rng = np.random.default_rng(0)
    a = rng.integers(1, 6, 200)
    b = np.clip(a + rng.integers(-1, 2, 200), 1, 5)
    found = agreement(a, b, seed=0).spearman
    assert found.estimate == pytest.approx(spearmanr(a, b).statistic)
    assert 0.7 < found.low < found.estimate < found.high < 1
    assert agreement(a, a, seed=0).spearman.low == pytest.approx(1.0)


def test_a_single_level_has_no_rank_correlation():
    assert np.isnan(agreement([3, 3, 3], [1, 2, 3], seed=0).spearman.estimate)


def test_levels_of_other_problems_are_not_compared():
    with pytest.raises(UserError, match="cannot be compared"):
        agreement([1, 2], [1], seed=0)
