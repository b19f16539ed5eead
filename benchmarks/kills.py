"""Kill real runs with SIGKILL at random moments, resume each, and count the problems: each must be there once.

Real vLLM engines, of the micro profile if nothing else is passed on to `tts-study run`. A victim is the driver, one of
its engines' processes, or with `--ray` a worker. A killed engine or worker is replaced by the run itself; the run of a
killed driver is started again with the same command.
"""

import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil

from tts_study.errors import UserError
from tts_study.runs import store

ENGINE, WORKER = "VLLM::EngineCore", "ray::Worker"
DRIVER = "the driver"
ASKED = ("--strategy", "best_of_n", "--n", "16", "--problems", "400")
SEARCHING = 10.0  # seconds within which half of the kills fall, once results come in
LEFT_OVER = 400.0  # seconds; vLLM's engines wait 5 minutes whose driver ended while they started


def run_kills(kills: int, *, seed: int, longest: float, more: Sequence[str]) -> str:
    """Kill parts of runs with SIGKILL, resume each run, and count its problems.

    Args:
        kills: the number of kills.
        seed: of the moments and the victims.
        longest: seconds that a run gets before its kill, at most.
        more: arguments for `tts-study run`.

    Returns:
        A row of a table in Markdown.

    Raises:
        UserError: a run failed, or contains a problem twice.
    """
    rng = random.Random(seed)
    victims: Counter[str] = Counter()
    runs, problems, slowest = 0, 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        while victims.total() < kills:  # if a run is done before there were enough kills, another one is started
            out = Path(folder) / str(runs)
            command = [sys.executable, "-m", "tts_study.cli", "run", *ASKED, "--out", str(out), *more]
            killed, waited = _run_and_kill(command, out / "run.jsonl", kills - victims.total(), rng, longest)
            victims.update(killed)
            slowest = max(slowest, waited)
            runs += 1
            problems += len(store.load(out / "run.jsonl").problems)  # it refuses a problem that is there twice
    completed = f"{runs} run{'s' * (runs != 1)} completed"
    what = ", ".join(f"{count} × {name}" for name, count in victims.most_common())
    return (
        f"| SIGKILL at random moments, real vLLM | {kills} ({what}) | {completed}, {problems} problems, each "
        f"exactly once; the last process of a killed run was gone after {slowest:.0f} s |"
    )


def _run_and_kill(
    command: list[str], path: Path, kills: int, rng: random.Random, longest: float
) -> tuple[list[str], float]:  # fmt: skip
    """Start a run until it is complete, and kill one of its processes up to `kills` times.

    Returns:
        What was killed, and the longest time in seconds for which a process outlived its run.
    """
    victims, slowest = list[str](), 0.0
    while True:
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as message:
            run = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=message)
            while len(victims) < kills and (victim := _kill_something(run, path, rng, longest)):
                victims.append(victim)
                print(
                    f"{time.monotonic() - began:4.0f} s: killed {victim}, {_stored(path)} problems stored", flush=True
                )
                if victim == DRIVER:
                    break
            run.wait()
            message.seek(0)
            errors = message.read().splitlines()
        left_over = _left_over()
        slowest = max(slowest, left_over)
        print(
            f"{time.monotonic() - began:4.0f} s: the run ended with {run.returncode}, {_stored(path)} problems stored; "
            f"its last process was gone after {left_over:.0f} s", flush=True,
        )  # fmt: skip
        if run.returncode == 0:
            return victims, slowest
        if run.returncode > 0:
            raise UserError(f"a run was not killed and failed: {' '.join(errors[-1:])}")


def _kill_something(run: psutil.Popen, path: Path, rng: random.Random, longest: float) -> str | None:
    """Wait, and kill the driver, an engine or a worker; None if the run was over first.

    Half of the moments are counted from now, the other half from the next stored result.
    """
    wanted, moment = rng.choice([DRIVER, ENGINE, WORKER]), rng.uniform(1, longest)
    if rng.random() < 0.5:
        moment, before = rng.uniform(0, SEARCHING), _stored(path)
        while run.poll() is None and _stored(path) == before:
            time.sleep(0.2)
    try:
        run.wait(timeout=moment)
        return None
    except psutil.TimeoutExpired:
        pass
    chosen = [child for child in _named(run, (ENGINE, WORKER)) if child.name().startswith(wanted)] or [run]
    victim = rng.choice(chosen)
    name = DRIVER if victim is run else "an engine" if victim.name().startswith(ENGINE) else "a worker"
    victim.kill()
    return name


def _named(run: psutil.Process, names: tuple[str, ...]) -> list[psutil.Process]:
    found = []
    with contextlib.suppress(psutil.NoSuchProcess):
        for child in run.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name().startswith(names):
                    found.append(child)
    return found


def _left_over() -> float:
    """Seconds for which engines and workers outlive their parents (a GPU's memory would be theirs as long)."""
    began = time.monotonic()
    while any(_orphaned(each) for each in psutil.process_iter(["name", "ppid"])):
        if time.monotonic() - began > LEFT_OVER:
            raise UserError(f"processes of a killed run are left over after {LEFT_OVER:.0f} s")
        time.sleep(0.5)
    return time.monotonic() - began


def _orphaned(process: psutil.Process) -> bool:
    if process.info["ppid"] != 1 or not str(process.info["name"]).startswith((ENGINE, WORKER, "VLLM::")):
        return False
    try:
        return process.cwd() == os.getcwd()  # others' engines may run here too
    except psutil.Error:
        return False


def _stored(path: Path) -> int:
    """Problems in the run's file; a problem that is there twice is an error."""
    try:
        return len(store.load(path).problems)
    except UserError as error:
        if "repeats" in str(error):
            raise
        return 0
