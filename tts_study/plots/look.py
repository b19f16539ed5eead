"""The one look of all figures, and how one is saved.

Every figure is about 9 inches wide with text of 9.5 points or more: legible on a page that shows it 900 pixels wide.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from tts_study import paths

WIDTH = 9.0  # inches
# what the tables call a method: its name, and its place in seaborn's colour-blind-safe palette, the same in all figures
LABELS = {
    "majority": "Majority",
    "best": "Best-of-N",
    "weighted": "Weighted Best-of-N",
    "pass": "pass@n (oracle)",
    "beam_search": "Beam search",
    "dvts": "DVTS",
    "greedy": "Greedy",
    "compute_optimal": "Compute-optimal",
    "compute_optimal_predicted": "Compute-optimal, predicted",
}
COLORS = dict(zip(LABELS, (sns.color_palette("colorblind")[i] for i in (0, 1, 2, 7, 3, 4, 6, 9, 5)), strict=True))
MARKERS = dict(zip(LABELS, "osD^vPhX*", strict=True))
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


def save(figure: Figure, name: str, folder: Path | None = None) -> Path:
    """Write figures/NAME.png (or into another folder), the same bytes for the same figure: no dates or versions."""
    path = (folder or paths.figures()) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    return path


def finish(figure: Figure) -> Figure:
    """Lay the figure out while the style holds, and let go of it: a notebook shows what a cell returns, once."""
    figure.draw_without_rendering()
    plt.close(figure)
    return figure
