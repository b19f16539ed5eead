"""Completions beside each other, each step shaded by its score."""

from collections.abc import Sequence
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from tts_study.plots.style import MONOSPACE, SCORE_COLORS, WIDTH, finish, style
from tts_study.plots.text import printable, wrapped
from tts_study.records import Completion


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
        return finish(figure)


def _draw_column(
    axes: Axes, cells: Sequence[tuple[str, float | None]], title: str, left: float, top: float, width: float
) -> None:
    axes.text(left, top + 0.2, printable(title), va="center", fontsize=11, fontweight="bold")
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
    """The steps with their scores, wrapped; if there are more than `most`, a note replaces those in the middle."""
    scores = completion.step_scores or (None,) * len(completion.steps)
    cells = [(wrapped(step, letters), score) for step, score in zip(completion.steps, scores, strict=True)]
    if len(cells) <= most:
        return cells or [("(no step)", None)]
    return [*cells[: most - 2], (f"… {len(cells) - most + 1} more steps …"[:letters], None), cells[-1]]


def _letters(width: float) -> int:
    """How many letters of 9.5 points, 0.0795 inches each, fit into a column of `width` inches beside the score."""
    return int((width - 0.76) / 0.0795)


def _height(text: str) -> float:
    return 0.19 + 0.165 * (text.count("\n") + 1)
