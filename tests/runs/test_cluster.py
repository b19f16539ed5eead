"""Workers on a real Ray cluster of two nodes on this machine, with scripted engines: what is lost is done again."""

import asyncio
import os
import re
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import psutil
import pytest
import scripted_engines
from scripted_engines import ScriptedPolicy, ScriptedPRM

from benchmarks import ray as bench_ray
from tts_study import cli
from tts_study.errors import EngineLost, UserError
from tts_study.records import Problem
from tts_study.runs import ray as cluster
from tts_study.runs import store, workers
from tts_study.runs.collect import collect
from tts_study.runs.ray import connected, room
from tts_study.runs.run import Search
from tts_study.runs.workers import ATTEMPTS, Workers

ray = pytest.importorskip("ray")
from ray import cloudpickle  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

for module in (sys.modules[__name__], scripted_engines, bench_ray):
    cloudpickle.register_pickle_by_value(module)  # the workers cannot import tests
TREE = {"": [r"\boxed{2}", r"\boxed{3}"]}
SCORES = {r"\boxed{2}": 0.9, r"\boxed{3}": 0.1}
PROBLEMS = tuple(Problem(f"p{i}", f"What is {i} and one?", "2") for i in range(30))
HEADER = {"n": 2, "dataset": store.describe_dataset("x/y", PROBLEMS)}


class Policy(ScriptedPolicy):
    """Takes its time, leaves its process's number and the problem's in a folder, and fails where it is told to."""

    def __init__(self, folder: Path, seconds: float, failing: dict[str, BaseException]) -> None:
        super().__init__(TREE)
        self.folder, self.seconds, self.failing = folder, seconds, failing

    def prompt(self, problem):
        (self.folder / f"{os.getpid()}-{problem.id}").touch()
        if problem.id in self.failing:
            raise self.failing[problem.id]
        return super().prompt(problem)

    async def complete(self, prefix, **asked):
        await asyncio.sleep(self.seconds)
        return await super().complete(prefix, **asked)


class Maker:
    """Makes a worker's solver, in the worker."""

    def __init__(self, folder: Path, seconds: float = 0.02, failing: dict[str, BaseException] | None = None) -> None:
        self.folder, self.seconds, self.failing = folder, seconds, failing or {}

    async def __call__(self) -> Search:
        return Search("best_of_n", Policy(self.folder, self.seconds, self.failing), ScriptedPRM(SCORES), 2, 0)

    def asked(self) -> list[tuple[int, str]]:
        """Which process was asked which problem."""
        names = (path.name.split("-", 1) for path in self.folder.iterdir())
        return [(int(process), problem) for process, problem in names]


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes on this machine, with room for a worker each."""
    several = two_nodes()
    try:
        with connected(several.address):
            yield several
    finally:
        several.shutdown()


def two_nodes(tries=4):
    """Ray gives a node 30 seconds to start, which a busy machine does not always keep to."""
    several = Cluster()
    try:
        several.add_node(num_cpus=1, include_dashboard=False)
        several.add_node(num_cpus=1)
    except Exception:
        several.shutdown()
        if tries == 1:
            raise
        return two_nodes(tries - 1)
    return several


async def search(path, make, problems=PROBLEMS, count=2, each=2):
    solver = Workers(make, workers=count, each=each)
    try:
        return await collect(problems, solver, path=path, header=HEADER, title="", concurrency=99, progress=False)
    finally:
        await solver.close()


def expected(tmp_path, problems=PROBLEMS):
    here = asyncio.run(Maker(tmp_path)())
    return asyncio.run(collect(
        problems, here, path=tmp_path / "here.jsonl", header=HEADER, title="", concurrency=9, progress=False
    ))  # fmt: skip


@pytest.fixture
def make(tmp_path):
    (tmp_path / "asked").mkdir()
    return Maker(tmp_path / "asked")


async def until(condition):
    for _ in range(12_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def test_two_workers_share_a_run_that_is_the_same_as_one_made_here(nodes, make, tmp_path):
    run = await search(tmp_path / "run.jsonl", make)
    assert run.results == (await asyncio.to_thread(expected, tmp_path)).results
    by_process = [process for process, _ in make.asked()]
    assert len(by_process) == len(PROBLEMS), "each problem is handed out once"
    assert len(set(by_process)) == 2
    assert min(by_process.count(process) for process in set(by_process)) >= 5
    assert room(gpus=4) == (2, 0), "a cluster without GPUs has room for a worker a CPU"


def once(path, problems=PROBLEMS):
    """The run, if it holds each problem once."""
    run = store.load(path)  # refuses a problem that is there twice
    assert set(run.problems) == set(problems)
    return run.of(problems)


async def test_a_killed_worker_is_replaced(nodes, make, tmp_path):
    path = tmp_path / "run.jsonl"
    searching = asyncio.create_task(search(path, make, count=1))
    await until(lambda: len(make.asked()) > 5)
    os.kill(make.asked()[0][0], signal.SIGKILL)
    assert (await searching).results == once(path).results
    assert len({process for process, _ in make.asked()}) == 2


async def test_an_interrupted_run_ends_its_workers_and_keeps_what_was_done(nodes, make, tmp_path):
    searching = asyncio.create_task(search(tmp_path / "run.jsonl", make, count=1))
    await until(lambda: len(make.asked()) > 5)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert 3 <= len(store.load(tmp_path / "run.jsonl").problems) < len(PROBLEMS)
    await until(lambda: not psutil.pid_exists(make.asked()[0][0]))


async def test_a_worker_whose_engine_died_is_replaced_but_not_for_ever(nodes, make, tmp_path):
    make.failing = {"p3": EngineLost("The engine of '1b' died.")}
    with pytest.raises(UserError) as error:
        await search(tmp_path / "run.jsonl", make, PROBLEMS[:6], count=1, each=1)
    told = f"problem p3 first: {ATTEMPTS} workers in a row were lost at it: The engine of '1b' died."
    assert told in str(error.value)
    assert len({process for process, problem in make.asked() if problem == "p3"}) == ATTEMPTS
    assert len(store.load(tmp_path / "run.jsonl").problems) == 5


async def test_what_goes_wrong_in_a_worker_is_told_as_if_it_were_here(nodes, make, tmp_path):
    make.failing = {"p1": UserError("A prompt of 9 tokens does not fit.")}
    with pytest.raises(UserError) as error:
        await search(tmp_path / "run.jsonl", make, PROBLEMS[:6], count=1)
    assert str(error.value).startswith("1 of 6 problems failed, problem p1 first: A prompt of 9 tokens does not fit. ")
    assert len(store.load(tmp_path / "run.jsonl").problems) == 5
    make.failing = {"p1": ZeroDivisionError()}
    with pytest.raises(ZeroDivisionError):
        await search(tmp_path / "run.jsonl", make, PROBLEMS[:6], count=1)
    asked = sorted(problem for _, problem in make.asked())
    assert asked == ["p0", "p1", "p1", "p2", "p3", "p4", "p5"], "what was done is not done again"


async def test_a_cluster_without_room_is_told_at_once_or_after_a_while(nodes, make, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "PATIENCE", 8.0)
    with pytest.raises(UserError, match="the Ray cluster had no room for a worker for 8 s"):
        await search(tmp_path / "run.jsonl", make, count=3)
    assert store.load(tmp_path / "run.jsonl").problems == ()


@pytest.mark.parametrize("count", ["0", "3"])
def test_the_command_refuses_workers_that_there_is_no_room_for(nodes, count, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "connected", lambda address: nullcontext())
    asked = ["run", "--strategy", "greedy", "--out", str(tmp_path), "--ray", "--workers", count]
    assert cli.main(asked) == 2
    told = f"tts-study: the Ray cluster has room for 2 workers of one CPU each, not for {count}\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "no.such.host.invalid:6379", "nonsense"])
def test_an_address_without_a_cluster_is_told(address, capsys, tmp_path):
    asked = ["run", "--strategy", "greedy", "--out", str(tmp_path), "--ray", address]
    assert cli.main(asked) == 2
    assert f"tts-study: cannot reach a Ray cluster at {address}: " in capsys.readouterr().err


def test_without_ray_the_command_says_what_to_install(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["run", "--strategy", "greedy", "--out", str(tmp_path), "--ray"]) == 2
    assert "a run on many machines needs Ray: pip install" in capsys.readouterr().err


async def test_the_bench_tells_what_ray_costs_a_problem(nodes, monkeypatch):
    monkeypatch.setattr(bench_ray, "connected", lambda address: nullcontext())
    told = await bench_ray.bench_bookkeeping(PROBLEMS, n=4)
    ms = r"(-?[\d.]+) ms"
    numbers = re.fullmatch(
        rf"bookkeeping  30 problems, n=4: {ms} a problem in one process, {ms} over Ray, {ms} more", told
    )
    assert numbers, told
    here, over_ray, more = map(float, numbers.groups())
    assert here > 0 and over_ray > 0
    assert more == pytest.approx(over_ray - here, abs=0.11)


async def test_a_node_killed_in_the_middle_costs_nothing_but_its_problems_in_hand(nodes, make, tmp_path):
    path = tmp_path / "run.jsonl"
    make.seconds = 0.2
    searching = asyncio.create_task(search(path, make))
    await until(lambda: len({process for process, _ in make.asked()}) == 2 and len(make.asked()) > 5)
    (node,) = nodes.worker_nodes
    await asyncio.to_thread(nodes.remove_node, node, allow_graceful=False)
    run = await searching
    assert run.results == (await asyncio.to_thread(expected, tmp_path)).results == once(path).results
    assert len(PROBLEMS) < len(make.asked()) <= len(PROBLEMS) + 2, "only what was in hand was done again"
