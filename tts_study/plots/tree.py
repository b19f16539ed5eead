"""The tree of one search: what was sampled, what was kept, and the path to the chosen solution."""

from collections import Counter
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from tts_study.plots.style import MONOSPACE, SCORE_COLORS, WIDTH, finish, style
from tts_study.plots.text import printable, wrapped
from tts_study.records import Fate, Node
from tts_study.strategies import tree

# how a node is drawn: marker, its size in points², and the strength of the line that leads to it
DRAWN: dict[Fate, tuple[str, float, float]] = {
    "kept": ("o", 46, 0.75), "finished": ("s", 52, 0.75), "cut": ("X", 46, 0.4), "pruned": ("o", 18, 0.25),
}  # fmt: skip
LETTERS = 88  # of a line of the list below the tree
LINE = 0.2  # inches that it takes


def search_tree(nodes: Sequence[Node], chosen: int, title: str) -> Figure:
    """A search from left to right, a column a step, each node coloured by its PRM score; the chosen path is bold.

    Duplicates are drawn once, with how often they were sampled beside them. Below the tree the steps of the chosen
    path are written out, numbered as in the tree, with their scores.

    Args:
        nodes: as of `SearchResult.tree`; at least one.
        chosen: the leaf where the chosen completion ends (`Completion.leaf`).
        title: of the figure.
    """
    way = [tree.original(nodes, i) for i in tree.path(nodes, chosen)]
    shown = [i for i, node in enumerate(nodes) if node.twin is None]
    xs, ys = _places(nodes, shown)
    steps = [(k, nodes[i]) for k, i in enumerate(way, start=1)]
    lines = [wrapped(f"{k:>2}  {node.score or 0:.2f}  {node.text}", LETTERS, most=2) for k, node in steps]
    rows = max(8.0, 1 + max(ys.values()))
    below = LINE * (2.5 + sum(1 + line.count("\n") for line in lines))
    above = min(0.27, max(0.17, 9.0 / rows)) * rows
    with style():
        figure = plt.figure(figsize=(WIDTH, above + below + 1.3))
        height = figure.get_figheight()
        axes = figure.add_axes((0.02, (below + 0.75) / height, 0.96, above / height))
        axes.set_title(printable(title), loc="left")
        axes.axis("off")
        _draw_edges(axes, nodes, shown, way, xs, ys)
        _draw_nodes(axes, nodes, shown, way, xs, ys)
        axes.margins(0.06, 0.06)
        axes.invert_yaxis()
        _draw_keys(figure, below / height, height)
        figure.text(0.03, (below - 0.1) / height, "The chosen solution: step, score, text", va="top", fontsize=10)
        figure.text(0.03, (below - 0.1 - 1.5 * LINE) / height, "\n".join(lines), va="top", fontsize=9.5,
                    family=MONOSPACE, linespacing=LINE * 72 / 9.5 / 1.17)  # fmt: skip
        return finish(figure)


def _places(nodes: Sequence[Node], shown: Sequence[int]) -> tuple[dict[int, float], dict[int, float]]:
    """Column and row of each node: leaves one below the other, the better one above; a parent between its children."""
    children: dict[int | None, list[int]] = {}
    for i in shown:
        parent = nodes[i].parent
        children.setdefault(None if parent is None else tree.original(nodes, parent), []).append(i)
    xs: dict[int, float] = {-1: 0.0}
    order: list[int] = []  # parents before children, the rows in this order
    stack = sorted(children.get(None, []), key=lambda i: nodes[i].value)
    while stack:
        i = stack.pop()
        order.append(i)
        parent = nodes[i].parent
        xs[i] = 1 + xs[-1 if parent is None else tree.original(nodes, parent)]
        stack += sorted(children.get(i, []), key=lambda i: nodes[i].value)
    ys: dict[int, float] = {}
    for row, i in enumerate(i for i in order if i not in children):
        ys[i] = float(row)
    for i in reversed(order):
        if i in children:
            ys[i] = sum(ys[child] for child in children[i]) / len(children[i])
    first = children.get(None, [])
    ys[-1] = sum(ys[i] for i in first) / len(first)
    return xs, ys


def _draw_edges(
    axes: Axes, nodes: Sequence[Node], shown: Sequence[int], way: Sequence[int],
    xs: dict[int, float], ys: dict[int, float],
) -> None:  # fmt: skip
    for i in shown:
        parent = nodes[i].parent
        start = -1 if parent is None else tree.original(nodes, parent)
        on_way = i in way
        color, width = ("0.1", 2.6) if on_way else ("0.35", 1.0)
        strength = 1.0 if on_way else DRAWN[nodes[i].fate][2]
        axes.plot([xs[start], xs[i]], [ys[start], ys[i]], color=color, lw=width, alpha=strength, zorder=2 + on_way)


def _draw_nodes(
    axes: Axes, nodes: Sequence[Node], shown: Sequence[int], way: Sequence[int],
    xs: dict[int, float], ys: dict[int, float],
) -> None:  # fmt: skip
    times = Counter(tree.original(nodes, i) for i in range(len(nodes)))
    axes.scatter([0], [ys[-1]], marker=">", s=60, color="0.1", zorder=5)
    axes.annotate("problem", (0, ys[-1]), (-4, 9), textcoords="offset points", ha="right", fontsize=9.5)
    for i in shown:
        node, on_way = nodes[i], i in way
        marker, size, strength = DRAWN[node.fate]
        face = "white" if node.score is None else SCORE_COLORS(node.score)
        axes.scatter(
            [xs[i]], [ys[i]], marker=marker, s=170 if on_way else size, color=[face], zorder=4 + on_way,
            edgecolor="0.1" if on_way else "0.45", lw=1.6 if on_way else 0.6,
            alpha=1.0 if on_way else 0.4 + strength / 2,
        )  # fmt: skip
        if on_way:
            axes.annotate(str(way.index(i) + 1), (xs[i], ys[i]), ha="center", va="center", fontsize=9.5, zorder=6)
        if times[i] > 1:
            # beside the node and on its edges, which it interrupts: rows are too close for it to stand below
            axes.annotate(f"×{times[i]}", (xs[i], ys[i]), (9 if on_way else 5, 0), textcoords="offset points",
                          va="center", fontsize=8, color="0.25", zorder=3.5,
                          bbox=dict(facecolor="white", edgecolor="none", pad=0.6))  # fmt: skip


def _draw_keys(figure: Figure, bottom: float, height: float) -> None:
    """What the markers and colours mean, between the tree and the list."""
    keys = [
        Line2D([], [], ls="", marker=marker, markersize=size**0.5, mfc="white", mec="0.3", label=fate)
        for fate, (marker, size, _) in DRAWN.items()
    ]
    keys.append(Line2D([], [], ls="", label="×3 sampled three times"))
    figure.legend(handles=keys, loc="lower left", bbox_to_anchor=(0.01, bottom + 0.12 / height), ncols=len(keys),
                  columnspacing=1.2, handletextpad=0.3, fontsize=10)  # fmt: skip
    bar = figure.add_axes((0.74, bottom + 0.42 / height, 0.22, 0.11 / height))
    figure.colorbar(ScalarMappable(cmap=SCORE_COLORS), cax=bar, orientation="horizontal", ticks=[0, 0.5, 1])
    bar.set_xlabel("PRM score of the step", fontsize=9.5, labelpad=1)
