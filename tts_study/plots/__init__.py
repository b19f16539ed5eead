"""The study's figures: they draw tables, and compute positions on the page only."""

from tts_study.plots.curves import accuracy_against_n, accuracy_bars_by_level, accuracy_by_policy
from tts_study.plots.explorer import Explorer, explorer
from tts_study.plots.label_budget import quality_against_labels
from tts_study.plots.optimal import chosen_map
from tts_study.plots.rivals import accuracy_against_price, small_against_large
from tts_study.plots.steps import step_heatmap
from tts_study.plots.stopping import accuracy_against_mean_n
from tts_study.plots.style import WIDTH, looks, save
from tts_study.plots.tree import search_tree
from tts_study.plots.verifiers import accuracy_against_quality

__all__ = [
    "Explorer",
    "WIDTH",
    "accuracy_against_mean_n",
    "accuracy_against_n",
    "accuracy_against_price",
    "accuracy_against_quality",
    "accuracy_bars_by_level",
    "accuracy_by_policy",
    "chosen_map",
    "explorer",
    "looks",
    "quality_against_labels",
    "save",
    "search_tree",
    "small_against_large",
    "step_heatmap",
]
