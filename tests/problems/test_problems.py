import json
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_study import answers
from tts_study.errors import UserError
from tts_study.problems.files import read_jsonl
from tts_study.problems.known_datasets import DATASETS
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.records import Problem

SHARED = Path(__file__).parents[3] / "shared" / "data"  # beside a checkout, where it is at all
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


SUBJECTS = ("Algebra", "Geometry")
LEVELLED = [
    ROW | {"unique_id": f"test/{i}", "answer": str(i), "level": i % 5 + 1, "subject": SUBJECTS[i % 2]}
    for i in range(20)
]


@pytest.mark.parametrize(
    ("asked", "ids"),
    [
        (dict(dataset_levels="5"), [4, 9, 14, 19]),
        (dict(dataset_levels=5), [4, 9, 14, 19]),
        (dict(dataset_levels=" 4, 5,"), [3, 4, 8, 9, 13, 14, 18, 19]),
        (dict(dataset_subjects="algebra"), list(range(0, 20, 2))),
        (dict(dataset_ids="test/7,test/2"), [2, 7]),
        (dict(dataset_levels="4,5", dataset_subjects="Geometry", limit=2), [3, 9]),
    ],
)
def test_a_part_of_a_data_set_is_chosen_in_its_order_and_then_limited(tmp_path, asked, ids):
    problems = load(written(tmp_path, *LEVELLED), **asked)
    assert [problem.id for problem in problems] == [f"test/{i}" for i in ids]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(dataset_levels="4,9"), "no problem has the level '9': choose from 1, 2, 3, 4, 5"),
        (dict(dataset_levels="hard"), "no problem has the level 'hard': choose from 1, 2"),
        (dict(dataset_levels=","), "no problem has the level ','"),
        (dict(dataset_subjects="Sums"), "no problem has the subject 'Sums': choose from Algebra, Geometry"),
        (dict(dataset_ids="test/99"), "no problem has the id 'test/99': choose from test/0, test/1"),
        (dict(dataset_ids="test/0", dataset_levels="2"), "no problem has all of these: level 2, id test/0"),
    ],
)
def test_a_part_that_is_not_there_is_reported_with_what_is(tmp_path, asked, message):
    path = written(tmp_path, *LEVELLED)
    with pytest.raises(UserError) as error:
        load(path, **asked)
    assert f"{path}: {message}" in str(error.value)


def test_levels_of_a_data_set_without_levels_are_refused(tmp_path):
    with pytest.raises(UserError, match="no problem has the level '1': the data set states none"):
        load(written(tmp_path, {"problem": "?", "answer": "1"}), dataset_levels="1")


def test_a_part_of_a_data_set_has_the_settings_of_the_whole():
    assert load_profile("micro", dataset_levels="5").settings() == load_profile("micro").settings()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("8 + 10 = 18\nSo $1,800.\n#### 1,800", ("1,800", "8 + 10 = 18\nSo $1,800.")),
        ("#### -3", ("-3", "")),
        ("#### 1\n####", ("#### 1\n####", "")),
        ("a #### b", ("a #### b", "")),
    ],
)
def test_the_gold_answer_of_a_worked_one_stands_behind_its_last_mark(tmp_path, answer, problem):
    (loaded,) = load(written(tmp_path, {"problem": "?", "answer": answer}))
    assert (loaded.answer, loaded.solution) == problem


def test_known_data_sets_bring_their_columns_and_give_way_to_what_is_said():
    profile = load_profile("llama", dataset="openai/gsm8k")
    assert (profile.problem_column, profile.dataset_config, profile.dataset_split) == ("question", "main", "test")
    assert load_profile("llama", dataset="openai/gsm8k", dataset_config="socratic").dataset_config == "socratic"
    assert load_profile("llama", dataset="HuggingFaceH4/aime_2024").dataset_split == "train"


@pytest.mark.parametrize("known", sorted(DATASETS))
def test_what_is_known_of_a_data_set_can_be_set(known):
    assert load_profile("micro", dataset=known).dataset == known


def test_a_hub_data_set_is_asked_for_with_its_configuration_and_split(monkeypatch):
    import datasets

    asked = []

    def load_dataset(*names, **options):
        asked.append((names, options))
        return [{"id": 60, "problem": "?", "answer": "025"}]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert load("HuggingFaceH4/aime_2024") == (Problem("60", "?", "025"),)
    assert asked == [(("HuggingFaceH4/aime_2024", None), {"split": "train"})]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not on this machine")
def test_math500_and_gsm8k_load_from_their_files():
    math500 = load(SHARED / "math500.jsonl")
    assert (len(math500), {problem.level for problem in math500}) == (500, {1, 2, 3, 4, 5})
    hard = load(SHARED / "math500.jsonl", dataset_levels="5", dataset_subjects="Algebra,Precalculus")
    assert {(problem.level, problem.subject) for problem in hard} == {(5, "Algebra"), (5, "Precalculus")}
    gsm8k = load(SHARED / "gsm8k_test.jsonl", problem_column="question")
    assert len(gsm8k) == 1319
    assert all(re.fullmatch(r"-?\d+", answers.canonical(problem.answer)) for problem in gsm8k)
    assert all(problem.solution and "####" not in problem.solution for problem in gsm8k)


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
    ("lines", "message"),
    [
        ([ROW, {"unique_id": "b", "answer": "2"}], "line 2 has no 'problem': its columns are 'unique_id', 'answer'; "),
        ([ROW, {"unique_id": "b", "problem": "?"}], "line 2 has no 'answer'"),
        ([ROW, ROW | {"answer": None}], "line 2: 'answer' must be a text or a number, and None is not"),
        ([ROW, ROW | {"answer": " "}], "line 2: 'answer' must be a text"),
        ([ROW, ROW | {"answer": ["2", "3"]}], "line 2: 'answer' must be a text"),
        ([ROW, "", ROW], "line 2 is empty: remove it"),
        ([ROW, '{"problem": "1+1'], "line 2 is not JSON ("),
        ([ROW, "[" * 100_000], "line 2 is not JSON ("),
        ([ROW, "[1]"], "line 2 is not a JSON object but a list"),
        ([ROW, ROW], "line 2: the id 'a' is already that of"),
        ([], "there are no problems in it"),
    ],
)
def test_a_broken_file_is_reported_with_its_line(tmp_path, lines, message):
    path = written(tmp_path, *lines)
    with pytest.raises(UserError) as error:
        load(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing.jsonl", "there is no file"),
        ("no/such/file.jsonl", "there is no file"),
        ("nonsense", "unknown data set 'nonsense': give a file"),
        ("", "unknown data set ''"),
    ],
)
def test_a_data_set_that_is_not_there_is_reported(name, message):
    with pytest.raises(UserError) as error:
        load(name)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["bad.parquet", "bad.csv", "bad.txt"])
def test_an_unreadable_table_is_reported(tmp_path, name):
    (tmp_path / name).write_bytes(b'"\xff\xfe\x00')
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / name)


def test_a_wrong_configuration_is_reported_with_those_that_there_are(monkeypatch):
    import datasets

    def refused(*_, **__):
        raise ValueError("Config name is missing.\nPlease pick one among the available configs: ['main', 'socratic']")

    monkeypatch.setattr(datasets, "load_dataset", refused)
    with pytest.raises(UserError, match=r"Config name is missing. Please pick one .*'main', 'socratic'"):
        load("some/set")


def test_a_hub_that_cannot_be_reached_is_reported(monkeypatch):
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
def test_any_bytes_are_rows_or_a_reported_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("wild") / "wild.jsonl"
    path.write_bytes(content)
    try:
        assert all(isinstance(row, dict) for _, row in read_jsonl(path))
    except UserError as error:
        assert f"{path}, line " in str(error)
