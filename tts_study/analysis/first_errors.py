"""How well a PRM finds the first wrong step of a solution: ProcessBench's F1, and what its errors are.

A solution's label is the index of its first wrong step, or `NO_ERROR`. A PRM places the first error at the first step
whose score is below the threshold. F1 is the harmonic mean of two accuracies: on wrong solutions, how often it finds
exactly the labelled step; on right ones, how often it finds none.

Source: Zheng et al. 2024 (arXiv 2412.06559), section 3.1, with 0.5 as the threshold of scores that are probabilities.
For PRMs whose scores are not, section 4.1 takes the threshold with the highest F1 on GSM8K: `best_threshold`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from tts_study.analysis.inference import Floats, draws

NO_ERROR = -1
THRESHOLD = 0.5
BINS = 10  # of the calibration error


@dataclass(frozen=True)
class Judged:
    """A labelled solution with a PRM's scores.

    Attributes:
        label: the index of the first wrong step, or `NO_ERROR`.
        step_scores: the PRM's score of each step, in [0, 1]; those after the first wrong step may be missing.
        problem: what it solves: solutions of the same problem are drawn together by the bootstrap.
    """

    label: int
    step_scores: tuple[float, ...]
    problem: str = ""


@dataclass(frozen=True)
class Quality:
    """How well a PRM judges; NaN where there are no such solutions or steps.

    Attributes:
        on_wrong: share of wrong solutions of which it finds exactly the first wrong step.
        on_right: share of right solutions in which it finds no error.
        f1: their harmonic mean.
        auroc: how well its scores separate right from wrong steps, up to the first wrong one.
        calibration_error: the mean distance between score and share of right steps, over ten bins of these scores.
    """

    on_wrong: float
    on_right: float
    f1: float
    auroc: float
    calibration_error: float


def first_error(step_scores: Iterable[float], threshold: float = THRESHOLD) -> int:
    """The index of the first step with a score below the threshold; `NO_ERROR` if there is none."""
    return next((i for i, score in enumerate(step_scores) if score < threshold), NO_ERROR)


def quality(judged: Sequence[Judged], threshold: float = THRESHOLD) -> Quality:
    """The measures of a PRM on labelled solutions."""
    hit_P, wrong_P = _hits(judged, threshold)
    on_wrong, on_right, f1 = _accuracies(hit_P, wrong_P, np.ones((1, len(hit_P))))[:, 0]
    scores_S, right_S = _steps(judged)
    return Quality(on_wrong, on_right, f1, auroc(scores_S, right_S), calibration_error(scores_S, right_S))


def table(judged: Mapping[str, Sequence[Judged]], threshold: float = THRESHOLD, *, seed: int = 0) -> pd.DataFrame:
    """The quality on each split, and F1's mean over them where there are several, with 95 % bootstrap intervals.

    Columns split, solutions, wrong (how many of them are), on_wrong, on_right, f1, f1_low, f1_high, auroc,
    calibration_error.
    """
    rows, f1_by_split = [], []
    for i, (split, solutions) in enumerate(judged.items()):
        hit_P, wrong_P = _hits(solutions, threshold)
        drawn_R_P = draws(len(solutions), [each.problem for each in solutions], seed=seed + i)
        f1_R = _accuracies(hit_P, wrong_P, drawn_R_P)[2]
        found = quality(solutions, threshold)
        f1_by_split.append(f1_R)
        rows.append({
            "split": split, "solutions": len(solutions), "wrong": int(wrong_P.sum()), "on_wrong": found.on_wrong,
            "on_right": found.on_right, "f1": found.f1, **_interval(f1_R), "auroc": found.auroc,
            "calibration_error": found.calibration_error,
        })  # fmt: skip
    found = pd.DataFrame(rows)
    if len(rows) > 1:
        mean_R = np.mean(f1_by_split, axis=0)
        total = {"split": "mean", "solutions": found["solutions"].sum(), "wrong": found["wrong"].sum()}
        found.loc[len(found)] = pd.Series(total | {"f1": found["f1"].mean()} | _interval(mean_R))
    return found


def confusion(judged: Mapping[str, Sequence[Judged]], threshold: float = THRESHOLD) -> pd.DataFrame:
    """Where the first error is seen: how many solutions of each split, by whether they are wrong.

    Columns split, solutions ("wrong" or "right"), exact (the labelled step; in right solutions none), early, late
    (another step before or after it; in a right solution any step is too early), missed (no step of a wrong one).
    """
    rows = []
    for split, solutions in judged.items():
        counts = {"wrong": dict.fromkeys(_PLACES, 0), "right": dict.fromkeys(_PLACES, 0)}
        for each in solutions:
            kind = "right" if each.label == NO_ERROR else "wrong"
            counts[kind][_place(each.label, first_error(each.step_scores, threshold))] += 1
        rows += [{"split": split, "solutions": kind, **places} for kind, places in counts.items()]
    return pd.DataFrame(rows)


def best_threshold(judged: Sequence[Judged]) -> float:
    """The threshold with the highest F1, of 0.01 to 0.99; the one nearest to 0.5 of equals."""
    candidates = sorted((i / 100 for i in range(1, 100)), key=lambda threshold: abs(threshold - THRESHOLD))
    one = np.ones((1, len(judged)))
    return max(candidates, key=lambda threshold: float(_accuracies(*_hits(judged, threshold), one)[2, 0]))


def auroc(scores_S: ArrayLike, right_S: ArrayLike) -> float:
    """The chance that a right step has a higher score than a wrong one, a tie counting half; NaN without both."""
    right_S = np.asarray(right_S, dtype=bool)
    positives, negatives = int(right_S.sum()), int((~right_S).sum())
    if not positives or not negatives:
        return float("nan")
    ranks_S = rankdata(np.asarray(scores_S, dtype=float))
    return float((ranks_S[right_S].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def f1_draws(judged: Sequence[Judged], drawn_R_P: Floats, threshold: float = THRESHOLD) -> Floats:
    """F1 in each bootstrap draw of solutions: of `inference.draws`, how often each is in each draw."""
    return np.asarray(_accuracies(*_hits(judged, threshold), drawn_R_P)[2])


def auroc_draws(judged: Sequence[Judged], drawn_R_P: Floats) -> Floats:
    """The AUROC of steps in each bootstrap draw of solutions; NaN where a draw has no right or no wrong step."""
    steps = [_steps([each]) for each in judged]
    solution_S = np.repeat(np.arange(len(judged)), [len(scores) for scores, _ in steps])
    scores_S, right_S = (np.concatenate(part) for part in zip(*steps, strict=True))
    order = np.argsort(scores_S, kind="stable")
    _, first_U = np.unique(scores_S[order], return_index=True)
    weight_R_S, right_S = drawn_R_P[:, solution_S[order]], right_S[order].astype(bool)
    right_R_U, wrong_R_U = (np.add.reduceat(weight_R_S * kind, first_U, axis=1) for kind in (right_S, ~right_S))
    below_R_U = np.cumsum(wrong_R_U, axis=1) - wrong_R_U / 2
    with np.errstate(invalid="ignore"):
        return np.asarray((right_R_U * below_R_U).sum(1) / (right_R_U.sum(1) * wrong_R_U.sum(1)))


def calibration_error(scores_S: ArrayLike, right_S: ArrayLike) -> float:
    """The expected calibration error in ten equal bins: Guo et al. 2017 (arXiv 1706.04599), equation 3."""
    scores_S, right_S = np.asarray(scores_S, dtype=float), np.asarray(right_S, dtype=bool)
    if not len(scores_S):
        return float("nan")
    bin_S = np.minimum((scores_S * BINS).astype(int), BINS - 1)
    gap_B = np.bincount(bin_S, weights=scores_S - right_S, minlength=BINS)
    return float(np.abs(gap_B).sum() / len(scores_S))


_PLACES = ("exact", "early", "late", "missed")


def _place(label: int, found: int) -> str:
    if found == label:
        return "exact"
    if found == NO_ERROR:
        return "missed"
    return "early" if label == NO_ERROR or found < label else "late"


def _hits(judged: Sequence[Judged], threshold: float) -> tuple[Floats, Floats]:
    """Whether each solution is judged right, and whether it is a wrong one."""
    hit_P = [first_error(each.step_scores, threshold) == each.label for each in judged]
    return np.array(hit_P, dtype=float), np.array([each.label != NO_ERROR for each in judged], dtype=float)


def _accuracies(hit_P: Floats, wrong_P: Floats, drawn_R_P: Floats) -> Floats:
    """Accuracy on wrong solutions, on right ones, and their harmonic mean, `[3, draw]`."""
    with np.errstate(invalid="ignore"):
        on_wrong_R, on_right_R = (drawn_R_P @ (hit_P * kind) / (drawn_R_P @ kind) for kind in (wrong_P, 1 - wrong_P))
    total_R = on_wrong_R + on_right_R
    f1_R = np.where(total_R == 0, 0.0, 2 * on_wrong_R * on_right_R / np.where(total_R == 0, 1.0, total_R))
    return np.array([on_wrong_R, on_right_R, f1_R])


def _steps(judged: Sequence[Judged]) -> tuple[Floats, Floats]:
    """Scores of the steps up to the first wrong one, and whether each is right."""
    scores: list[float] = []
    right: list[bool] = []
    for each in judged:
        until = len(each.step_scores) if each.label == NO_ERROR else each.label + 1
        scores += each.step_scores[:until]
        right += [i != each.label for i in range(len(each.step_scores[:until]))]
    return np.array(scores), np.array(right, dtype=bool)


def _interval(values_R: Floats) -> dict[str, float]:
    """The 95 % percentile interval; draws without right or without wrong solutions are left out."""
    there_R = values_R[~np.isnan(values_R)]
    low, high = np.quantile(there_R, [0.025, 0.975]) if len(there_R) else (np.nan, np.nan)
    return {"f1_low": float(low), "f1_high": float(high)}
