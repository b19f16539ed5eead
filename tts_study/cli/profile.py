"""The options by which a command chooses a profile and overrides its fields."""

import argparse
from typing import TYPE_CHECKING

from tts_study.errors import UserError

if TYPE_CHECKING:
    from tts_study.profiles import Profile

# the profile's fields that have their own option; --set is for the others
OPTIONS = {
    "policy": "a short name of the profile's ladder, a checkpoint's folder, or a hub name",
    "prm": "a checkpoint's folder or a hub name; self: the policy judges its own steps",
    "prm_format": "its family, if it is unknown for the model: qwen, skywork, trl, math-shepherd, rlhflow, or critique",
    "prm_separator": r"what a PRM of the family trl was trained with between steps, such as \n\n",
    "dataset": "a .jsonl, .csv or .parquet file, or a hub name",
    "dataset_config": "the hub data set's configuration, if it has several",
    "dataset_split": "the hub data set's split",
    "problem_column": "the data set's column of problems",
    "answer_column": "the data set's column of gold answers",
    "dataset_levels": "only problems of these levels, such as 4,5",
    "dataset_subjects": "only problems of these subjects, separated by commas",
    "dataset_ids": "only the problems with these ids, separated by commas",
    "dataset_skip_ids": "leave out the problems with these ids, separated by commas",
    "temperature": "of sampling",
    "top_p": "share of probability that is sampled from",
    "max_tokens": "longest completion",
    "aggregation": "from step scores to a score: last, min or prod",
    "policy_url": "servers of the policy instead of an engine in this process: URL[,URL]",
    "prm_url": "servers of the PRM: URL[,URL]",
}
SHORT = {
    "dataset_levels": "levels",
    "dataset_subjects": "subjects",
    "dataset_ids": "ids",
    "dataset_skip_ids": "skip-ids",
}


def add_profile(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    known = "micro (the default), llama, qwen2.5, qwen2.5-math or smollm2"
    parser.add_argument("--profile", default="micro", help=known)
    for name, what in OPTIONS.items():
        flag = SHORT.get(name, name).replace("_", "-")
        parser.add_argument(f"--{flag}", dest=name, metavar=flag.upper(), help=what)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="another setting of it")


def profile_of(arguments: argparse.Namespace) -> "Profile":
    """The profile that the options ask for.

    Raises:
        UserError: as `load_profile`, or --set has no value.
    """
    from tts_study.profiles import load_profile

    return load_profile(arguments.profile, **given(arguments))


def given(arguments: argparse.Namespace) -> dict[str, str]:
    """The profile's fields that the options set.

    Raises:
        UserError: --set has no value.
    """
    for assignment in arguments.set:
        if "=" not in assignment:
            raise UserError(f"--set needs NAME=VALUE, and {assignment!r} has no =")
    own = {name: getattr(arguments, name) for name in OPTIONS if getattr(arguments, name) is not None}
    return own | dict(assignment.split("=", 1) for assignment in arguments.set)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the searches: a flag for each of the package's own, --option for any."""
    from tts_study.strategies import SEARCHES

    owners: dict[str, list[str]] = {}
    for search in SEARCHES.values():
        for name in search.defaults:
            owners.setdefault(name, []).append(search.name)
    for name, searches in owners.items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, dest=f"option_{name}", metavar="VALUE", help=f"option of {', '.join(searches)}")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="another strategy's option")


def options_of(arguments: argparse.Namespace) -> dict[str, str]:
    """The options of the search that are given.

    Raises:
        UserError: --option has no value.
    """
    flags = {name[7:]: value for name, value in vars(arguments).items() if name.startswith("option_") and value}
    for assignment in arguments.option:
        if "=" not in assignment:
            raise UserError(f"--option needs NAME=VALUE, and {assignment!r} has no =")
    return flags | dict(assignment.split("=", 1) for assignment in arguments.option)
