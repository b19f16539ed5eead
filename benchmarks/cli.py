"""The commands of `python -m benchmarks`: each prints measurements of one part."""

import argparse
import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study.cli.numbers import natural, positive
from tts_study.cli.profile import add_options, add_profile, options_of, profile_of
from tts_study.errors import UserError

if TYPE_CHECKING:
    from tts_study.profiles import Profile
    from tts_study.records import Problem

PROG = "python -m benchmarks"


def add_commands(commands: Any) -> None:
    """Add all commands."""
    engines = commands.add_parser("engines", help="this project's engines compared with plain vLLM")
    _add_search_options(engines)
    engines.set_defaults(command=_engines)

    search = commands.add_parser("search", help="a strategy compared with the least time that its tokens take")
    _add_search_options(search)
    search.add_argument("--strategy", required=True, help="one that asks a PRM, such as beam_search")
    add_options(search)
    search.add_argument("--ns", type=positive, nargs="+", help="several n, one after the other, in place of --n")
    search.set_defaults(command=_search)

    signals = commands.add_parser("signals", help="sampling with the policy's signals compared with sampling without")
    _add_search_options(signals)
    signals.set_defaults(command=_signals)

    memory = commands.add_parser("memory", help="memory of the engines of a search: compare --prm self with a PRM")
    _add_search_options(memory)
    memory.set_defaults(command=_memory)

    bf16 = commands.add_parser("bf16", help="products of a bf16 model in bf16 compared with float32, on this processor")
    bf16.add_argument("--policy", default="data/micro/8b", help="a checkpoint")
    bf16.set_defaults(command=_bf16)

    servers = commands.add_parser("servers", help="engines on servers compared with engines in this process")
    _add_search_options(servers)
    servers.set_defaults(command=_servers)

    ray = commands.add_parser("ray", help="what Ray costs for each problem, and how much faster several workers are")
    _add_search_options(ray)
    ray.add_argument("--workers", type=positive, help="how many to compare with one, with real engines")
    ray.set_defaults(command=_ray)

    kills = commands.add_parser("kills", help="kill real runs at random moments, and count their problems: minutes")
    kills.add_argument("--kills", type=positive, default=20, help="how often")
    kills.add_argument("--longest", type=positive, default=90, help="seconds that a run gets before its kill, at most")
    kills.add_argument("--seed", type=natural, default=0, help="of the moments and the victims")
    kills.add_argument("more", nargs="*", metavar="-- ARGUMENT", help="passed on to tts-study run, such as -- --ray")
    kills.set_defaults(command=_kills)

    driver = commands.add_parser("driver", help="how many tokens a second one driver handles, at a Llama's sizes")
    driver.add_argument("--n", type=positive, default=64, help="completions of each problem")
    driver.add_argument("--problems", type=positive, default=16, help="the number of problems, all at once")
    driver.set_defaults(command=_driver)

    answers = commands.add_parser("answers", help="equality of answers compared with math-verify's, and its speed")
    answers.add_argument("--answers", type=Path, help='JSONL with gold "answer"s; the micro test set if not given')
    answers.add_argument("--cases", type=Path, help="instead: count hand-judged cases by kind, and math-verify's")
    answers.add_argument("--fuzz", type=positive, default=2000, help="how many damaged answers to read")
    answers.add_argument("--seed", type=natural, default=0, help="of the samples")
    answers.set_defaults(command=_answers)

    faults = commands.add_parser("faults", help="what happens when something fails, on scripted engines")
    faults.add_argument("--tries", type=positive, default=20, help="how often each fault is provoked")
    faults.add_argument("--seed", type=natural, default=0, help="of moments and places")
    faults.set_defaults(command=_faults)

    cost = commands.add_parser("gpu_cost", help="simulate tokens, memory, hours and cost of the real study on GPUs")
    cost.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another assumption")
    cost.add_argument("--run", type=Path, action="append", default=[], help="forecast from a recorded run's tokens")
    cost.set_defaults(command=_gpu_cost)

    rooms = commands.add_parser("rooms", help="lines of the package by room, its top level, and its import time")
    rooms.set_defaults(command=_rooms)


def _add_search_options(parser: argparse.ArgumentParser) -> None:
    add_profile(parser)
    parser.add_argument("--n", type=positive, default=64, help="completions of each problem")
    parser.add_argument("--problems", type=positive, default=100, help="the number of problems, from the first on")
    parser.add_argument("--seed", type=natural, default=0, help="of the samples")


def _asked(arguments: argparse.Namespace) -> "tuple[Profile, tuple[Problem, ...]]":
    from tts_study.problems.load import load_problems

    profile = profile_of(arguments)
    return profile, load_problems(profile, arguments.problems)


def _engines(arguments: argparse.Namespace) -> None:
    from benchmarks.engines import run_bench
    from tts_study.runs.engines import policy_settings, prm_settings

    profile, problems = _asked(arguments)
    both = policy_settings(profile), prm_settings(profile)
    print(asyncio.run(run_bench(*both, problems, n=arguments.n, seed=arguments.seed)))


def _search(arguments: argparse.Namespace) -> None:
    from benchmarks.search import run_search_bench
    from tts_study.strategies import find

    profile, problems = _asked(arguments)
    ns = arguments.ns or [arguments.n]
    search = find(arguments.strategy).search
    options = search.options(options_of(arguments))
    for n in ns:
        search.check_budget(n, options)
    benches = run_search_bench(profile, search, options, problems, ns=ns, seed=arguments.seed)
    print(*asyncio.run(benches), sep="\n")


def _signals(arguments: argparse.Namespace) -> None:
    from benchmarks.signals import bench_signals

    profile, problems = _asked(arguments)
    print(bench_signals(profile, problems, n=arguments.n, seed=arguments.seed))


def _memory(arguments: argparse.Namespace) -> None:
    from benchmarks.memory import measure_memory

    profile = profile_of(arguments)
    print(measure_memory(profile, problems=arguments.problems, n=arguments.n, seed=arguments.seed))


def _bf16(arguments: argparse.Namespace) -> None:
    from benchmarks.bf16 import compare

    print(asyncio.run(compare(arguments.policy)))


def _servers(arguments: argparse.Namespace) -> None:
    from benchmarks.servers import run_remote_bench
    from tts_study import paths

    profile, problems = _asked(arguments)
    logs = paths.out() / "serve"
    print(asyncio.run(run_remote_bench(profile, problems, n=arguments.n, seed=arguments.seed, logs=logs)))


def _kills(arguments: argparse.Namespace) -> None:
    from benchmarks.kills import run_kills

    print(run_kills(arguments.kills, seed=arguments.seed, longest=arguments.longest, more=arguments.more))


def _ray(arguments: argparse.Namespace) -> None:
    from benchmarks.ray import bench_bookkeeping, bench_workers

    profile, problems = _asked(arguments)
    print(asyncio.run(bench_bookkeeping(problems, n=arguments.n)))
    if arguments.workers:
        asked = {"n": arguments.n, "seed": arguments.seed, "workers": arguments.workers}
        print(asyncio.run(bench_workers(profile, problems, **asked)))


def _driver(arguments: argparse.Namespace) -> None:
    from benchmarks.driver import run_driver_bench

    async def printed() -> None:
        async for line in run_driver_bench(n=arguments.n, problems=arguments.problems):
            print(line, flush=True)

    asyncio.run(printed())


def _answers(arguments: argparse.Namespace) -> None:
    from benchmarks.answers import bench_cases, run_bench

    if arguments.cases:
        bench_cases(arguments.cases)
    else:
        run_bench(arguments.answers, fuzzed=arguments.fuzz, seed=arguments.seed)


def _faults(arguments: argparse.Namespace) -> None:
    from benchmarks.faults import run_faults

    table, good = run_faults(arguments.tries, arguments.seed)
    print(table)
    if not good:
        raise UserError("a fault ended otherwise than it should, or took longer than its limit")


def _gpu_cost(arguments: argparse.Namespace) -> None:
    from benchmarks.gpu_cost.assumptions import with_overrides
    from benchmarks.gpu_cost.report import report
    from tts_study.runs import store

    print(report(with_overrides(arguments.set), {path: store.load(path) for path in arguments.run}))


def _rooms(arguments: argparse.Namespace) -> None:
    from benchmarks.rooms import rooms_report

    print(rooms_report())
