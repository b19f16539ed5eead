"""The simulator adds up, and docs/scale.md shows what it prints."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import benchmarks.cli
from benchmarks.gpu_cost.assumptions import Assumptions, with_overrides
from benchmarks.gpu_cost.report import ladder, report, totals
from benchmarks.gpu_cost.simulator import hours, recorded_work, study_work, wall_hours, work
from tts_study import cli
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.store import Run

ROOT = Path(__file__).parents[2]
GIVEN = Assumptions()


def test_the_page_shows_what_the_command_prints_and_no_other_number(capsys):
    assert cli.main(["gpu_cost"], add_commands=benchmarks.cli.add_commands) == 0
    printed = capsys.readouterr().out.strip()
    page = (ROOT / "docs" / "scale.md").read_text()
    assert printed in page, "run `python -m benchmarks gpu_cost` and paste what it prints below the marker"
    prose = re.sub(r"`[^`]*`", "", page.replace(printed, ""))
    prose = re.sub(r"^\d\. |\b(H100|8B|1B|70B|1b|8b|70b)\w*", "", prose, flags=re.MULTILINE)
    numbers = set(re.findall(r"\d[\d.,]*\d|\d", prose)) - {"4"}
    assert numbers <= set(re.findall(r"\d[\d.,]*\d|\d", printed)), "every number of the text is in a table"


def test_the_simulators_tables_on_the_page_about_gpus_are_what_it_prints():
    printed = set(report(GIVEN, {}).splitlines())
    sections = re.split(r"^## ", (ROOT / "docs" / "gpu.md").read_text(), flags=re.MULTILINE)
    shown = [line for part in sections if part.startswith(("The blog", "What fits")) for line in part.splitlines()]
    rows = [line for line in shown if line.startswith("|")]
    assert len(rows) > 20 and set(rows) <= printed, "run `python -m benchmarks gpu_cost` and paste its tables"


def test_what_fits_a_gpu_is_what_is_left_beside_the_weights():
    pair = ladder(GIVEN)["1b"]
    free = GIVEN.memory * 1e9 * GIVEN.memory_share - pair.policy.weight_bytes - pair.prm.weight_bytes
    (row,) = (line for line in report(GIVEN, {}).splitlines() if line.startswith("| llama | 1b | Llama3.1-8B"))
    assert row.split(" | ")[5] == f"{free / pair.sequence_bytes():,.0f} |"


def test_tokens_follow_the_trees_that_can_be_drawn_by_hand():
    given = replace(GIVEN, steps=2, step=5, prompt=7, prm_prompt=3, prm_turn=1, block=4)
    best = work("best_of_n", 8, given)
    assert (best.generated, best.rounds) == (8 * 2 * 5, 1)
    assert best.read == 7 + 8 * 2, "the prompt once, and half a block for each request"
    assert best.scored == 8 * (3 + 2 * (5 + 1))
    for name in ("beam_search", "dvts"):
        search = work(name, 8, given)
        assert (search.generated, search.rounds) == (best.generated, 2)
        assert search.read == 7 + 2 * 8 * 2
        assert search.scored == 3 + 2 * 8 * (5 + 1 + 2)


def test_beam_search_is_run_at_every_budget_and_the_others_once():
    works = study_work(GIVEN)
    assert [len(works[name]) for name in ("best_of_n", "beam_search", "dvts")] == [1, 4, 1]
    assert sum(each.generated for each in works["beam_search"]) == (256 + 64 + 16 + 4) * GIVEN.solution


def run_of(strategy, n, costs, steps=("a", "b", "c")):
    results = [SearchResult(str(i), (Completion(steps, 9, True),) * n, cost) for i, cost in enumerate(costs)]
    problems = [Problem(str(i), "?", "0") for i in range(len(costs))]
    return Run({"strategy": strategy, "n": n}, tuple(problems), tuple(results))


def test_a_recorded_run_is_scaled_from_its_own_counts():
    costs = [Cost(generated=100, prompt=40, scored=60), Cost(generated=300, prompt=20, scored=100)]
    each = recorded_work(run_of("best_of_n", 4, costs), 16)
    assert (each.generated, each.read, each.scored, each.rounds) == (800, 120, 320, 1)
    assert recorded_work(run_of("dvts", 4, costs), 4).rounds == 3


def test_twice_of_anything_takes_twice_the_hours():
    pair = ladder(GIVEN)["1b"]
    works = study_work(GIVEN)["dvts"]
    twice = ladder(replace(GIVEN, problems=2 * GIVEN.problems))["1b"]
    assert hours(twice, works) == pytest.approx(2 * hours(pair, works))
    assert hours(pair, [*works, *works]) == pytest.approx(2 * hours(pair, works))
    total = totals(ladder(GIVEN), GIVEN)
    more = totals(ladder(GIVEN), replace(GIVEN, seeds=2 * GIVEN.seeds))
    assert more == pytest.approx({name: 2 * value for name, value in total.items()})


@pytest.mark.parametrize("name", ["1b", "3b", "8b", "70b"])
def test_a_pair_fits_its_gpus_and_no_fewer(name):
    pair = ladder(GIVEN)[name]
    weights = pair.policy.weight_bytes + pair.prm.weight_bytes
    room = pair.gpus * GIVEN.memory * 1e9 * GIVEN.memory_share
    assert weights + pair.batch * pair.sequence_bytes() <= room * (1 + 1e-9)
    assert pair.gpus == (4 if name == "70b" else 1)
    assert 0 < pair.batch <= GIVEN.sequences


def test_a_larger_policy_is_slower_and_dearer():
    pairs = ladder(GIVEN)
    total = list(totals(pairs, GIVEN).values())
    assert total == sorted(total)
    steps = [pair.step_seconds() for pair in pairs.values()]
    assert steps == sorted(steps)
    assert all(pair.decoded == pytest.approx(pair.batch / pair.step_seconds()) for pair in pairs.values())


def test_more_gpus_shorten_a_study_down_to_its_longest_solution():
    pairs = ladder(GIVEN)
    both = [pairs["1b"], pairs["70b"]]
    floor = sum(pair.slowest() + GIVEN.start / 60 for pair in both)
    assert wall_hours(both, [8.0, 80.0], 8) == pytest.approx(8 / 8 + 80 / 8 + floor)
    assert wall_hours(both, [8.0, 80.0], 6) == pytest.approx(8 / 6 + 80 / 4 + floor), "two GPUs are left over"
    assert wall_hours(both, [8.0, 80.0], 8_000_000) == pytest.approx(floor, rel=1e-3)


def test_assumptions_are_overridden_by_name():
    assert with_overrides(["usd=2.5", "n=64"]) == replace(GIVEN, usd=2.5, n=64.0)
    assert "| 70b | 124 | 310 |" in report(with_overrides(["usd=2.5"]), {})


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("dollars=2", "there is no assumption 'dollars': choose one of problems, n, seeds"),
        ("usd", "usd must be a number above 0, and '' is not: write NAME=VALUE"),
        ("usd=cheap", "usd must be a number above 0"),
        ("usd=0", "usd must be a number above 0"),
        ("usd=-1", "usd must be a number above 0"),
        ("usd=inf", "usd must be a number above 0"),
        ("usd=nan", "usd must be a number above 0"),
    ],
)
def test_an_assumption_that_cannot_be_is_reported(assignment, message):
    with pytest.raises(UserError) as error:
        with_overrides([assignment])
    assert message in str(error.value)


def test_recorded_runs_are_forecast_in_a_table_of_their_own(capsys):
    path = ROOT / "data" / "runs" / "micro" / "1b-greedy-n1-seed0.jsonl.gz"
    assert cli.main(["gpu_cost", "--run", str(path), "--set", "n=1"], add_commands=benchmarks.cli.add_commands) == 0
    row = capsys.readouterr().out.strip().splitlines()[-1].split(" | ")
    run = store.load(path)
    assert row[0] == f"| {path.name}"
    assert row[1] == f"{sum(result.cost.generated for result in run.results) / len(run.results):,.0f}"
