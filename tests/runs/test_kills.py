"""A run whose process is killed at random moments and started again ends with every problem exactly once."""

import asyncio
import multiprocessing
import random
import threading
import time
from pathlib import Path

import psutil
from scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy

from tts_study.engines import plugin
from tts_study.records import Problem
from tts_study.runs import store

KILLS = 100
LATEST = 0.3  # seconds after which a run is killed, at most
PROBLEMS = tuple(Problem(f"p{i}", f"What is {i} and one?", "2") for i in range(200))
TREE = {"": [r"\boxed{2}", r"\boxed{3}"]}


class Policy(ScriptedPolicy):
    """Takes its time."""

    async def complete(self, prefix, **asked):
        await asyncio.sleep(0.005)
        return await super().complete(prefix, **asked)


def search(path: Path) -> None:
    prm = ScriptedPRM({r"\boxed{2}": 0.9, r"\boxed{3}": 0.1})
    asyncio.run(run_strategy(
        "best_of_n", PROBLEMS, Policy(TREE), prm, n=8, seed=0, path=path, header={"n": 8}, concurrency=3, progress=False
    ))  # fmt: skip


def killed(context, path: Path, after: float) -> bool:
    """Let a process search for a while; whether it had to be killed."""
    process = context.Process(target=search, args=(path,))
    process.start()
    process.join(after)
    alive = process.exitcode is None
    process.kill()
    process.join()
    assert alive or process.exitcode == 0
    return alive


def an_engine() -> None:
    threading.Thread(target=plugin._end_with_parent, daemon=True).start()
    time.sleep(600)


def a_driver(pids) -> None:
    engine = multiprocessing.get_context("fork").Process(target=an_engine)
    engine.start()
    pids.put(engine.pid)
    time.sleep(600)


def test_an_engine_ends_with_the_driver_that_was_killed():
    context = multiprocessing.get_context("forkserver")
    pids = context.SimpleQueue()
    driver = context.Process(target=a_driver, args=(pids,))
    driver.start()
    engine = psutil.Process(pids.get())
    driver.kill()
    engine.wait(120)
    assert not engine.is_running()


def test_a_run_killed_at_a_hundred_random_moments_contains_every_problem_once(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tts_study.runs.run"])
    whole, path = tmp_path / "whole.jsonl", tmp_path / "run.jsonl"
    began = time.monotonic()
    assert not killed(context, whole, 120)
    took = time.monotonic() - began
    rng = random.Random(0)
    kills = 0
    while kills < KILLS:  # a run that was done before that is started again
        kills += killed(context, path, rng.uniform(0, min(took / 2, LATEST)))
        if path.is_file() and len(path.read_bytes().splitlines()) > len(PROBLEMS):
            assert set(store.load(path).problems) == set(PROBLEMS)
            path.unlink()
    assert not killed(context, path, 120)
    assert store.load(path).of(PROBLEMS).results == store.load(whole).of(PROBLEMS).results
    assert len(path.read_bytes().splitlines()) == 1 + len(PROBLEMS), "each problem once"
