"""A strategy from a file outside the package runs everywhere, as docs/extend.md says; so does README's script."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from scripted_engines import ScriptedPolicy, ScriptedPRM

from tts_study import Study, cli, load_profile, paths, plots
from tts_study.analysis import compute_optimal
from tts_study.engines.function_prm import FunctionPRM
from tts_study.errors import UserError
from tts_study.records import Problem
from tts_study.runs import store
from tts_study.runs.engines import ENGINES, _prm
from tts_study.runs.spec import RunSpec
from tts_study.strategies import METHODS, SEARCHES, find

ROOT = Path(__file__).parents[2]
TREE = {"": [r"\boxed{2}", r"\boxed{3}"]}
SCORES = {r"\boxed{2}": 0.9, r"\boxed{3}": 0.1}


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The page's strategy in a file, a data set, and scripted engines; the tables are put back afterwards."""
    kept = dict(METHODS), dict(SEARCHES)
    (tmp_path / "my_file.py").write_text(blocks("docs/extend.md", "python")[0])
    rows = [{"unique_id": f"p{i}", "problem": f"{i}+1?", "answer": "2", "level": 1 + i % 2} for i in range(6)]
    (tmp_path / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(paths.OUT, str(tmp_path / "out"))

    async def of(profile, *, needs_prm):
        return ScriptedPolicy(TREE), ScriptedPRM(SCORES)

    monkeypatch.setattr(ENGINES, "of", of)
    yield tmp_path
    for table, before in zip((METHODS, SEARCHES), kept, strict=True):
        table.clear()
        table.update(before)


def test_the_pages_strategy_runs_from_the_command_line(own, capsys):
    command = blocks("docs/extend.md", "sh")[0]
    argv = command.split()[1:] + ["--dataset", "problems.jsonl", "--policy", str(own), "--prm", str(own)]
    argv[argv.index("--problems") + 1] = "6"
    assert cli.main(argv) == 0
    assert "n = 16, 6 problems: accuracy 100.0%" in capsys.readouterr().out
    run = store.load(own / "out" / "first-trusted" / "run.jsonl")
    assert run.header["strategy"] == "first_trusted"
    assert run.header["search"]["trust"] == run.header["options"]["trust"] == 0.8
    assert len(run.header["search"]["source"]) == 16


def test_the_pages_figure_and_compute_optimal_take_it_without_another_edit(own):
    study = Study("micro", fresh=True, dataset="problems.jsonl", policy=str(own), prm=str(own))
    found = study.grid(["best_of_n", "my_file.py:first_trusted"], [4, 16])
    curve = found.grid.curves(seed=0)
    assert set(curve["method"]) == {"best", "first_trusted"}
    figure = plots.accuracy_against_n(curve, {}, title="First trusted")
    assert "First trusted" in [text.get_text() for text in figure.legends[0].get_texts()]
    levels = [1, 2] * 3
    folds = compute_optimal.stratified_folds(levels, seed=0)
    assert set(compute_optimal.cross_validate(found.grid, levels, folds).table()["method"]) <= set(curve["method"])


def test_a_changed_file_is_another_run(own):
    study = Study("micro", dataset="problems.jsonl", policy=str(own), prm=str(own))
    first = RunSpec.of(study.profile, find("my_file.py:first_trusted"), study.problems, n=4)
    (own / "my_file.py").write_text((own / "my_file.py").read_text() + "\n# changed\n")
    second = RunSpec.of(study.profile, find("my_file.py:first_trusted"), study.problems, n=4)
    assert first.digest != second.digest


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing.py:x", "there is no file missing.py"),
        ("my_file.py:nothing", "my_file.py:nothing is not an `async def`"),
        ("broken.py:x", "cannot read broken.py: ZeroDivisionError"),
        ("taken.py:dvts", "there is a strategy 'dvts' already"),
    ],
)
def test_a_file_without_such_a_strategy_is_refused(own, name, reason):
    (own / "broken.py").write_text("1 / 0")
    (own / "taken.py").write_text("async def dvts(problem, policy, prm, *, n, seed):\n    pass\n")
    with pytest.raises(UserError, match=re.escape(reason)):
        find(name)


def test_an_entry_point_offers_a_strategy(own, monkeypatch):
    class Offered:
        def load(self):
            async def offered(problem, policy, prm, *, n, seed):
                """Nothing."""

            return offered

    monkeypatch.setattr("tts_study.strategies.lookup.entry_points", lambda group, name: [Offered()])
    assert find("offered").search.name == "offered"


# --- the study as an object ------------------------------------------------------------------------------------------


def test_readmes_script_prints_what_the_recorded_runs_contain():
    (script,) = blocks("README.md", "python")
    assert len(script.strip().splitlines()) <= 10
    made = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert re.search(r"\bbest +64 +52\.6 +\d\d\.\d +\d\d\.\d", made.stdout)


def test_the_package_is_imported_in_under_a_second():
    code = "import time; t = time.time(); import tts_study; print(time.time() - t)"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(made.stdout) < 1


@pytest.mark.parametrize("method", ["majority", "best_of_n", "weighted_best_of_n"])
def test_three_methods_read_one_recorded_run_at_any_n(method):
    study = Study("micro", n_problems=20)
    found = study.run(method, 64)
    assert found.run.header["strategy"] == "best_of_n" and found.run.header["n"] == 64
    assert study.run(method, 7).run.header["n"] == 64, "the largest run that contains it"
    assert study.run(method, 16).run.header["n"] == 16


def test_a_run_that_is_not_recorded_is_refused():
    with pytest.raises(UserError, match="no run .* beam_search by 1b at n = 32.*n = 4, 16, 64.*fresh = True"):
        Study("micro").run("beam_search", 32)
    with pytest.raises(UserError, match="beam_search has no option 'beams'"):
        Study("micro").run("beam_search", 4, beams=2)


def test_one_question_is_answered_with_its_tree(own):
    study = Study("micro", policy=str(own), prm=str(own))
    sampled = study.solve("1+1?", "best_of_n", 4)
    assert sampled.answer == "2" and len(sampled.result.completions) == 4
    searched = study.solve("1+1?", "beam_search", 4)
    assert searched.answer == "2" and searched.result.tree


def test_engines_serve_threads_and_further_event_loops_and_start_again(own):
    study = Study("micro", policy=str(own), prm=str(own))

    async def inside():
        return study.solve("1+1?", "majority", 2).answer

    assert [asyncio.run(inside()) for _ in range(2)] == ["2", "2"]
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(study.solve("1+1?", "best_of_n", 2).answer))
               for _ in range(3)]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers == ["2"] * 3
    study.close()
    assert study.solve("1+1?", "best_of_n", 2).answer == "2"


def test_an_interrupted_study_cancels_its_search(own, monkeypatch):
    cancelled = threading.Event()

    class Slow(ScriptedPolicy):
        async def complete(self, prefix, **asked):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.set()
                raise

    async def of(profile, *, needs_prm):
        return Slow(TREE), ScriptedPRM(SCORES)

    monkeypatch.setattr(ENGINES, "of", of)
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Study("micro", policy=str(own), prm=str(own)).solve("1+1?", "majority", 2)
    assert cancelled.wait(5) and time.monotonic() - began < 10


# --- a verifier of one's own -----------------------------------------------------------------------------------------


def test_the_pages_verifier_guides_a_run_from_the_command_line(own, monkeypatch, capsys):
    (own / "my_verifier.py").write_text(blocks("docs/extend.md", "python")[2])
    prm = _prm(load_profile("micro", prm="my_verifier.py:short_steps"), ScriptedPolicy(TREE))

    async def of(profile, *, needs_prm):
        return ScriptedPolicy(TREE), prm

    monkeypatch.setattr(ENGINES, "of", of)
    command = blocks("docs/extend.md", "sh")[1]
    argv = command.split()[1:] + ["--dataset", "problems.jsonl", "--policy", str(own)]
    argv[argv.index("--problems") + 1] = "6"
    assert cli.main(argv) == 0
    run = store.load(own / "out" / "short-steps" / "run.jsonl")
    assert run.header["prm"]["model"].endswith("my_verifier.py:short_steps")
    scores = {score for result in run.results for completion in result.completions for score in completion.step_scores}
    assert scores == {round(1 / 1.09, 6)}, "both answers have nine characters"
    assert all(result.cost.scored == 0 for result in run.results)


def check_refused(tmp_path, define, body, reason):
    """A verifier with this body ends the run, and the reason is said."""
    (tmp_path / "bad.py").write_text(f"{define} bad(problem, steps):\n    {body}\n")
    prm = FunctionPRM(f"{tmp_path}/bad.py:bad")
    with pytest.raises(UserError, match=re.escape(reason)):
        asyncio.run(prm.score_solutions(Problem("p", "?", "1"), [("a", "b")]))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return [0.5] * (len(steps) + 1)", "returned [0.5, 0.5, 0.5] for 2 steps"),
        ("return [float('nan')] * len(steps)", "returned [nan, nan] for 2 steps"),
        ("return 1", "returned 1 for 2 steps"),
        ("return problem.nothing", "failed: AttributeError"),
    ],
)
def test_a_verifier_that_fails_or_returns_no_scores_ends_the_run(tmp_path, body, reason):
    check_refused(tmp_path, "async def", body, reason)


@pytest.mark.parametrize(
    "body, reason",
    [
        ("return {0.1, 0.9}", "for 2 steps: it has to return"),  # a set has an order of its own
        ("return {0.1: 0, 0.9: 1}", "for 2 steps: it has to return"),
        ("while True: yield 0.5", "for 2 steps: it has to return"),
        ("yield 0.5; 1 / 0", "failed: ZeroDivisionError"),
        ("raise SystemExit(0)", "failed: SystemExit: 0"),
    ],
)
def test_a_verifier_that_has_no_order_no_end_or_exits_ends_the_run(tmp_path, body, reason):
    check_refused(tmp_path, "def", body, reason)


def test_a_verifiers_file_that_is_not_there_is_told_before_anything_starts(tmp_path):
    with pytest.raises(UserError, match="there is no file .*none.py"):
        FunctionPRM(f"{tmp_path}/none.py:v")


def test_a_file_of_ones_own_that_exits_when_it_is_read_is_told(tmp_path):
    (tmp_path / "script.py").write_text("def v(problem, steps):\n    return [1] * len(steps)\n\n\nexit(0)\n")
    with pytest.raises(UserError, match="cannot read .*script.py: SystemExit: 0"):
        asyncio.run(FunctionPRM(f"{tmp_path}/script.py:v").start())


def test_scores_of_numpy_are_numbers(tmp_path):
    body = "import numpy\n\n\ndef v(problem, steps):\n    return numpy.full(len(steps), 0.5, numpy.float32)\n"
    (tmp_path / "v.py").write_text(body)
    scored = asyncio.run(FunctionPRM(f"{tmp_path}/v.py:v").score_solutions(Problem("p", "?", "1"), [("a", "b")]))
    assert scored.step_scores == ((0.5, 0.5),) and {type(score) for score in scored.step_scores[0]} == {float}


def test_the_last_step_is_scored_with_those_before_it(tmp_path):
    (tmp_path / "length.py").write_text("def length(problem, steps):\n    return [i / 10 for i in range(len(steps))]\n")
    prm = FunctionPRM(f"{tmp_path}/length.py:length")
    scored = asyncio.run(prm.score_last_steps(Problem("p", "?", "1"), [("a", "b", "c"), (), ("a",)]))
    assert scored.step_scores == ((0.2,), (), (0.0,))


def test_a_verifiers_changed_file_is_another_run(own):
    (own / "v.py").write_text("def v(problem, steps):\n    return [1] * len(steps)\n")
    study = Study("micro", dataset="problems.jsonl", policy=str(own), prm="v.py:v")
    first = RunSpec.of(study.profile, find("dvts"), study.problems, n=4)
    before, name = first.digest, first.name
    (own / "v.py").write_text("def v(problem, steps):\n    return [0] * len(steps)\n")
    assert RunSpec.of(study.profile, find("dvts"), study.problems, n=4).digest != before
    assert name.endswith("-prm_v")
