"""Figures from tables; what is computed here is only where things lie on the page.

Every figure is about 9 inches wide with text of 9.5 points or more: legible on a page that shows it 900 pixels wide.
"""

import textwrap
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from tts_study import paths
from tts_study.records import Completion

WIDTH = 9.0  # inches
# what the tables call a method: its name, and its place in seaborn's colour-blind-safe palette, the same in all figures
LABELS = {"majority": "Majority", "best": "Best-of-N", "weighted": "Weighted Best-of-N", "pass": "pass@n (oracle)"}
COLORS = dict(zip(LABELS, (sns.color_palette("colorblind")[i] for i in (0, 1, 2, 7)), strict=True))
MARKERS = dict(zip(LABELS, "osD^", strict=True))
# red to green that the colour-blind tell apart: vermilion and bluish green of Okabe and Ito, light in between
SCORE_COLORS = LinearSegmentedColormap.from_list("prm", ["#e06c3c", "#f7f4ee", "#2fa98a"])
MONOSPACE = "DejaVu Sans Mono"  # comes with matplotlib, as does DejaVu Sans: the same figure everywhere
LOOK: dict[Any, Any] = {
    **sns.axes_style("whitegrid"),
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.labelsize": 11,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "figure.labelsize": 11,
    "figure.titlesize": 13,
    "figure.titleweight": "bold",
    "legend.fontsize": 11,
    "legend.frameon": False,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "text.parse_math": False,  # a model's "$" and "\\" are text
}


def style() -> AbstractContextManager[None]:
    """The one look of all figures, as a context to draw them in."""
    return plt.rc_context(LOOK)


def save(figure: Figure, name: str) -> Path:
    """Write figures/NAME.png, the same bytes for the same figure: no dates or versions inside."""
    path = paths.figures() / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    return path


def accuracy_against_n(curve: pd.DataFrame, baselines: Mapping[str, float], title: str) -> Figure:
    """Accuracy of each method against n, with 95 % bands.

    Args:
        curve: columns method, n, accuracy, low, high, as of `tables.accuracy_curve`.
        baselines: label → accuracy, each a dashed horizontal line, such as the greedy accuracy of every policy.
        title: of the figure.
    """
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 5.4), layout="constrained")
        for method, rows in curve.groupby("method", sort=False):
            color = COLORS[method]
            axes.plot(rows["n"], rows["accuracy"], color=color, marker=MARKERS[method], label=LABELS[method], lw=2)
            axes.fill_between(rows["n"], rows["low"], rows["high"], color=color, alpha=0.15, lw=0)
        ns = sorted(curve["n"].unique())
        axes.set_xscale("log", base=2)
        axes.xaxis.set(major_locator=FixedLocator(ns), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
        axes.set(xlabel="n (completions per problem, log scale)", ylabel="Accuracy (% of problems solved)")
        axes.set_title(title, loc="left")
        _draw_baselines(axes, baselines)
        sns.despine(figure)
        figure.legend(loc="outside lower center", ncols=len(LABELS))
        return _finish(figure)


def _draw_baselines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """Dashed lines, labelled right of the axes; close labels are nudged apart and joined to their line."""
    for value in baselines.values():
        axes.axhline(value, color="0.35", lw=1.2, ls=(0, (5, 3)), zorder=1)
    low, high = axes.get_ylim()
    label_height = 0.048 * (high - low)  # one line of text, of the axes' height
    for (name, value), y in zip(baselines.items(), _apart(list(baselines.values()), label_height, high), strict=True):
        axes.annotate(
            f"{name}  {100 * value:.1f}",
            xy=(1, value),
            xytext=(1.03, y),
            xycoords=("axes fraction", "data"),
            textcoords=("axes fraction", "data"),
            va="center",
            fontsize=10,
            color="0.2",
            arrowprops=dict(arrowstyle="-", color="0.35", lw=0.8, shrinkA=0, shrinkB=0, relpos=(0, 0.5)),
        )


def _apart(positions: Sequence[float], gap: float, top: float) -> list[float]:
    """The positions moved so that neighbours lie `gap` apart: upwards from the lowest, then down from the top."""
    order = np.argsort(positions, kind="stable")
    moved = np.array(positions, dtype=float)
    for below, above in zip(order, order[1:], strict=False):
        moved[above] = max(moved[above], moved[below] + gap)
    for above, below in zip(order[::-1], order[-2::-1], strict=False):
        moved[above] = min(moved[above], top)
        moved[below] = min(moved[below], moved[above] - gap)
    return moved.tolist()


def accuracy_bars_by_level(table: pd.DataFrame, title: str = "Accuracy by difficulty level") -> Figure:
    """Grouped bars: for each level and n, the accuracy of each method with its 95 % interval.

    Args:
        table: columns level, method, n, accuracy, low, high, as of `tables.accuracy_by_level`; choose a few n.
        title: of the figure.
    """
    levels, methods = table["level"].unique(), table["method"].unique()
    bar = 0.84 / len(methods)
    with style():
        figure, row = plt.subplots(
            1, len(levels), figsize=(WIDTH, 4.4), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, (level, of_level) in zip(row[0], table.groupby("level"), strict=True):
            for i, method in enumerate(methods):
                rows = of_level[of_level["method"] == method]
                x = np.arange(len(rows)) + (i - (len(methods) - 1) / 2) * bar
                error = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
                axes.bar(x, rows["accuracy"], bar, color=COLORS[method], label=LABELS[method], lw=0)
                axes.errorbar(x, rows["accuracy"], error, fmt="none", ecolor="0.25", elinewidth=0.8)
                axes.set_xticks(np.arange(len(rows)), rows["n"].astype(str))
            axes.set(xlabel="n (completions)", ylim=(0, 1))
            axes.set_title(f"Level {level}", fontsize=11, fontweight="normal")
            axes.grid(axis="x", visible=False)
        row[0, 0].yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
        row[0, 0].set_ylabel("Accuracy (% of problems solved)")
        figure.suptitle(title)
        sns.despine(figure)
        handles, labels = row[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(methods))
        return _finish(figure)


def step_heatmap(completions: Sequence[Completion], titles: Sequence[str]) -> Figure:
    """Completions side by side, a cell a step, coloured by its PRM score, which stands beside the text.

    Long steps are wrapped and cut, long completions lose their middle; neither is read as mathematics.

    Args:
        completions: a few, with step scores.
        titles: one for each, such as the verdict and the score of `Graded.verdict`.
    """
    longest = max((len(step) for completion in completions for step in completion.steps), default=0)
    # as many columns as leave each step on one line, but never fewer than two; then rows of about equal length
    most = next((count for count in (4, 3) if longest <= _letters(WIDTH / count)), 2)
    columns = ceil(len(completions) / ceil(len(completions) / most))
    width, letters = WIDTH / columns, _letters(WIDTH / columns)
    cells = [_cells(completion, letters) for completion in completions]
    heights = [0.45 + sum(_height(text) for text, _ in column) for column in cells]
    tops = [0.1]
    for first in range(0, len(cells), columns):
        tops.append(tops[-1] + max(heights[first : first + columns]) + 0.2)
    height = tops[-1] + 0.55
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, height))
        # the page in inches, from its upper left corner
        axes.set(position=(0, 0, 1, 1), xlim=(0, WIDTH), ylim=(height, 0))
        axes.axis("off")
        for i, (column, title) in enumerate(zip(cells, titles, strict=True)):
            _draw_column(axes, column, title, (i % columns) * width + 0.1, tops[i // columns], width - 0.2)
        bar = figure.add_axes((0.3, 0.44 / height, 0.4, 0.12 / height))
        figure.colorbar(ScalarMappable(cmap=SCORE_COLORS), cax=bar, orientation="horizontal", ticks=[0, 0.5, 1])
        bar.set_xlabel("PRM score of the step", fontsize=10, labelpad=1)
        return _finish(figure)


def _draw_column(
    axes: Axes, cells: Sequence[tuple[str, float | None]], title: str, left: float, top: float, width: float
) -> None:
    axes.text(left, top + 0.2, _printable(title), va="center", fontsize=11, fontweight="bold")
    y = top + 0.4
    for text, score in cells:
        height = _height(text)
        color = "white" if score is None else SCORE_COLORS(score)
        axes.add_patch(plt.Rectangle((left, y), width, height - 0.05, facecolor=color, edgecolor="0.75", lw=0.6))
        middle = y + (height - 0.05) / 2
        font: dict[str, Any] = dict(va="center", fontsize=9.5, family=MONOSPACE, color="black")
        axes.text(left + 0.08, middle, text, linespacing=1.2, **font)
        if score is not None:
            axes.text(left + width - 0.08, middle, f"{score:.2f}", ha="right", **font)
        y += height


def _cells(completion: Completion, letters: int, most: int = 24) -> list[tuple[str, float | None]]:
    """The steps with their scores, wrapped; of more than `most`, those in the middle give way to a note."""
    scores = completion.step_scores or (None,) * len(completion.steps)
    cells = [(_wrap(step, letters), score) for step, score in zip(completion.steps, scores, strict=True)]
    if len(cells) <= most:
        return cells or [("(no step)", None)]
    return [*cells[: most - 2], (f"… {len(cells) - most + 1} more steps …"[:letters], None), cells[-1]]


def _letters(width: float) -> int:
    """How many letters of 9.5 points, 0.0795 inches each, fit into a column of `width` inches beside the score."""
    return int((width - 0.76) / 0.0795)


def _height(text: str) -> float:
    return 0.19 + 0.165 * (text.count("\n") + 1)


def _wrap(step: str, letters: int, most: int = 5) -> str:
    # no more than can be shown is looked at: model output may be of any length
    text = _printable(step[: 2 * letters * most])
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, letters) or [""]]
    if len(lines) > most or len(step) > 2 * letters * most:
        lines = [*lines[: most - 1], lines[min(most, len(lines)) - 1][: letters - 1] + "…"]
    return "\n".join(lines)


def _printable(text: str) -> str:
    """The text with what the font has no glyph for replaced: matplotlib warns of it and draws an empty box."""
    return "".join(char if char == "\n" or ord(char) in _glyphs() else "\N{REPLACEMENT CHARACTER}" for char in text)


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(MONOSPACE)).get_charmap())


def _finish(figure: Figure) -> Figure:
    """Lay the figure out while the style holds, and let go of it: a notebook shows what a cell returns, once."""
    figure.draw_without_rendering()
    plt.close(figure)
    return figure
