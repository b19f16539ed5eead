"""`tts-study export`: a run in the columns of the blog's published data sets."""

import argparse
from pathlib import Path

from tts_study.errors import UserError
from tts_study.strategies.aggregation import AGGREGATIONS


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `export`."""
    export = commands.add_parser("export", help="write a run in the columns of the blog's published data sets")
    export.add_argument("run", type=Path, help="the run: its .jsonl or .jsonl.gz file, or the folder of run.jsonl")
    export.add_argument("--out", type=Path, help="a new .parquet or .jsonl file")
    export.add_argument("--push-to-hub", metavar="OWNER/NAME", help="a data set on the hub; needs a token in HF_TOKEN")
    export.add_argument("--config", help="its configuration there; as search-and-learn would name it if not given")
    export.add_argument("--aggregation", choices=AGGREGATIONS, default="last", help="of agg_scores; last by default")
    export.set_defaults(command=_export)


def _export(arguments: argparse.Namespace) -> None:
    from tts_study.runs import store
    from tts_study.runs.export import config_name, published_rows, push, write

    if not arguments.out and not arguments.push_to_hub:
        raise UserError("say where to export to: --out FILE.parquet (or .jsonl), or --push-to-hub OWNER/NAME")
    path = arguments.run / "run.jsonl" if arguments.run.is_dir() else arguments.run
    run = store.load(path)
    if not run.results:
        raise UserError(f"{path} contains no results yet: run it first")
    rows = published_rows(run, arguments.aggregation)
    if arguments.out:
        write(rows, arguments.out)
        print(f"{len(rows)} problems in {arguments.out}")
    if arguments.push_to_hub:
        config = arguments.config or config_name(run.header, arguments.aggregation)
        push(rows, arguments.push_to_hub, config)
        print(f"{len(rows)} problems in {arguments.push_to_hub}, configuration {config}")
