"""Small policies that search against large ones: accuracy against n, and against what it costs."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from tts_study.plots.curves import draw_baselines, label_accuracy, label_n
from tts_study.plots.style import PLACES, WIDTH, Look, finish, legend_columns, looks, style

# names of prices in tables, and the labels of their axes
PRICE_LABELS = {
    "flops_policy": "Compute per problem, policy only (log scale)",
    "flops": "Compute per problem, policy and PRM (log scale)",
    "weights": "Weights in memory (log scale)",
    "memory": "Weights, and the KV cache of one problem (log scale)",
    "seconds": "Time per problem, many at once (log scale)",
}
UNITS = {"flops_policy": "FLOP", "flops": "FLOP", "weights": "B", "memory": "B", "seconds": "s"}


def small_against_large(
    options: pd.DataFrame, title: str, *, dashed: Sequence[str] = (),
    lines: Mapping[str, float] = MappingProxyType({}),
) -> Figure:  # fmt: skip
    """Accuracy against n: the policies' curves with 95 % bands, and each policy's greedy decoding as a dashed line.

    Args:
        options: columns policy, method, n, accuracy, low, high, as of `frontier.options`, smallest policy first.
        title: of the figure.
        dashed: methods that are drawn as thin dashed curves without a band, such as upper bounds.
        lines: label → accuracy of further lines, such as what the PRM solves itself.
    """
    colors, drawn = policy_colors(list(options["policy"].unique())), looks(options["method"])
    curves, base = options[options["method"] != "greedy"], options[options["method"] == "greedy"]
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 5.4), layout="constrained")
        for (policy, method), rows in curves.groupby(["policy", "method"], sort=False):
            color = colors[policy]
            if method in dashed:
                axes.plot(rows["n"], rows["accuracy"], color=color, marker=drawn[method].marker, ms=5, lw=1.2, ls="--")
                continue
            axes.plot(rows["n"], rows["accuracy"], color=color, marker=drawn[method].marker, lw=2)
            axes.fill_between(rows["n"], rows["low"], rows["high"], color=color, alpha=0.15, lw=0)
        label_n(axes, curves["n"].unique())
        label_accuracy(axes, title)
        named = base["policy"] + " greedy"
        draw_baselines(axes, dict(zip(named, base["accuracy"], strict=True)) | dict(lines))
        lines_of = {method: "--" if method in dashed else "-" for method in curves["method"].unique()}
        return _with_legend(figure, curves, colors, lines_of=lines_of)


def accuracy_against_price(
    options: pd.DataFrame, price: str, title: str, *, frontier: pd.DataFrame, panels: str = ""
) -> Figure:
    """Accuracy of every option against its price, each strategy's budgets joined, with 95 % bands, and the frontier.

    Args:
        options: columns policy, method, n, accuracy, low, high and the price, as of `frontier.options`, smallest
            policy first.
        price: one of `PRICE_LABELS`.
        title: of the figure.
        frontier: the options that no other beats, as of `frontier.pareto`.
        panels: a column of both tables, whose values get a panel each; empty: one panel for everything.
    """
    options = options.dropna(subset=[price])
    colors, drawn = policy_colors(list(options["policy"].unique())), looks(options["method"])
    names = list(options[panels].unique()) if panels else [title]
    height = 4.0 * len(names) + 1.4  # inches, of which the legend takes 1.4
    with style():
        figure, column = plt.subplots(
            len(names), figsize=(WIDTH, height), sharex=True, sharey=True, squeeze=False, layout="constrained"
        )
        for axes, name in zip(column[:, 0], names, strict=True):
            shown, best = (table[table[panels] == name] if panels else table for table in (options, frontier))
            _draw_options(axes, shown, best, price, colors, drawn)
            label_accuracy(axes, name)
        if panels:
            figure.suptitle(title)
        axes.set_xscale("log")
        if options[price].max() < 100 * options[price].min():  # powers of ten alone would be one label or two
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(EngFormatter(unit=UNITS[price]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(PRICE_LABELS[price])
        return _with_legend(figure, options, colors, Line2D([], [], color="0.75", lw=5, label="Best for its price"))


def _draw_options(
    axes: Axes, options: pd.DataFrame, frontier: pd.DataFrame, price: str,
    colors: Mapping[str, tuple[float, float, float]], drawn: Mapping[str, Look],
) -> None:  # fmt: skip
    """One panel of `accuracy_against_price`."""
    axes.step(frontier[price], frontier["accuracy"], where="post", color="0.75", lw=5, zorder=1)
    for (policy, method), rows in options.groupby(["policy", "method"], sort=False):
        axes.plot(rows[price], rows["accuracy"], color=colors[policy], marker=drawn[method].marker, lw=1.6, ms=7)
        if len(rows) > 1:
            axes.fill_between(rows[price], rows["low"], rows["high"], color=colors[policy], alpha=0.12, lw=0)
        else:
            error = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
            axes.errorbar(rows[price], rows["accuracy"], error, color=colors[policy], elinewidth=1.2, capsize=3)


def policy_colors(policies: Sequence[str]) -> dict[str, tuple[float, float, float]]:
    """A colour for each policy, from light to dark with its size, which lightness alone distinguishes."""
    shades = sns.color_palette("viridis_r", n_colors=len(policies) + 1)[1:]
    return dict(zip(policies, shades, strict=True))


def _with_legend(
    figure: Figure, drawn: pd.DataFrame, colors: Mapping[str, tuple[float, float, float]], *more: Line2D,
    lines_of: Mapping[str, str] = MappingProxyType({}),
) -> Figure:  # fmt: skip
    """Colours distinguish the policies, markers and, where `lines_of` has them, line styles the strategies."""
    policies, methods = set(drawn["policy"]), drawn["method"].unique()
    handles = [
        Line2D([], [], color=color, lw=3, label=policy) for policy, color in colors.items() if policy in policies
    ]
    for method, look in looks(sorted(methods, key=lambda name: [*PLACES, name].index(name))).items():
        line = lines_of.get(method, "")
        handles.append(Line2D([], [], color="0.3", marker=look.marker, ls=line, ms=7, label=look.label))
    sns.despine(figure)
    handles += more
    columns = legend_columns([str(handle.get_label()) for handle in handles])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return finish(figure)
