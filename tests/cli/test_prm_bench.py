"""`tts-study prm-bench` on files made here, with a PRM that follows a script."""

import json

import pandas as pd
import pytest
from scripted_engines import ScriptedPRM

from tts_study import cli
from tts_study.problems.labelled import load_labelled
from tts_study.runs.engines import ENGINES
from tts_study.runs.store import load

ROWS = [
    {"id": "a-0", "split": "a", "problem": "1+1?", "steps": ["good", "bad"], "label": 1},  # exact
    {"id": "a-1", "split": "a", "problem": "1+1?", "steps": ["good", "good"], "label": 0},  # missed
    {"id": "a-2", "split": "a", "problem": "1+2?", "steps": ["good"], "label": -1},  # exact
    {"id": "b-0", "split": "b", "problem": "2+2?", "steps": ["so so", "bad"], "label": 1},  # early at 0.7, else exact
    {"id": "b-1", "split": "b", "problem": "2+2?", "steps": ["good", "bad", "good"], "label": -1},  # early
]
SCORES = {"good": 0.9, "so so": 0.6, "bad": 0.2}


@pytest.fixture
def asked(monkeypatch):
    """A scripted PRM in place of vLLM's, and what it was asked."""
    solutions = []

    class PRM(ScriptedPRM):
        async def score_solutions(self, problem, wanted):
            solutions.extend((problem.text, tuple(steps)) for steps in wanted)
            return await super().score_solutions(problem, wanted)

    async def of(profile, *, needs_prm):
        return None, PRM(SCORES)

    monkeypatch.setattr(ENGINES, "of", of)
    return solutions


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def bench(tmp_path, *more):
    path = written(tmp_path / "made.jsonl", ROWS)
    return cli.main(["prm-bench", "--dataset", str(path), "--out", str(tmp_path / "out"), *more])


def test_the_tables_are_those_worked_out_by_hand(asked, capsys, tmp_path):
    assert bench(tmp_path) == 0
    quality = pd.read_csv(tmp_path / "out/quality.csv").set_index("split")
    assert quality.loc["a", ["solutions", "wrong", "on_wrong", "on_right"]].tolist() == [3, 2, 0.5, 1.0]
    assert quality.loc["a", "f1"] == pytest.approx(2 / 3)
    assert quality.loc["b", "f1"] == 0 and quality.loc["mean", "f1"] == pytest.approx(1 / 3)
    places = pd.read_csv(tmp_path / "out/confusion.csv").set_index(["split", "solutions"])
    assert places.loc[("a", "wrong")].tolist() == [1, 0, 0, 1]
    assert places.loc[("b", "right")].tolist() == [0, 1, 0, 0]
    shown = capsys.readouterr().out
    assert "66.7%" in shown and "missed" in shown and "below 0.5 " in shown
    assert sorted(asked) == sorted((row["problem"], tuple(row["steps"])) for row in ROWS)


def test_a_second_table_asks_the_prm_nothing_again(asked, capsys, tmp_path):
    bench(tmp_path)
    asked.clear()
    assert bench(tmp_path, "--threshold", "0.7") == 0
    assert not asked
    places = pd.read_csv(tmp_path / "out/confusion.csv").set_index(["split", "solutions"])
    assert places.loc[("b", "wrong")].tolist() == [0, 1, 0, 0], "0.6 is below 0.7"
    assert len(load(tmp_path / "out/scores.jsonl").results) == len(ROWS)


def test_the_threshold_of_the_highest_f1_of_a_split_is_used_for_all(asked, capsys, tmp_path):
    assert bench(tmp_path, "--threshold-from", "a") == 0
    assert "below 0.5 " in capsys.readouterr().out, "of all that are as good, the nearest to 0.5"


def test_only_some_splits_and_the_first_solutions_of_each_are_judged(asked, tmp_path):
    assert bench(tmp_path, "--dataset-split", "b", "--problems", "1") == 0
    assert asked == [("2+2?", ("so so", "bad"))]


def test_a_file_without_splits_is_one_that_is_called_as_the_file(tmp_path):
    rows = [{name: value for name, value in row.items() if name not in ("split", "id")} for row in ROWS]
    found = load_labelled(str(written(tmp_path / "mine.jsonl", rows)))
    assert {solution.split for solution in found} == {"mine"}
    assert [solution.problem.id for solution in found] == [f"mine/{i}" for i in range(1, 6)]


def test_each_split_of_the_hubs_data_set_is_loaded(monkeypatch):
    calls = []

    def read_rows(dataset, *, config=None, split="test"):
        calls.append((dataset, split))
        return [(f"{split}, row 1", ROWS[0] | {"id": f"{split}-0", "final_answer_correct": False})]

    monkeypatch.setattr("tts_study.problems.labelled.read_rows", read_rows)
    found = load_labelled()
    assert calls == [("Qwen/ProcessBench", split) for split in ("gsm8k", "math", "olympiadbench", "omnimath")]
    assert [solution.problem.id for solution in found][0] == "gsm8k/gsm8k-0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "line 1: 'label' must be -1 (no step is wrong) or the index of a step, 0 to 1, and 2 is not"),
        ({"label": True}, "and True is not"),
        ({"label": None}, "and None is not"),
        ({"label": "1"}, "and '1' is not"),
        ({"steps": []}, "'steps' must be a list of texts, and [] is not"),
        ({"steps": "good"}, "'steps' must be a list of texts, and 'good' is not"),
        ({"steps": ["good", " "]}, "step 1 must be a text that is not empty, and ' ' is not"),
        ({"steps": ["good", 7]}, "step 1 must be a text that is not empty, and 7 is not"),
        ({"steps": ["good", "\ud83d"]}, "step 1 has half a character"),
        ({"problem": ""}, "'problem' must be a text that is not empty"),
        ({"id": "a-1"}, "line 2: another row has the id 'a/a-1', too"),
    ],
)
def test_a_bad_row_is_one_clear_sentence(asked, capsys, tmp_path, change, message):
    path = written(tmp_path / "made.jsonl", [ROWS[0] | change, *ROWS[1:]])
    assert cli.main(["prm-bench", "--dataset", str(path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not asked


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--threshold", "0"), "must lie between 0 and 1"),
        (("--threshold", "0.4", "--threshold-from", "a"), "cannot be combined with"),
        (("--threshold-from", "c"), "there is no split 'c': choose one of a, b"),
        (("--dataset-split", "c"), "there is no split 'c': choose from a, b"),
    ],
)
def test_bad_options_are_one_clear_sentence(asked, capsys, tmp_path, more, message):
    assert bench(tmp_path, *more) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and not asked


def test_a_row_without_a_column_and_a_file_without_rows_are_refused(capsys, tmp_path):
    no_label = {name: value for name, value in ROWS[0].items() if name != "label"}
    for rows, message in (([no_label], "has no 'label'"), ([], "there are no solutions in it")):
        path = written(tmp_path / "made.jsonl", rows)
        assert cli.main(["prm-bench", "--dataset", str(path), "--out", str(tmp_path / "out")]) == 2
        assert message in capsys.readouterr().err


def test_another_data_set_in_the_same_folder_is_refused_and_its_scores_are_no_run_to_replay(asked, capsys, tmp_path):
    bench(tmp_path)
    other = written(tmp_path / "other.jsonl", ROWS[:2])
    assert cli.main(["prm-bench", "--dataset", str(other), "--out", str(tmp_path / "out")]) == 2
    assert "contains another run" in capsys.readouterr().err
    assert cli.main(["replay", str(tmp_path / "out"), "--out", str(tmp_path / "tables")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "prm-bench" in line or "no run" in line
