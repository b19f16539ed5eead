"""Tables for readers: rounded in a notebook, and saved beside their figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tts_study import paths

# columns that are shares of problems or differences of them, shown in percent
SHARES = {
    "accuracy", "low", "high", "baseline", "difference", "detectable", "estimate",
    "between_seeds", "between_low", "between_high", "problem_sd", "seed_sd", "residual_sd",
}  # fmt: skip
LEAST_P = 1e-4
MISSING = "-"  # what a reader sees in place of a value that there is not


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
        index: if given, the table is turned into one cell for each value of `index` and of `columns`: numbers in
            ascending order, names in the order of the table.
        columns: see `index`.
        values: what the cells contain then.

    Returns:
        The table to print. A value that is missing is shown as "-".
    """
    if index is None:
        return pd.DataFrame({name: _rounded(str(name), table[name]) for name in table})
    wide = table.pivot(index=index, columns=columns, values=values)
    if isinstance(columns, str):
        wide = wide[list(dict.fromkeys(table[columns]))]  # as in the table, where pandas would sort them
    wide = wide.sort_index(key=lambda level: level.map(_places(table[level.name])))
    return wide.apply(lambda column: _rounded(values, column))


def save(table: pd.DataFrame, name: str, folder: Path | None = None) -> Path:
    """Write a table beside the figure that it is drawn as: figures/NAME.csv, or NAME.csv in another folder."""
    path = (folder or paths.figures()) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False, float_format="%.6g")
    return path


def _places(column: pd.Series) -> dict[Any, int]:
    """The place of each value of an index: numbers by size, names as the table first has them."""
    values = list(dict.fromkeys(column))
    named = all(isinstance(value, str) for value in values)
    return {value: i for i, value in enumerate(values if named else sorted(values))}


def _rounded(name: str, column: pd.Series) -> pd.Series:
    if name in ("p_value", "p_holm"):
        return column.map(lambda p: f"<{LEAST_P}" if p < LEAST_P else f"{p:.4f}")
    if not pd.api.types.is_float_dtype(column):
        return column if column.notna().all() else column.astype(object).where(column.notna(), MISSING)
    digits, factor = (1, 100) if name in SHARES else (2, 1)
    shown, largest = (factor * column).round(digits), column.abs().max()
    if name not in SHARES and largest >= 1000:
        form = "{:,.0f}" if largest < 1e6 else "{:.3g}"
    elif column.isna().any():
        form = f"{{:.{digits}f}}"
    else:
        return shown
    return shown.map(lambda value: MISSING if np.isnan(value) else form.format(value))
