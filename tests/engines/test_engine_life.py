"""What happens to requests when their engine is closed, dies or is silent, whoever asks it: against a scripted vLLM."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from engine_settings import SHARED

from tts_study.engines import background, in_flight
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.settings import PolicySettings
from tts_study.engines.vllm import VllmEngine
from tts_study.errors import EngineLost, UserError
from tts_study.profiles import load_profile
from tts_study.runs.engines import Engines

GREEDY = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 4, "seed": 1}


class ScriptedLLM:
    """Stands in for vLLM's `AsyncLLM`: answers with one token once its gate is open, or is dead."""

    def __init__(self, exit_code=None):
        self.gate, self.dead, self.ended = asyncio.Event(), False, threading.Event()
        self.output_handler, self.errored = None, False
        process = SimpleNamespace(exitcode=exit_code)
        self.vllm_config = SimpleNamespace(instance_id="scripted")
        self.engine_core = SimpleNamespace(
            get_output_async=None, resources=SimpleNamespace(engine_manager=SimpleNamespace(processes=[process]))
        )

    async def generate(self, prompt, params, number):
        from vllm.v1.engine.exceptions import EngineDeadError

        await self.gate.wait()
        if self.dead:
            raise EngineDeadError
        sample = SimpleNamespace(token_ids=[7], finish_reason="stop", stop_reason=None)
        yield SimpleNamespace(outputs=[sample], num_cached_tokens=0)

    def shutdown(self, timeout=None):
        self.ended.set()


class ScriptedEngine(VllmEngine):
    """A `VllmEngine` on a scripted vLLM."""

    def __init__(self, folder, launching=0.0, **settings):
        super().__init__(PolicySettings(model=str(folder), **settings))
        self.llms, self.launching = [], launching

    def _launch(self):
        self._oom_kills = 0
        time.sleep(self.launching)
        self.llms.append(ScriptedLLM(exit_code=-9))
        return self.llms[-1]

    def ask(self):
        return self.generate([1, 2, 3], GREEDY)

    async def asked(self, count):
        """So many requests, all in flight."""
        tasks = [asyncio.create_task(self.ask()) for _ in range(count)]
        while self._in_flight.count < count or self._llm is None:
            await asyncio.sleep(0.01)
        return tasks

    def open(self):
        background._loop().call_soon_threadsafe(self.llms[-1].gate.set)


async def ends(tasks, error):
    async with asyncio.timeout(5):
        found = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(each) for each in found} == {error} and len({str(each) for each in found}) == 1
    assert "\n" not in str(found[0])
    return str(found[0])


@pytest.fixture
def engine(policy_folder):
    return ScriptedEngine(policy_folder)


async def test_closing_an_engine_ends_its_requests_at_once_and_the_next_one_starts_it_again(engine):
    tasks = await engine.asked(8)
    await engine.close()
    assert "was closed before it had answered" in await ends(tasks, UserError)
    assert engine.llms[0].ended.is_set()
    (task,) = await engine.asked(1)
    engine.open()
    assert (await task).token_ids == (7,) and len(engine.llms) == 2


async def test_an_engine_that_is_closed_while_it_starts_is_shut_down_and_nobody_waits_for_it(policy_folder):
    engine = ScriptedEngine(policy_folder, launching=1.0)
    tasks = [asyncio.create_task(engine.ask()) for _ in range(3)]
    await asyncio.sleep(0.3)
    began = time.monotonic()
    await engine.close()
    assert "was closed" in await ends(tasks, UserError)
    assert time.monotonic() - began < 0.5
    await asyncio.sleep(1.2)
    assert engine.llms[0].ended.wait(2)


async def test_an_engine_that_dies_ends_all_its_requests_with_the_cause_and_starts_again(engine):
    tasks = await engine.asked(8)
    engine.llms[0].dead = True
    engine.open()
    message = await ends(tasks, EngineLost)
    assert "died: its process was ended by SIGKILL" in message and "memory" not in message
    (task,) = await engine.asked(1)
    engine.open()
    assert (await task).token_ids == (7,) and len(engine.llms) == 2


async def test_only_the_systems_own_kill_for_want_of_memory_is_called_so(engine, monkeypatch):
    monkeypatch.setattr("tts_study.engines.reasons.oom_kills", lambda: 1)
    tasks = await engine.asked(1)
    engine.llms[0].dead = True
    engine.open()
    assert "killed its process for lack of memory: lower max_num_seqs" in await ends(tasks, EngineLost)


async def test_an_engine_that_died_while_nobody_asked_is_replaced_without_a_word(engine):
    (task,) = await engine.asked(1)
    engine.open()
    await task
    engine.llms[0].errored = True
    (task,) = await engine.asked(1)
    engine.open()
    assert (await task).token_ids == (7,) and len(engine.llms) == 2


async def test_a_silent_engine_is_reported_then_lost_and_started_again(policy_folder, monkeypatch, capsys):
    monkeypatch.setattr(in_flight, "TICK", 0.05)
    monkeypatch.setattr(in_flight, "REPORT_SECONDS", 0.2)
    engine = ScriptedEngine(policy_folder, reply_limit=0.6)
    tasks = await engine.asked(5)
    message = await ends(tasks, EngineLost)
    assert "has not answered since" in message and "reply_limit is 0.6 s" in message
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "5 requests waiting (it counts as lost after 0.6 s)" in line
    (task,) = await engine.asked(1)
    engine.open()
    assert (await task).token_ids == (7,) and engine.llms[0].ended.is_set()


async def test_tokens_of_any_request_are_signs_of_life(policy_folder, monkeypatch):
    monkeypatch.setattr(in_flight, "TICK", 0.05)
    engine = ScriptedEngine(policy_folder, reply_limit=0.5)
    (task,) = await engine.asked(1)

    async def output():
        return "a token"

    engine.llms[0].engine_core.get_output_async = output
    engine._listen(engine.llms[0])
    for _ in range(15):
        await asyncio.sleep(0.1)
        await engine.llms[0].engine_core.get_output_async()
    assert not task.done()
    engine.open()
    assert (await task).token_ids == (7,)


async def test_time_in_which_this_process_was_suspended_is_no_silence(monkeypatch):
    lost, clock = [], [0.0]
    monkeypatch.setattr(in_flight, "TICK", 0.01)
    monkeypatch.setattr(in_flight, "monotonic", lambda: clock[0])
    watched = in_flight.InFlight("The engine", 60.0, lost.append)
    watched.ready = True
    async with watched.request():
        await asyncio.sleep(0.05)
        clock[0] += 3600.0  # Ctrl-Z, and fg an hour later
        await asyncio.sleep(0.05)
    assert lost == []


def test_any_loop_and_any_thread_may_ask_the_same_engine(engine):
    async def first():
        (task,) = await engine.asked(1)
        engine.open()
        return (await task).token_ids

    async def ask():
        return (await engine.ask()).token_ids

    found = [asyncio.run(first()), asyncio.run(ask())]
    threads = [threading.Thread(target=lambda: found.append(asyncio.run(ask()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert found == [(7,)] * 6 and len(engine.llms) == 1


def test_an_interrupted_wait_ends_when_its_coroutine_has_closed_its_files():
    events, before = [], signal.signal(signal.SIGINT, signal.default_int_handler)

    async def work():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            events.append("closed")

    with pytest.raises(KeyboardInterrupt):
        background.wait(work())
    signal.signal(signal.SIGINT, before)
    assert events == ["closed"]


# --- one pair of engines for all runs of a process -------------------------------------------------------------------


@pytest.fixture
def lending(policy_folder, prm_folder, monkeypatch):
    """Engines that note when they are closed, and two profiles that want different policies."""
    closed = []

    async def close(self):
        closed.append(self.settings.temperature)

    monkeypatch.setattr(VllmPolicy, "close", close)
    profile = load_profile("micro", policy=str(policy_folder), prm=str(prm_folder))
    return Engines(), profile, replace(profile, temperature=0.5), closed


async def test_a_run_with_other_engines_waits_until_the_first_one_is_done(lending):
    engines, one, other, closed = lending
    order = []

    async def run(profile, seconds):
        async with engines.lent(profile, needs_prm=False) as (policy, _):
            order.append(f"begin {profile.temperature}")
            await asyncio.sleep(seconds)
            assert policy.settings.temperature not in closed
            order.append(f"end {profile.temperature}")

    await asyncio.gather(run(one, 0.2), run(one, 0.3), run(other, 0.0))
    assert order == ["begin 1.0", "begin 1.0", "end 1.0", "end 1.0", "begin 0.5", "end 0.5"]


async def test_engines_that_are_lent_are_closed_when_they_are_given_back(lending):
    engines, one, _, closed = lending
    async with engines.lent(one, needs_prm=False):
        await engines.close()
        assert closed == []
    assert closed == [1.0]


async def test_a_run_that_is_cancelled_at_any_moment_leaves_the_engines_to_others(lending):
    engines, one, other, _ = lending

    async def run(profile):
        async with engines.lent(profile, needs_prm=False):
            await asyncio.sleep(0)

    moments = random.Random(0)
    for _ in range(300):
        running = asyncio.create_task(run(moments.choice((one, other))))
        await asyncio.sleep(moments.uniform(0, 0.001))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    await asyncio.wait_for(run(one), 10)
    await asyncio.wait_for(run(other), 10)


async def test_engines_that_are_being_closed_are_not_lent(lending, monkeypatch):
    engines, one, _, closed = lending

    async def close(self):
        await asyncio.sleep(0.1)
        closed.append(self)

    monkeypatch.setattr(VllmPolicy, "close", close)
    async with engines.lent(one, needs_prm=False) as (first, _):
        pass
    closing = asyncio.create_task(engines.close())
    await asyncio.sleep(0.05)
    async with engines.lent(one, needs_prm=False) as (second, _):
        assert second is not first
    await closing
    assert closed == [first]


# --- real vLLM -------------------------------------------------------------------------------------------------------

NOTEBOOK = """
import asyncio, os, signal, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from tts_study.engines.background import wait
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.settings import PolicySettings
from tts_study.records import Problem

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as a kernel does; behind a shell's & it is ignored
    policy = VllmPolicy(PolicySettings(model=sys.argv[1], dtype="float32", max_tokens=200, **{SHARED}))
    prompt = policy.prompt(Problem("a", "Start with 4, add 5.", "9"))

    async def cell(n=4):
        return [g.token_ids for g in (await policy.complete(prompt, n=n, seed=1)).generations]

    def interrupted(n, seconds):
        threading.Timer(seconds, os.killpg, (0, signal.SIGINT)).start()  # Jupyter's stop button
        try:
            wait(cell(n))
        except KeyboardInterrupt:
            return
        raise SystemExit(f"not interrupted after {seconds} s")

    interrupted(4, 3.0)  # while the engine starts
    wait(cell())
    interrupted(8000, 0.5)  # while it samples, which takes seconds
    found = [wait(cell()), asyncio.run(cell()), asyncio.run(cell())]
    with ThreadPoolExecutor() as pool:
        found += pool.map(lambda _: asyncio.run(cell()), range(2))
    assert all(each == found[0] for each in found)
    (engine,) = policy.engine._llm.engine_core.resources.engine_manager.processes
    threading.Timer(0.5, os.kill, (engine.pid, signal.SIGKILL)).start()  # idle, it would be replaced without a word
    try:
        asyncio.run(cell(8000))
    except Exception as error:
        print("lost:", type(error).__name__, error, flush=True)
    assert asyncio.run(cell()) == found[0]
    print("alive", flush=True)
    wait(policy.close())
"""


@pytest.mark.engine
def test_after_jupyters_stop_button_or_a_killed_engine_the_next_cell_works(policy_folder, tmp_path):
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK.replace("{SHARED}", repr(SHARED)))
    command = [sys.executable, str(script), str(policy_folder)]
    done = subprocess.run(command, capture_output=True, text=True, start_new_session=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    lost, alive = (line for line in done.stdout.splitlines() if line.startswith(("lost", "alive")))  # vLLM prints too
    assert lost.startswith("lost: EngineLost The engine of ") and "died: its process was ended by SIGKILL" in lost
    assert alive == "alive"
