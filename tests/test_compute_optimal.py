"""The choice of a strategy: by hand, without a look at what it is scored on, and without a gain where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_study.compute_optimal import cross_validate, gains, one_level, stratified_folds
from tts_study.errors import UserError
from tts_study.estimators import bootstrap
from tts_study.grid import Grid

NAN = float("nan")


def grid(accuracy_M_n_P, ns=None, strategies=None) -> Grid:
    accuracy_M_n_P = np.asarray(accuracy_M_n_P, dtype=float)
    M, n, P = accuracy_M_n_P.shape
    return Grid(
        ids=tuple(f"p{p}" for p in range(P)),
        strategies=tuple(strategies or "abcdefgh"[:M]),
        ns=tuple(ns or (2**i for i in range(n))),
        accuracy_M_n_P=accuracy_M_n_P,
        tokens_M_n_P_K=np.full((M, n, P, 5), NAN),
        seconds_M_n=np.full((M, n), NAN),
    )


def folds(*rows) -> np.ndarray:
    return np.array(rows)


def test_each_fold_gets_what_is_best_on_the_other():
    # problems 0 and 1 say that a is better, 2 and 3 that b is
    found = cross_validate(grid([[[1, 1, 0, 0]], [[0, 0, 1, 1]]]), [1, 1, 1, 1], folds([0, 0, 1, 1]))
    assert found.share_M_n_P[:, 0].tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]
    assert found.accuracy_n_P.tolist() == [[0, 0, 0, 0]]
    assert found.table().values.tolist() == [[1, 1, "a", 0.5], [1, 1, "b", 0.5]]


def test_each_level_has_its_own_choice():
    accuracy = [[[1, 0, 1, 0]], [[0, 1, 0, 1]]]
    found = cross_validate(grid(accuracy), [1, 2, 1, 2], folds([0, 0, 1, 1]))
    assert found.accuracy_n_P.tolist() == [[1, 1, 1, 1]] and found.levels == (1, 2)
    assert found.table().values.tolist() == [[1, 1, "a", 1.0], [2, 1, "b", 1.0]]


def test_each_budget_has_its_own_choice_and_a_strategy_without_it_is_not_chosen():
    accuracy = [[[0.2] * 4, [0.3] * 4], [[NAN] * 4, [0.5] * 4]]
    found = cross_validate(grid(accuracy), [1] * 4, folds([0, 1, 0, 1]))
    np.testing.assert_allclose(found.accuracy_n_P, [[0.2] * 4, [0.5] * 4])


def test_the_first_of_equals_is_chosen_whatever_rounding_says():
    accuracy = [[[0.1, 0.2, 0.3, 0.3, 0.2, 0.1]], [[0.3, 0.2, 0.1, 0.1, 0.2, 0.3]]]
    found = cross_validate(grid(accuracy), [1] * 6, folds([0, 0, 0, 1, 1, 1]))
    assert found.table()["method"].tolist() == ["a"]


def test_splits_are_averaged():
    found = cross_validate(grid([[[1, 1, 0, 0]], [[0, 0, 1, 1]]]), [1] * 4, folds([0, 0, 1, 1], [0, 1, 0, 1]))
    # with the second split both are equally good on each fold, and a comes first
    assert found.accuracy_n_P.tolist() == [[0.5, 0.5, 0, 0]]
    np.testing.assert_allclose(found.share_M_n_P.sum(axis=0), 1)


def test_a_level_that_the_other_folds_lack_takes_what_is_best_over_all_levels():
    found = cross_validate(grid([[[0, 0, 1]], [[1, 1, 0]]]), [1, 1, 2], folds([0, 0, 1]))
    assert found.share_M_n_P[:, 0, 2].tolist() == [0, 1]


def test_any_quantity_follows_the_choice():
    found = cross_validate(grid([[[1, 1, 0, 0]], [[0, 0, 1, 1]]]), [1] * 4, folds([0, 0, 1, 1]))
    assert found.expected(np.array([[[1.0, 2, 3, 4]], [[10, 20, NAN, NAN]]])).tolist() == [[10, 20, 3, 4]]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_choice_never_sees_the_scored_fold(seed):
    rng = np.random.default_rng(seed)
    accuracy, level_P = rng.random((3, 2, 24)), rng.integers(1, 4, 24)
    fold_R_P = stratified_folds(level_P, folds=3, repeats=1, seed=seed)
    before = cross_validate(grid(accuracy), level_P, fold_R_P)
    scored_P = fold_R_P[0] == 1
    accuracy[..., scored_P] = rng.random((3, 2, scored_P.sum()))
    after = cross_validate(grid(accuracy), level_P, fold_R_P)
    np.testing.assert_array_equal(before.share_M_n_P[..., scored_P], after.share_M_n_P[..., scored_P])


def leaky_P(accuracy_M_P, level_P) -> np.ndarray:
    """What choosing and scoring on the same problems makes of it."""
    best = {level: accuracy_M_P[:, level_P == level].mean(axis=1).argmax() for level in np.unique(level_P)}
    return accuracy_M_P[[best[level] for level in level_P], np.arange(len(level_P))]


def test_strategies_with_shuffled_labels_give_no_gain_and_peeking_would_give_one():
    rng = np.random.default_rng(0)
    honest, leaky, covered, trials = [], [], 0, 100
    for trial in range(trials):
        level_P = np.repeat(np.arange(5), 30)
        accuracy = rng.random((4, 1, 150)) < 0.9 - 0.2 * level_P[None, None]
        # which strategy has which result is shuffled anew for each problem: none is better on any level
        one = grid(rng.permuted(accuracy.astype(float), axis=0))
        chosen = cross_validate(one, level_P, stratified_folds(level_P, repeats=5, seed=trial))
        even_P = one.accuracy_M_n_P.mean(axis=0)[0]
        gain = bootstrap(chosen.accuracy_n_P[0] - even_P, seed=trial, resamples=500)
        honest.append(gain.estimate)
        covered += gain.low <= 0 <= gain.high
        leaky.append((leaky_P(one.accuracy_M_n_P[:, 0], level_P) - even_P).mean())
    standard_error = np.std(honest, ddof=1) / np.sqrt(trials)
    assert abs(np.mean(honest)) < 3 * standard_error < 0.01
    assert covered >= 0.89 * trials  # 95 % less 2.8 standard errors
    assert np.mean(leaky) > 0.03 and np.min(leaky) > 0


def test_a_real_difference_between_levels_is_a_gain_over_the_best_single_strategy():
    level_P = np.repeat([1, 2], 100)
    chance_M_P = np.where([level_P == 1, level_P == 2], 0.7, 0.4)
    one = grid((np.random.default_rng(0).random((2, 200)) < chance_M_P)[:, None].astype(float))
    fold_R_P = stratified_folds(level_P, seed=0)
    chosen = cross_validate(one, level_P, fold_R_P)
    single = cross_validate(one, one_level(one), fold_R_P)
    (row,) = gains(one.ns, chosen.accuracy_n_P, one.ns, single.accuracy_n_P, seed=0).to_dict("records")
    assert row["accuracy"] == pytest.approx(0.7, abs=0.07) and 0.05 < row["low"] < row["difference"] < 0.25
    assert row["p_value"] < 0.01


def test_a_probe_is_paid_for_by_a_baseline_that_may_spend_as_much_more():
    accuracy, baseline = np.array([[0.5, 0.7], [0.6, 0.8]]), np.array([[0.0, 0.0], [0.4, 0.4], [0.8, 0.8]])
    table = gains((4, 12), accuracy, (2, 4, 16), baseline, extra=4, seed=0)
    assert table["n"].tolist() == [8, 16]
    assert table["baseline"].tolist() == pytest.approx([0.6, 0.8]) and table["accuracy"].tolist() == [0.6, 0.7]
    assert gains((64,), accuracy[:1], (2, 4, 16), baseline, extra=4, seed=0).empty


@given(st.lists(st.integers(1, 5), min_size=2, max_size=60), st.integers(2, 5), st.integers(0, 99))
def test_folds_are_disjoint_even_and_stratified(level_P, count, seed):
    level_P = np.array(level_P)
    if count > len(level_P):
        with pytest.raises(UserError, match="cannot be split"):
            stratified_folds(level_P, folds=count, seed=seed)
        return
    fold_R_P = stratified_folds(level_P, folds=count, repeats=3, seed=seed)
    for fold_P in fold_R_P:
        for members in (fold_P, *(fold_P[level_P == level] for level in np.unique(level_P))):
            sizes = np.bincount(members, minlength=count)
            assert sizes.max() - sizes.min() <= 1 and sizes.sum() == len(members)


def test_splits_differ_and_the_seed_decides_them():
    first, again, other = (stratified_folds([1] * 30, repeats=2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any() and (first != other).any()


def test_what_does_not_fit_is_refused():
    one = grid([[[1, 0]], [[0, 1]]])
    with pytest.raises(UserError, match="at least two folds"):
        cross_validate(one, [1, 1], folds([0, 0]))
    with pytest.raises(UserError, match="2 problems"):
        cross_validate(one, [1, 1, 1], folds([0, 1]))
    with pytest.raises(UserError, match="no strategy 'z'.*a, b"):
        one.of("z")
