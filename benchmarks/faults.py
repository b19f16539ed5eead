"""What happens when something fails: each fault is provoked several times, on scripted engines and small files.

A fault has ended well if the run said why in one sentence (`UserError`), or was resumed and contains every problem
exactly once with the results of an undisturbed run. docs/reliability.md says what is checked where.
"""

import asyncio
import gzip
import json
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.faulty_engines import FaultyEngine, asked_of_server, faulty_policy, faulty_prm
from tests.scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy
from tts_study.engines.engine import Pooled, Sample
from tts_study.errors import UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.records import Problem
from tts_study.runs import store
from tts_study.study import Study

PROBLEMS = tuple(Problem(f"p{i}", f"What is {i} and one?", "2") for i in range(60))
SENTENCE, RESUMED = "one sentence", "every problem once"
NOT_SCORES = (float("nan"), float("inf"), -3, 7, "high", None, [0.5], True)
NOT_TOKENS = ((10**6,), (-1,), (1.5,), ("a",), (True,), (1,) * 600)
HEADER = {"n": 2, "seed": 0}


@dataclass(frozen=True)
class Fault:
    """One kind of fault.

    Attributes:
        name: what fails.
        limit: seconds that one may take, provoking it included.
        provoke: does it in an empty folder, and returns how it ended.
        tries: how often to provoke it, as a multiple of what is asked for.
    """

    name: str
    limit: float
    provoke: Callable[[Path, random.Random], str]
    tries: float = 1.0


def run_faults(tries: int, seed: int) -> tuple[str, bool]:
    """Provoke every fault, and tabulate what happened; also whether all of it was as it should be.

    Args:
        tries: how often each fault is provoked.
        seed: of the moments and places.
    """
    rng = random.Random(seed)
    lines = ["| fault | tried | what happened | longest, s | limit, s |", "|---|---|---|---|---|"]
    good = True
    for fault in FAULTS:
        outcomes, longest = Counter[str](), 0.0
        for _ in range(max(1, round(tries * fault.tries))):
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                outcomes[_outcome(fault, Path(folder), rng)] += 1
                longest = max(longest, time.monotonic() - began)
        good &= set(outcomes) <= {SENTENCE, RESUMED} and longest <= fault.limit
        message = ", ".join(f"{outcome} ({count})" for outcome, count in outcomes.items())
        lines.append(f"| {fault.name} | {outcomes.total()} | {message} | {longest:.1f} | {fault.limit:g} |")
    return "\n".join(lines), good


def _outcome(fault: Fault, folder: Path, rng: random.Random) -> str:
    try:
        return fault.provoke(folder, rng)
    except UserError as error:
        return SENTENCE if "\n" not in str(error) and len(str(error)) < 1000 else "too many words"
    except Exception as error:
        return f"WRONG: {type(error).__name__}"


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


def _score(folder: Path, rng: random.Random) -> str:
    value = rng.choice(NOT_SCORES)
    return faulty_prm(FaultyEngine(pooled=lambda n: Pooled((value,) * n, 0)))  # type: ignore[arg-type]


def _rows(folder: Path, rng: random.Random) -> str:
    more = rng.choice((-1, 1, 3))
    return faulty_prm(FaultyEngine(pooled=lambda n: Pooled((0.5,) * (n + more), 0)))


def _tokens(folder: Path, rng: random.Random) -> str:
    tokens: Any = rng.choice(NOT_TOKENS)
    return faulty_policy(FaultyEngine(sample=Sample(tokens, True, None, 0)))


def _counts(folder: Path, rng: random.Random) -> str:
    cached: Any = rng.choice((-1, 10**6, "5", None, True))
    return faulty_policy(FaultyEngine(sample=Sample((1,), True, None, cached)))


def _bomb(folder: Path, rng: random.Random) -> str:
    return asked_of_server(gzip.compress(bytes(2**20)) * 2**10, {"Content-Encoding": "gzip"})


def _deep(folder: Path, rng: random.Random) -> str:
    return asked_of_server(b"[" * 10**6, {})


def _flip(folder: Path, rng: random.Random) -> str:
    path = folder / "run.jsonl"
    _search(path)
    content = bytearray(path.read_bytes())
    content[rng.randrange(content.index(b"\n") + 1, len(content) - 1)] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    store.load(path)
    return "WRONG: unnoticed"


def _torn(folder: Path, rng: random.Random) -> str:
    path = folder / "run.jsonl"
    _search(path)
    os.truncate(path, rng.randrange(path.stat().st_size))
    return _resumed(path)


def _stream(folder: Path, rng: random.Random) -> str:
    plain, path = folder / "run.jsonl", folder / "packed.jsonl.gz"
    _search(plain)
    packed = bytearray(gzip.compress(plain.read_bytes()))
    start = rng.randrange(20, len(packed) - 60)
    packed[start : start + 50] = rng.randbytes(50)
    path.write_bytes(packed)
    store.load(path)
    return "WRONG: unnoticed"


def _pipe(folder: Path, rng: random.Random) -> str:
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


def _full(folder: Path, rng: random.Random) -> str:
    """The disk is full after some bytes; when there is room again, the same command resumes the run."""
    context = multiprocessing.get_context("fork")
    message, path = context.SimpleQueue(), folder / "run.jsonl"
    child = context.Process(target=_full_child, args=(path, rng.randrange(200, 9000), message))
    child.start()
    child.join()
    outcome = str(message.get())
    return _resumed(path) if outcome == SENTENCE else outcome


def _writers(folder: Path, rng: random.Random) -> str:
    with store.writing(folder / "run.jsonl", HEADER):
        _search(folder / "run.jsonl")
    return "WRONG: both wrote"


def _restart(folder: Path, rng: random.Random) -> str:
    with store.writing(folder / "run.jsonl", HEADER | {"seed": 1}):
        pass  # an engine that did not start
    return _resumed(folder / "run.jsonl")


def _killed(folder: Path, rng: random.Random) -> str:
    context, path = multiprocessing.get_context("fork"), folder / "run.jsonl"
    driver = context.Process(target=_search, args=(path, 0.005))
    driver.start()
    driver.join(rng.uniform(0, 0.12))
    driver.kill()
    driver.join()
    return _resumed(path)


def _row(folder: Path, rng: random.Random) -> str:
    wrong = rng.choice(['{"problem": "\\ud800?", "answer": "2"}', '{"problem": "1+1"}', "[1]", "", '{"problem": 1'])
    rows = [json.dumps({"problem": "1+1?", "answer": "2"})] * 3
    (folder / "rows.jsonl").write_text("\n".join([*rows, wrong, *rows]))
    load_problems(load_profile("micro", dataset=str(folder / "rows.jsonl")))
    return "WRONG: loaded"


def _wide(folder: Path, rng: random.Random) -> str:
    (folder / "rows.jsonl").write_text(json.dumps({f"column {i}": i for i in range(200_000)}))
    load_problems(load_profile("micro", dataset=str(folder / "rows.jsonl")))
    return "WRONG: loaded"


def _parameter(folder: Path, rng: random.Random) -> str:
    asked: dict[str, Any] = rng.choice((dict(fresh="False"), dict(seed="0"), dict(n_problems="20"), dict(top_p="hot")))
    Study("micro", **asked)
    return "WRONG: accepted"


def _absurd(folder: Path, rng: random.Random) -> str:
    Study("micro").run("best_of_n", rng.choice((10**18, 0, -1, "64", 1.5)))  # type: ignore[arg-type]
    return "WRONG: accepted"


FAULTS = (
    Fault("a PRM's score is NaN, infinite, out of [0, 1], or no number", 5, _score),
    Fault("a PRM returns too few or too many scores", 5, _rows),
    Fault("a policy returns tokens outside its vocabulary, or too many", 5, _tokens),
    Fault("a policy's count of cached tokens is impossible", 5, _counts),
    Fault("a server's reply is 1 MB of gzip for 1 GiB", 5, _bomb, 0.1),
    Fault("a server's reply is JSON, a million levels deep", 5, _deep),
    Fault("a bit of a stored result flips", 5, _flip),
    Fault("a run's file is cut at any byte, then resumed", 5, _torn),
    Fault("a compressed run is corrupt", 5, _stream),
    Fault("a run's file is a pipe or a device", 5, _pipe),
    Fault("the disk is full, then has room again", 10, _full),
    Fault("two processes write one run", 5, _writers),
    Fault("a run fails to start, then is started with another seed", 5, _restart),
    Fault("the driver is killed at any moment (SIGKILL), then started again", 10, _killed, 5.0),
    Fault("a row of a data set is unusable", 5, _row),
    Fault("a row of a data set has 200,000 columns, none of them a problem", 20, _wide, 0.1),
    Fault("a notebook's parameter comes as text", 5, _parameter),
    Fault("n is absurd", 5, _absurd),
)
