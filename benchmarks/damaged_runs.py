"""Faults of a run's file and of the processes that write it: each function provokes one, and returns how it ended."""

import asyncio
import gzip
import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy
from tts_study import paths
from tts_study.answers.memo import Memo, cache_file
from tts_study.errors import EngineLost, UserError
from tts_study.records import Problem
from tts_study.runs import store

PROBLEMS = tuple(Problem(f"p{i}", f"What is {i} and one?", "2") for i in range(60))
SENTENCE, RESUMED, AGAIN = "one sentence", "every problem once", "asked again"
HEADER = {"n": 2, "seed": 0}


def _search(path: Path, pause: float = 0.0, header: dict[str, Any] = HEADER) -> store.Run:
    class Policy(ScriptedPolicy):
        async def complete(self, prefix: Any, **asked: Any) -> Any:
            await asyncio.sleep(pause)
            return await super().complete(prefix, **asked)

    prm = ScriptedPRM({"2": 0.9, "3": 0.1})
    return asyncio.run(run_strategy(
        "best_of_n", PROBLEMS, Policy({"": ["2", "3"]}), prm, n=2, seed=0, path=path, header=header, progress=False,
        concurrency=4,
    ))  # fmt: skip


def _resumed(path: Path) -> str:
    """Resume a run; how it ended."""
    run, whole = _search(path), _search(path.with_name("whole.jsonl"))
    lines = path.read_bytes().splitlines()
    same = run.results == whole.results and len(lines) == 1 + len(PROBLEMS)
    return RESUMED if same else "WRONG: other results"


def flip(folder: Path, rng: random.Random) -> str:
    """A bit of a stored result flips."""
    path = folder / "run.jsonl"
    _search(path)
    content = bytearray(path.read_bytes())
    content[rng.randrange(content.index(b"\n") + 1, len(content) - 1)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    store.load(path)
    return "WRONG: unnoticed"


def torn(folder: Path, rng: random.Random) -> str:
    """The file is cut at any byte, then resumed."""
    path = folder / "run.jsonl"
    _search(path)
    os.truncate(path, rng.randrange(path.stat().st_size))
    return _resumed(path)


def stream(folder: Path, rng: random.Random) -> str:
    """A compressed run is corrupt."""
    plain, path = folder / "run.jsonl", folder / "packed.jsonl.gz"
    _search(plain)
    packed = bytearray(gzip.compress(plain.read_bytes()))
    start = rng.randrange(20, len(packed) - 60)
    packed[start : start + 50] = rng.randbytes(50)
    path.write_bytes(packed)
    store.load(path)
    return "WRONG: unnoticed"


def pipe(folder: Path, rng: random.Random) -> str:
    """The file is a pipe or a device."""
    path = folder / "run.jsonl"
    if rng.random() < 0.5:
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    _search(path)
    return "WRONG: read"


def _full_child(path: Path, size: int, message: Any) -> None:
    import resource

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        _search(path)
        message.put("WRONG: no failure")
    except UserError:
        message.put(SENTENCE)


def full(folder: Path, rng: random.Random) -> str:
    """The disk is full after some bytes; when there is room again, the same command resumes the run."""
    context = multiprocessing.get_context("fork")
    message, path = context.SimpleQueue(), folder / "run.jsonl"
    child = context.Process(target=_full_child, args=(path, rng.randrange(200, 9000), message))
    child.start()
    child.join()
    outcome = str(message.get())
    return _resumed(path) if outcome == SENTENCE else outcome


def writers(folder: Path, rng: random.Random) -> str:
    """Two processes write one run."""
    with store.writing(folder / "run.jsonl", HEADER):
        _search(folder / "run.jsonl")
    return "WRONG: both wrote"


def restart(folder: Path, rng: random.Random) -> str:
    """A run fails to start, then is started with another seed."""
    with store.writing(folder / "run.jsonl", HEADER | {"seed": 1}):
        pass  # an engine that did not start
    return _resumed(folder / "run.jsonl")


def poison(folder: Path, rng: random.Random) -> str:
    """Problems that stand together kill their engine with all that it was asked: only they are given up."""
    first, path = rng.randrange(len(PROBLEMS) - 5), folder / "run.jsonl"
    killers, others = PROBLEMS[first : first + 6], (*PROBLEMS[:first], *PROBLEMS[first + 6 :])

    class Policy(ScriptedPolicy):
        deaths = 0

        async def complete(self, prefix: Any, **asked: Any) -> Any:
            before = self.deaths
            await asyncio.sleep(0.001)
            self.deaths += prefix in map(self.prompt, killers)
            if before != self.deaths:  # its own fault, or a neighbour's
                raise EngineLost("The engine died.")
            return await super().complete(prefix, **asked)

    prm = ScriptedPRM({"2": 0.9, "3": 0.1})
    try:
        asyncio.run(run_strategy(
            "best_of_n", PROBLEMS, Policy({"": ["2", "3"]}), prm, n=2, seed=0, path=path, header=HEADER, progress=False,
            concurrency=len(PROBLEMS),
        ))  # fmt: skip
    except UserError:
        stored = store.load(path).problems
        return SENTENCE if sorted(stored, key=PROBLEMS.index) == list(others) else "WRONG: others were given up"
    return "WRONG: solved"


def memo(folder: Path, rng: random.Random) -> str:
    """A bit flips in what is kept of the answers' parser: it is asked again, and no grade is another one."""
    with patch.dict(os.environ, {paths.CACHE: str(folder)}):
        kept = Memo()
        assert "a" not in kept
        kept["a"] = "7/6"
        content = bytearray(cache_file().read_bytes())
        content[rng.randrange(len(content) - 1)] ^= 1 << rng.randrange(8)
        cache_file().write_bytes(content)
        return "WRONG: believed" if "a" in Memo() else AGAIN


def killed(folder: Path, rng: random.Random) -> str:
    """The driver is killed at any moment, then started again."""
    context, path = multiprocessing.get_context("fork"), folder / "run.jsonl"
    driver = context.Process(target=_search, args=(path, 0.005))
    driver.start()
    driver.join(rng.uniform(0, 0.12))
    driver.kill()
    driver.join()
    return _resumed(path)
