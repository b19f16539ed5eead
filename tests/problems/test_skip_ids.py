"""Problems that are left out, and what else enters a study."""

import json

import pytest

from tts_study.cli import main
from tts_study.errors import UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.study import Study


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    rows = [{"unique_id": name, "problem": f"What is {name}?", "answer": "1"} for name in "abcd"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_problems_with_some_ids_are_left_out(rows):
    loaded = load_problems(load_profile("micro", dataset=rows, dataset_skip_ids="b, D"), 2)
    assert [problem.id for problem in loaded] == ["a", "c"]
    loaded = load_problems(load_profile("micro", dataset=rows, dataset_ids="a,b", dataset_skip_ids="b"))
    assert [problem.id for problem in loaded] == ["a"]
    with pytest.raises(UserError, match="no problem to leave out has the id 'x'"):
        load_problems(load_profile("micro", dataset=rows, dataset_skip_ids="x"))
    with pytest.raises(UserError, match="no problem is left"):
        load_problems(load_profile("micro", dataset=rows, dataset_skip_ids="a,b,c,d"))


@pytest.mark.parametrize(
    ("n", "message"),
    [
        ("9" * 25, "n must be at most 100,000"),
        ("9" * 5000, "must be a whole number, and '999"),
        ("1e3", "must be a whole number, and '1e3' is not"),
        ("0", "n must be at least 1"),
    ],
)
def test_an_absurd_n_is_one_short_sentence(rows, tmp_path, capsys, n, message):
    asked = ["run", "--strategy", "best_of_n", "--n", n, "--dataset", rows, "--skip-ids", "a", "--out", str(tmp_path)]
    assert main(asked) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line and len(line) < 250


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(fresh="False"), "fresh must be True or False, and 'False' is a str"),
        (dict(seed="0"), "seed must be a whole number, and '0' is a str"),
        (dict(n_problems="5"), "n_problems must be a whole number"),
        (dict(n_problems=True), "n_problems must be a whole number"),
    ],
)
def test_a_notebooks_parameter_that_comes_as_text_is_refused_where_it_enters(asked, message):
    with pytest.raises(UserError, match=message):
        Study("micro", **asked)


def test_numbers_of_a_grid_that_come_as_text_are_refused():
    with pytest.raises(UserError, match="n must be a whole number, and '64' is a str"):
        Study("micro").run("best_of_n", "64")
    with pytest.raises(UserError, match="or ns a list such as .*, and '16' is a text"):
        Study("micro").grid(["best_of_n"], "16")
