"""`tts-study run`: one strategy over problems."""

import argparse
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study.cli.numbers import natural, positive, whole
from tts_study.cli.profile import add_options, add_profile, options_of, profile_of
from tts_study.errors import UserError

if TYPE_CHECKING:
    from tts_study.runs.store import Run

LIMITS = {
    "start": ("a worker's engines to start", "half an hour"),
    "problem": ("a problem at a worker", "an hour"),
    "run": ("the whole run", "a week"),
}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `run`."""
    from tts_study.strategies import names

    run = commands.add_parser("run", help="run one strategy over problems, or resume such a run")
    add_profile(run)
    run.add_argument("--strategy", required=True, help=f"{', '.join(names())}, or my_file.py:name")
    add_options(run)
    run.add_argument("--n", type=whole, default=1, help="generations to spend on each problem")
    run.add_argument("--problems", type=whole, help="how many of the data set's problems; all if not given")
    run.add_argument("--seed", type=natural, default=0, help="of every random draw")
    run.add_argument("--out", type=Path, required=True, help="folder of the run; an interrupted one is resumed")
    run.add_argument("--shard", metavar="I/K", help="every K-th problem from the I-th on; `merge` joins shards")
    run.add_argument(
        "--alone",
        action="store_true",
        help="one problem at a time, so that `choose` knows how long one takes by itself",
    )
    run.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help="on a Ray cluster: at an address, or here")
    run.add_argument("--workers", type=whole, help="pairs of engines on it; as many as its GPUs carry if not given")
    for name, (what, hours) in LIMITS.items():
        flag = f"--{name}-limit"
        run.add_argument(flag, type=positive, metavar="SECONDS", help=f"on Ray: for {what}; {hours} if not given")
    run.set_defaults(command=_run)


def _run(arguments: argparse.Namespace) -> None:
    from tts_study.answers import gold_note, unread_golds
    from tts_study.engines.background import wait
    from tts_study.problems.load import load_problems
    from tts_study.runs.engines import ENGINES
    from tts_study.runs.run import run_spec
    from tts_study.runs.shards import WHOLE, parse_shard
    from tts_study.runs.spec import RunSpec
    from tts_study.strategies import find

    if arguments.alone and arguments.ray is not None:
        raise UserError("--alone searches one problem at a time, and --ray many: give one of the two")
    profile = profile_of(arguments)
    method, options = find(arguments.strategy), options_of(arguments)
    method.search.check_budget(arguments.n, method.search.options(options))
    problems = load_problems(profile, arguments.problems)
    spec = RunSpec.of(profile, method, problems, n=arguments.n, seed=arguments.seed, options=options)
    if note := gold_note(unread_golds(problems), len(problems)):
        print(note)
    shard = parse_shard(arguments.shard) if arguments.shard else WHOLE
    path = arguments.out / shard.file_name()

    async def search() -> "Run":
        try:
            if arguments.ray is None:
                return await run_spec(spec, path=path, shard=shard, alone=arguments.alone)
            from tts_study.runs.ray import run_on_ray
            from tts_study.runs.workers import Limits

            given = {name: limit for name in LIMITS if (limit := getattr(arguments, f"{name}_limit"))}
            cluster = {"address": arguments.ray or None, "workers": arguments.workers, "limits": Limits(**given)}
            return await run_on_ray(spec, path=path, shard=shard, **cluster)
        finally:
            await ENGINES.close()

    begin = time.monotonic()
    run = wait(search(), goodbye=None)  # an engine that is just starting is not waited for
    print(summary(run, arguments.strategy, arguments.n, profile.aggregation))
    print(f"{time.monotonic() - begin:.0f} s; the run is in {path}")
    if shard == WHOLE:
        print(f"a table and a figure of it: tts-study replay {shlex.quote(str(arguments.out))}")


def summary(run: "Run", strategy: str, n: int, aggregation: Any) -> str:
    """A run's accuracy with its 95 % interval, and its tokens, in two lines."""
    from tts_study.analysis.accuracy import accuracy_P
    from tts_study.analysis.grading import grade
    from tts_study.analysis.inference import bootstrap
    from tts_study.records import Cost
    from tts_study.strategies import find

    graded = grade(run.problems, run.results)
    rule = find(strategy).rule
    accuracy = bootstrap(accuracy_P(graded, rule, n, aggregation=aggregation), seed=0)
    cost = sum((result.cost for result in run.results), Cost())
    return (
        f"{strategy}, n = {n}, {len(run.problems)} problems: accuracy {accuracy.estimate:.1%} "
        f"(95 % interval {accuracy.low:.1%} to {accuracy.high:.1%}); {graded.note()}\n"
        f"policy: {cost.generated:,} tokens generated, {cost.prompt:,} of prompts (and {cost.prompt_cached:,} cached); "
        f"PRM: {cost.scored:,} tokens (and {cost.scored_cached:,} cached)"
    )
