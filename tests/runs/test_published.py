"""Published completions: what the blog's columns hold, and the way to our runs and back."""

import json
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tts_study import cli, paths
from tts_study.analysis import accuracy, replayed
from tts_study.analysis.grading import grade
from tts_study.errors import UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs import blog, store
from tts_study.runs.export import as_dataset, config_name, published_rows, push, write
from tts_study.runs.published import is_scored, load_published, unmatched
from tts_study.runs.store import Run

# as search-and-learn writes it: what it adds is there, and we need none of it
ROW = {
    "problem": "1+1?", "solution": "", "answer": "2", "subject": "Sums", "level": 1, "unique_id": "a",
    "completions": ["Add.\n\n\\boxed{2}", "\\boxed{3}"], "scores": [[0.5, 0.9], [0.25]], "pred": "Add.\n\n\\boxed{2}",
    "completion_tokens": [9, 4], "agg_scores": [0.9, 0.25], "pred_weighted@2": "\\boxed{2}",
}  # fmt: skip
OTHER = ROW | {"unique_id": "b", "level": 2, "completions": ["\\boxed{2}", "\\boxed{2}"], "scores": [[0.1], [0.2]]}


def written(folder, *rows, name="published.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refusal(path, **options):
    with pytest.raises(UserError) as error:
        load_published(str(path), **options)
    return str(error.value)


def a_run(strategy="best_of_n", scored=True):
    """Three problems with four completions each: right and wrong ones, an unfinished and an empty one."""
    texts = [("So:", "\\boxed{1/2}"), ("\\boxed{0.5}",), ("\\boxed{3}",), ("The answer is 1/2",)]
    problems, results = [], []
    for p in range(3):
        completions = [
            Completion(steps, 3 + i, i != 3, tuple(0.9 - 0.1234567 * (i + p + s) / 3 for s in range(len(steps))))
            for i, steps in enumerate(texts[p:] + texts[:p])
        ]
        if p == 2:
            completions[1] = Completion((), 0, False, ())
        if not scored:
            completions = [Completion(each.steps, each.tokens, each.finished) for each in completions]
        problems.append(Problem(f"p/{p}", "What?", "1/2", level=p or None, subject=None if p else "Halves"))
        results.append(SearchResult(f"p/{p}", tuple(completions), Cost(generated=18)))
    header = {
        "strategy": strategy, "n": 4, "seed": 7, "dataset": {"name": "some/set"},
        "settings": {"temperature": 0.8, "top_p": 1.0},
    }  # fmt: skip
    return Run(header, tuple(problems), tuple(results))


def test_a_published_row_is_a_problem_with_scored_completions(tmp_path):
    run = load_published(str(written(tmp_path, ROW, OTHER)))
    assert run.problems[0] == Problem("a", "1+1?", "2", 1, "Sums")
    assert run.results[0].completions == (
        Completion(("Add.", "\\boxed{2}"), 9, True, (0.5, 0.9)),
        Completion(("\\boxed{3}",), 4, True, (0.25,)),
    )
    assert (run.header["strategy"], run.header["n"]) == ("best_of_n", 2)


def test_accuracies_of_a_hand_computed_set(tmp_path):
    # best of 2: right on both (0.9 > 0.25); of 1: (1/2 + 1) / 2; a vote of 2 is a tie on the first: 1/2
    run = load_published(str(written(tmp_path, ROW, OTHER)))
    runs = {"set": run}
    table = replayed.accuracies(runs, replayed.grade_all(runs), aggregation="last")
    got = table.set_index(["method", "n"])["accuracy"].to_dict()
    assert got == pytest.approx({
        ("majority", 1): 0.75, ("best", 1): 0.75, ("weighted", 1): 0.75, ("pass", 1): 0.75,
        ("majority", 2): 0.75, ("best", 2): 1.0, ("weighted", 2): 1.0, ("pass", 2): 1.0,
    })  # fmt: skip
    levels = replayed.accuracies_by_level(runs, replayed.grade_all(runs), aggregation="last")
    assert levels.query("method == 'majority' and n == 2").set_index("level")["accuracy"].to_dict() == {1: 0.5, 2: 1.0}


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
@pytest.mark.parametrize("scored", [True, False])
def test_a_replayed_export_is_the_run(tmp_path, suffix, scored):
    run, path = a_run(scored=scored), tmp_path / f"export.{suffix}"
    write(published_rows(run), path)
    again = load_published(str(path))
    assert again.problems == run.problems
    assert [result.completions for result in again.results] == [result.completions for result in run.results]
    there, here = (grade(each.problems, each.results) for each in (run, again))
    methods = replayed.rules_of(again)
    assert methods == (accuracy.RULES if scored else ("majority", "pass"))
    for aggregation in ("last", "min", "prod"):
        curves = [accuracy.table(accuracy.solved(graded, methods, aggregation=aggregation)) for graded in (there, here)]
        pd.testing.assert_frame_equal(*curves)


texts = st.text(st.sampled_from("ab {}\\$\n\t\u2028é#1"), max_size=12).filter(lambda text: text.strip())


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(texts, max_size=3), min_size=1, max_size=3))
def test_any_steps_survive_the_way_there_and_back(tmp_path_factory, wild):
    completions = tuple(
        Completion(steps, 1, True, (0.5,) * len(steps))
        for steps in (tuple(part for text in texts for part in split(text)) for texts in wild)
    )
    run = Run({"strategy": "best_of_n"}, (Problem("a", "?", "1"),), (SearchResult("a", completions, Cost()),))
    folder = tmp_path_factory.mktemp("wild")
    for suffix in ("jsonl", "parquet"):
        write(published_rows(run), folder / f"x.{suffix}")
        assert load_published(str(folder / f"x.{suffix}")).results[0].completions == completions


def split(text):
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def test_subtrees_are_drawn_whole(tmp_path):
    four = {"completions": ["\\boxed{2}"] * 4, "scores": [[0.5]] * 4}
    config = "math--T-0.8--n-4--m-2--iters-40--look-0--seed-0"
    for name, subtree in ((f"dvts-{config}", 2), ("dvts", 4), (f"beam-{config}", 4), ("sampled-m-2-", 1)):
        run = load_published(str(written(tmp_path, ROW | four, OTHER | four, name=f"{name}.jsonl")))
        assert run.results[0].subtree == subtree
        table = replayed.accuracies({"x": run}, replayed.grade_all({"x": run}), aggregation="last")
        assert sorted(set(table["n"])) == [n for n in (1, 2, 4) if n % subtree == 0]
        write(published_rows(run), tmp_path / f"{name}.parquet")
        assert load_published(str(tmp_path / f"{name}.parquet")).results[0].subtree == subtree


def test_exported_columns_are_the_blogs_and_a_little_more():
    row = published_rows(a_run())[0]
    assert {"problem", "answer", "unique_id", "level", "subject", "solution", "completions", "scores"} <= row.keys()
    assert row["completions"][0] == "So:\n\n\\boxed{1/2}"
    assert row["agg_scores"] == [scores[-1] for scores in row["scores"]]
    assert row["pred"] == row["completions"][max(range(4), key=row["agg_scores"].__getitem__)]
    assert "agg_scores" not in published_rows(a_run(scored=False))[0]


def test_columns_keep_their_types_when_there_is_nothing_in_them():
    rows = published_rows(a_run(scored=False))
    dataset = as_dataset([row | {"level": None, "subject": None} for row in rows])
    assert str(dataset.features["scores"]) == str(as_dataset(published_rows(a_run())).features["scores"])
    assert dataset.features["level"].dtype == "int64"


def test_scores_of_an_empty_last_step_are_kept_and_reported(tmp_path):
    row = ROW | {"completions": ["Add.\n\n\\boxed{2}\n\n", "\\boxed{3}"], "scores": [[0.5, 0.9, 0.7], [0.25]]}
    run = load_published(str(written(tmp_path, row)))
    assert run.results[0].completions[0].step_scores == (0.5, 0.9, 0.7)
    assert (unmatched(run), unmatched(a_run()), unmatched(a_run(scored=False))) == (1, 0, 0)


@pytest.mark.parametrize(
    ("name", "row", "strategy"),
    [
        ("Llama-3.2-1B-Instruct-beam-search-completions.jsonl", {}, "beam_search"),
        ("Llama-3.2-1B-Instruct-DVTS-completions.jsonl", {"completion_tokens": -1}, "dvts"),
        ("mine.jsonl", {"strategy": "dvts"}, "dvts"),
        ("beams-no-more.jsonl", {"strategy": "majority"}, "majority"),
        ("mine.jsonl", {"completion_tokens": [-1, -1]}, "best_of_n"),
    ],
)
def test_the_strategy_is_what_a_row_says_or_else_the_name(tmp_path, name, row, strategy):
    run = load_published(str(written(tmp_path, ROW | row, name=name)))
    assert run.header["strategy"] == strategy
    if "completion_tokens" in row:
        assert run.results[0].cost == Cost()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there are no completions in it"),
        ([{}], "line 1 has no 'problem': its columns are none"),
        ([{"problem": "?", "answer": "1"}], "line 1 has no 'completions': its columns are 'problem', 'answer'"),
        ([{"problem": "?", "answer": "1", "completions": ["x"]}], "line 1 has no 'scores'"),
        ([ROW | {"completions": "\\boxed{2}"}], "'completions' must be a list of texts, and '"),
        ([ROW | {"completions": []}], "'completions' must be a list of texts, and [] is not"),
        ([ROW | {"completions": ["x", None]}], "'completions' must be a list of texts"),
        ([ROW | {"completions": ["x", "y" * 200_001]}], "a completion has 200,001 characters, and 200,000 are read"),
        ([ROW | {"scores": [0.5, 0.9]}], "'scores' must be a list of a list of step scores for each"),
        ([ROW | {"scores": None}], "'scores' must be a list of a list"),
        ([ROW | {"scores": [[0.5]]}], "line 1 has 2 completions and step scores of 1"),
        ([ROW | {"scores": [[0.5], [float("nan")]]}], "a step score must be a number from 0 to 1, and nan is not"),
        ([ROW | {"scores": [[0.5], [1.5]]}], "and 1.5 is not"),
        ([ROW | {"scores": [[0.5], [10**400]]}], "and 1000000"),
        ([ROW | {"completions": ["x", "\ud800"]}], r"line 1: a completion has half a character, '\ud800'"),
        ([ROW | {"scores": [[0.5], [None]]}], "and None is not"),
        ([ROW | {"scores": [[0.5], [True]]}], "and True is not"),
        ([ROW | {"scores": [[0.5], []]}], "line 1: some completions have step scores and some have none"),
        ([ROW, OTHER | {"scores": [[], []]}], "line 2: some completions have step scores and some have none"),
        ([ROW, OTHER | {"completions": ["x"], "scores": [[0.5]]}], "line 2 has 1 completions and the first row 2"),
        ([ROW | {"subtree": 3}], "line 1: 2 completions cannot form subtrees of 3"),
        ([ROW | {"subtree": "2"}], "line 1: 2 completions cannot form subtrees of '2'"),
        ([ROW, ROW], "line 2: the id 'a' is already that of"),
    ],
)
def test_what_is_broken_is_reported_with_its_line(tmp_path, rows, message):
    assert message in refusal(written(tmp_path, *rows))


def test_numbers_and_names_that_no_table_could_hold_are_not_taken_over(tmp_path):
    run = load_published(str(written(tmp_path, ROW | {"completion_tokens": [10**400, 3], "strategy": "\ud800dvts"})))
    assert run.results[0].cost.generated == 3 and run.header["strategy"] == "dvts"


def test_a_limit_reads_no_further(tmp_path):
    path = written(tmp_path, ROW, OTHER, {"broken": True})
    assert len(load_published(str(path), limit=2).problems) == 2
    assert "line 3 has no 'problem'" in refusal(path)


def test_a_table_without_lists_is_reported(tmp_path):
    path = tmp_path / "published.csv"
    pd.DataFrame([ROW]).to_csv(path)
    assert "(CSV has no lists)" in refusal(path)


def test_the_hub_is_asked_for_configuration_and_split(monkeypatch):
    import datasets

    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **more: asked.append((names, more)) or [ROW])
    config = "HuggingFaceH4_MATH-500--T-0.8--top_p-1.0--n-256--seed-0--agg_strategy-last"
    run = load_published("HuggingFaceH4/Llama-3.2-1B-Instruct-best-of-N-completions", config=config)
    assert asked == [(("HuggingFaceH4/Llama-3.2-1B-Instruct-best-of-N-completions", config), {"split": "train"})]
    assert is_scored(run)


def replay(capsys, *argv):
    code = cli.main(["replay", *map(str, argv)])
    return code, capsys.readouterr()


def test_searches_are_points_of_one_curve_beside_the_sampled_ones(capsys, tmp_path):
    sampled = written(tmp_path, ROW, OTHER, name="sampled.jsonl")
    beams = [written(tmp_path, ROW, OTHER, name="beam-n2.jsonl")]
    wide = {"completions": ["\\boxed{2}"] * 4, "scores": [[0.5]] * 4, "completion_tokens": [1] * 4}
    beams.append(written(tmp_path, ROW | wide, OTHER | wide, name="beam-n4.jsonl"))
    out = tmp_path / "out"
    code, message = replay(capsys, *(f"--dataset={path}" for path in (sampled, *beams)), "--out", out)
    assert code == 0, message.err
    assert "beam-n4: beam_search, 2 problems x 4 completions" in message.out
    table = pd.read_csv(out / "accuracy.csv")
    points = table[table["strategy"] == "beam_search"].groupby("dataset")["n"].unique()
    assert {name: list(ns) for name, ns in points.items()} == {"beam-n2": [2], "beam-n4": [4]}
    curves = replayed.one_figure(table, "weighted")
    beam = curves[curves["method"] == "beam_search"]
    assert list(zip(beam["n"], beam["accuracy"], strict=True)) == [(2, 1.0), (4, 1.0)]
    names = ["accuracy", "accuracy_by_level-beam-n2", "accuracy_by_level-beam-n4", "accuracy_by_level-sampled"]
    assert sorted(path.stem for path in out.glob("*.png")) == names
    assert all((out / f"{name}.png").read_bytes()[:4] == b"\x89PNG" for name in names)


def test_a_set_without_scores_or_levels_gives_what_it_can(capsys, tmp_path):
    row = {"problem": "?", "answer": "2", "completions": ROW["completions"], "scores": [[], []]}
    code, message = replay(capsys, "--dataset", written(tmp_path, row), "--out", tmp_path / "out")
    assert code == 0, message.err
    assert "without step scores: majority and pass only" in message.out
    assert "the problems state no level: there is no table by level" in message.out
    assert set(pd.read_csv(tmp_path / "out" / "accuracy.csv")["method"]) == {"majority", "pass"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--dataset", "missing.jsonl"], "there is no file missing.jsonl"),
        (["--dataset", "{set}", "--config", "a", "--config", "b"], "1 data sets and 2 configurations do not match"),
        (["--dataset", "{set}", "--dataset", "{set}"], "two data sets are called 'published'"),
        (["--dataset", "{set}", "--dataset", "{other}"], "two data sets give majority at n = 1"),
        (["--dataset", "{beam}", "--rule", "weighted"], "there is nothing to draw by 'weighted'"),
        (["--dataset", "{set}", "--limit", "0"], "argument --limit: it must be a whole number of at least 1"),
        (["--dataset", "{set}", "--aggregation", "mean"], "argument --aggregation: invalid choice: 'mean'"),
        (["--dataset", "{set}", "--out", "{set}"], "cannot write to"),
        ([], "one of the two"),
    ],
)
def test_what_cannot_be_replayed_is_reported_in_one_line(capsys, tmp_path, more, message):
    unscored = [row | {"scores": [[], []]} for row in (ROW, OTHER)]
    there = {"set": written(tmp_path, ROW, OTHER), "other": written(tmp_path, ROW, OTHER, name="other.jsonl"),
             "beam": written(tmp_path, *unscored, name="beam.jsonl")}  # fmt: skip
    argv = [argument.format(**there) for argument in more]
    out = [] if "--out" in argv else ["--out", tmp_path / "out"]
    code, printed = replay(capsys, *argv, *out)
    (line,) = printed.err.splitlines()
    assert code == 2
    assert message in line


@pytest.fixture
def run_folder(tmp_path):
    run = a_run()
    with store.writing(tmp_path / "run" / "run.jsonl", run.header) as writer:
        for problem, result in zip(run.problems, run.results, strict=True):
            writer.append(problem, result)
    return tmp_path / "run"


def test_the_command_exports_a_run_that_the_other_replays(capsys, tmp_path, run_folder):
    out = tmp_path / "mine.parquet"
    assert cli.main(["export", str(run_folder), "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"3 problems in {out}\n"
    code, _ = replay(capsys, "--dataset", out, "--out", tmp_path / "out")
    assert code == 0
    run = store.load(run_folder / "run.jsonl")
    expected = accuracy.table(accuracy.solved(grade(run.problems, run.results)))
    got = pd.read_csv(tmp_path / "out" / "accuracy.csv").drop(columns=["dataset", "strategy"])
    pd.testing.assert_frame_equal(got, expected, rtol=1e-5)


def test_a_recorded_run_in_the_blogs_columns_gives_the_accuracies_that_the_run_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(blog, "RECORDED", ("1b-beam_search-n4",))
    for _ in range(2):  # files of before are replaced
        runs = blog.load(blog.of_recorded(tmp_path, 12))
    assert list(runs) == ["1b-beam_search-n4"]
    there = replayed.accuracies(runs, replayed.grade_all(runs), aggregation="min").set_index("method")["accuracy"]
    path = paths.data() / "runs" / "micro" / "1b-beam_search-n4-seed0.jsonl.gz"
    recorded = store.load(path).of(load_problems(load_profile("micro"), 12))
    here = accuracy.table(accuracy.solved(grade(recorded.problems, recorded.results), ns=[4], aggregation="min"))
    assert there.to_dict() == here.set_index("method")["accuracy"].to_dict()


def test_the_blogs_sets_are_asked_for_by_their_names(monkeypatch):
    import datasets

    four = {"completions": ["\\boxed{2}"] * 4, "scores": [[0.5]] * 4}
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *names, **_: asked.append(names) or [ROW | four])
    runs = blog.load(blog.of_blog(seed=3))
    names = [
        f"HuggingFaceH4/Llama-3.2-1B-Instruct-{kind}-completions"
        for kind in ("best-of-N", *4 * ["beam-search"], "DVTS")
    ]
    assert [name for name, _ in asked] == names
    searched = "HuggingFaceH4_MATH-500--T-0.8--top_p-1.0--n-{}--m-4--iters-40--look-0--seed-3--agg_strategy-last"
    assert [config for _, config in asked[1:]] == [searched.format(n) for n in (4, 16, 64, 256, 256)]
    assert asked[0][1] == searched.format(256).replace("m-4--iters-40--look-0", "max_tokens-2048--bsz-8")
    assert [run.header["strategy"] for run in runs.values()] == ["best_of_n", *4 * ["beam_search"], "dvts"]


def test_without_a_network_the_blogs_sets_are_refused_in_one_sentence(monkeypatch):
    import datasets

    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the Hub\nand more")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(
        UserError, match=r"cannot load the data set 'HuggingFaceH4/\S+' .* hub: Couldn't reach the Hub$"
    ):
        blog.load(blog.of_blog())


def test_methods_are_compared_by_level_at_the_n_that_all_have(tmp_path):
    wide = {"completions": ["\\boxed{2}"] * 4, "scores": [[0.5]] * 4}
    rows = [ROW, OTHER], [ROW | wide, OTHER | wide]
    names = "sampled.jsonl", "beam-n2.jsonl", "beam-n4.jsonl"
    files = [written(tmp_path, *rows[i], name=name) for i, name in zip((1, 0, 1), names, strict=True)]
    runs = blog.load(blog.named(list(map(str, files))))
    graded = replayed.grade_all(runs)
    ns = replayed.shared_n(replayed.one_figure(replayed.accuracies(runs, graded, aggregation="last"), "weighted"))
    assert ns == [2, 4]
    levels = replayed.accuracies_by_level(runs, graded, ns, aggregation="last")
    drawn = replayed.one_figure(levels, "weighted").groupby(["level", "method"])["n"].apply(sorted)
    assert set(map(tuple, drawn)) == {(2, 4)} and {level for level, _ in drawn.index} == {1, 2}


def test_a_run_is_pushed_as_a_configuration_that_names_its_settings(monkeypatch, capsys, run_folder):
    import datasets
    import huggingface_hub

    pushed = []
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(
        datasets.Dataset, "push_to_hub", lambda dataset, name, **more: pushed.append((len(dataset), name, more))
    )
    assert cli.main(["export", str(run_folder), "--push-to-hub", "me/mine"]) == 0
    config = "some_set--T-0.8--top_p-1.0--n-4--seed-7--agg_strategy-last"
    assert pushed == [(3, "me/mine", {"config_name": config, "split": "train"})]
    assert config_name(a_run().header, "last") == config
    assert config in capsys.readouterr().out


def test_a_push_that_fails_is_reported(monkeypatch):
    import datasets
    import huggingface_hub

    def refused(*_, **__):
        raise ConnectionError("403 Forbidden\nand more")

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    monkeypatch.setattr(datasets.Dataset, "push_to_hub", refused)
    with pytest.raises(UserError, match=r"cannot push to 'me/mine' on the Hugging Face hub: 403 Forbidden$"):
        push(published_rows(a_run()), "me/mine", "config")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "say where to export to"),
        (["--out", "x.csv"], "an export's file must end in .parquet or .jsonl"),
        (["--out", "{run}/run.jsonl"], "run.jsonl exists already"),
        (["--push-to-hub", "me/mine"], "pushing needs a token of the Hugging Face hub: set HF_TOKEN"),
        (["--push-to-hub", "mine"], "'mine' cannot be a data set on the hub: give OWNER/NAME"),
        (["--aggregation", "mean", "--out", "x.jsonl"], "invalid choice: 'mean'"),
    ],
)
def test_what_cannot_be_exported_is_reported_in_one_line(monkeypatch, capsys, run_folder, more, message):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    before = (run_folder / "run.jsonl").read_bytes()
    assert cli.main(["export", str(run_folder), *(argument.format(run=run_folder) for argument in more)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert (run_folder / "run.jsonl").read_bytes() == before


def test_a_run_that_is_not_there_or_is_empty_is_reported(capsys, tmp_path):
    assert cli.main(["export", str(tmp_path), "--out", str(tmp_path / "x.jsonl")]) == 2
    assert re.search(r"cannot read the run .*run.jsonl", capsys.readouterr().err)
    with store.writing(tmp_path / "run.jsonl", a_run().header):
        pass
    assert cli.main(["export", str(tmp_path), "--out", str(tmp_path / "x.jsonl")]) == 2
    assert "contains no results yet" in capsys.readouterr().err
