"""Kill real runs with SIGKILL at random moments, go on each time, and count the problems: each must be there once.

    python -m tests.kill_runs --kills 10                      # the driver and the engines' processes
    python -m tests.kill_runs --kills 10 --ray --workers 2    # the driver, Ray's workers and their engines

Real vLLM engines on the micro profile: minutes, so this is no part of the suite, which does the same to scripted
engines. Other arguments are passed on to `tts-study run`.
"""

import argparse
import contextlib
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tts_study.errors import UserError
from tts_study.runs import store

ENGINE, WORKER = "VLLM::EngineCore", "ray::Worker"
ASKED = ("--strategy", "best_of_n", "--n", "16", "--problems", "400")
SEARCHING = 10.0  # seconds within which half of the kills fall, once results come in


def main() -> None:
    """Do as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--longest", type=float, default=90.0, help="seconds that a run gets before its kill, at most")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the victims")
    arguments, more = parser.parse_known_args()
    rng = random.Random(arguments.seed)
    kills = 0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1000):  # runs; one that was done before enough kills is followed by another
            out = Path(folder) / str(number)
            command = [sys.executable, "-m", "tts_study.cli", "run", *ASKED, "--out", str(out), *more]
            kills += _torment(command, out / "run.jsonl", arguments.kills - kills, rng, arguments.longest)
            print(f"run {number}: {len(store.load(out / 'run.jsonl').problems)} problems, each once", flush=True)
            if kills == arguments.kills:
                return


def _torment(command: list[str], path: Path, kills: int, rng: random.Random, longest: float) -> int:
    """Start a run until it is complete, killing something of it up to `kills` times; how often something was."""
    for done in range(kills + 1):
        began = time.monotonic()
        with tempfile.TemporaryFile("w+") as told:
            run = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=told)
            victim = _kill_something(run, path, rng, longest) if done < kills else None
            run.wait()
            took = time.monotonic() - began
            told.seek(0)
            errors = told.read().splitlines()
        orphans = _orphans()
        print(
            f"{took:4.0f} s: killed {victim or 'nothing'}; the run ended with {run.returncode}, "
            f"{_stored(path)} problems stored, {orphans}", flush=True,
        )  # fmt: skip
        if run.returncode == 0:
            return done + (victim is not None)
        if victim is None:
            raise SystemExit("\n".join(errors[-20:]))
    raise SystemExit("the run did not end though nothing was killed any more")


def _kill_something(run: psutil.Popen, path: Path, rng: random.Random, longest: float) -> str | None:
    """Wait, and kill the driver, an engine or a worker; None if the run was over first.

    Half of the moments are counted from the start on, the other half from the first result on.
    """
    wanted, moment = rng.choice(["driver", ENGINE, WORKER]), rng.uniform(1, longest)
    if rng.random() < 0.5:
        moment, before = rng.uniform(0, SEARCHING), _stored(path)
        while run.poll() is None and _stored(path) == before:
            time.sleep(0.2)
    try:
        run.wait(timeout=moment)
        return None
    except psutil.TimeoutExpired:
        pass
    children = _named(run, (ENGINE, WORKER))
    chosen = [child for child in children if child.name().startswith(wanted)] or [run]
    victim = rng.choice(chosen)
    name = "the driver" if victim is run else victim.name()
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


def _orphans() -> str:
    """How long engines and workers outlive their parents (a GPU's memory would be theirs as long)."""
    began = time.monotonic()
    while any(_orphaned(each) for each in psutil.process_iter(["name", "ppid"])):
        if time.monotonic() - began > 400:  # vLLM's engines wait 5 minutes for a driver that went while they started
            return "processes are left over"
        time.sleep(0.5)
    return f"its last process ended {time.monotonic() - began:.0f} s later"


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


if __name__ == "__main__":
    main()
