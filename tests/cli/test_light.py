"""The light install: recorded runs are replayed without PyTorch, vLLM and Ray, and on systems other than Linux."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LIGHT = Path(__file__).parents[1] / "light"


def run_light(*command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run Python where the engines' packages look uninstalled."""
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, timeout=300,
        env={**os.environ, "PYTHONPATH": str(LIGHT), **environment},
    )  # fmt: skip


@pytest.mark.parametrize("package", ["torch", "vllm", "ray"])
def test_the_package_is_hidden(package):
    assert f"No module named '{package}'" in run_light("-c", f"import {package}").stderr


def test_importing_the_package_takes_no_notebook_software():
    code = "import tts_study.study, sys; print({'jupyterlab', 'papermill', 'ipywidgets', 'IPython'} & set(sys.modules))"
    assert run_light("-c", code).stdout == "set()\n"


def test_a_fresh_search_says_in_one_sentence_what_to_install(tmp_path):
    command = "run --strategy best_of_n --n 4 --problems 2 --out".split()
    done = run_light("-m", "tts_study.cli", *command, str(tmp_path / "run"))
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "searching with real models needs vLLM, which is not installed here: run `make setup` on Linux (with "
        "DEVICE=gpu for GPUs), or use engines on servers (docs/remote.md)"
    )
    assert "Traceback" not in done.stderr


def test_training_says_in_one_sentence_what_to_install(tmp_path):
    done = run_light("-m", "tts_study.micro", "train", "--out", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "needs PyTorch, which is not installed here: run `make setup`" in done.stderr


SCRIPT = r"""
from tts_study import Study, grade
from tts_study.answers import dropped

print(Study("micro", policy="1b", n_problems=20).run("best_of_n", 16).accuracy)
print(grade(r"\sqrt{8}", r"2\sqrt{2}"), grade(r"9^{9^{9^{9}}}+1", "3"), dict(dropped))
"""


def test_without_what_only_posix_has_runs_replay_and_hostile_answers_still_end(tmp_path):
    cache = {"TTS_STUDY_CACHE": str(tmp_path)}
    done = run_light("-c", SCRIPT, LIKE_WINDOWS="1", **cache)
    replayed, graded = done.stdout.splitlines()
    assert replayed.startswith("Interval(estimate=0."), done.stderr
    assert graded == "True False {'timed out': 1}"


def test_a_parser_that_cannot_limit_its_memory_is_watched(tmp_path):
    script = (
        "from tts_study.answers.worker import Worker\n"
        "worker = Worker('tts_study.answers.symbolic', limit_s=60.0, memory_mib=64)\n"
        "try: worker.ask('2^{4000000000}')\n"
        "except Exception as error: print(error)\n"
        "print(worker.ask(r'\\sqrt{4}'))"
    )
    done = run_light("-c", script, LIKE_WINDOWS="1", TTS_STUDY_CACHE=str(tmp_path))
    assert done.stdout == "out of memory\n2\n", done.stderr
