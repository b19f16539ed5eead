"""The figures are drawn for real, and what a reader has to tell apart does not overlap."""

import warnings
from dataclasses import replace
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text

from tts_study import paths, plots
from tts_study.plots.style import SCORE_COLORS
from tts_study.records import Completion, Node

METHODS = ("majority", "best", "weighted", "pass")
HOSTILE = [r"$x_{", r"\input{/etc/passwd}", r"\frac{", "$$", "\x00\x1b", "用", "\ud800", "a\n\nb\tc", "x" * 20_000]


def table(ns: tuple[int, ...] = (1, 4, 16, 64), levels: tuple[int, ...] = (1, 2, 3, 4, 5)) -> pd.DataFrame:
    rows = [(level, m, n) for level in levels for m in METHODS for n in ns]
    frame = pd.DataFrame(rows, columns=["level", "method", "n"])
    better = frame["method"].map(METHODS.index)
    frame["accuracy"] = 0.25 + 0.08 * np.log2(frame["n"]) - 0.04 * frame["level"] + 0.04 * better
    return frame.assign(low=frame["accuracy"] - 0.05, high=frame["accuracy"] + 0.05)


def curve() -> pd.DataFrame:
    return table(levels=(1,)).drop(columns="level")


def pixels(figure: Figure, folder) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as a missing glyph
        figure.savefig(folder / "figure.png", dpi=100)
    return imread(folder / "figure.png")[..., :3]


def texts(figure: Figure) -> list[Text]:
    """The texts that are drawn: ticks outside an axis' limits, or of axes that are switched off, are not."""
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = [t for t in axis.get_major_ticks() if not (axes.axison and low <= t.get_loc() <= high)]
            hidden |= {label for tick in ticks for label in (tick.label1, tick.label2)}
    return [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible() and t not in hidden]


def assert_no_overlap(figure: Figure) -> None:
    boxes = [(t.get_text(), Text.get_window_extent(t)) for t in texts(figure)]
    for (a, box), (b, other) in combinations(boxes, 2):
        assert not box.padded(-1).overlaps(other.padded(-1)), f"{a!r} overlaps {b!r}"


def assert_on_page(figure: Figure) -> None:
    width, height = figure.bbox.size
    for text in texts(figure):
        box = Text.get_window_extent(text)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height, text.get_text()


@pytest.mark.parametrize(
    "baselines",
    [{}, {"1b": 0.3}, {"1b": 0.3, "3b": 0.302, "8b": 0.5, "70b": 0.5}, {"low": 0.01, "high": 0.99, "top": 0.99}],
)
def test_accuracy_against_n_is_drawn_and_its_labels_lie_apart_on_the_page(baselines, tmp_path):
    figure = plots.accuracy_against_n(curve(), baselines, "Accuracy")
    assert_no_overlap(figure)
    assert_on_page(figure)
    image = pixels(figure, tmp_path)
    for method in METHODS:
        line = np.abs(image - np.array(plots.looks(METHODS)[method].color)).max(axis=2) < 0.02
        assert line.sum() > 100, f"no line of {method}"


def test_a_legend_of_long_labels_stays_on_the_page():
    methods = ["majority", "best", "weighted", "beam_search", "dvts", "compute_optimal", "compute_optimal_predicted"]
    of_one = curve()[lambda table: table["method"] == "best"]
    figure = plots.accuracy_against_n(pd.concat([of_one.assign(method=name) for name in methods]), {}, "Many")
    box = figure.legends[0].get_window_extent()
    assert 0 <= box.x0 and box.x1 <= figure.bbox.width
    assert_on_page(figure)


def test_accuracy_against_n_says_what_its_axes_are():
    (axes,) = plots.accuracy_against_n(curve(), {"1b greedy": 0.25}, "Accuracy").axes
    assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "4", "16", "64"]
    assert "%" in axes.get_ylabel() and "completions" in axes.get_xlabel()
    assert axes.get_yticklabels()[0].get_text().isdigit()
    assert [t.get_text() for t in axes.texts] == ["1b greedy  25.0"]


def test_each_method_has_one_colour_in_all_figures():
    line = {x.get_label(): to_rgb(x.get_color()) for x in plots.accuracy_against_n(curve(), {}, "").axes[0].lines}
    bars = plots.accuracy_bars_by_level(table()).axes[0].containers
    bar = {x.get_label(): to_rgb(x.patches[0].get_facecolor()) for x in bars if hasattr(x, "patches")}
    assert line == bar and len(set(line.values())) == 4


@pytest.mark.parametrize("ns", [(64,), (4, 16, 64), (1, 4, 16, 64)])
def test_bars_by_level_stand_as_high_as_the_table_says(ns, tmp_path):
    figure = plots.accuracy_bars_by_level(table(ns))
    assert_no_overlap(figure)
    assert_on_page(figure)
    heights = [bar.get_height() for axes in figure.axes for bar in axes.patches]
    np.testing.assert_allclose(heights, table(ns)["accuracy"])
    assert pixels(figure, tmp_path).std() > 0.1


def completions() -> list[Completion]:
    return [
        Completion(("42-17=25", "25*3=75", "(9x+3)-(5x+5)=4x-2", r"\boxed{7/6}"), 40, True, (1.0, 0.9, 0.7, 0.0)),
        Completion(("42-17=35", r"\boxed{35}"), 20, True, (0.2, 0.1)),
        Completion((r"Step 1: since $\theta=\arctan\frac{y}{x}$, " * 20, r"\boxed{7/6}"), 40, False, (0.5, 0.6)),
        Completion((), 0, False, ()),
    ]


@pytest.mark.parametrize("chosen", [slice(0, 1), slice(0, 2), slice(0, 4)])
def test_a_heatmap_shows_each_step_and_its_score_apart_on_the_page(chosen, tmp_path):
    shown = completions()[chosen]
    figure = plots.step_heatmap(shown, ["✓ last score 0.00"] * len(shown))
    assert_no_overlap(figure)
    assert_on_page(figure)
    said = [text.get_text() for text in texts(figure)]
    assert {"(9x+3)-(5x+5)=4x-2", r"\boxed{7/6}", "0.70", "✓ last score 0.00"} <= set(said)
    assert pixels(figure, tmp_path).std() > 0.05


def test_a_high_score_is_green_and_a_low_one_red():
    cells = plots.step_heatmap(completions()[:1], ["✓"]).axes[0].patches
    (red, green, _), (low_red, low_green, _) = to_rgb(cells[0].get_facecolor()), to_rgb(cells[-1].get_facecolor())
    assert green > red and low_red > low_green


def test_a_long_step_ends_in_an_ellipsis_and_a_long_completion_loses_its_middle():
    many = Completion(("x" * 9_000, *("1+1=2",) * 500, "the end"), 1, False, (0.5,) * 502)
    figure = plots.step_heatmap([many], ["cut"])
    said = [text.get_text() for text in texts(figure)]
    assert any(text.startswith("xxx") and text.endswith("x…") for text in said)
    assert "… 479 more steps …" in said and "the end" in said and said.count("1+1=2") == 21
    assert_no_overlap(figure)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_drawn_as_text(text, tmp_path):
    figure = plots.step_heatmap([Completion((text, text), 1, True, (0.5, 1.0))] * 2, [text[:20]] * 2)
    assert_no_overlap(figure)
    pixels(figure, tmp_path)


@pytest.mark.parametrize("text", [r"$x_{", r"\frac{$"])
def test_names_are_not_read_as_mathematics(text, tmp_path):
    pixels(plots.accuracy_against_n(curve(), {text: 0.5}, text), tmp_path)
    pixels(plots.accuracy_bars_by_level(table(), text), tmp_path)


@settings(max_examples=200)
@given(st.lists(st.floats(0, 1), max_size=12))
def test_positions_are_moved_apart_in_their_order_and_only_if_they_must(positions):
    moved = plots.curves._apart(positions, 0.05, 1.0)
    order = np.argsort(positions, kind="stable")
    assert (np.diff(np.array(moved)[order]) >= 0.05 - 1e-9).all()
    assert all(y <= 1.0 for y in moved)
    if (np.diff(np.sort(positions)) >= 0.05).all():
        assert moved == pytest.approx(positions, abs=1e-12)


def test_a_saved_figure_is_the_same_bytes_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    for name in ("a", "b"):
        plots.save(plots.accuracy_against_n(curve(), {"1b": 0.3}, ""), name)
    first, again = (paths.figures() / f"{name}.png" for name in ("a", "b"))
    assert first == tmp_path / "out" / "study" / "figures" / "a.png", "not the committed figures"
    assert first.read_bytes() == again.read_bytes()
    assert b"Software" not in first.read_bytes()
    assert imread(first).shape[1] == 150 * plots.WIDTH


def test_drawing_leaves_no_figure_open_and_the_style_of_others_alone():
    before = dict(plt.rcParams)
    plots.step_heatmap(completions(), ["a", "b", "c", "d"])
    assert dict(plt.rcParams) == before and not plt.get_fignums()


def test_the_root_is_the_folder_of_the_project():
    assert (paths.root() / "tts_study" / "paths.py").is_file()
    assert paths.data() == paths.root() / "data"


def options() -> pd.DataFrame:
    """Two policies, one of which searches; prices that grow with n."""
    rows = [("1b", method, n) for method in ("greedy", "best", "compute_optimal") for n in (1, 4, 16, 64)]
    frame = pd.DataFrame(
        [r for r in rows if r[1:] != ("greedy", 4)] + [("70b", "greedy", 1)], columns=["policy", "method", "n"]
    )
    frame = frame[(frame["method"] != "greedy") | (frame["n"] == 1)]
    frame["accuracy"] = 0.2 + 0.06 * np.log2(frame["n"]) + 0.5 * (frame["policy"] == "70b")
    frame["flops"] = 1e7 * frame["n"] * (1 + 50 * (frame["policy"] == "70b"))
    return frame.assign(low=frame["accuracy"] - 0.05, high=frame["accuracy"] + 0.05, memory=frame["flops"], seconds=0.1)


def test_small_against_large_labels_the_lines_and_keeps_its_labels_apart(tmp_path):
    figure = plots.small_against_large(options(), "Small against large")
    assert_no_overlap(figure)
    assert_on_page(figure)
    assert [t.get_text() for t in figure.axes[0].texts] == ["1b greedy  20.0", "70b greedy  70.0"]
    lines = {"the PRM itself": 0.95}
    bounded = plots.small_against_large(options(), "With a bound", dashed=["compute_optimal"], lines=lines)
    assert_no_overlap(bounded)
    assert bounded.axes[0].texts[-1].get_text() == "the PRM itself  95.0"
    assert (len(figure.axes[0].collections), len(bounded.axes[0].collections)) == (2, 1), "a bound has no band"
    assert "--" in [line.get_linestyle() for line in bounded.legends[0].get_lines()], "the legend shows it as drawn"
    assert pixels(figure, tmp_path).std() > 0.05


def test_each_panel_of_prices_shows_its_own_options_and_frontier(tmp_path):
    one = options()
    two = one.assign(flops=10 * one["flops"], size="large")
    table = pd.concat([one.assign(size="small"), two], ignore_index=True)
    best = pd.concat([one.iloc[[0, -1]].assign(size="small"), two.iloc[[0]]])
    figure = plots.accuracy_against_price(table, "flops", "Two sizes", frontier=best, panels="size")
    assert_no_overlap(figure)
    assert_on_page(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["small", "large"]
    assert [axes.lines[0].get_xdata().tolist() for axes in figure.axes] == [
        one["flops"].iloc[[0, -1]].tolist(), two["flops"].iloc[[0]].tolist()
    ]  # fmt: skip
    assert pixels(figure, tmp_path).std() > 0.05


def test_an_axis_of_prices_close_to_each_other_has_several_labels():
    table = options().assign(flops=lambda all: 1e9 * (1 + all["n"] / 32))
    figure = plots.accuracy_against_price(table, "flops", "Close", frontier=table.iloc[[0, -1]])
    low, high = figure.axes[0].get_xlim()
    assert sum(low <= tick <= high for tick in figure.axes[0].get_xticks()) >= 2


@pytest.mark.parametrize("price", ["flops", "memory", "seconds"])
def test_accuracy_against_a_price_shows_every_option_and_the_frontier(price, tmp_path):
    table = options()
    figure = plots.accuracy_against_price(table, price, "What should I run?", frontier=table.iloc[[0, -1]])
    assert_no_overlap(figure)
    assert_on_page(figure)
    frontier, *curves = figure.axes[0].lines
    marked = [line for line in curves if line.get_marker() not in ("None", "_")]  # those of the intervals left out
    assert sum(len(line.get_xdata()) for line in marked) == len(table)
    assert "Best for its price" in [text.get_text() for text in figure.legends[0].get_texts()]
    assert frontier.get_ydata().tolist() == table["accuracy"].iloc[[0, -1]].tolist()
    assert not any("$" in text.get_text() for text in texts(figure)), "ticks are not left as formulas"
    assert pixels(figure, tmp_path).std() > 0.05


@pytest.mark.parametrize("ns", [(1, 4), (1, 2, 4, 8, 16, 32, 64, 128, 256)])
def test_the_chosen_map_names_each_cells_strategy_in_its_colour(ns, tmp_path):
    names = ("majority", "best", "weighted", "beam_search", "dvts")
    rows = [(level, n, names[(level + i + k) % 5], share)
            for level in range(1, 6) for i, n in enumerate(ns) for k, share in enumerate((0.75, 0.25))]  # fmt: skip
    figure = plots.chosen_map(pd.DataFrame(rows, columns=["level", "n", "method", "share"]))
    assert_no_overlap(figure)
    assert_on_page(figure)
    axes = figure.axes[0]
    assert len(axes.patches) == len(axes.texts) == 5 * len(ns)
    assert axes.texts[0].get_text() == "Best-of-N\n75 %" and axes.texts[1].get_text() == "Weighted\nBest-of-N\n75 %"
    first = np.array(axes.patches[0].get_facecolor()[:3])
    distance = {name: np.abs(first - plots.looks(names)[name].color).sum() for name in names}
    assert min(distance, key=distance.__getitem__) == "best"
    assert pixels(figure, tmp_path).std() > 0.05


# --- a search's tree -----------------------------------------------------------------------------------------------


def tree() -> tuple[Node, ...]:
    """Two kept steps, one pruned, a repetition, and two ends."""
    return (
        Node(None, "1+1=2", 5, 0.9, 0.9, "kept"),
        Node(None, "1+1=3", 5, 0.1, 0.1, "pruned"),
        Node(None, "1+1=2", 5, 0.9, 0.9, "duplicate", twin=0),
        Node(0, r"\boxed{2}", 4, 0.8, 0.8, "finished"),
        Node(0, r"\boxed{4}", 4, 0.2, 0.2, "cut"),
    )


def test_the_chosen_way_is_written_out_and_repetitions_are_counted():
    figure = plots.search_tree(tree(), 3, "a search")
    drawn = [text.get_text() for text in texts(figure)]
    assert "a search" in drawn and drawn.count("×2") == 1
    (listed,) = [text for text in drawn if "1+1=2" in text]
    assert listed.splitlines() == [" 1  0.90  1+1=2", r" 2  0.80  \boxed{2}"]
    assert {"1", "2"} <= set(drawn)  # numbered in the tree as in the list
    assert "1+1=3" not in "".join(drawn)
    assert_on_page(figure)


def test_each_distinct_step_is_one_marker_coloured_by_its_score():
    axes = plots.search_tree(tree(), 3, "").axes[0]
    colors = [tuple(marker.get_facecolor()[0][:3]) for marker in axes.collections[1:]]
    assert len(colors) == 4
    assert colors[0] == pytest.approx(SCORE_COLORS(0.9)[:3]) and colors[1] == pytest.approx(SCORE_COLORS(0.1)[:3])
    widths = [line.get_linewidth() for line in axes.lines]
    assert widths[0] == widths[2] > widths[1] == widths[3]  # the chosen solution is drawn strong


def test_a_way_that_ends_in_a_repetition_is_that_of_its_twin():
    figure = plots.search_tree(tree(), 2, "")
    assert [t for t in texts(figure) if "1+1=2" in t.get_text()]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_step_can_stand_in_a_tree(text, tmp_path):
    pixels(plots.search_tree([Node(None, text, 1, None, 0.0, "finished")], 0, text), tmp_path)


def test_labels_of_a_wide_tree_do_not_overlap():
    """64 subtrees, in each of which two steps of one text were sampled, and a row for each."""
    nodes = [Node(None, "a", 1, None, 0.5, "kept") for _ in range(128)]
    nodes = [replace(node, twin=i - 1 if i % 2 else None) for i, node in enumerate(nodes)]
    figure = plots.search_tree(nodes, 0, "")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in figure.axes[0].texts if text.get_text() == "×2"]
    assert len(boxes) == 64
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
