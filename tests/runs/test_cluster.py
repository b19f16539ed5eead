"""Workers on a real Ray cluster on this machine, with scripted engines: what is lost is done again.

Starting nodes and workers is what takes time: there is one node, and two workers serve all tests of the pool.
"""

import asyncio
import os
import re
import signal
import sys
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import pytest_asyncio
import scripted_engines
from scripted_engines import ScriptedPolicy, ScriptedPRM

from benchmarks import ray as bench_ray
from tts_study import cli
from tts_study.errors import EngineLost, RunStopped, UserError
from tts_study.records import Problem
from tts_study.runs import ray as cluster
from tts_study.runs import store
from tts_study.runs.collect import collect
from tts_study.runs.identity import software
from tts_study.runs.ray import connected, room
from tts_study.runs.run import Search
from tts_study.runs.workers import Limits, Workers
from tts_study.strategies import find

ray = pytest.importorskip("ray")
from ray import cloudpickle  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402

for module in (sys.modules[__name__], scripted_engines, bench_ray):
    cloudpickle.register_pickle_by_value(module)  # the workers cannot import tests
TREE = {"": [r"\boxed{2}", r"\boxed{3}"]}
SCORES = {r"\boxed{2}": 0.9, r"\boxed{3}": 0.1}
PROBLEMS = tuple(Problem(f"p{i}", f"What is {i} and one?", "2") for i in range(24))
in_pool = pytest.mark.asyncio(loop_scope="module")
REPLY = 8.0  # seconds within which a worker of the pool must reply


class Policy(ScriptedPolicy):
    """Takes its time, leaves its process's number and the problem's id in a folder, and does what the id says."""

    def __init__(self, folder: Path, seconds: float) -> None:
        super().__init__(TREE)
        self.folder, self.seconds = folder, seconds

    def prompt(self, problem):
        (self.folder / f"{os.getpid()}-{problem.id}").touch()
        return super().prompt(problem)

    async def complete(self, prefix, **asked):
        await asyncio.sleep(self.seconds)
        return await super().complete(prefix, **asked)


class Misbehaving(Search):
    """Does what a problem's id says."""

    async def solve(self, problem):
        result = await super().solve(problem)
        match problem.id:
            case "too long":
                raise UserError("A prompt of 9 tokens does not fit.")
            case "bug":
                raise ZeroDivisionError
            case "engine":
                raise EngineLost("The engine of '1b' died.")
            case "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                await asyncio.sleep(3600)
            case "stop":
                os.kill(os.getpid(), signal.SIGSTOP)
                time.sleep(3600)  # the signal may reach another thread first, and this one would send a result
        return result


@dataclass
class Maker:
    """Makes a worker's solver, in the worker; its starts, counted over all workers, "work", "raise" or "hang"."""

    folder: Path
    seconds: float = 0.02
    starts: tuple[str, ...] = ("work",)

    async def __call__(self) -> Search:
        number = len(list(self.folder.parent.glob("start-*")))
        (self.folder.parent / f"start-{number}").touch()
        match self.starts[min(number, len(self.starts) - 1)]:
            case "raise":
                raise ZeroDivisionError("the engine is not there")
            case "hang":
                await asyncio.sleep(3600)
        return Misbehaving(find("best_of_n").search, Policy(self.folder, self.seconds), ScriptedPRM(SCORES), 2, 0)

    def asked(self) -> list[tuple[int, str]]:
        """Which process was asked which problem."""
        names = (path.name.split("-", 1) for path in self.folder.iterdir())
        return [(int(process), problem) for process, problem in names]


@dataclass
class Running:
    """A solver that is started already, and stays."""

    solver: Workers
    sampler: str = "scripted"

    async def start(self):
        pass

    async def solve(self, problem):
        return await self.solver.solve(problem)


@pytest.fixture(scope="module", autouse=True)
def own_token(tmp_path_factory):
    """Ray keeps the token of a cluster that it starts in a folder of the tests, and not with the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_AUTH_TOKEN", raising=False)
        patch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path_factory.mktemp("ray") / "auth_token"))
        yield


@pytest.fixture(scope="module")
def one_node():
    """A cluster of one node, with room for two workers."""
    with a_cluster([2]):
        yield


@contextmanager
def a_cluster(cpus):
    several = nodes_with(cpus)
    try:
        with connected(several.address):
            yield several
    finally:
        several.shutdown()


def nodes_with(cpus, tries=4):
    """Ray gives a node 30 seconds to start, which a busy machine does not always keep to."""
    several = Cluster()
    try:
        for number, count in enumerate(cpus):
            several.add_node(num_cpus=count, **({} if number else {"include_dashboard": False}))
    except Exception:
        several.shutdown()
        if tries == 1:
            raise
        return nodes_with(cpus, tries - 1)
    return several


@pytest.fixture
def make(tmp_path):
    (tmp_path / "asked").mkdir()
    return Maker(tmp_path / "asked")


async def search(path, solver, problems=PROBLEMS, workers=1):
    header = {"n": 2, "dataset": store.describe_dataset("x/y", problems)}
    return await collect(
        problems, solver, path=path, header=header, title="", concurrency=99, workers=workers, progress=False
    )


async def search_and_close(path, make, limits=Limits(place=60), **options):  # noqa: B008
    solver = Workers(make, workers=1, each=2, limits=limits, **options)
    try:
        return await search(path, solver)
    finally:
        await solver.close()


async def made_here(folder, problems=PROBLEMS):
    (folder / "asked here").mkdir()
    return await search(folder / "here.jsonl", await Maker(folder / "asked here")(), problems)


async def until(condition):
    for _ in range(6_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


def among(*ids):
    """The problems, with such ones in between."""
    return (*PROBLEMS[:3], *(Problem(name, f"{name}?", "2") for name in ids), *PROBLEMS[3:])


def failures(error):
    """How many problems failed, and which was the first."""
    return re.match(r"(\d+) of \d+ problems failed, problem (.+?) first: ", str(error.value)).groups()


@pytest.fixture(scope="module")
def maker(one_node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool") / "asked"
    folder.mkdir()
    return Maker(folder)


@pytest.fixture
def asked(maker):
    """Who was asked what during the test."""
    for path in maker.folder.iterdir():
        path.unlink()
    return maker.asked


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(maker):
    """Two workers, which every test finds up."""
    workers = Workers(maker, workers=2, each=2, limits=Limits(problem=REPLY))
    await workers.start()
    yield Running(workers)
    await workers.close()


@in_pool
async def test_two_workers_share_a_run_that_is_the_same_as_one_made_here(pool, asked, tmp_path):
    run = await search(tmp_path / "run.jsonl", pool, workers=2)
    assert run.results == (await made_here(tmp_path)).results
    by_process = [process for process, _ in asked()]
    assert len(by_process) == len(PROBLEMS), "each problem is handed out once"
    assert len(set(by_process)) == 2
    assert min(by_process.count(process) for process in set(by_process)) >= 5
    assert room(gpus=4) == (2, 0), "a cluster without GPUs has room for a worker a CPU"


@in_pool
async def test_what_fails_in_a_worker_is_reported_as_if_it_were_here(pool, asked, tmp_path):
    with pytest.raises(UserError) as error:
        await search(tmp_path / "run.jsonl", pool, among("too long", "engine"), workers=2)
    assert failures(error) == ("2", "too long") and "A prompt of 9 tokens does not fit. " in str(error.value)
    assert len(store.load(tmp_path / "run.jsonl").problems) == len(PROBLEMS)
    assert len({process for process, _ in asked()}) == 2, "a lost engine takes no worker with it"
    with pytest.raises(UserError, match="an engine was lost each time .* also alone: The engine of '1b' died"):
        await search(tmp_path / "engine.jsonl", pool, among("engine")[3:4])
    with pytest.raises(ZeroDivisionError):
        await search(tmp_path / "bug.jsonl", pool, among("bug"), workers=2)
    assert len(store.load(tmp_path / "bug.jsonl").problems) == len(PROBLEMS)


@pytest.mark.full  # 45 s on a busy machine: two replies are waited for until their limit
@in_pool
async def test_a_problem_that_kills_or_stalls_its_worker_is_sent_again_alone(pool, asked, tmp_path):
    with pytest.raises(UserError) as error:
        await search(tmp_path / "run.jsonl", pool, among("poison", "hang", "stop"), workers=2)
    assert failures(error) == ("3", "poison"), "their neighbours are not given up"
    assert re.search("an engine was lost each time it was tried, also alone: Actor", str(error.value))
    assert len(store.load(tmp_path / "run.jsonl").problems) == len(PROBLEMS)
    names = [name for _, name in asked()]
    # once, if it was in the hands of a worker that another one ended before it began
    assert {names.count("poison"), names.count("hang"), names.count("stop")} <= {1, 2}
    for stopped in {process for process, name in asked() if name == "stop"}:
        await until(lambda stopped=stopped: not psutil.pid_exists(stopped))


@in_pool
async def test_a_closed_pool_leaves_its_place_to_others(pool):
    await pool.solver.close()  # also when a test above has failed
    await until(lambda: ray.available_resources().get("CPU") == 2)


@pytest.mark.full
async def test_a_node_killed_in_the_middle_costs_no_problem(make, tmp_path):
    with a_cluster([1, 1]) as nodes:
        solver = Workers(make, workers=2, each=2, limits=Limits(place=60))
        searching = asyncio.create_task(search(tmp_path / "run.jsonl", solver, workers=2))
        await until(lambda: len({process for process, _ in make.asked()}) == 2 and len(make.asked()) > 3)
        (node,) = nodes.worker_nodes
        await asyncio.to_thread(nodes.remove_node, node, allow_graceful=False)
        try:
            assert (await searching).results == (await made_here(tmp_path)).results
        finally:
            await solver.close()


@pytest.mark.parametrize(
    ("second", "told"),
    [
        ("raise", "no worker is left: ZeroDivisionError: the engine is not there"),
        ("hang", "no worker is left: a worker's engines did not start within 2 s"),
    ],
)
async def test_when_no_worker_is_left_or_coming_all_are_told_why(one_node, make, tmp_path, second, told):
    make.starts = ("work", second)
    searching = asyncio.create_task(search_and_close(tmp_path / "run.jsonl", make, limits=Limits(place=60, start=2)))
    await until(lambda: len(make.asked()) > 5)
    os.kill(make.asked()[0][0], signal.SIGKILL)
    with pytest.raises(RunStopped, match=told):
        await asyncio.wait_for(searching, 60)
    assert len(store.load(tmp_path / "run.jsonl").problems) >= 3


async def test_an_interrupted_run_ends_its_workers_and_keeps_what_was_done(one_node, make, tmp_path):
    searching = asyncio.create_task(search_and_close(tmp_path / "run.jsonl", make))
    await until(lambda: len(make.asked()) > 5)
    searching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await searching
    assert 3 <= len(store.load(tmp_path / "run.jsonl").problems) < len(PROBLEMS)
    await until(lambda: not psutil.pid_exists(make.asked()[0][0]))


async def test_a_worker_with_another_source_is_refused(one_node, make, tmp_path):
    here = os.getpid()

    def identity():
        return {**software(), "source of tts-study": "0123" if os.getpid() == here else "4567"}

    with pytest.raises(UserError, match=r"the source of tts-study is 4567 on .* and 0123 where the run was started"):
        await search_and_close(tmp_path / "run.jsonl", make, identity=identity)


async def test_a_cluster_without_room_is_told_at_once_or_after_a_while(one_node, make, tmp_path):
    solver = Workers(make, workers=3, each=2, limits=Limits(place=1))
    try:
        with pytest.raises(UserError, match="the Ray cluster had no room for a worker for 1 s"):
            await search(tmp_path / "run.jsonl", solver)
    finally:
        await solver.close()
    assert store.load(tmp_path / "run.jsonl").problems == ()


@pytest.mark.parametrize("count", ["0", "3"])
def test_the_command_refuses_workers_that_there_is_no_room_for(count, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "connected", lambda address: nullcontext())
    monkeypatch.setattr(cluster, "room", lambda gpus: (2, 0))
    asked = ["run", "--strategy", "greedy", "--out", str(tmp_path), "--ray", "--workers", count]
    assert cli.main(asked) == 2
    told = f"tts-study: the Ray cluster has room for 2 workers of one CPU each, not for {count}\n"
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999", "no.such.host.invalid:6379", "nonsense"])
def test_an_address_without_a_cluster_is_told(address, capsys, tmp_path):
    asked = ["run", "--strategy", "greedy", "--out", str(tmp_path), "--ray", address]
    assert cli.main(asked) == 2
    assert f"tts-study: cannot reach a Ray cluster at {address}: " in capsys.readouterr().err


@pytest.fixture
def init(monkeypatch, tmp_path):
    """What Ray was asked to connect to, and the mode of authentication; nothing is connected, and no token is here."""
    asked = []
    monkeypatch.setattr(ray, "init", lambda address, **_: asked.append((address, os.environ.get("RAY_AUTH_MODE"))))
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return asked


def test_without_an_address_no_cluster_that_happens_to_run_here_is_joined(init, monkeypatch):
    with connected(None):
        monkeypatch.setenv("RAY_ADDRESS", "ray://ours")
    with connected(None), connected("auto"):
        assert [address for address, _ in init] == ["local", "ray://ours", "auto"]


def test_a_token_at_hand_is_shown_and_its_absence_is_reported(init, capsys, tmp_path):
    with connected("ray://ours"):
        assert init == [("ray://ours", None)]
        assert capsys.readouterr().out.startswith("no token is asked for at ray://ours: whoever reaches it can run")
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0" * 32)
    with connected("ray://ours"):
        assert init[1] == ("ray://ours", "token") and not capsys.readouterr().out


def test_without_ray_the_command_says_what_to_install(capsys, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert cli.main(["run", "--strategy", "greedy", "--out", str(tmp_path), "--ray"]) == 2
    assert "a run on many machines needs Ray: pip install" in capsys.readouterr().err


@pytest.mark.full  # it measures, and starts a cluster of its own
async def test_the_bench_tells_what_ray_costs_a_problem(one_node, monkeypatch):
    monkeypatch.setattr(bench_ray, "connected", lambda address: nullcontext())
    told = await bench_ray.bench_bookkeeping(PROBLEMS, n=4)
    ms = r"(-?[\d.]+) ms"
    numbers = re.fullmatch(
        rf"bookkeeping  24 problems, n=4: {ms} a problem in one process, {ms} over Ray, {ms} more", told
    )
    assert numbers, told
    here, over_ray, more = map(float, numbers.groups())
    assert here > 0 and over_ray > 0
    assert more == pytest.approx(over_ray - here, abs=0.11)
