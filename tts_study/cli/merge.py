"""`tts-study merge`: the shards of a run become the run."""

import argparse
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `merge`."""
    merge = commands.add_parser("merge", help="merge the shards that `run --shard` made into one run")
    merge.add_argument("shards", type=Path, nargs="+", metavar="RUN", help="the files of all shards")
    merge.add_argument("--out", type=Path, required=True, help="a .jsonl or .jsonl.gz file; in a folder, run.jsonl")
    merge.set_defaults(command=_merge)


def _merge(arguments: argparse.Namespace) -> None:
    from tts_study.runs.shards import merge

    named = arguments.out.name.endswith((".jsonl", ".jsonl.gz"))
    out = arguments.out if named else arguments.out / "run.jsonl"
    run = merge(arguments.shards, out)
    print(f"{len(arguments.shards)} shards, {len(run.problems)} problems; the run is in {out}")
