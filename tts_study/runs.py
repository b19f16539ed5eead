"""Drive a strategy over many problems at once, and keep what it finds: progress, resuming, replaying.

Each problem is a coroutine of its own, and the engines merge the requests of all of them.
"""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tts_study import answers, paths, store
from tts_study.answers import memo
from tts_study.collect import collect
from tts_study.engines.interface import PRM, Policy
from tts_study.engines.shared import ENGINES, policy_urls
from tts_study.errors import UserError
from tts_study.problems import load_problems
from tts_study.profiles import PROFILES, Profile, load_profile
from tts_study.records import Problem, SearchResult
from tts_study.shards import WHOLE, Shard
from tts_study.store import Header, Run
from tts_study.strategies import STRATEGIES


async def study_run(
    profile: str | Profile,
    strategy: str,
    *,
    n: int,
    limit: int | None = None,
    seed: int = 0,
    fresh: bool = False,
    **overrides: Any,
) -> Run:
    """The run that a notebook is about: the recorded one, or with `fresh` a search with real engines.

    Args:
        profile: a profile or its name.
        strategy: one of `STRATEGIES`.
        n: generations to spend on each problem.
        limit: the data set's first so many problems; all if None.
        seed: of every random draw.
        fresh: search anew (or go on with a search that was interrupted) instead of replaying data/runs.
        overrides: fields of the profile, such as `policy="3b"`.

    Raises:
        UserError: something asked for does not exist or cannot be, or the stored run is another one.
    """
    profile = load_profile(profile, **overrides)
    check_budget(strategy, n, profile.beam_width)
    if seed < 0:
        raise UserError(f"the seed must be at least 0, and {seed} is not")
    problems = load_problems(profile, limit)
    name = run_name(profile, strategy, n=n, seed=seed)
    if fresh:
        # a folder for each part of the data set, so that a smaller try is not in the way of a larger one
        path = paths.out() / "runs" / _part_name(profile, problems) / f"{name}.jsonl"
        return await run_profile(profile, strategy, problems, n=n, seed=seed, path=path)
    header = describe(profile, strategy, problems, n=n, seed=seed)
    return replay(paths.data() / "runs" / profile.name / f"{name}.jsonl.gz", problems, header)


def _part_name(profile: Profile, problems: Sequence[Problem]) -> str:
    """What a part of a data set is called: "100-problems", and which ones if they are not the first so many."""
    chosen = profile.dataset_levels or profile.dataset_subjects or profile.dataset_ids
    digest = store.describe_dataset(profile.dataset, problems)["sha256"][:8]
    return f"{len(problems)}-problems" + (f"-{digest}" if chosen else "")


def replay(path: Path, problems: Sequence[Problem], header: Header) -> Run:
    """A recorded run, or the part of it that is about the given problems.

    Raises:
        UserError: nothing is recorded there, or it is another run.
    """
    if not path.is_file():
        raise UserError(f"no run is recorded in {path}: search anew with fresh=True (in a shell: -p fresh True)")
    run = store.load(path)
    answers.remember(memo.beside(path))
    # a part of the recorded problems may be asked for: `Run.of` compares those one by one
    dataset = run.header.get("dataset", {}) | {"name": header["dataset"]["name"]}
    store.check_header(path, run.header, header | {"dataset": dataset})
    return run.of(problems)


async def run_profile(
    profile: Profile,
    strategy: str,
    problems: Sequence[Problem],
    *,
    n: int,
    seed: int,
    path: Path,
    shard: Shard = WHOLE,
) -> Run:
    """Run a strategy with a profile's vLLM engines, which start if something is left to do and then stay.

    With a `shard`, only its part of the problems is searched.

    Raises:
        UserError: as `run_strategy`; or there is no such checkpoint.
    """
    search = await searcher(profile, strategy, n=n, seed=seed)
    header = describe(profile, strategy, problems, n=n, seed=seed) | shard.describe(problems)
    return await run_strategy(
        strategy, shard.of(problems), search.policy, search.prm,
        n=n, seed=seed, path=path, header=header, concurrency=at_once(profile, n), options=search.options,
    )  # fmt: skip


async def run_strategy(
    strategy: str,
    problems: Sequence[Problem],
    policy: Policy,
    prm: PRM | None,
    *,
    n: int,
    seed: int,
    path: Path,
    header: Header,
    concurrency: int = 8,
    progress: bool = True,
    options: Mapping[str, Any] | None = None,
) -> Run:
    """Run a strategy over problems, up to `concurrency` of them at once, adding to the run stored in `path`.

    `options` are those that the strategy takes besides `n` and `seed`.

    Problems that are stored already are not searched again, and if that is all of them the engines are not started.
    A problem that fails does not take the others with it.

    Raises:
        UserError: `path` holds another run, the strategy cannot spend `n`, or problems failed (the rest is stored).
    """
    options = options or {}
    check_budget(strategy, n, options.get("beam_width", 1))
    search = Search(strategy, policy, prm, n, seed, options)
    title = f"{strategy} n={n}"
    return await collect(
        problems, search, path=path, header=header, title=title, concurrency=concurrency, progress=progress
    )


@dataclass(frozen=True)
class Search:
    """A strategy with its budget, its engines, and what it takes besides: a solver of problems."""

    strategy: str
    policy: Policy
    prm: PRM | None
    n: int
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sampler(self) -> str:
        """What draws the samples; known once the engines are started."""
        return self.policy.sampler

    async def start(self) -> None:
        """Start the engines."""
        await asyncio.gather(*(engine.start() for engine in (self.policy, self.prm) if engine is not None))

    async def solve(self, problem: Problem) -> SearchResult:
        """Search one problem, with a seed of its own."""
        search = STRATEGIES[self.strategy].search
        seed = problem_seed(self.seed, problem.id)
        return await search(problem, self.policy, self.prm, n=self.n, seed=seed, **self.options)


async def searcher(profile: Profile, strategy: str, *, n: int, seed: int) -> Search:
    """A strategy on this process's engines of a profile; they start later.

    Raises:
        UserError: there is no such checkpoint.
    """
    policy, prm = await ENGINES.of(profile, needs_prm=STRATEGIES[strategy].needs_prm)
    return Search(strategy, policy, prm, n, seed, STRATEGIES[strategy].options_of(profile))


def at_once(profile: Profile, n: int) -> int:
    """How many problems to search at once: twice what fits a batch, so that neither engine waits for the other.

    Where the PRM works in bursts, more problems wait for it.
    """
    batches = 4 if profile.prm_burst else 2
    copies = profile.data_parallel_size * max(1, len(policy_urls(profile)))
    return max(8, batches * profile.max_num_seqs * copies // n)


def check_budget(strategy: str, n: int, beam_width: int) -> None:
    """Make sure that there is such a strategy and that it can spend `n` generations, by `beam_width` if it searches.

    Raises:
        UserError: there is not, or it cannot.
    """
    if strategy not in STRATEGIES:
        raise UserError(f"unknown strategy {strategy!r}: choose one of {', '.join(STRATEGIES)}")
    if n < 1:
        raise UserError(f"n must be at least 1, and {n} is not: it is the number of generations for each problem")
    if strategy == "greedy" and n != 1:
        raise UserError(f"greedy decoding gives one completion: n must be 1, and {n} is not")
    if "beam_width" in STRATEGIES[strategy].options and n % beam_width:
        raise UserError(f"{strategy} keeps n / beam_width beams: n must be a multiple of {beam_width}, and {n} is not")


def problem_seed(seed: int, problem_id: str) -> int:
    """A problem's own seed, of 63 bits: it depends neither on the other problems nor on their order."""
    return int.from_bytes(hashlib.sha256(f"{seed} {problem_id}".encode()).digest()[:8]) >> 1


def run_name(profile: Profile, strategy: str, *, n: int, seed: int) -> str:
    """What a run's file is called: "1b-dvts-n64-seed0", and the search's options where the profile has others.

    For example "1b-dvts-n64-seed0-beam_width_8".
    """
    usual = PROFILES.get(profile.name, profile)
    options = STRATEGIES[strategy].options_of(profile)
    changed = [f"-{name}_{value}" for name, value in options.items() if value != getattr(usual, name)]
    return f"{Path(profile.policy).name}-{strategy}-n{n}-seed{seed}{''.join(changed)}"


def describe(profile: Profile, strategy: str, problems: Sequence[Problem], *, n: int, seed: int) -> Header:
    """A run's header: everything that its results depend on."""
    settings = profile.settings()
    header = {
        "strategy": strategy,
        "n": n,
        "seed": seed,
        "policy": store.describe_model(profile.policy_model),
        "dataset": store.describe_dataset(profile.dataset, problems),
        "settings": settings,
    }
    if STRATEGIES[strategy].needs_prm:
        header["prm"] = store.describe_model(profile.prm_model)
    options = STRATEGIES[strategy].options_of(profile)
    if options:
        header["search"] = {name: value for name, value in options.items() if name not in settings}
    return header
