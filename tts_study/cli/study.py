"""`tts-study study`: the notebooks, with new searches."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study.cli.profile import add_profile, given, profile_of

if TYPE_CHECKING:
    from tts_study.profiles import Profile


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `study`."""
    study = commands.add_parser("study", help="run the study's notebooks, with new searches")
    add_profile(study)
    study.add_argument("--out", type=Path, default=Path("out/study"), help="folder of notebooks, figures and runs")
    study.add_argument("--notebooks", nargs="+", default=[], metavar="NN", help="beginnings of names; all otherwise")
    study.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter")
    study.set_defaults(command=_study)


def _study(arguments: argparse.Namespace) -> None:
    from tts_study.cli.notebooks import parse_value, run_notebooks
    from tts_study.profiles import write_options

    profile = profile_of(arguments)  # errors in it are reported before a notebook starts
    options = {name: _found_from_anywhere(profile, name, value) for name, value in given(arguments).items()}
    parameters: dict[str, Any] = {"profile": arguments.profile, "fresh": True}
    if options:
        parameters["profile_options"] = write_options(options)
    parameters |= {name: parse_value(text) for name, text in arguments.p}
    run_notebooks(arguments.out, arguments.notebooks, parameters)
    print(f"notebooks, figures, tables and runs are in {arguments.out}")


def _found_from_anywhere(profile: "Profile", name: str, value: str) -> str:
    """A file or folder by its whole path: a notebook runs in another folder than this command."""
    from tts_study.profiles import located

    if name not in ("policy", "prm", "dataset") or value in profile.policies:
        return value
    path = Path(located(value))
    return str(path.absolute()) if path.exists() else value
