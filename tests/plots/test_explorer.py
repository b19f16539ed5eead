"""The page to explore runs with: what it is made of, and what a reader can do with it in a real browser."""

import gzip

import pytest
from browser import browser_tabs

from tts_study import paths
from tts_study.analysis.explorer_data import MOST_TEXT, explorer_data
from tts_study.analysis.grading import grade
from tts_study.errors import UserError
from tts_study.plots.explorer import explorer
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.records import Completion, Cost, Node, Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.store import Run

HOSTILE = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
PROBLEM = Problem("p/<b>0</b>", f"What is 1+1? {HOSTILE}", "2", level=1, subject="<i>Sums</i>")
TREE = (
    Node(None, "1+1=2", 5, 0.9, 0.9, "kept"),
    Node(None, HOSTILE, 5, 0.2, 0.2, "kept"),
    Node(None, "1+1=2", 5, 0.9, 0.9, "duplicate", twin=0),
    Node(0, r"\boxed{2}", 5, 0.8, 0.8, "finished"),
    Node(1, r"\boxed{3}", 5, 0.1, 0.1, "finished"),
    Node(1, "1", 5, 0.0, 0.0, "pruned"),
    Node(1, "11", 5, 0.0, 0.0, "cut"),
)


def found(*steps_and_scores: tuple[str, float]) -> SearchResult:
    """Completions of two steps; the first step is hostile and well scored."""
    completions = (
        Completion((HOSTILE, rf"\boxed{{{text}}}"), 10, True, (0.99, score)) for text, score in steps_and_scores
    )
    return SearchResult(PROBLEM.id, tuple(completions), Cost())


def part(result: SearchResult, strategy: str):
    header = {"strategy": strategy, "n": len(result.completions), "policy": {"model": "somewhere/1b"}}
    run = Run(header, (PROBLEM,), (result,))
    return run, grade(run.problems, run.results)


SAMPLED = part(found(("3", 0.1), ("2", 0.9), ("3", 0.1), ("3", 0.1)), "best_of_n")
SEARCHED = part(
    SearchResult(
        PROBLEM.id,
        (Completion(("1+1=2", r"\boxed{2}"), 10, True, (0.9, 0.8), 3),
         Completion((HOSTILE, r"\boxed{3}"), 10, True, (0.2, 0.1), 4)),
        Cost(), TREE, 2,
    ),
    "beam_search",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    made = explorer(explorer_data([SAMPLED, SEARCHED], aggregation="min"))
    return made.save("explorer", tmp_path_factory.mktemp("explorer"))


@pytest.fixture(scope="module")
def open_tab():
    with browser_tabs() as opened:
        yield opened


def test_each_rule_picks_at_each_n_what_the_study_picks():
    (one,) = explorer_data([SAMPLED, SEARCHED], aggregation="min")["problems"]
    assert one["groups"] == [0, 1, 0, 0]
    assert one["right"] == [1]
    assert one["picks"] == {"majority": [0, 0, 0, 0], "best": [0, 1, 1, 1], "weighted": [0, 1, 1, 1]}


def test_a_tree_keeps_duplicates_as_a_number_and_says_where_the_answer_ends():
    (one,) = explorer_data([SAMPLED, SEARCHED], aggregation="min")["problems"]
    (tree,) = one["trees"]
    assert tree["times"] == [2, 1, 1, 1, 1, 1]
    assert tree["parent"] == [None, None, 0, 1, 1, 1]
    assert (tree["chosen"], tree["right"]) == (2, True)


def test_long_texts_are_cut():
    result = SearchResult(PROBLEM.id, (Completion(("x" * 10_000, r"\boxed{2}"), 10, True, (0.9, 0.9)),), Cost())
    (one,) = explorer_data([part(result, "best_of_n"), SEARCHED], aggregation="min")["problems"]
    assert len(one["completions"][0]["steps"][0]) == MOST_TEXT + 2


def test_runs_that_cannot_stand_on_one_page_are_refused():
    with pytest.raises(UserError, match="one run of sampled completions and one or more searches"):
        explorer_data([SAMPLED], aggregation="min")


def test_thirty_problems_of_recorded_runs_take_at_most_150_kilobytes():
    parts, problems = [], load_problems(load_profile("micro"), 30)
    for name in ("best_of_n-n64", "beam_search-n16", "dvts-n64"):
        run = store.load(paths.data() / "runs" / "micro" / f"1b-{name}-seed0.jsonl.gz").of(problems)
        parts.append((run, grade(run.problems, run.results)))
    data = explorer_data(parts, aggregation="min")
    assert len(data["problems"]) == 30
    assert len(gzip.compress(explorer(data).page.encode())) <= 150_000


def test_what_a_model_wrote_is_shown_as_text_and_nothing_is_loaded(page, open_tab):
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("body[data-ready]")
    assert HOSTILE in tab.page.inner_text("#text")
    tab.page.hover(".cell >> nth=1")
    assert HOSTILE in tab.page.inner_text("#completion")
    tab.page.hover("[data-node='1']")
    assert HOSTILE in tab.page.inner_text("#node")
    assert tab.page.evaluate("window.hacked") is None
    assert tab.page.locator("img, #text *").count() == 0
    assert tab.requests == [page.as_uri()]
    assert tab.faults == []


def test_a_script_that_got_into_the_page_would_not_run(page, open_tab):
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked=1'}))"
    )
    assert tab.page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in fault for fault in tab.faults)


def test_n_changes_what_each_rule_picks(page, open_tab):
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("body[data-ready]")
    tab.page.focus("#n")
    tab.page.keyboard.press("Home")
    assert tab.page.locator("td.pick").count() == 3  # one completion, one answer
    assert tab.page.inner_text("#strips").split() == [
        "✗",
        "Majority",
        "✗",
        "Best-of-N",
        "✗",
        "Weighted",
        "Best-of-N",
    ]
    tab.page.keyboard.press("ArrowRight")
    assert tab.page.inner_text("#strips").split() == [
        "✗",
        "Majority",
        "✓",
        "Best-of-N",
        "✓",
        "Weighted",
        "Best-of-N",
    ]


def test_the_tree_can_be_walked_by_the_keyboard(page, open_tab):
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("body[data-ready]")
    tab.page.focus("#pruned")
    tab.page.keyboard.press("Tab")
    assert "Step 2, finished" in tab.page.inner_text("#node")
    tab.page.keyboard.press("ArrowLeft")
    assert "sampled 2 times" in tab.page.inner_text("#node")
    tab.page.keyboard.press("ArrowDown")
    assert HOSTILE in tab.page.inner_text("#node")
    tab.page.keyboard.press("ArrowRight")
    assert r"\boxed{3}" in tab.page.inner_text("#node")


def test_a_step_stays_in_view_when_the_window_changes_its_size(page, open_tab):
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("body[data-ready]")
    tab.page.focus("[data-node='1']")
    tab.page.set_viewport_size({"width": 800, "height": 900})
    tab.page.wait_for_function("document.querySelector('#forest svg').clientWidth < 800")
    assert HOSTILE in tab.page.inner_text("#node")
    assert tab.page.evaluate("document.activeElement.dataset.node") == "1"


def test_fate_and_rightness_are_shown_by_shape_and_sign_not_by_colour_alone(page, open_tab):
    tab = open_tab()
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("body[data-ready]")
    assert tab.page.locator("[data-node='2'] rect").count() == 1  # finished
    assert tab.page.locator("[data-node='5'] path").count() == 1  # cut
    kept, pruned = (float(tab.page.get_attribute(f"[data-node='{i}'] circle:not(.halo)", "r")) for i in (1, 4))
    assert pruned < kept
    assert tab.page.inner_text("#cells").split() == ["✗", "✓", "✗", "✗"]
    label = tab.page.get_attribute("[data-node='2']", "aria-label")
    assert label == r"step 2: \boxed{2}; score 0.800; finished; on the path to the answer"


def test_the_page_fits_narrow_windows(page, open_tab):
    tab = open_tab(800)
    tab.page.goto(page.as_uri())
    tab.page.wait_for_selector("body[data-ready]")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 800


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(tmp_path, open_tab):
    made = explorer(explorer_data([SAMPLED, SEARCHED], aggregation="min"))
    around = tmp_path / "notebook.html"
    frame = made._repr_html_().replace('loading="lazy"', "")
    around.write_text(f"<!doctype html><title>notebook</title>{frame}")
    tab = open_tab()
    tab.page.goto(around.as_uri())
    frame = tab.page.frame_locator("iframe")
    frame.locator("body[data-ready]").wait_for()
    assert HOSTILE in frame.locator("#text").inner_text()
    assert tab.page.evaluate("window.hacked") is None
    assert tab.faults == []
