"""A PRM's quality against how many labels it was trained with, from recorded judgements.

Quality is ProcessBench's F1 and the AUROC of steps, as in `first_errors`; intervals are over the judged problems.
They do not contain the luck of one training: another order of the same labels gives another PRM.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from tts_study.analysis import first_errors
from tts_study.analysis.first_errors import Judged
from tts_study.analysis.inference import Floats, draws
from tts_study.errors import UserError

Row = Mapping[str, Any]  # of one training: kind, solutions, labels, continuations, judged, ...


def curve(rows: Sequence[Row], *, seed: int = 0) -> pd.DataFrame:
    """The quality of each training, by kind of labels and budget.

    Args:
        rows: trainings; "judged" has [problem, index of the first wrong step or -1, step scores] for each completion.
        seed: of the bootstrap.

    Returns:
        Columns kind, solutions, labels, continuations, on_wrong, on_right, f1, f1_low, f1_high, auroc, auroc_low,
        auroc_high; sorted by kind and labels.
    """
    found = []
    for row in rows:
        judged = _judged(row)
        quality, (f1_R, auroc_R) = first_errors.quality(judged), _draws(judged, seed)
        known = {name: row[name] for name in ("kind", "solutions", "labels", "continuations")}
        found.append(known | {"on_wrong": quality.on_wrong, "on_right": quality.on_right,
                              "f1": quality.f1, **_interval("f1", f1_R),
                              "auroc": quality.auroc, **_interval("auroc", auroc_R)})  # fmt: skip
    return pd.DataFrame(found).sort_values(["kind", "labels"], ignore_index=True)


def differences(rows: Sequence[Row], *, seed: int = 0) -> pd.DataFrame:
    """F1 and AUROC with exact labels minus those with rollouts' of the same solutions, on the same judged completions.

    Returns:
        Columns solutions, labels, f1, f1_low, f1_high, auroc, auroc_low, auroc_high; empty without such a pair.
    """
    by_budget = {(row["kind"], row["solutions"]): row for row in rows}
    found = []
    for solutions in sorted({row["solutions"] for row in rows}):
        pair = [by_budget.get((kind, solutions)) for kind in ("exact", "rollouts")]
        if pair[0] and pair[1]:
            exact, rollouts = ((first_errors.quality(_judged(row)), _draws(_judged(row), seed)) for row in pair if row)
            f1_R, auroc_R = (a - b for a, b in zip(exact[1], rollouts[1], strict=True))
            found.append({"solutions": solutions, "labels": pair[0]["labels"],
                          "f1": exact[0].f1 - rollouts[0].f1, **_interval("f1", f1_R),
                          "auroc": exact[0].auroc - rollouts[0].auroc, **_interval("auroc", auroc_R)})  # fmt: skip
    return pd.DataFrame(found)


def of_kinds(rows: Iterable[Row], kinds: Sequence[str]) -> list[Row]:
    """The trainings with these kinds of labels.

    Raises:
        UserError: `kinds` is no list of recorded kinds.
    """
    rows = list(rows)
    recorded = sorted({str(row["kind"]) for row in rows})
    if isinstance(kinds, str) or not kinds or not set(kinds) <= set(recorded):
        raise UserError(f"kinds must be a list of {', '.join(recorded)}, and {kinds!r} is not")
    return [row for row in rows if row["kind"] in kinds]


def agreement(labels: Iterable[tuple[bool, bool, bool]]) -> pd.DataFrame:
    """How often rollouts' labels are right, beside the exact ones.

    Args:
        labels: (what rollouts say, what is right, whether it is a solution's last step).

    Returns:
        A row for "last step" and "other steps". Columns labels, right (how many of them are), said_right, missed (share
        of wrong steps that are called right), rejected (share of right steps that are called wrong).
    """
    table = pd.DataFrame(labels, columns=["said", "right", "last"]).astype(bool)
    rows = {}
    for name, part in (("other steps", table[~table["last"]]), ("last step", table[table["last"]])):
        right, wrong = part[part["right"]], part[~part["right"]]
        rows[name] = {
            "labels": len(part), "right": len(right), "said_right": int(part["said"].sum()),
            "missed": wrong["said"].mean(), "rejected": 1 - right["said"].mean(),
        }  # fmt: skip
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("step")


def _judged(row: Row) -> list[Judged]:
    return [Judged(label, tuple(scores), problem) for problem, label, scores in row["judged"]]


def _draws(judged: Sequence[Judged], seed: int) -> tuple[Floats, Floats]:
    """F1 and AUROC of each bootstrap draw of problems."""
    drawn_R_P = draws(len(judged), [each.problem for each in judged], seed=seed)
    return first_errors.f1_draws(judged, drawn_R_P), first_errors.auroc_draws(judged, drawn_R_P)


def _interval(name: str, values_R: Floats) -> dict[str, float]:
    low, high = np.nanquantile(values_R, [0.025, 0.975])
    return {f"{name}_low": float(low), f"{name}_high": float(high)}
