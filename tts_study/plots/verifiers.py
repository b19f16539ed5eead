"""Accuracy against the quality of the verifier."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from tts_study.plots.curves import label_accuracy
from tts_study.plots.style import WIDTH, finish, legend_columns, looks, style


def accuracy_against_quality(
    dial: pd.DataFrame, baselines: Mapping[str, float], published: Mapping[str, float], title: str
) -> Figure:
    """A panel for each n: accuracy of each method against the verifier's F1, with 95 % bands.

    Args:
        dial: columns f1, method, n, accuracy, low, high, as of `verifiers.dial`.
        baselines: label → accuracy of what asks no verifier, each a dashed line.
        published: name → F1 of real PRMs, each a dotted line.
        title: of the figure.
    """
    ns, drawn = sorted(dial["n"].unique()), looks(dial["method"])
    with style():
        figure, row = plt.subplots(1, len(ns), figsize=(WIDTH, 5.4), sharey=True, squeeze=False, layout="constrained")
        for axes, n in zip(row[0], ns, strict=True):
            for method, rows in dial[dial["n"] == n].sort_values("f1").groupby("method", sort=False):
                look = drawn[method]
                axes.plot(rows["f1"], rows["accuracy"], color=look.color, marker=look.marker, label=look.label, lw=2)
                axes.fill_between(rows["f1"], rows["low"], rows["high"], color=look.color, alpha=0.12, lw=0)
            for name, accuracy in baselines.items():
                axes.axhline(accuracy, color="0.35", lw=1.2, ls=(0, (5, 3)), zorder=1)
                axes.annotate(name, (0.02, accuracy), (0, 3), xycoords=("axes fraction", "data"),
                              textcoords="offset points", fontsize=9, color="0.3")  # fmt: skip
            for name, f1 in published.items():
                axes.axvline(f1, color="0.6", lw=1, ls=":", zorder=0)
                left = any(0 < other - f1 < 0.1 for other in published.values())  # its label would lie on the next line
                axes.annotate(name, (f1, 1), (-2 if left else 2, -4), xycoords=("data", "axes fraction"), rotation=90,
                              ha="right" if left else "left", va="top", textcoords="offset points",
                              fontsize=8, color="0.4",
                              bbox=dict(facecolor="white", edgecolor="none", pad=0.4))  # fmt: skip
            axes.set_title(f"n = {n}", fontsize=11, fontweight="normal")
            axes.set(xlabel="F1 of the verifier", xlim=(0, 1.02), ylim=(0, 1))
        label_accuracy(row[0, 0], "")
        figure.suptitle(title)
        sns.despine(figure)
        handles, labels = row[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=legend_columns(labels))
        return finish(figure)
