"""What happens when something fails: each fault is provoked several times, on scripted engines and small files.

A fault has ended well if the run said why in one sentence (`UserError`), or was resumed and contains every problem
exactly once with the results of an undisturbed run, or if what was damaged was asked again. docs/reliability.md says
what is checked where.
"""

import gzip
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import damaged_runs
from benchmarks.damaged_runs import AGAIN, RESUMED, SENTENCE
from benchmarks.faulty_engines import FaultyEngine, asked_of_server, faulty_policy, faulty_prm
from tts_study.engines.engine import Pooled, Sample
from tts_study.errors import UserError
from tts_study.problems.load import load_problems
from tts_study.profiles import load_profile
from tts_study.study import Study

NOT_SCORES = (float("nan"), float("inf"), -3, 7, "high", None, [0.5], True, 10**400)
NOT_LOGPROBS = (float("nan"), float("-inf"), 3, "low", None, [-0.5], True, -(10**400))
NOT_TOKENS = ((10**6,), (-1,), (1.5,), ("a",), (True,), (1,) * 600)


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
        good &= set(outcomes) <= {SENTENCE, RESUMED, AGAIN} and longest <= fault.limit
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
    cached: Any = rng.choice((-1, 10**6, "5", None, True, 10**400))
    return faulty_policy(FaultyEngine(sample=Sample((1,), True, None, cached)))


def _logprob(folder: Path, rng: random.Random) -> str:
    pair: Any = rng.choice(NOT_LOGPROBS), 1.0
    return faulty_policy(FaultyEngine(sample=Sample((1,), True, None, 0, (pair,))), signals=True)


def _bomb(folder: Path, rng: random.Random) -> str:
    return asked_of_server(gzip.compress(bytes(2**20)) * 2**10, {"Content-Encoding": "gzip"})


def _deep(folder: Path, rng: random.Random) -> str:
    return asked_of_server(b"[" * 10**6, {})


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
    Fault("a policy's log-probability is not the logarithm of a probability", 5, _logprob),
    Fault("a server's reply is 1 MB of gzip for 1 GiB", 5, _bomb, 0.1),
    Fault("a server's reply is JSON, a million levels deep", 5, _deep),
    Fault("a bit of a stored result flips", 5, damaged_runs.flip),
    Fault("a run's file is cut at any byte, then resumed", 5, damaged_runs.torn),
    Fault("a compressed run is corrupt", 5, damaged_runs.stream),
    Fault("a run's file is a pipe or a device", 5, damaged_runs.pipe),
    Fault("the disk is full, then has room again", 10, damaged_runs.full),
    Fault("two processes write one run", 5, damaged_runs.writers),
    Fault("a run fails to start, then is started with another seed", 5, damaged_runs.restart),
    Fault("the driver is killed at any moment (SIGKILL), then started again", 10, damaged_runs.killed, 5.0),
    Fault("six of the problems kill their engine, and stand together", 5, damaged_runs.poison),
    Fault("a bit flips in what is kept of the answers' parser", 5, damaged_runs.memo),
    Fault("a row of a data set is unusable", 5, _row),
    Fault("a row of a data set has 200,000 columns, none of them a problem", 20, _wide, 0.1),
    Fault("a notebook's parameter comes as text", 5, _parameter),
    Fault("n is absurd", 5, _absurd),
)
