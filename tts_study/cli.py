"""The command line: `tts-study run | study | grade | bench | micro`. Thin: each command calls one function."""

import argparse
import asyncio
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tts_study.errors import UserError
from tts_study.micro.cli import add_parser as add_micro

if TYPE_CHECKING:
    from tts_study.profiles import Profile
    from tts_study.store import Run

T = TypeVar("T")
INTERRUPTED = 130  # exit code after Ctrl-C, as in a shell
# the profile's fields that have an option of their own; --set reaches the others
OPTIONS = {
    "policy": "a short name of the profile's ladder, a checkpoint's folder, or a hub name",
    "prm": "a checkpoint's folder or a hub name",
    "dataset": "a .jsonl, .csv or .parquet file, or a hub name",
    "temperature": "of sampling",
    "top_p": "share of probability that is sampled from",
    "max_tokens": "longest completion",
    "aggregation": "from step scores to a score: last, min or prod",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input is told in one line and exits with code 2, Ctrl-C with 130."""
    try:
        arguments = _parser().parse_args(argv)
        arguments.command(arguments)
    except UserError as error:
        print("tts-study:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntts-study: interrupted; what was done is kept, the same command goes on from there", file=sys.stderr)
        return INTERRUPTED
    return 0


def script() -> NoReturn:
    """What is installed as `tts-study`: `main`, except that a command that fails waits for nothing."""
    code = main()
    if code:
        for process in multiprocessing.active_children():  # engines that were just starting
            process.kill()
        sys.stdout.flush()
        os._exit(code)
    sys.exit()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Tell it as any other bad input, without the usage."""
        raise UserError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tts-study", description="Study how test-time compute scales, with open models.")
    commands: Any = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one strategy over problems, or go on with such a run")
    _add_profile(run)
    run.add_argument("--strategy", required=True, help="greedy, majority, best_of_n or weighted_best_of_n")
    run.add_argument("--n", type=int, default=1, help="generations to spend on each problem")
    run.add_argument("--problems", type=int, help="the data set's first so many problems; all if not given")
    run.add_argument("--seed", type=int, default=0, help="of every random draw")
    run.add_argument("--out", type=Path, required=True, help="folder of the run; one that was interrupted goes on")
    run.set_defaults(command=_run)

    study = commands.add_parser("study", help="run the study's notebooks, searching anew")
    study.add_argument("--profile", default="micro", help="micro (the default) or llama")
    study.add_argument("--out", type=Path, default=Path("out/study"), help="folder of everything that comes of it")
    study.add_argument("--notebooks", nargs="+", default=[], metavar="NN", help="beginnings of names; all otherwise")
    study.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter")
    study.set_defaults(command=_study)

    grade = commands.add_parser("grade", help="grade a JSONL file of answers")
    grade.add_argument("file", type=Path, help='of "answer", and "prediction" (an answer) or "completion" (a text)')
    grade.add_argument("--explain", action="store_true", help="a line for each pair with both canonical forms")
    grade.add_argument("--json", action="store_true", help="the counts as one JSON object")
    grade.add_argument("--boxes-only", action="store_true", help='no answers from "the answer is ..." and "#### ..."')
    grade.add_argument("--memo", type=Path, help="file of canonical forms to keep: a second time nothing is computed")
    grade.set_defaults(command=_grade)

    bench = commands.add_parser("bench", help="compare the engines' speed with plain vLLM's, or try out answers")
    bench.add_argument("what", nargs="?", choices=("engines", "answers"), default="engines", help="engines by default")
    _add_profile(bench)
    bench.add_argument("--n", type=int, default=64, help="completions of each problem")
    bench.add_argument("--problems", type=int, default=100, help="the data set's first so many problems")
    bench.add_argument("--seed", type=int, default=0, help="of the samples")
    bench.add_argument("--answers", type=Path, help='of answers: JSONL with gold "answer"s; the micro test set if not')
    bench.add_argument("--fuzz", type=int, default=2000, help="of answers: how many mutated ones to read")
    bench.set_defaults(command=_bench)

    add_micro(commands)
    return parser


def _add_profile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", default="micro", help="micro (the default) or llama")
    for name, what in OPTIONS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", help=what)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of it")


def _profile(arguments: argparse.Namespace) -> "Profile":
    from tts_study.profiles import load_profile

    for assignment in arguments.set:
        if "=" not in assignment:
            raise UserError(f"--set wants NAME=VALUE, and {assignment!r} has no =")
    others = dict(assignment.split("=", 1) for assignment in arguments.set)
    return load_profile(arguments.profile, **{name: getattr(arguments, name) for name in OPTIONS} | others)


def _run(arguments: argparse.Namespace) -> None:
    from tts_study.engines.shared import ENGINES
    from tts_study.problems import load_problems
    from tts_study.runs import check_budget, run_profile

    profile = _profile(arguments)
    check_budget(arguments.strategy, arguments.n)
    problems = load_problems(profile, arguments.problems)
    path = arguments.out / "run.jsonl"

    async def search() -> "Run":
        try:
            return await run_profile(
                profile, arguments.strategy, problems, n=arguments.n, seed=arguments.seed, path=path
            )
        finally:
            await ENGINES.close()

    begin = time.monotonic()
    run = _awaited(search())
    print(summary(run, arguments.strategy, arguments.n, profile.aggregation))
    print(f"{time.monotonic() - begin:.0f} s; the run is in {path}")


def _awaited(coroutine: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but quick to fail and to be interrupted.

    `asyncio.run` would wait for an engine that is starting, in a thread, for minutes. And a Ctrl-C reaches the engines'
    processes too: whatever then goes wrong with them is still an interruption, and not an error.
    """
    interrupted = False

    async def interruptible() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            loop.remove_signal_handler(signal.SIGINT)  # a second Ctrl-C does not wait for engines to shut down
            if task:
                task.cancel()

        loop.add_signal_handler(signal.SIGINT, interrupt)
        try:
            return await coroutine
        finally:
            loop.remove_signal_handler(signal.SIGINT)

    runner = asyncio.Runner()
    try:
        result = runner.run(interruptible())
    except BaseException:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    runner.close()
    return result


def summary(run: "Run", strategy: str, n: int, aggregation: Any) -> str:
    """A run's accuracy with its 95 % interval, and its tokens, in two lines."""
    from tts_study import estimators, tables
    from tts_study.records import Cost
    from tts_study.strategies import STRATEGIES

    graded = tables.grade(run.problems, run.results)
    method: Any = STRATEGIES[strategy].rule
    accuracy = estimators.bootstrap(tables.accuracy_P(graded, method, n, aggregation=aggregation), seed=0)
    cost = sum((result.cost for result in run.results), Cost())
    return (
        f"{strategy}, n = {n}, {len(run.problems)} problems: accuracy {accuracy.estimate:.1%} "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%})\n"
        f"policy: {cost.generated:,} tokens generated, {cost.prompt:,} of prompts (and {cost.prompt_cached:,} cached); "
        f"PRM: {cost.scored:,} tokens (and {cost.scored_cached:,} cached)"
    )


def _study(arguments: argparse.Namespace) -> None:
    from tts_study.profiles import load_profile
    from tts_study.study import parse_value, run_notebooks

    load_profile(arguments.profile)
    parameters = {"profile": arguments.profile, "fresh": True} | {name: parse_value(text) for name, text in arguments.p}
    run_notebooks(arguments.out, arguments.notebooks, parameters)
    print(f"notebooks, figures, tables and runs are in {arguments.out}")


def _grade(arguments: argparse.Namespace) -> None:
    from tts_study import answers
    from tts_study.answers import grading

    if arguments.memo:
        answers.remember(arguments.memo)
    verdicts = grading.grade_file(arguments.file, fallback=not arguments.boxes_only)
    if arguments.explain:
        print(*verdicts, sep="\n")
    counts = grading.summary(verdicts)
    print(json.dumps(counts) if arguments.json else grading.sentence(counts))


def _bench(arguments: argparse.Namespace) -> None:
    if arguments.what == "answers":
        from tts_study.answers.bench import run_bench as try_out_answers

        return try_out_answers(arguments.answers, fuzzed=arguments.fuzz, seed=arguments.seed)
    from tts_study.bench import run_bench
    from tts_study.engines.shared import policy_settings, prm_settings
    from tts_study.problems import load_problems
    from tts_study.runs import check_budget

    profile = _profile(arguments)
    check_budget("best_of_n", arguments.n)
    problems = load_problems(profile, arguments.problems)
    both = policy_settings(profile), prm_settings(profile)
    print(asyncio.run(run_bench(*both, problems, n=arguments.n, seed=arguments.seed)))


if __name__ == "__main__":
    script()
