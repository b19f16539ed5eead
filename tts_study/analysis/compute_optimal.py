"""Compute-optimal scaling: for each difficulty level and budget the strategy that does best, scored on other problems.

    1. split the problems of each level into k folds, at random
    2. for each fold, level and n: choose the strategy with the best mean accuracy on the *other* folds
    3. score it on the fold; average over several such splits

Source: Snell et al. 2024 (arXiv 2408.03314), section 3.2, "two-fold cross validation on each difficulty bin"; the blog
chooses and scores on the same problems, which makes it look better than it is: the best of several equal strategies is
above their mean.

With a single level the same procedure chooses the best single strategy: `one_level`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from tts_study.analysis.crossing import Curve
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import RESAMPLES, Floats, draws
from tts_study.errors import UserError
from tts_study.strategies.registry import check_whole


@dataclass(frozen=True, eq=False)
class Chosen:
    """The cross-validated choice of a strategy for each level and budget.

    Attributes:
        grid: the strategies to choose from.
        levels: the difficulty levels there are, growing.
        level_P: each problem's.
        fold_S_P: for each split the fold of each problem.
        share_L_M_n: how often each strategy was chosen, as a share of all folds and splits.
        share_M_n_P: how often each strategy was chosen for a problem, as a share of the splits; the problem itself
            had no part in it.
    """

    grid: Grid
    levels: tuple[int, ...]
    level_P: NDArray[np.int64]
    fold_S_P: NDArray[np.int64]
    share_L_M_n: Floats
    share_M_n_P: Floats

    @property
    def accuracy_n_P(self) -> Floats:
        """Each problem's chance to be solved by the strategy chosen without it, the mean over the splits."""
        return self.expected(self.grid.accuracy_M_n_P)

    def expected(self, values_M_n_P: Floats) -> Floats:
        """Values of every strategy at each n for each problem, reduced to those of the choice; more axes may follow."""
        share = self.share_M_n_P.reshape(self.share_M_n_P.shape + (1,) * (values_M_n_P.ndim - 3))
        return np.where(share > 0, share * values_M_n_P, 0.0).sum(axis=0)

    def as_strategy(self, label: str, *, extra: int = 0, probe_P_K: Floats | float = 0.0) -> Grid:
        """The grid with the choice as one more strategy: its accuracy, and the mean cost of what it chose.

        A probe takes the seconds of the same number of further generations.

        Args:
            label: the choice's, such as "compute_optimal".
            extra: generations spent beside n, on the probe of predicted difficulty.
            probe_P_K: the probe's tokens, as of `cost.tokens_at`.
        """
        share_M_n = self.share_M_n_P.mean(axis=2)
        seconds_n = np.where(share_M_n > 0, share_M_n * self.grid.seconds_M_n, 0.0).sum(axis=0)
        ns = tuple(n + extra for n in self.grid.ns)
        tokens_n_P_K = self.expected(self.grid.tokens_M_n_P_K) + probe_P_K
        return self.grid.extended(label, ns, self.accuracy_n_P, tokens_n_P_K, seconds_n * np.array(ns) / self.grid.ns)

    def table(self) -> pd.DataFrame:
        """How often each strategy was chosen: columns level, n, method, share, the most often chosen first."""
        rows = [
            dict(level=level, n=n, method=strategy, share=self.share_L_M_n[i, m, j])
            for i, level in enumerate(self.levels)
            for j, n in enumerate(self.grid.ns)
            for m, strategy in enumerate(self.grid.strategies)
            if self.share_L_M_n[i, m, j] > 0
        ]
        order = dict(by=["level", "n", "share"], ascending=[True, True, False], kind="stable")
        return pd.DataFrame(rows).sort_values(**order).reset_index(drop=True)


def cross_validate(grid: Grid, level_P: ArrayLike, folds_S_P: NDArray[np.int64]) -> Chosen:
    """Choose for each level and n on all folds but one, and score the choice on that one; for every fold and split.

    Equally good strategies: the first one of the grid. A level without problems in the other folds takes the strategy
    that is best over all levels there.

    Args:
        grid: strategies, budgets and problems.
        level_P: the difficulty level of each problem; all equal to choose one strategy for all.
        folds_S_P: for each split the fold of each problem, as of `stratified_folds`.

    Raises:
        UserError: levels or folds are not those of the grid's problems, a split has a single fold, or the grid
            contains pass@n, which cannot be chosen.
    """
    if "pass" in grid.strategies:
        raise UserError("pass@n knows the answers: it is an upper bound and cannot be chosen; leave it out of the grid")
    level_P = np.asarray(level_P, dtype=np.int64)
    M, n, P = grid.accuracy_M_n_P.shape
    if level_P.shape != (P,) or folds_S_P.shape[1:] != (P,):
        raise UserError(f"levels and folds must be those of the grid's {P} problems")
    levels, of_level_P = np.unique(level_P, return_inverse=True)
    share_L_M_n, share_M_n_P = np.zeros((len(levels), M, n)), np.zeros((M, n, P))
    rounds = [(fold_P, fold) for fold_P in folds_S_P for fold in np.unique(fold_P)]
    for fold_P, fold in rounds:
        scored_P = fold_P == fold
        if scored_P.all():
            raise UserError("a split needs at least two folds: what is scored must not influence the choice")
        best_L_n = _best(grid.accuracy_M_n_P[..., ~scored_P], of_level_P[~scored_P], len(levels))
        is_best_M_L_n = best_L_n == np.arange(M)[:, None, None]
        share_L_M_n += is_best_M_L_n.transpose(1, 0, 2)
        share_M_n_P[..., scored_P] += is_best_M_L_n[:, of_level_P[scored_P]].transpose(0, 2, 1)
    # counted first: a sum of hundredths could come out above 1
    share_L_M_n, share_M_n_P = share_L_M_n / len(rounds), share_M_n_P / len(folds_S_P)
    return Chosen(grid, tuple(levels.tolist()), level_P, folds_S_P, share_L_M_n, share_M_n_P)


def stratified_folds(level_P: ArrayLike, *, folds: int = 2, repeats: int = 20, seed: int) -> NDArray[np.int64]:
    """Random splits of the problems into disjoint folds, each level spread evenly over the folds.

    Args:
        level_P: each problem's level.
        folds: how many; more of them leave more problems to choose on.
        repeats: how many splits.
        seed: of the splits.

    Returns:
        The fold of each problem, 0 … folds - 1, for each split: shape (repeats, P).

    Raises:
        UserError: there are more folds than problems, or fewer than two.
    """
    level_P = np.asarray(level_P)
    if not 2 <= check_whole("folds", folds) <= len(level_P):
        raise UserError(f"{len(level_P)} problems cannot be split into {folds} folds: choose 2 or more, not more folds")
    rng = np.random.default_rng(seed)
    folds_S_P = np.empty((repeats, len(level_P)), dtype=np.int64)
    for fold_P in folds_S_P:
        shuffled_P = rng.permutation(len(level_P))
        by_level_P = shuffled_P[np.argsort(level_P[shuffled_P], kind="stable")]
        fold_P[by_level_P] = np.arange(len(level_P)) % folds  # level by level, each starting where the last ended
    return folds_S_P


def one_level(grid: Grid) -> NDArray[np.int64]:
    """All problems on one level, so that `cross_validate` chooses the best single strategy."""
    return np.ones(len(grid.ids), dtype=np.int64)


def choice_curve(chosen: Chosen, *, extra: int = 0, seed: int, resamples: int = RESAMPLES) -> Curve:
    """The accuracy of the choice at each n, with its value for each bootstrap draw of the problems.

    Each draw of the bootstrap repeats the choice. A problem that it contains several times stays in one fold: no copy
    of what is scored influences the choice. With the choice taken as given, intervals of differences would be too
    narrow: it is one choice for all problems, not an independent one for each.

    Args:
        chosen: the choice.
        extra: generations spent beside n, on the probe of predicted difficulty.
        seed: of the draws: curves to be compared need the same one.
        resamples: how many draws.
    """
    grid = chosen.grid
    drawn_R_P = draws(len(grid.ids), seed=seed, resamples=resamples)
    absent_M_n_1: NDArray[np.bool_] = np.isnan(grid.accuracy_M_n_P[..., :1])  # a budget has all problems or none
    accuracy_M_n_P = np.where(absent_M_n_1, 0.0, grid.accuracy_M_n_P)
    solved_n_R = np.zeros((len(grid.ns), resamples))
    for fold_P in chosen.fold_S_P:
        for level in chosen.levels:
            members = [(fold_P == fold) & (chosen.level_P == level) for fold in np.unique(fold_P)]
            solved = [accuracy_M_n_P[..., member_P] @ drawn_R_P[:, member_P].T for member_P in members]
            for scored_M_n_R in solved:
                others_M_n_R = np.where(absent_M_n_1, -np.inf, sum(solved) - scored_M_n_R)
                best_n_R = np.round(others_M_n_R, 9).argmax(axis=0)
                solved_n_R += np.take_along_axis(scored_M_n_R, best_n_R[None], axis=0)[0]
    mean_R_n = solved_n_R.T / (len(chosen.fold_S_P) * len(grid.ids))
    return Curve(tuple(n + extra for n in grid.ns), chosen.accuracy_n_P.mean(axis=1), mean_R_n)


def _best(accuracy_M_n_P: Floats, of_level_P: NDArray[np.int64], levels: int) -> NDArray[np.int64]:
    """The best strategy of each level and n on the problems given: shape (L, n)."""
    member_L_P = of_level_P == np.arange(levels)[:, None]
    member_L_P[~member_L_P.any(axis=1)] = True
    weight_P_L = (member_L_P / member_L_P.sum(axis=1, keepdims=True)).T
    mean_M_n_L = accuracy_M_n_P @ weight_P_L
    # rounded: equal accuracies that were added up in another order are equal
    return np.round(np.where(np.isnan(mean_M_n_L), -np.inf, mean_M_n_L), 12).argmax(axis=0).T
