"""The quality of verifiers, and accuracy against it."""

import json

import numpy as np
import pytest

from tts_study import paths, plots
from tts_study.analysis import verifiers
from tts_study.analysis.grid import Grid
from tts_study.engines import user_code
from tts_study.errors import UserError
from tts_study.profiles import located

METHODS = ("majority", "best", "weighted", "dvts")


def grid(best: float) -> Grid:
    """Ten problems; Best-of-N solves a share of them that falls from n = 4 to n = 16, the others the same at both."""
    shares = {"majority": (0.3, 0.3), "best": (best, best - 0.2), "weighted": (0.5, 0.5), "dvts": (0.5, 0.6)}
    solved = np.array([[np.arange(10) < 10 * share - 1e-6 for share in shares[name]] for name in METHODS], dtype=float)
    tokens, seconds = np.zeros((4, 2, 10, 5)), np.zeros((4, 2))
    return Grid(tuple(map(str, range(10))), METHODS, (4, 16), solved, tokens, seconds)


def test_the_axis_knows_published_and_given_qualities_and_asks_for_others():
    known = verifiers.axis(["Qwen/Qwen2.5-Math-PRM-7B", "RLHFlow/Llama3.1-8B-PRM-Deepseek-Data"])
    assert known["f1"].tolist() == [0.338, 0.776], "the weakest first"
    assert verifiers.axis(["some/prm"], [0.5])[["verifier", "f1"]].values.tolist() == [["prm", 0.5]]
    with pytest.raises(UserError, match="the quality of the verifier some/prm is not known"):
        verifiers.axis(["some/prm"])
    with pytest.raises(UserError, match="f1 has 1 values for 2 verifiers"):
        verifiers.axis(["some/prm", "other/prm"], [0.5])


def test_the_micro_verifiers_are_those_that_were_measured_and_each_is_there():
    quality = verifiers.axis([])
    rows = [json.loads(line) for line in (paths.root() / verifiers.MICRO).read_text().splitlines()]
    assert quality["f1"].tolist() == [*sorted(row["f1"] for row in rows), 1.0]
    *models, checker = quality["model"]
    assert all((paths.root() / model / "model.safetensors").exists() for model in models)
    assert checker == verifiers.EXACT and callable(user_code.load(located(checker)))
    assert quality["f1"].min() < 0.5 < 0.9 < quality["f1"].max(), "they span the range of real PRMs"


def test_the_dial_and_its_tests_say_of_each_verifier_what_its_grid_says():
    quality = verifiers.axis(["weak", "strong"], [0.3, 0.9])
    found = {"weak": grid(0.4), "strong": grid(0.9)}
    dial = verifiers.dial(found, quality, seed=0).set_index(["verifier", "method", "n"])
    assert dial.loc[("weak", "best", 16), "accuracy"] == pytest.approx(0.2)
    assert dial.loc[("strong", "best", 16), "f1"] == 0.9
    tests = verifiers.tests(found, quality, seed=0).set_index(["verifier", "pair"])
    difference = tests["difference"].round(6).to_dict()
    assert difference["weak", "best@16 - majority@16"] == -0.1
    assert difference["strong", "best@16 - best@4"] == -0.2
    assert difference["strong", "dvts@16 - weighted@16"] == 0.1
    assert (tests["p_holm"] >= tests["p_value"]).all() and len(tests) == 2 * 4


def test_the_figure_has_a_panel_for_each_n_and_a_line_for_each_method():
    quality = verifiers.axis(["weak", "strong"], [0.3, 0.9])
    dial = verifiers.dial({"weak": grid(0.4), "strong": grid(0.9)}, quality, seed=0)
    figure = plots.accuracy_against_quality(dial, {"greedy": 0.25}, {"a real one": 0.34}, "title")
    panels = figure.axes
    assert [axes.get_title() for axes in panels] == ["n = 4", "n = 16"]
    best = next(line for line in panels[1].lines if line.get_label() == "Best-of-N")
    assert best.get_xdata().tolist() == [0.3, 0.9] and best.get_ydata().round(6).tolist() == [0.2, 0.7]
