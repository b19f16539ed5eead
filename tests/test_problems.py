import json

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_study.errors import UserError
from tts_study.problems import load_problems, read_jsonl
from tts_study.profiles import load_profile
from tts_study.records import Problem

ROW = {"unique_id": "a", "problem": "1+1?", "answer": "2", "level": 3, "subject": "Sums", "solution": r"\boxed{2}"}


def written(tmp_path, *lines, name="problems.jsonl"):
    path = tmp_path / name
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def load(path, limit=None, **overrides):
    return load_problems(load_profile("micro", dataset=str(path), **overrides), limit)


def test_a_row_becomes_a_problem(tmp_path):
    assert load(written(tmp_path, ROW)) == (Problem("a", "1+1?", "2", 3, "Sums", r"\boxed{2}"),)


def test_only_the_problem_and_its_answer_must_be_there(tmp_path):
    path = written(tmp_path, {"problem": "1+1?", "answer": 2}, {"problem": "1+1?", "answer": 2})
    first, second = load(path)
    assert (first.text, first.answer, first.level, first.subject) == ("1+1?", "2", None, None)
    assert first.id != second.id, "two problems with the same text are still two problems"


def test_columns_may_have_other_names(tmp_path):
    path = written(tmp_path, {"question": "1+1?", "gold": "2"})
    assert load(path, problem_column="question", answer_column="gold")[0].answer == "2"


@pytest.mark.parametrize(
    ("stated", "level"), [(5, 5), ("5", 5), ("Level 5", 5), (5.0, 5), ("hard", None), (None, None)]
)
def test_levels_are_read_as_data_sets_write_them(tmp_path, stated, level):
    assert load(written(tmp_path, ROW | {"level": stated}))[0].level == level


def test_limit_takes_the_first_problems(tmp_path):
    path = written(tmp_path, *(ROW | {"unique_id": str(i)} for i in range(5)))
    assert [problem.id for problem in load(path, limit=2)] == ["0", "1"]
    assert len(load(path, limit=9)) == 5


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_hold_the_same_problems_as_lines(tmp_path, suffix):
    rows = [ROW | {"answer": "007"}, ROW | {"unique_id": "b", "answer": "1e3"}]
    table = tmp_path / f"problems.{suffix}"
    frame = pd.DataFrame(rows)
    frame.to_csv(table, index=False) if suffix == "csv" else frame.to_parquet(table)
    assert load(table) == load(written(tmp_path, *rows))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([ROW, {"unique_id": "b", "answer": "2"}], "line 2 has no 'problem': its columns are 'unique_id', 'answer'"),
        ([ROW, {"unique_id": "b", "problem": "?"}], "line 2 has no 'answer'"),
        ([ROW, ROW | {"answer": None}], "line 2: 'answer' must be a text or a number, and None is not"),
        ([ROW, ROW | {"answer": " "}], "line 2: 'answer' must be a text"),
        ([ROW, ROW | {"answer": ["2"]}], "line 2: 'answer' must be a text"),
        ([ROW, "", ROW], "line 2 is empty: remove it"),
        ([ROW, '{"problem": "1+1'], "line 2 is not JSON ("),
        ([ROW, "[" * 100_000], "line 2 is not JSON ("),
        ([ROW, "[1]"], "line 2 is not a JSON object but a list"),
        ([ROW, ROW], "line 2: the id 'a' is already that of"),
        ([], "there are no problems in it"),
    ],
)
def test_a_broken_file_is_told_with_its_line(tmp_path, lines, told):
    path = written(tmp_path, *lines)
    with pytest.raises(UserError) as error:
        load(path)
    assert told in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("missing.jsonl", "there is no file"),
        ("no/such/file.jsonl", "there is no file"),
        ("nonsense", "unknown data set 'nonsense': give a file"),
        ("", "unknown data set ''"),
    ],
)
def test_a_data_set_that_is_not_there_is_told(name, told):
    with pytest.raises(UserError) as error:
        load(name)
    assert told in str(error.value)


@pytest.mark.parametrize("name", ["bad.parquet", "bad.csv", "bad.txt"])
def test_an_unreadable_table_is_told(tmp_path, name):
    (tmp_path / name).write_bytes(b'"\xff\xfe\x00')
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / name)


def test_a_hub_that_cannot_be_reached_is_told(monkeypatch):
    import datasets

    def unreachable(*_, **__):
        raise ConnectionError("Couldn't reach the Hub\nand more lines")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError) as error:
        load("HuggingFaceH4/MATH-500")
    assert str(error.value).endswith("'HuggingFaceH4/MATH-500' from the Hugging Face hub: Couldn't reach the Hub")


@pytest.mark.parametrize("limit", [0, -1])
def test_no_problems_is_not_a_number_of_problems(tmp_path, limit):
    with pytest.raises(UserError, match="must be at least 1"):
        load(written(tmp_path, ROW), limit)


@given(content=st.binary(max_size=200))
def test_any_bytes_are_rows_or_a_told_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("wild") / "wild.jsonl"
    path.write_bytes(content)
    try:
        assert all(isinstance(row, dict) for _, row in read_jsonl(path))
    except UserError as error:
        assert f"{path}, line " in str(error)
