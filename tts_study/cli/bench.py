"""`tts-study bench`: engines next to plain vLLM or servers, answers next to math-verify, or Ray next to one process."""

import argparse
import asyncio
from pathlib import Path

from tts_study.cli.numbers import natural, positive
from tts_study.cli.profile import add_profile, profile_of

BENCHES = ("engines", "remote", "answers", "ray")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `bench`."""
    bench = commands.add_parser("bench", help="time engines beside plain vLLM, servers or Ray; or try out answers")
    bench.add_argument("what", nargs="?", choices=BENCHES, default="engines", help="engines by default")
    add_profile(bench)
    bench.add_argument("--strategy", help="time beam_search, dvts or best_of_n beside the least that its tokens cost")
    bench.add_argument("--ns", type=positive, nargs="+", help="of a strategy: several n, one after the other")
    bench.add_argument("--n", type=positive, default=64, help="completions of each problem")
    bench.add_argument("--problems", type=positive, default=100, help="the data set's first so many problems")
    bench.add_argument("--seed", type=natural, default=0, help="of the samples")
    bench.add_argument("--answers", type=Path, help='of answers: JSONL with gold "answer"s; the micro test set if not')
    bench.add_argument("--fuzz", type=positive, default=2000, help="of answers: how many mutated ones to read")
    bench.add_argument("--workers", type=positive, help="of ray: how many to compare with one, with real engines")
    bench.set_defaults(command=_bench)


def _bench(arguments: argparse.Namespace) -> None:
    if arguments.what == "answers":
        from tts_study.answers.bench import run_bench as try_out_answers

        return try_out_answers(arguments.answers, fuzzed=arguments.fuzz, seed=arguments.seed)
    from tts_study.bench import run_bench
    from tts_study.engines.shared import policy_settings, prm_settings
    from tts_study.problems import load_problems
    from tts_study.runs import check_budget

    profile = profile_of(arguments)
    ns = arguments.ns or [arguments.n]
    for n in ns:
        check_budget(arguments.strategy or "best_of_n", n, profile.beam_width)
    problems = load_problems(profile, arguments.problems)
    if arguments.strategy:
        from tts_study.bench_search import run_search_bench

        benches = run_search_bench(profile, arguments.strategy, problems, ns=ns, seed=arguments.seed)
        print(*asyncio.run(benches), sep="\n")
        return
    if arguments.what == "ray":
        from tts_study.bench_ray import bench_bookkeeping, bench_workers

        print(asyncio.run(bench_bookkeeping(problems, n=arguments.n)))
        if arguments.workers:
            asked = {"n": arguments.n, "seed": arguments.seed, "workers": arguments.workers}
            print(asyncio.run(bench_workers(profile, problems, **asked)))
        return
    if arguments.what == "remote":
        from tts_study import paths
        from tts_study.bench_remote import run_remote_bench

        logs = paths.out() / "serve"
        print(asyncio.run(run_remote_bench(profile, problems, n=arguments.n, seed=arguments.seed, logs=logs)))
        return
    both = policy_settings(profile), prm_settings(profile)
    print(asyncio.run(run_bench(*both, problems, n=arguments.n, seed=arguments.seed)))
