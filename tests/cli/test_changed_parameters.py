"""What a reader changes first in each notebook ends in a result, or in one clear paragraph without a traceback.

Each notebook's cells are run in this process, as a kernel runs them, with few problems. `make test` runs the changes
marked with a star below. All of them: `make test ARGS="--full tests/cli/test_changed_parameters.py"`.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from tts_study import paths
from tts_study.errors import UserError
from tts_study.runs import store

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FEW = 24  # problems
# by notebook: the parameters that are changed, and the beginning of a sentence that is then read; "" for none
CHANGES = {
    "00_walkthrough": [
        ("*", dict(n=5, problem=3), ""),
        ("", dict(search_n=8), "Left out: no run is recorded for beam_search by 1b at n = 8, seed 0"),
        ("*", dict(problem=99), "problem must be from 0 to 19, and 99 is not"),
        ("", dict(explored_n=128), "Left out: no run is recorded for best_of_n by 1b at n = 128"),
        ("", dict(policy="3b", n=16), ""),
        ("", dict(policy="8b"), "Left out: no run is recorded for beam_search by 8b at n = 16"),
        ("", dict(n_problems=1, problem=0), ""),
        ("", dict(seed=1), "Left out: no run is recorded for beam_search by 1b at n = 16, seed 1"),
        ("", dict(n="8"), "n must be a whole number, and '8' is a str"),
        ("", dict(fresh="False"), "fresh must be True or False, and 'False' is a str"),
    ],
    "01_best_of_n": [
        ("*", dict(n=10, aggregation="last"), ""),
        ("", dict(n=128, seeds=[0, 7]), "left out: seed 7, for which nothing is recorded at n = 16"),
        ("", dict(n=1), ""),
        ("", dict(policy="3b"), "left out: seed 1, for which nothing is recorded at n = 16"),
        ("", dict(policy="70b"), "24 problems x 16 completions by 70b, scored by aggregation min; not recorded"),
        ("", dict(seed=1), "24 problems x 16 completions by 1b, scored by aggregation min; not recorded, and left out"),
        ("", dict(seeds="0, 1"), "seeds must be a list of whole numbers"),
        ("", dict(n_problems=1), "an interval over problems needs two"),
        ("", dict(aggregation="mean"), "unknown aggregation 'mean': choose one of last, min, prod"),
        ("", dict(profile_options="temperature=0.5"), "no run is recorded for best_of_n by 1b at n = 64, seed 0 ("),
        ("", dict(runs="data/runs/micro/3b-best_of_n-n64-seed0.jsonl.gz"), "24 problems x 64 completions by 3b"),
        ("", dict(runs="out/nowhere"), "there is no "),
    ],
    "02_weighted_best_of_n": [
        ("", dict(n=5), ""),
        ("*", dict(n=0), "n must be at least 1, and 0 is not"),
        ("", dict(n=128), "24 problems x 64 completions by 1b, scored by aggregation min; not recorded, and left out"),
        ("", dict(n=1), ""),
        ("", dict(n_problems=2), ""),
        ("", dict(n_problems=0), "the number of problems must be at least 1"),
        ("", dict(policy="3b", aggregation="prod"), ""),
        ("", dict(policy="2b"), "unknown policy '2b': choose one of 1b, 3b, 8b, 70b"),
        ("", dict(seed=2), "24 problems x 16 completions by 1b"),
        ("", dict(profile="mini"), "unknown profile 'mini'"),
    ],
    "03_beam_search": [
        (
            "*",
            dict(ns=[8, 16]),
            "24 problems by 1b: beam search at n = 16; not recorded, and left out: beam_search at n = 8",
        ),
        ("*", dict(ns="4, 16"), "n must be a whole number, or ns a list"),
        ("", dict(ns=[8, 32]), "no run is recorded for beam_search by 1b at n = 8"),
        ("", dict(ns=[6]), "beam_search can use none of n = [6]"),
        ("", dict(ns=[]), "ns must be a list of whole numbers such as [4, 16, 64], and [] is empty"),
        ("", dict(problem=24), "problem must be from 0 to 23"),
        ("", dict(problem=-1), "problem must be from 0 to 23"),
        ("", dict(policy="3b", ns=[16], problem=0), ""),
        ("", dict(beam_width=8), "no run is recorded for beam_search by 1b at n = 16, seed 0, beam width 8"),
        ("", dict(seed=1), "no run is recorded for beam_search by 1b at n = 4, seed 1"),
    ],
    "04_dvts": [
        ("", dict(ns=[8, 32]), "24 problems by 1b: DVTS in subtrees of 4; not recorded, and left out: beam_search"),
        ("*", dict(beam_width=8), "no run is recorded for dvts by 1b at n = 64, seed 0, beam width 8"),
        ("", dict(ns=[4, 16]), ""),
        ("", dict(ns=[128]), "no run is recorded for"),
        ("", dict(ns=[4, "16"]), "each of ns must be a whole number, and '16' is a str"),
        ("", dict(ns=16), ""),
        ("", dict(n_problems=2, problem=1), ""),
        ("", dict(policy="3b", ns=[64]), ""),
        ("", dict(policy="8b"), "no run is recorded for"),
        ("", dict(beam_width=2.5), "beam_width must be a whole number, and 2.5 is not"),
    ],
    "05_compute_optimal": [
        ("", dict(ns=[4, 32], folds=2), "24 problems by 1b; not recorded, and left out: beam_search at n = 32"),
        ("*", dict(probe="4"), "probe must be a whole number, and '4' is a str"),
        ("", dict(probe=100), "a probe of 100 completions cannot be taken from 64"),
        ("", dict(probe=8, policy="3b"), ""),
        ("", dict(folds=1), "24 problems cannot be split into 1 folds"),
        ("", dict(n_problems=3), "3 problems cannot be split into 5 folds"),
        ("", dict(ns=[16]), ""),
        ("", dict(ns=[1, 2]), "beam_search can use none of n = [1, 2]"),
        ("", dict(beam_width=8), "24 problems by 1b; not recorded, and left out: beam_search at n = 16, 64; dvts"),
        ("", dict(seed=1), "24 problems by 1b; not recorded, and left out"),
    ],
    "06_small_vs_large": [
        ("", dict(policies=["1b", "8b"], ns=[4, 16]), "searching: 8b; not recorded, and left out: beam_search"),
        ("*", dict(policies="1b"), "policies must be a list such as ['1b', '3b'], and '1b' is not"),
        ("", dict(policies=["3b"]), ""),
        ("", dict(most=1), ""),
        ("", dict(policies=["2b"]), "policies: there is no '2b' in this profile: choose from 1b, 3b, 8b, 70b"),
        ("", dict(memory_gib=1e-5), ""),
        ("", dict(memory_gib=80.0), ""),
        ("", dict(n_problems=4), "4 problems cannot be split into 5 folds"),
        ("", dict(beam_width=8), "searching: 1b; not recorded, and left out"),
        ("", dict(ns=[16], folds=3), ""),
        ("", dict(aggregation="last"), ""),
    ],
    "07_verifiers": [
        ("", dict(ns=[16]), ""),
        ("", dict(ns=[4, 16], methods=["majority", "best", "dvts"]), ""),
        ("", dict(verifiers=["data/micro/prm"]), ""),
        ("*", dict(verifiers=["some/prm"]), "the quality of the verifier some/prm is not known: give its F1"),
        ("", dict(verifiers=["data/micro/prm"], f1=[0.9, 0.8]), "f1 has 2 values for 1 verifiers"),
        ("", dict(policy="3b"), "prm-25: majority, best, weighted, beam_search, dvts; not recorded, and left out"),
        ("", dict(n_problems=1), "an interval over problems needs two"),
        ("", dict(beam_width=8), "prm: majority, best, weighted, particle_filter, rebase; not recorded"),
        ("", dict(seed=1), "no run is recorded"),
        ("", dict(aggregation="last"), "exact: majority, best, weighted; not recorded, and left out: beam_search"),
    ],
    "08_blog_figures": [
        ("*", dict(datasets=["missing.jsonl"]), "there is no file missing.jsonl"),
        ("", dict(datasets="mine.parquet"), "datasets must be a list such as ['mine.parquet'], and 'mine.parquet'"),
        ("", dict(datasets=["a", "b", "c"], configs=["x", "y"]), "3 data sets and 2 configurations do not match"),
        ("", dict(rule="best"), ""),
        ("", dict(rule="median"), "unknown rule 'median': choose one of majority, best, weighted, pass"),
        ("", dict(aggregation="min"), "1b-dvts-n64: dvts, 24 problems x 64 completions"),
        ("", dict(aggregation="mean"), "unknown aggregation 'mean'"),
        ("", dict(n_problems=2), ""),
        ("", dict(n_problems=0), "the number of problems must be at least 1"),
        ("", dict(seed=1), ""),
    ],
    "09_self_verification": [
        ("*", dict(policies=["3b"], n=16), ""),
        ("", dict(n=1), ""),
        ("", dict(n=128), "no run is recorded for best_of_n by 1b at n = 128"),
        ("", dict(policies=["8b"]), "no run is recorded for best_of_n by 8b at n = 64"),
        ("", dict(policies="1b"), "policies must be a list such as ['1b', '3b'], and '1b' is not"),
        ("", dict(aggregation="last"), ""),
        ("", dict(n_problems=1), "an interval over problems needs two"),
        ("", dict(seed=1), "no run is recorded for best_of_n by 1b at n = 64, seed 1"),
        ("", dict(profile_options="temperature=0.5"), "no run is recorded for best_of_n by 1b at n = 64, seed 0, sig"),
        ("", dict(n="64"), "n must be a whole number, and '64' is a str"),
    ],
    "10_training_a_prm": [
        ("", dict(kinds=["exact"]), ""),
        ("*", dict(kinds=["rollouts"]), "5 trainings, each judges 400 recorded completions of the 1b"),
        ("*", dict(kinds="exact"), "kinds must be a list of exact, rollouts, and 'exact' is not"),
        ("", dict(kinds=["guessed"]), "kinds must be a list of exact, rollouts, and ['guessed'] is not"),
        ("", dict(kinds=[]), "kinds must be a list of exact, rollouts, and [] is not"),
        ("", dict(seed=1), ""),
        ("", dict(solutions=100), "10 trainings"),
        ("", dict(fresh=True, solutions=801), "solutions must be from 1 to 800, and 801 is not"),
        ("", dict(fresh=True, kinds=["guessed"]), "unknown labels 'guessed': choose from exact, rollouts"),
        ("", dict(fresh=True, solutions=20, steps=2), "2 trainings, each judges 96 recorded completions of the 1b"),
    ],
}


@pytest.fixture(scope="module", autouse=True)
def few_recorded_problems():
    """Recorded runs are read once, and only their first problems are kept: 64 completions of 500 take seconds each."""
    load = store.load

    @lru_cache
    def loaded(path):
        run = load(path)
        kept = sorted(range(len(run.problems)), key=lambda i: int(run.problems[i].id.rpartition("/")[2]))[:FEW]
        return replace(run, problems=tuple(run.problems[i] for i in kept), results=tuple(run.results[i] for i in kept))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(store, "load", loaded)
        yield


def run_cells(notebook: str, parameters: dict) -> tuple[list[str], BaseException | None]:
    """Run a notebook's cells with changed parameters: what each printed, and the error that ended it."""
    shell, printed = InteractiveShell.instance(), []
    shell.reset(new_session=False)
    for cell in nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            changed = "parameters" in cell.metadata.get("tags", ())
            with capture_output() as shown:
                done = shell.run_cell(cell.source + ("\n" + changes(parameters) if changed else ""))
            printed.append(shown.stdout + shown.stderr)
            if not done.success:
                return printed, done.error_in_exec or done.error_before_exec
    return printed, None


def changes(parameters: dict) -> str:
    return "\n".join(f"{name} = {value!r}" for name, value in parameters.items())


def test_each_notebook_has_ten_changes():
    assert sorted(CHANGES) == [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))]
    assert all(len(changes) >= 10 for changes in CHANGES.values())


@pytest.mark.parametrize(
    ("notebook", "parameters", "expected"),
    [
        pytest.param(
            notebook,
            parameters,
            expected,
            id=f"{notebook[:2]} {changes(parameters)}",
            marks=() if star else pytest.mark.full,
        )
        for notebook, changed in CHANGES.items()
        for star, parameters, expected in changed
    ],
)
def test_a_change_ends_in_a_result_or_in_one_clear_paragraph(tmp_path, monkeypatch, notebook, parameters, expected):
    monkeypatch.setenv(paths.OUT, str(tmp_path))
    monkeypatch.delenv(paths.FIGURES, raising=False)
    usual = {} if notebook.startswith("00") else {"n_problems": FEW}
    printed, error = run_cells(notebook, usual | parameters)
    assert error is None or isinstance(error, UserError), error
    lines = [line for text in printed for line in text.splitlines()]
    assert any(line.startswith(expected) for line in lines), lines
    if error is not None:
        assert printed[-1].strip() == str(error), "a paragraph, and no traceback"
        assert "\n" not in str(error)
    else:
        drawn = [path.name for path in (tmp_path / "figures").iterdir()]
        assert any(name.startswith(notebook[:2]) for name in drawn), "figures are in the output folder"
