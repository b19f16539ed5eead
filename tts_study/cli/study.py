"""`tts-study study`: the notebooks, searching anew."""

import argparse
import os
from pathlib import Path


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `study`."""
    study = commands.add_parser("study", help="run the study's notebooks, searching anew")
    study.add_argument("--profile", default="micro", help="micro (the default) or llama")
    study.add_argument("--out", type=Path, default=Path("out/study"), help="folder of everything that comes of it")
    study.add_argument("--notebooks", nargs="+", default=[], metavar="NN", help="beginnings of names; all otherwise")
    study.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter")
    study.add_argument("--policy-url", metavar="URL[,URL]", help="servers of the policies, shared by all notebooks")
    study.add_argument("--prm-url", metavar="URL[,URL]", help="servers of the PRM, shared by all notebooks")
    study.set_defaults(command=_study)


def _study(arguments: argparse.Namespace) -> None:
    from tts_study.cli.notebooks import parse_value, run_notebooks
    from tts_study.profiles import load_profile
    from tts_study.runs.engines import POLICY_URL, PRM_URL

    load_profile(arguments.profile)
    for url, variable in ((arguments.policy_url, POLICY_URL), (arguments.prm_url, PRM_URL)):
        if url:
            os.environ[variable] = url  # the notebooks' kernels inherit it
    parameters = {"profile": arguments.profile, "fresh": True} | {name: parse_value(text) for name, text in arguments.p}
    run_notebooks(arguments.out, arguments.notebooks, parameters)
    print(f"notebooks, figures, tables and runs are in {arguments.out}")
