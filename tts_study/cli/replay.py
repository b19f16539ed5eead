"""`tts-study replay`: tables and figures of runs, or of other people's completions, without an engine."""

import argparse
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from tts_study.cli.numbers import natural, positive
from tts_study.errors import UserError
from tts_study.strategies.aggregation import AGGREGATIONS

if TYPE_CHECKING:
    from tts_study.runs.store import Run


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `replay`."""
    replay = commands.add_parser(
        "replay", help="tables and figures of runs or published completions, without an engine"
    )
    replay.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN",
        help="folders or files of runs: several policies, strategies and seeds stand together",
    )  # fmt: skip
    replay.add_argument(
        "--dataset", action="append", default=[],
        help="published completions in place of runs: a .jsonl or .parquet file, or a hub name; several stand together",
    )  # fmt: skip
    replay.add_argument("--config", action="append", default=[], help="of hub data sets: one for each, or one for all")
    replay.add_argument("--split", default="train", help="of hub data sets; train by default")
    for name in ("problem", "answer", "id", "level", "subject", "solution"):
        replay.add_argument(f"--{name}-column", metavar="NAME", help=f"the column of {name}s, if it has another name")
    replay.add_argument("--completions-column", metavar="NAME", default="completions", help="of lists of texts")
    replay.add_argument("--scores-column", metavar="NAME", default="scores", help="of lists of lists of step scores")
    replay.add_argument(
        "--scores", choices=("probabilities", "logits", "none"), default="probabilities",
        help="what the step scores are; of a reward model's logits the sigmoid is taken, none leaves them out",
    )  # fmt: skip
    replay.add_argument("--limit", type=positive, help="only this many problems, from the first on")
    replay.add_argument(
        "--aggregation",
        choices=AGGREGATIONS,
        help="of step scores; by default what a run used, and last, as in the blog, with --dataset",
    )
    replay.add_argument(
        "--rule", choices=("majority", "best", "weighted", "pass"),
        help="how the answer of a tree search is picked; by default the search's own rule, and weighted, as in the "
        "blog, with --dataset",
    )  # fmt: skip
    replay.add_argument("--seed", type=natural, default=0, help="of subsets and of the bootstrap")
    replay.add_argument("--out", type=Path, default=Path("out/replay"), help="folder of tables and figures")
    replay.set_defaults(command=_replay)
    published = {action.dest for action in replay._actions} - {"help", "runs", "aggregation", "rule", "seed", "out"}
    replay.set_defaults(only_published={name: replay.get_default(name) for name in published - {"dataset"}})


def _replay(arguments: argparse.Namespace) -> None:
    if bool(arguments.runs) == bool(arguments.dataset):
        raise UserError("give folders of runs (tts-study replay out/my-run), or --dataset: one of the two")
    if not arguments.runs:
        return _replay_published(arguments)
    for name, default in arguments.only_published.items():
        if getattr(arguments, name) != default:
            raise UserError(f"--{name.replace('_', '-')} applies only to --dataset: leave it out")
    _replay_runs(arguments)


def _replay_runs(arguments: argparse.Namespace) -> None:
    from tts_study import plots
    from tts_study.analysis import tables
    from tts_study.analysis.side_by_side import Part, side_by_side
    from tts_study.runs.find import find_runs

    parts = []
    for path in find_runs(arguments.runs):
        parts.append(Part.read(path))
        print(f"{parts[-1]}: {parts[-1].graded.note()}")
    table = side_by_side(parts, aggregation=arguments.aggregation, rule=arguments.rule, seed=arguments.seed)
    out = _folder(arguments.out)
    tables.save(table, "accuracy", out)
    print("accuracy in %, with its 95 % interval over problems and its standard deviation between seeds:")
    print(tables.show(table).to_string(index=False, na_rep="-"))
    sizes = " or ".join(map(str, sorted(set(table["problems"]))))
    plots.save(plots.accuracy_by_policy(table, f"Accuracy against n, {sizes} problems"), "accuracy", folder=out)
    print(f"the table and the figure are in {out}: accuracy.csv, accuracy.png")


def _folder(out: Path) -> Path:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    return out


def _replay_published(arguments: argparse.Namespace) -> None:
    from tts_study import plots
    from tts_study.analysis import replayed, tables

    runs = _load(arguments)
    out = _folder(arguments.out)
    graded = replayed.grade_all(runs)
    for name, each in graded.items():
        print(f"{name}: {each.note()}")
    options = dict(aggregation=arguments.aggregation or "last", seed=arguments.seed)
    table = replayed.accuracies(runs, graded, **options)
    tables.save(table, "accuracy", out)
    print(tables.show(table, index=["dataset", "n"], columns="method").to_string())
    curves = replayed.one_figure(table, arguments.rule or "weighted")
    plots.save(plots.accuracy_against_n(curves, {}, title=_title(runs)), "accuracy", folder=out)
    if any(map(replayed.states_levels, runs.values())):
        levels = replayed.accuracies_by_level(runs, graded, **options)
        tables.save(levels, "accuracy_by_level", out)
        for name, of_one in levels.groupby("dataset"):
            figure = plots.accuracy_bars_by_level(of_one, title=f"By level: {name}")
            slug = re.sub(r"[^\w.-]+", "-", str(name))
            plots.save(figure, f"accuracy_by_level-{slug}", folder=out)
    else:
        print("the problems state no level: there is no table by level")
    print(f"tables and figures are in {out}")


def _load(arguments: argparse.Namespace) -> "dict[str, Run]":
    from tts_study.problems.load import Columns
    from tts_study.runs import blog
    from tts_study.runs.published import Scored, is_scored, unmatched

    named = {each.name: getattr(arguments, f"{each.name}_column") for each in fields(Columns)}
    columns = Columns(**{name: column for name, column in named.items() if column})
    kind = arguments.scores
    scored = Scored(arguments.completions_column, arguments.scores_column, kind == "logits", kind == "none")
    sources = blog.named(arguments.dataset, arguments.config)
    runs = blog.load(sources, split=arguments.split, limit=arguments.limit, columns=columns, scored=scored)
    for name, run in runs.items():
        print(f"{name}: {run.header['strategy']}, {len(run.problems)} problems x {run.header['n']} completions")
        if not is_scored(run):
            print("  without step scores: majority and pass only")
        if count := unmatched(run):
            print(
                f"  {count} completions have another number of step scores than of steps; scores are taken as they are"
            )
    return runs


def _title(runs: "dict[str, Run]") -> str:
    sizes = sorted({len(run.problems) for run in runs.values()})
    names = next(iter(runs)) if len(runs) == 1 else f"{len(runs)} data sets"
    return f"{names[:60]}, {' or '.join(map(str, sizes))} problems"
