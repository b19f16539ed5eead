"""`tts-study scale`: tokens, memory, hours and cost of the study at its real size."""

import argparse
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `scale`."""
    scale = commands.add_parser("scale", help="simulate tokens, memory, hours and cost of the real study on GPUs")
    scale.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another assumption")
    scale.add_argument("--run", type=Path, action="append", default=[], help="forecast from a recorded run's tokens")
    scale.set_defaults(command=_scale)


def _scale(arguments: argparse.Namespace) -> None:
    from tts_study import store
    from tts_study.scale.assumptions import with_overrides
    from tts_study.scale.report import report

    print(report(with_overrides(arguments.set), {path: store.load(path) for path in arguments.run}))
