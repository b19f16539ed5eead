"""Which strategy is best where: levels × n."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tts_study.plots.style import WIDTH, finish, looks, style


def chosen_map(table: pd.DataFrame, title: str = "The best strategy by difficulty and budget") -> Figure:
    """A cell for each level and n, coloured and named by the strategy chosen most often; paler where less often.

    Args:
        table: columns level, n, method, share, the most often chosen first, as of `Chosen.table`.
        title: of the figure.
    """
    top = table.drop_duplicates(["level", "n"])
    levels, ns = sorted(top["level"].unique()), sorted(top["n"].unique())
    drawn = looks(table["method"])
    with style():
        figure, axes = plt.subplots(figsize=(WIDTH, 1.2 + 0.62 * len(levels)), layout="constrained")
        for level, n, method, share in top[["level", "n", "method", "share"]].itertuples(index=False):
            x, y = ns.index(n), levels.index(level)
            color = _paler(drawn[method].color, share)
            axes.add_patch(plt.Rectangle((x - 0.48, y - 0.47), 0.96, 0.94, facecolor=color, lw=0))
            dark = np.dot(color, (0.299, 0.587, 0.114)) < 0.5
            text = f"{drawn[method].label.replace(' ', chr(10), 1)}\n{100 * share:.0f} %"
            axes.text(x, y, text, ha="center", va="center", fontsize=9.5, color="white" if dark else "black",
                      linespacing=1.05)  # fmt: skip
        axes.set(xlim=(-0.5, len(ns) - 0.5), ylim=(len(levels) - 0.5, -0.5))
        axes.set_xticks(range(len(ns)), [f"{n:g}" for n in ns])
        axes.set_yticks(range(len(levels)), [str(level) for level in levels])
        axes.set_xlabel("n (generations per problem); in each cell the most frequent choice and its share of all")
        axes.set_ylabel("Difficulty level (1 is easiest)")
        axes.set_title(title, loc="left")
        axes.grid(False)
        axes.spines[:].set_visible(False)
        return finish(figure)


def _paler(color: tuple[float, float, float], share: float) -> tuple[float, float, float]:
    """White at a share of 0, the colour itself at 1: between them never so pale that it cannot be recognised."""
    weight = 0.25 + 0.75 * share
    red, green, blue = (1 - weight + weight * part for part in to_rgb(color))
    return red, green, blue
