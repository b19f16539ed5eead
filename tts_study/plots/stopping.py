"""Accuracy against how many samples adaptive stopping draws."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from tts_study.plots.curves import label_accuracy, label_n
from tts_study.plots.style import WIDTH, finish, looks, style


def accuracy_against_mean_n(by_verifier: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """A panel for each verifier: accuracy against the mean number of samples, with 95 % bands.

    Args:
        by_verifier: the panel's title → columns method, cap, n, accuracy, low, high, as of `stopping.curves`.
        title: of the figure.
    """
    drawn = looks(method for table in by_verifier.values() for method in table["method"])
    with style():
        figure, row = plt.subplots(
            1, len(by_verifier), figsize=(WIDTH, 5.4), sharey=True, squeeze=False, layout="constrained"
        )
        for axes, (verifier, table) in zip(row[0], by_verifier.items(), strict=True):
            for method, rows in table.groupby("method", sort=False):
                look = drawn[method]
                axes.plot(rows["n"], rows["accuracy"], color=look.color, marker=look.marker, label=look.label, lw=2)
                axes.fill_between(rows["n"], rows["low"], rows["high"], color=look.color, alpha=0.12, lw=0)
            label_n(axes, table["cap"].unique())
            label_accuracy(axes, "")
            axes.label_outer()
            axes.set_xlabel("Mean n (log scale)")
            axes.set_title(verifier, fontsize=11, fontweight="normal")
        figure.suptitle(title)
        sns.despine(figure)
        labels = {
            text: handle for axes in row[0] for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(labels.values(), labels.keys(), loc="outside lower center", ncols=2)
        return finish(figure)
