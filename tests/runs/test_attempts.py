"""Problems that kill engines: their neighbours are solved all the same, and only the culprit is given up."""

import asyncio

import pytest

from tts_study.errors import EngineLost, RunStopped, UserError
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs import attempts, store
from tts_study.runs.collect import collect

PROBLEMS = tuple(Problem(f"p/{i}", f"What is {i}?", "5") for i in range(30))


class Fragile:
    """A solver on one engine that dies, with all that it is asked, as soon as it meets poison; it restarts at once."""

    sampler = "scripted"

    def __init__(self, poison=()):
        self.poison, self.deaths, self.tries = set(poison), 0, {}
        self.lost = asyncio.Event()

    async def start(self):
        pass

    async def solve(self, problem):
        self.tries[problem.id] = self.tries.get(problem.id, 0) + 1
        lost = self.lost
        if problem.id in self.poison:
            await asyncio.sleep(0.01)
            self.lost, self.deaths = asyncio.Event(), self.deaths + 1
            lost.set()
        try:
            async with asyncio.timeout(0.03):
                await lost.wait()
        except TimeoutError:
            return SearchResult(problem.id, (Completion(("5",), 1, True, (0.5,)),), Cost(generated=1))
        raise EngineLost("The engine died: RuntimeError: poison.")


async def run(solver, path, concurrency=8):
    return await collect(
        PROBLEMS, solver, path=path, header={"n": 1}, title="", concurrency=concurrency, progress=False
    )  # fmt: skip


@pytest.mark.parametrize("poison", [("p/3",), ("p/0", "p/1", "p/2"), ("p/29",)])
async def test_only_the_problem_that_kills_its_engine_is_given_up_and_it_is_named(tmp_path, poison):
    solver = Fragile(poison)
    count = f"{len(poison)} of 30 problems failed, problem {poison[0]} first"
    with pytest.raises(UserError, match=f"{count}: an engine was lost each time .* also alone: .* poison"):
        await run(solver, tmp_path / "run.jsonl")
    stored = [problem.id for problem in store.load(tmp_path / "run.jsonl").problems]
    assert sorted(stored) == sorted({problem.id for problem in PROBLEMS} - set(poison))
    assert max(solver.tries.values()) == 2 and solver.deaths <= 2 * len(poison)


@pytest.mark.parametrize("concurrency", [1, 30])
async def test_problems_that_kill_engines_and_stand_together_do_not_keep_the_others_from_being_solved(
    tmp_path, concurrency
):
    solver = Fragile(problem.id for problem in PROBLEMS[:6])
    with pytest.raises(UserError, match="6 of 30 problems failed, problem p/0 first"):
        await run(solver, tmp_path / "run.jsonl", concurrency=concurrency)
    assert set(store.load(tmp_path / "run.jsonl").problems) == set(PROBLEMS[6:])


async def test_an_engine_that_was_lost_by_chance_costs_no_problem(tmp_path):
    solver = Fragile()
    task = asyncio.create_task(run(solver, tmp_path / "run.jsonl"))
    for _ in range(2):
        await asyncio.sleep(0.05)
        lost, solver.lost = solver.lost, asyncio.Event()
        lost.set()
    assert (await task).problems == PROBLEMS


async def test_engines_that_die_of_everything_end_the_run_soon(tmp_path):
    solver = Fragile(problem.id for problem in PROBLEMS)
    named = r"10 engines in a row were lost, each at a single problem \((p/\d+, ){9}p/\d+\): .* poison"
    with pytest.raises(RunStopped, match=named):
        await run(solver, tmp_path / "run.jsonl", concurrency=2)
    assert solver.deaths <= 2 * attempts.LOSSES + 2 + attempts.ALONE


async def test_all_servers_being_down_ends_the_run_at_once_and_keeps_what_was_computed(tmp_path):
    class Down(Fragile):
        async def solve(self, problem):
            if len(self.tries) >= 10:
                raise RunStopped("All servers have failed.")
            return await super().solve(problem)

    solver = Down()
    with pytest.raises(RunStopped, match=r"stopped at problem p/10: All servers have failed\. It is kept in .*run"):
        await run(solver, tmp_path / "run.jsonl", concurrency=1)
    assert len(store.load(tmp_path / "run.jsonl").problems) == 10 and len(solver.tries) == 10
