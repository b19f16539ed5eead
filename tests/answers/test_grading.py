"""`tts-study grade`: what it counts, explains and remembers."""

import json

import pytest

from tts_study import cli
from tts_study.answers.grading import grade, sentence, summary

ROWS = [
    {"answer": "1/2", "prediction": r"\frac{2}{4}"},
    {"answer": "x+1", "completion": r"So it is \boxed{1+x}."},
    {"answer": "7", "prediction": "8"},
    {"answer": "7", "completion": "The answer is 7."},
    {"answer": "7", "completion": "I do not know."},
    {"answer": "7", "prediction": "7}"},
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def test_counts_are_printed_as_json(file, capsys):
    assert cli.main(["grade", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "graded": 6, "correct": 3, "wrong": 1, "no_answer": 2, "timed_out": 0,
        "reasons": {"no answer": 1, "unbalanced brackets": 1}, "unreadable_gold": 0, "accuracy": 0.5,
    }  # fmt: skip


def test_explain_prints_a_line_a_pair_with_both_forms(file, capsys):
    assert cli.main(["grade", file, "--explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == r"right: '\\frac{2}{4}' is 1/2, gold '1/2' is 1/2"
    assert lines[2] == "wrong: '8' is 8, gold '7' is 7"
    assert lines[4] == "no answer (no answer): None is nothing, gold '7' is 7"
    assert lines[5] == "no answer (unbalanced brackets): '7}' is nothing, gold '7' is 7"
    assert len(lines) == len(ROWS) + 1


def test_answers_outside_of_boxes_can_be_refused(file, capsys):
    assert cli.main(["grade", file, "--boxes-only", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] == 2


def test_gold_answers_that_cannot_be_read_are_mentioned():
    message = sentence(summary([grade("1", "{"), grade("1", "1")]))
    assert message.endswith("accuracy 50.0%; 1 gold answers cannot be read")


def test_bench_answers_prints_rates_speed_and_fuzz(tmp_path, capsys, monkeypatch):
    from benchmarks import answers as bench
    from benchmarks.cli import add_commands

    path = tmp_path / "golds.jsonl"
    path.write_text("".join(json.dumps({"answer": answer}) + "\n" for answer in ("1/2", "0.5", "x+1", r"\text{east}")))
    measure = bench.speed
    monkeypatch.setattr(bench, "speed", lambda golds, **_: measure(golds, 2, 8, sample=4))
    assert cli.main(["answers", "--answers", str(path), "--fuzz", "50"], add_commands=add_commands) == 0
    message = capsys.readouterr().out
    assert "4 distinct gold answers" in message and "1 groups of them\n  1/2, 0.5\n" in message
    assert "equal to their rewritings: " in message and "(100.00%)" in message
    assert "16 answers" in message and "fuzz: 50 mutated answers" in message and "0 break equality" in message


def test_a_gold_answer_is_taken_from_the_solution_where_there_is_no_column_of_answers(tmp_path, capsys):
    path = tmp_path / "solutions.jsonl"
    path.write_text(json.dumps({"solution": r"It is \boxed{7}.", "prediction": "7.0"}) + "\n")
    assert cli.main(["grade", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] == 1


def test_bench_answers_counts_hand_judged_cases_by_kind_beside_math_verify(tmp_path, capsys):
    from benchmarks.answers import bench_cases

    cases = [
        {"kind": "roots", "answer": r"\sqrt{2}", "prediction": "√2", "right": True},
        {"kind": "roots", "answer": r"\sqrt{2}", "prediction": "1.5", "right": False},
        {"kind": "nothing", "answer": "2", "completion": "I do not know.", "outcome": "no answer"},
        {"kind": "nothing", "answer": "2", "completion": "I do not know.", "right": True},
    ]
    path = tmp_path / "cases.jsonl"
    path.write_text("".join(json.dumps(case) + "\n" for case in cases))
    bench_cases(path)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| roots | 2 | 2 |")
    assert lines[3] == "| nothing | 2 | 1 | 1 |"
    assert lines[4].startswith("| all | 4 | 3 |")
    assert lines[5] == "slowest to read:"
