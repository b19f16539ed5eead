"""A verifier's quality against how many labels it was trained with."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from tts_study.plots.style import PALETTE, WIDTH, finish, style

MEASURES = {"f1": "F1 of first errors", "auroc": "AUROC of steps"}
KINDS: Mapping[str, tuple[str, int, str]] = {
    "exact": ("Exact labels", 0, "o"), "rollouts": ("Labels by rollouts", 3, "s"),
}  # fmt: skip


def quality_against_labels(curve: pd.DataFrame, title: str) -> Figure:
    """A panel for F1 and one for AUROC, against the number of labelled steps, with 95 % bands.

    Args:
        curve: columns kind, labels, f1, f1_low, f1_high, auroc, auroc_low, auroc_high, as of `label_budget.curve`.
        title: of the figure.
    """
    with style():
        figure, row = plt.subplots(1, len(MEASURES), figsize=(WIDTH, 4.8), sharey=True, layout="constrained")
        for axes, (measure, name) in zip(row, MEASURES.items(), strict=True):
            for kind, rows in curve.sort_values("labels").groupby("kind"):
                label, color, marker = KINDS[str(kind)]
                axes.plot(rows["labels"], rows[measure], color=PALETTE[color], marker=marker, label=label, lw=2)
                axes.fill_between(rows["labels"], rows[f"{measure}_low"], rows[f"{measure}_high"],
                                  color=PALETTE[color], alpha=0.12, lw=0)  # fmt: skip
            axes.set_xscale("log")
            ticks = sorted(curve["labels"].unique())
            axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks], rotation=30)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set(xlabel="Labelled steps (log scale)", ylim=(0, 1))
            axes.set_title(name, fontsize=11, fontweight="normal")
        figure.suptitle(title)
        sns.despine(figure)
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2)
        return finish(figure)
