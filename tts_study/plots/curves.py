"""Accuracy against budget, and by level."""

from collections.abc import Iterable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter, StrMethodFormatter

from tts_study.plots.style import WIDTH, finish, legend_columns, looks, style


def accuracy_against_n(curve: pd.DataFrame, baselines: Mapping[str, float], title: str) -> Figure:
    """Accuracy of each method against n, with 95 % bands.

    Args:
        curve: columns method, n, accuracy, low, high, as of `accuracy.table`.
        baselines: label → accuracy, each a dashed horizontal line, such as the greedy accuracy of every policy.
        title: of the figure.
    """
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 5.4), layout="constrained")
        drawn = looks(curve["method"])
        for method, rows in curve.groupby("method", sort=False):
            look = drawn[method]
            axes.plot(rows["n"], rows["accuracy"], color=look.color, marker=look.marker, label=look.label, lw=2)
            axes.fill_between(rows["n"], rows["low"], rows["high"], color=look.color, alpha=0.15, lw=0)
        label_n(axes, curve["n"].unique())
        label_accuracy(axes, title)
        draw_baselines(axes, baselines)
        sns.despine(figure)
        figure.legend(loc="outside lower center", ncols=legend_columns([look.label for look in drawn.values()]))
        return finish(figure)


def accuracy_by_policy(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy against n, a panel for each policy: 95 % bands over problems, bars for the spread between seeds.

    Args:
        table: columns policy, method, n, accuracy, low, high, between_seeds, as of `side_by_side`.
        title: of the figure.
    """
    policies, drawn = table["policy"].unique(), looks(table["method"])
    with style():
        figure, row = plt.subplots(
            1, len(policies), figsize=(WIDTH, 5.4), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, (policy, of_policy) in zip(row[0], table.groupby("policy", sort=False), strict=True):
            for method, rows in of_policy.groupby("method", sort=False):
                look, spread = drawn[method], rows["between_seeds"].fillna(0)
                axes.errorbar(
                    rows["n"], rows["accuracy"], spread.where(spread > 0), color=look.color, marker=look.marker,
                    label=look.label, lw=2, capsize=4, elinewidth=1.2,
                )  # fmt: skip
                axes.fill_between(rows["n"], rows["low"], rows["high"], color=look.color, alpha=0.15, lw=0)
            label_n(axes, of_policy["n"].unique())
            axes.set_xlabel("n (log scale)")
            axes.set_title(policy, fontsize=11, fontweight="normal")
        label_accuracy(row[0, 0], row[0, 0].get_title())
        row[0, 0].set_title("", loc="left")
        figure.suptitle(title)
        sns.despine(figure)
        found = {
            text: handle for axes in row[0] for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=legend_columns(list(found)))
        return finish(figure)


def label_n(axes: Axes, ns: Iterable[int]) -> None:
    """The axis of budgets, with the given ones labelled."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set(major_locator=FixedLocator(_spaced(sorted(ns))), minor_locator=NullLocator())
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
    axes.set_xlabel("n (completions per problem, log scale)")


def label_accuracy(axes: Axes, title: str) -> None:
    """The axis of accuracies, and the title above it."""
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol=""))
    axes.set_ylabel("Accuracy (% of problems solved)")
    axes.set_title(title, loc="left")


def _spaced(ns: Sequence[int]) -> list[int]:
    """The n to label: without those so close above another one that the two labels would touch."""
    shown: list[int] = []
    for n in ns:
        if not shown or n >= 1.2 * shown[-1]:
            shown.append(n)
    return shown


def draw_baselines(axes: Axes, baselines: Mapping[str, float]) -> None:
    """Dashed lines, labelled right of the axes; close labels are moved apart and connected to their line."""
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
        table: columns level, method, n, accuracy, low, high, as of `accuracy.table_by_level`; choose a few n.
        title: of the figure.
    """
    levels, methods = table["level"].unique(), table["method"].unique()
    bar, drawn = 0.84 / len(methods), looks(methods)
    with style():
        figure, row = plt.subplots(
            1, len(levels), figsize=(WIDTH, 4.4), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, (level, of_level) in zip(row[0], table.groupby("level"), strict=True):
            for i, method in enumerate(methods):
                rows = of_level[of_level["method"] == method]
                x = np.arange(len(rows)) + (i - (len(methods) - 1) / 2) * bar
                error = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
                axes.bar(x, rows["accuracy"], bar, color=drawn[method].color, label=drawn[method].label, lw=0)
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
        return finish(figure)
