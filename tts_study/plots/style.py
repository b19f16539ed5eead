"""The style of all figures, and how one is saved.

Every figure is about 9 inches wide with text of 9.5 points or more: legible on a page that shows it 900 pixels wide.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from numpy import array_split

from tts_study import paths
from tts_study.analysis import tables
from tts_study.strategies import METHODS

WIDTH = 9.0  # inches
# labels of curves that are not in the table of strategies
LABELS = {
    "pass": "pass@n (oracle)",
    "beam_search_dropped": "Beam search, duplicates dropped",
    "single": "Best single strategy",
    "compute_optimal": "Compute-optimal (oracle difficulty)",
    "compute_optimal_predicted": "Compute-optimal, predicted",
    "mean_logprob": "Log-probability per token",
    "sum_logprob": "Log-probability, total",
    "confidence": "Confidence",
    "lowest_step": "Confidence, lowest step",
    "last_step": "Confidence, last step",
}
PALETTE = sns.color_palette("colorblind")
# the colour and the marker of common methods, the same in all figures; the others take what is left
PLACES = {
    "majority": (0, "o"), "best": (1, "s"), "weighted": (2, "D"), "pass": (7, "^"), "beam_search": (3, "v"),
    "dvts": (4, "P"), "greedy": (6, "h"), "compute_optimal": (9, "X"), "compute_optimal_predicted": (5, "*"),
    "single": (8, "p"), "beam_search_dropped": (5, "<"),
    "stop_when_trusted": (3, ">"), "stop_when_decided": (9, "<"),
}  # fmt: skip
MORE_MARKERS = "<>d8H1234"
# red to green that colour-blind readers can distinguish: vermilion and bluish green of Okabe and Ito, light in between
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


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    label: str
    color: tuple[float, float, float]
    marker: str


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """How each of the methods in a figure is drawn: no two alike, as far as there are colours and markers."""
    drawn = list(dict.fromkeys(methods))
    used = {PLACES[name][0] for name in drawn if name in PLACES}
    free = [color for color in (8, *range(10)) if color not in used] or list(range(10))
    others = (name for name in drawn if name not in PLACES)
    dealt = {
        name: (free[i % len(free)], MORE_MARKERS[i % len(MORE_MARKERS)]) for i, name in enumerate(others)
    }
    return {
        name: Look(label_of(name), PALETTE[color], marker)
        for name, (color, marker) in ((name, PLACES.get(name) or dealt[name]) for name in drawn)
    }


def label_of(method: str) -> str:
    """A method's name in figures."""
    return METHODS[method].label if method in METHODS else LABELS.get(method, method)


def legend_columns(labels: Sequence[str], most: int = 4) -> int:
    """How many columns a legend below the figure may have so that none of its labels is cut."""
    letter, key = 0.085, 0.75  # inches, on average and at most: a letter of a label; the marker and spaces of a column
    for columns in range(min(most, len(labels)), 1, -1):
        longest = [max(map(len, column)) for column in array_split(list(labels), columns)]
        if letter * sum(longest) + key * columns <= WIDTH:
            return columns
    return 1


def style() -> AbstractContextManager[None]:
    """The style of all figures, as a context to draw them in."""
    return plt.rc_context(LOOK)


def save(figure: Figure, name: str, table: pd.DataFrame | None = None, folder: Path | None = None) -> Figure:
    """Write figures/NAME.png, and NAME.csv of the table that it draws; the same bytes for the same figure.

    Args:
        figure: what to save.
        name: of the files.
        table: the numbers behind it, if they are to be kept.
        folder: another folder than figures/.

    Returns:
        The figure, to be shown by a notebook.
    """
    path = (folder or paths.figures()) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})  # no version
    if table is not None:
        tables.save(table, name, folder)
    return figure


def finish(figure: Figure) -> Figure:
    """Lay the figure out while the style is set, and close it: a notebook shows what a cell returns, once."""
    figure.draw_without_rendering()
    plt.close(figure)
    return figure
