"""Tables for readers: rounded in a notebook, and saved beside their figure."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tts_study import paths

# columns that are shares of problems or differences of them, shown in percent
SHARES = {
    "accuracy", "low", "high", "baseline", "difference", "detectable", "estimate",
    "between_seeds", "between_low", "between_high", "problem_sd", "seed_sd", "residual_sd",
}  # fmt: skip
LEAST_P = 1e-4


def typeset_nothing() -> None:
    """Have notebooks show tables as they are: what a model writes between dollar signs need not be a formula."""
    pd.set_option("display.html.use_mathjax", False)


def show(
    table: pd.DataFrame, index: str | Sequence[str] | None = None, columns: str | Sequence[str] | None = None,
    values: str = "accuracy",
) -> pd.DataFrame:  # fmt: skip
    """A table as a reader wants to see it: shares in percent with one digit, p-values with four, others with two.

    Args:
        table: one of the tables of `tts_study.analysis`, in which shares lie in [0, 1].
        index: if given, the table is turned into one cell for each value of `index` and of `columns`.
        columns: see `index`.
        values: what the cells contain then.
    """
    if index is None:
        return pd.DataFrame({name: _rounded(str(name), table[name]) for name in table})
    wide = table.pivot(index=index, columns=columns, values=values)
    order = list(dict.fromkeys(table[columns])) if isinstance(columns, str) else None
    wide = wide if order is None else wide[order]  # as in the table, where pandas would sort them
    return wide if wide.dtypes.eq(object).any() else wide.apply(lambda column: _rounded(values, column))


def save(table: pd.DataFrame, name: str, folder: Path | None = None) -> Path:
    """Write a table beside the figure that it is drawn as: figures/NAME.csv, or NAME.csv in another folder."""
    path = (folder or paths.figures()) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6g")
    return path


def _rounded(name: str, column: pd.Series) -> pd.Series:
    if name in ("p_value", "p_holm"):
        return column.map(lambda p: f"<{LEAST_P}" if p < LEAST_P else f"{p:.4f}")
    if not pd.api.types.is_float_dtype(column):
        return column
    if name in SHARES:
        return (100 * column).round(1)
    return column.round(2) if column.abs().max() < 1000 else column.map(lambda v: v if np.isnan(v) else f"{v:.3g}")
