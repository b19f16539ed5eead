"""The spread between seeds: by hand, and from a simulation whose parts are known."""

from dataclasses import replace

import numpy as np
import pytest
from test_compute_optimal import grid

from tts_study.analysis.seeds import spread, spread_table
from tts_study.errors import UserError


def test_by_hand():
    # means of the seeds 0.25 and 0.75, of the problems 0.5 and 0.5, residuals ±0.25 each
    found = spread([[0.0, 0.5], [1.0, 0.5]], seed=0)
    assert found.accuracy.estimate == 0.5 and found.seeds == 2
    assert found.between_seeds == pytest.approx(np.std([0.25, 0.75], ddof=1))
    residual = 4 * 0.25**2 / (1 * 1)
    assert found.residual_sd == pytest.approx(np.sqrt(residual))
    assert found.seed_sd == pytest.approx(np.sqrt(0.125 - residual / 2)) and found.problem_sd == 0


def test_a_single_seed_has_an_interval_and_no_spread():
    found = spread([[0.0, 1.0, 1.0]], seed=0)
    assert found.accuracy.low < found.accuracy.estimate == pytest.approx(2 / 3)
    assert np.isnan([found.between_seeds, found.problem_sd, found.seed_sd, found.residual_sd]).all()


def test_each_part_of_a_simulation_is_found_again():
    rng = np.random.default_rng(0)
    S, P = 60, 400
    parts = 0.03 * rng.standard_normal((S, 1)), 0.2 * rng.standard_normal(P), 0.1 * rng.standard_normal((S, P))
    found = spread(0.5 + sum(parts), seed=0)
    assert found.seed_sd == pytest.approx(0.03, rel=0.3)
    assert found.problem_sd == pytest.approx(0.2, rel=0.1)
    assert found.residual_sd == pytest.approx(0.1, rel=0.02)
    # the interval is about problems: 0.2 / sqrt(400) each side of 1.96 of them
    assert found.accuracy.high - found.accuracy.low == pytest.approx(2 * 1.96 * 0.01, rel=0.15)


def test_seeds_that_differ_by_luck_alone_share_nothing():
    rng = np.random.default_rng(0)
    chance_P = rng.random(300)
    found = [spread(rng.random((5, 300)) < chance_P, seed=0) for _ in range(50)]
    # the luck of 300 problems: sqrt(mean of p(1-p) / 300), of which nothing is shared
    assert np.mean([one.between_seeds for one in found]) == pytest.approx(np.sqrt(1 / 6 / 300), rel=0.15)
    assert np.median([one.seed_sd for one in found]) < 0.01
    assert np.mean([one.problem_sd for one in found]) == pytest.approx(np.sqrt(1 / 12), rel=0.05)


def test_a_table_has_a_row_for_each_strategy_and_n_that_all_seeds_have():
    nan = float("nan")
    one, other = grid([[[0.0, 1], [1, 1]], [[nan, nan], [0, 1]]]), grid([[[1.0, 1], [1, 1]], [[nan, nan], [1, 1]]])
    table = spread_table([one, other])
    assert table[["method", "n", "seeds", "accuracy"]].values.tolist() == [
        ["a", 1, 2, 0.75],
        ["a", 2, 2, 1.0],
        ["b", 2, 2, 0.75],
    ]
    assert table["between_seeds"].tolist() == pytest.approx([np.std([0.5, 1], ddof=1), 0, np.std([0.5, 1], ddof=1)])
    assert list(table.columns[-3:]) == ["problem_sd", "seed_sd", "residual_sd"]


def test_what_cannot_be_compared_is_refused():
    one = grid([[[0.0, 1]]])
    for grids in ([], [one, replace(one, ids=("x", "y"))]):
        with pytest.raises(UserError, match="differ in problems"):
            spread_table(grids)
    with pytest.raises(UserError, match="two problems"):
        spread([[1.0]], seed=0)
