"""Runs side by side: which curves there are, what seeds do together, what to run, and what is refused."""

import json

import pytest

from tts_study import cli
from tts_study.analysis.side_by_side import Part, aggregation_of, side_by_side
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.find import find_runs

PROBLEMS = tuple(Problem(f"p/{i}", "1+1?", "2") for i in range(4))
RIGHT, WRONG = ("2", 0.9), ("3", 0.1)


def record(folder, *rows, policy="1b", strategy="best_of_n", seed=0, subtree=1, problems=PROBLEMS,
           models="models", seconds=None, **more):  # fmt: skip
    """A run with a row of completions (answer and score) for each problem."""
    header = {
        "strategy": strategy, "n": len(rows[0]), "seed": seed, "policy": {"model": f"{models}/{policy}"},
        "dataset": {"name": "some/set", "problems": len(problems)}, "settings": {"name": "micro"}, **more,
    }  # fmt: skip
    path = folder / f"{policy}-{strategy}-n{len(rows[0])}-seed{seed}" / "run.jsonl"
    with store.writing(path, header) as writer:
        for problem, row in zip(problems, rows, strict=True):
            completions = tuple(Completion((rf"\boxed{{{text}}}",), 5, True, (score,)) for text, score in row)
            writer.append(problem, SearchResult(problem.id, completions, Cost(), subtree=subtree), seconds)
    return path


def table_of(*paths, **options):
    return side_by_side([Part.read(path) for path in find_runs(paths)], **options)


def cell(table, method, n, policy="1b"):
    (row,) = table[(table.policy == policy) & (table.method == method) & (table.n == n)].to_dict("records")
    return row


def test_seeds_of_one_policy_are_one_curve_and_their_spread_is_apart_from_the_band(tmp_path):
    record(tmp_path, [RIGHT, WRONG], [RIGHT, WRONG], [WRONG, WRONG], [WRONG, WRONG], seed=0)
    record(tmp_path, [RIGHT, WRONG], [RIGHT, WRONG], [RIGHT, WRONG], [RIGHT, WRONG], seed=1)
    row = cell(table_of(tmp_path), "best", 2)
    assert (row["seeds"], row["accuracy"]) == (2, 0.75)
    assert row["between_seeds"] == pytest.approx(0.5**0.5 / 2)  # of 0.5 and 1
    assert 0.5 <= row["low"] < 0.75 < row["high"] <= 1


def test_a_smaller_n_is_read_off_the_largest_run_of_a_seed(tmp_path):
    record(tmp_path, *[[RIGHT, WRONG]] * 4)
    record(tmp_path, *[[WRONG]] * 4)
    assert cell(table_of(tmp_path), "pass", 1)["accuracy"] == 0.5


def test_runs_of_several_policies_and_searches_stand_in_one_table(tmp_path):
    record(tmp_path, *[[RIGHT, WRONG]] * 4)
    record(tmp_path, *[[RIGHT, WRONG, WRONG, WRONG]] * 4, policy="3b", strategy="beam_search", subtree=4)
    table = table_of(tmp_path)
    assert set(table[table.policy == "1b"].method) == {"majority", "best", "weighted", "pass"}
    assert cell(table, "beam_search", 4, "3b")["accuracy"] == 1  # by its own rule
    assert cell(table_of(tmp_path, rule="majority"), "beam_search", 4, "3b")["accuracy"] == 0
    assert set(table[table.policy == "3b"].n) == {4}


def test_runs_of_one_search_that_differ_in_an_option_are_two_curves(tmp_path):
    rows = [[RIGHT, WRONG]] * 4
    record(tmp_path / "2", *rows, strategy="beam_search", subtree=2, search={"beam_width": 2})
    record(tmp_path / "1", *rows, strategy="beam_search", subtree=2, search={"beam_width": 1})
    assert set(table_of(tmp_path).method) == {"beam_search (beam_width 1)", "beam_search (beam_width 2)"}


def test_the_aggregation_is_the_searchs_own_or_the_profiles(tmp_path):
    rows = [[RIGHT, WRONG]] * 4
    profile = record(tmp_path, *rows)
    own = record(tmp_path, *rows, strategy="beam_search", subtree=2, search={"aggregation": "prod"})
    assert [aggregation_of(store.load(path)) for path in (profile, own)] == ["min", "prod"]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "there is no run in"),
        ({"rows.jsonl": {"problem": "1+1?"}}, "there is no run in"),
    ],
)
def test_a_folder_without_a_run_is_refused(tmp_path, files, reason):
    for name, row in files.items():
        (tmp_path / name).write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match=reason):
        find_runs([tmp_path])


def test_a_shard_the_same_run_twice_and_seeds_of_other_problems_are_refused(tmp_path):
    rows = [[RIGHT, WRONG]] * 4
    record(tmp_path / "a", *rows)
    with pytest.raises(UserError, match="are the same run"):
        table_of(record(tmp_path / "b", *rows), tmp_path / "a")
    record(tmp_path / "c", *rows[:3], seed=1, problems=PROBLEMS[:3])
    with pytest.raises(UserError, match="on different problems"):
        table_of(tmp_path / "a", tmp_path / "c")
    with pytest.raises(UserError, match="tts-study merge"):
        find_runs([record(tmp_path / "d", *rows, shard={"index": 1, "count": 2})])


def test_replay_takes_folders_of_runs_and_leaves_a_table_and_a_figure(tmp_path, capsys):
    record(tmp_path / "runs", *[[RIGHT, WRONG]] * 4)
    record(tmp_path / "runs", *[[RIGHT, WRONG]] * 4, seed=1)
    record(tmp_path / "runs", *[[RIGHT]] * 4, policy="3b")
    assert cli.main(["replay", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    shown = capsys.readouterr().out
    assert "1b best_of_n, n = 2, seed 1, 4 problems: 0 of 8 completions gave no answer" in shown
    assert "standard deviation between seeds" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["accuracy.csv", "accuracy.png"]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([], "give folders of runs"),
        (["--dataset", "x.jsonl", "."], "one of the two"),
        ([".", "--limit", "3"], "--limit applies only to --dataset"),
        (["no/such/folder"], "there is no no/such/folder"),
    ],
)
def test_a_replay_of_nothing_or_of_both_is_refused(capsys, more, reason):
    assert cli.main(["replay", *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert reason in line


# --- what should I run? --------------------------------------------------------------------------------------------


def choose(capsys, *argv):
    code = cli.main(["choose", *map(str, argv)])
    printed = capsys.readouterr()
    return code, printed.out if code == 0 else printed.err


def chosen(printed):
    """The line of the most accurate option."""
    lines = printed.splitlines()
    return lines[lines.index(next(line for line in lines if line.startswith("the most accurate"))) + 2].split()


@pytest.fixture
def two_policies(tmp_path):
    """A small policy that solves half at n = 1 and all at n = 2, in 3 seconds a problem, and a large one in 1."""
    record(tmp_path, *[[RIGHT, WRONG]] * 4, models="data/micro", seconds=3.0)
    record(tmp_path, *[[RIGHT]] * 3, [WRONG], policy="70b", strategy="greedy", models="data/micro", seconds=1.0)
    return tmp_path


def test_the_most_accurate_option_within_the_limits_is_chosen(two_policies, capsys):
    assert chosen(choose(capsys, "--runs", two_policies)[1])[:3] == ["1b", "best", "2"]
    assert chosen(choose(capsys, "--runs", two_policies, "--time", "2s")[1])[:3] == ["70b", "greedy", "1"]
    assert chosen(choose(capsys, "--runs", two_policies, "--memory", "1MiB", "--time", "1500ms")[1])[0] == "1b"


def test_a_price_is_that_of_the_measured_time(two_policies, capsys):
    code, printed = choose(capsys, "--runs", two_policies, "--per-hour", "3.6", "--price", "1.5USD")
    assert code == 0
    assert chosen(printed)[:3] == ["70b", "greedy", "1"]  # 1,000 problems in 1,000 s, at 0.001 USD each
    assert chosen(printed)[-2:] == ["1", "USD"]


def test_what_is_not_known_is_said_and_not_guessed(tmp_path, capsys):
    record(tmp_path, *[[RIGHT, WRONG]] * 4)
    printed = choose(capsys, "--runs", tmp_path)[1]
    assert printed.count("not measured") == 3  # memory, time, time alone
    assert "not given" in printed
    assert "no option has its memory" in choose(capsys, "--runs", tmp_path, "--memory", "1GiB")[1]


def test_runs_on_other_problems_are_left_out_and_named(two_policies, capsys):
    other = record(two_policies, [RIGHT], [RIGHT], policy="3b", problems=PROBLEMS[:2])
    printed = choose(capsys, "--runs", two_policies)[1]
    assert f"left out, as another seed or on other problems: {other}" in printed
    assert "3b best" not in printed


def test_runs_that_differ_in_an_option_or_the_prm_are_two_options(tmp_path, capsys):
    rows = [[RIGHT, WRONG]] * 4
    usual = {"strategy": "beam_search", "subtree": 2, "models": "data/micro"}
    record(tmp_path / "a", *rows, **usual, prm={"model": "data/micro/prm"})
    record(tmp_path / "b", *[[WRONG, RIGHT]] * 4, **usual, prm={"model": "data/micro/verifiers/prm-25"})
    record(tmp_path / "c", *rows, **usual, prm={"model": "data/micro/prm"}, search={"drop_duplicates": True})
    printed = choose(capsys, "--runs", tmp_path)[1]
    assert "3 runs on the same 4 problems" in printed
    assert chosen(printed)[1:4] == ["beam_search", "(prm", "prm)"]
    assert side_by_side([Part.read(path) for path in find_runs([tmp_path])])["method"].nunique() == 3


def test_a_latency_chooses_among_what_was_timed_with_one_problem_alone(two_policies, capsys):
    printed = choose(capsys, "--runs", two_policies, "--latency", "2s")[1]
    assert "is not measured in these runs" in printed and chosen(printed)[:3] == ["70b", "greedy", "1"]
    few = {"problems": PROBLEMS[:2], "models": "data/micro", "alone": True}
    record(two_policies / "alone", *[[RIGHT, WRONG]] * 2, **few, seconds=0.5)
    record(two_policies / "alone", [RIGHT], [RIGHT], **few, policy="70b", strategy="greedy", seconds=0.25)
    printed = choose(capsys, "--runs", two_policies, "--latency", "600ms")[1]
    assert "3 of 7 options were timed with one problem alone" in printed  # best and weighted at n = 2, and greedy
    assert chosen(printed)[:3] == ["1b", "best", "2"] and "500 ms" in " ".join(chosen(printed))
    assert chosen(choose(capsys, "--runs", two_policies, "--latency", "0.3s")[1])[:3] == ["70b", "greedy", "1"]
    assert (
        "no option is within a latency of 100 ms: the least is 250 ms"
        in choose(capsys, "--runs", two_policies, "--latency", "100ms")[1]
    )
    assert "one problem alone" in choose(capsys, "--runs", two_policies / "alone")[1]


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--memory", "80"], "--memory must be a positive number with one of the units B, KB"),
        (["--memory", "0GiB"], "--memory must be a positive number"),
        (["--time", "fast"], "--time must be a positive number with one of the units ms, s, min, h"),
        (["--price", "1"], "--price needs --per-hour"),
        (["--memory", "1B"], "no option is within a memory of 1 B: the least is"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(two_policies, capsys, more, reason):
    code, printed = choose(capsys, "--runs", two_policies, *more)
    assert (code, reason in printed) == (2, True), printed
