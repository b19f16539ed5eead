"""The choice of a strategy: by hand, without a look at what it is scored on, and without a gain where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_study.analysis import compute_optimal, cost
from tts_study.analysis.compute_optimal import choice_curve, cross_validate, one_level, stratified_folds
from tts_study.analysis.crossing import gains
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import paired_test
from tts_study.errors import UserError

NAN = float("nan")


def grid(accuracy_M_n_P, ns=None, strategies=None) -> Grid:
    accuracy_M_n_P = np.asarray(accuracy_M_n_P, dtype=float)
    M, n, P = accuracy_M_n_P.shape
    return Grid(
        ids=tuple(f"p{p}" for p in range(P)),
        strategies=tuple(strategies or "abcdefgh"[:M]),
        ns=tuple(ns or (2**i for i in range(n))),
        accuracy_M_n_P=accuracy_M_n_P,
        tokens_M_n_P_K=np.full((M, n, P, len(cost.KINDS)), NAN),
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


def test_what_is_always_chosen_has_a_share_of_exactly_one():
    levels = [1] * 20
    splits = stratified_folds(levels, folds=5, repeats=20, seed=0)
    found = cross_validate(grid([[[1] * 20], [[0] * 20]]), levels, splits)
    assert found.share_L_M_n.tolist() == [[[1], [0]]]
    assert found.share_M_n_P[0].tolist() == [[1] * 20]


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


def shuffled(rng: np.random.Generator, level_P: np.ndarray) -> Grid:
    """Four strategies whose results are shuffled separately for each problem: none is better on any level."""
    solved = rng.random((4, 1, len(level_P))) < 0.9 - 0.15 * level_P[None, None]
    return grid(rng.permuted(solved.astype(float), axis=0))


def test_strategies_with_shuffled_labels_give_no_gain_and_peeking_would_give_one():
    rng = np.random.default_rng(0)
    honest, leaky, trials = [], [], 200
    level_P = np.repeat(np.arange(5), 30)
    for trial in range(trials):
        one = shuffled(rng, level_P)
        chosen = cross_validate(one, level_P, stratified_folds(level_P, repeats=5, seed=trial))
        even_P = one.accuracy_M_n_P.mean(axis=0)[0]
        honest.append((chosen.accuracy_n_P[0] - even_P).mean())
        leaky.append((leaky_P(one.accuracy_M_n_P[:, 0], level_P) - even_P).mean())
    standard_error = np.std(honest, ddof=1) / np.sqrt(trials)
    assert abs(np.mean(honest)) < 3 * standard_error < 0.01
    assert np.mean(leaky) > 0.03 and np.min(leaky) > 0


def test_the_interval_of_a_gain_knows_that_the_choice_was_luck_and_a_test_that_takes_it_as_given_does_not():
    rng = np.random.default_rng(0)
    trials, held, naive = 150, 0, 0
    level_P = np.repeat(np.arange(5), 30)
    for trial in range(trials):
        one = shuffled(rng, level_P)
        chosen = cross_validate(one, level_P, stratified_folds(level_P, repeats=3, seed=trial))
        (row,) = gains(
            choice_curve(chosen, seed=trial, resamples=200), one.curve("a", seed=trial, resamples=200)
        ).to_dict("records")
        test = paired_test(chosen.accuracy_n_P[0], one.accuracy_M_n_P[0, 0], seed=trial, resamples=200)
        held += row["low"] <= 0 <= row["high"]
        naive += test.low <= 0 <= test.high
    # 150 trials at 95 % have a standard error of 1.8 %
    assert 0.91 <= held / trials <= 1.0 and naive / trials < 0.91


def test_a_draw_that_is_the_problems_themselves_gives_the_choice_itself(monkeypatch):
    rng = np.random.default_rng(0)
    level_P = np.repeat([1, 2, 3], 20)
    accuracy = rng.random((3, 2, 60))
    accuracy[1, 0] = NAN
    chosen = cross_validate(grid(accuracy), level_P, stratified_folds(level_P, folds=3, repeats=4, seed=0))
    monkeypatch.setattr(compute_optimal, "draws", lambda P, **_: np.ones((1, P)))
    curve = choice_curve(chosen, extra=4, seed=0, resamples=1)
    assert curve.xs == (5, 6)
    np.testing.assert_allclose(curve.mean_R_n[0], chosen.accuracy_n_P.mean(axis=1))
    np.testing.assert_allclose(curve.mean_n, chosen.accuracy_n_P.mean(axis=1))


def test_a_real_difference_between_levels_is_a_gain_over_the_best_single_strategy():
    level_P = np.repeat([1, 2], 100)
    chance_M_P = np.where([level_P == 1, level_P == 2], 0.75, 0.35)
    one = grid((np.random.default_rng(0).random((2, 200)) < chance_M_P)[:, None].astype(float))
    fold_S_P = stratified_folds(level_P, seed=0)
    chosen = cross_validate(one, level_P, fold_S_P)
    single = cross_validate(one, one_level(one), fold_S_P)
    (row,) = gains(choice_curve(chosen, seed=0), choice_curve(single, seed=0)).to_dict("records")
    assert row["accuracy"] == pytest.approx(0.75, abs=0.07) and 0.02 < row["low"] < row["difference"] < 0.3
    assert row["p_value"] < 0.01


def test_the_choice_joins_its_grid_with_the_mean_cost_of_what_it_chose():
    one = grid([[[1, 1, 0, 0]], [[0, 0, 1, 1]]])
    one = replace(one, tokens_M_n_P_K=np.stack([np.full((1, 4, 7), 10.0), np.full((1, 4, 7), 30.0)]),
                  seconds_M_n=np.array([[1.0], [3.0]]))  # fmt: skip
    chosen = cross_validate(one, [1] * 4, folds([0, 0, 1, 1]))
    joined = chosen.as_strategy("compute_optimal", extra=2, probe_P_K=np.full((4, 7), 7.0))
    assert joined.strategies == ("a", "b", "compute_optimal") and joined.ns == (1, 3)
    assert joined.of("compute_optimal") == ((3,), pytest.approx(chosen.accuracy_n_P))
    assert joined.tokens_M_n_P_K[2, 1, :, 0].tolist() == [37, 37, 17, 17]
    # half of the problems with each, 2 seconds on average for one generation: three take 6
    assert joined.seconds_M_n[2, 1] == 6
    assert joined.of("a") == ((1,), pytest.approx(one.accuracy_M_n_P[0]))


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


def test_the_upper_bound_cannot_be_chosen():
    with pytest.raises(UserError, match="cannot be chosen"):
        cross_validate(grid([[[1.0] * 4]], strategies=["pass"]), [1] * 4, folds([0, 0, 1, 1]))
