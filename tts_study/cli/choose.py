"""`tts-study choose`: which policy, method and n to run within a memory, a time or a price."""

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from tts_study.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

BYTES = (
    {"B": 1}
    | {f"{p}B": 1000**i for i, p in enumerate("KMGT", 1)}
    | {f"{p}iB": 1024**i for i, p in enumerate("KMGT", 1)}
)
DOLLARS = {"USD": 1.0, "": 1.0}


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `choose`."""
    choose = commands.add_parser("choose", help="what to run within a memory, a time or a price, by recorded runs")
    choose.add_argument("--memory", metavar="SIZE", help="the most for weights and KV cache, such as 80GiB")
    choose.add_argument("--time", metavar="TIME", help="the most for one problem of many at once, such as 500ms or 2s")
    choose.add_argument("--latency", metavar="TIME", help="the most for one problem alone, by runs of `run --alone`")
    choose.add_argument("--price", metavar="USD", help="the most for 1,000 problems; needs --per-hour")
    choose.add_argument("--per-hour", metavar="USD", help="what an hour of the machine that recorded the runs costs")
    choose.add_argument(
        "--runs", nargs="+", type=Path, help="folders or files of runs; the micro profile's if not given"
    )
    choose.set_defaults(command=_choose)


def _choose(arguments: argparse.Namespace) -> None:
    from tts_study.analysis.choosing import PROBLEMS, SECONDS, choices, comparable, readable
    from tts_study.analysis.frontier import best_under, pareto
    from tts_study.analysis.side_by_side import Part
    from tts_study.runs.find import find_runs

    per_hour = quantity(arguments.per_hour, DOLLARS, "--per-hour")
    limits = {
        "memory": quantity(arguments.memory, BYTES, "--memory"),
        "seconds": quantity(arguments.time, SECONDS, "--time"),
    }
    latency = quantity(arguments.latency, SECONDS, "--latency")
    price = quantity(arguments.price, DOLLARS, "--price")
    if price is not None:
        if per_hour is None:
            raise UserError("--price needs --per-hour, the price of an hour of the machine that recorded the runs")
        limits["seconds"] = min(limits["seconds"] or math.inf, price / PROBLEMS * 3600 / per_hour)
    given = arguments.runs or _recorded()
    found = comparable([Part.read(path) for path in find_runs(given)])
    print(f"{len(found.kept)} runs on the same {len(found.kept[0].graded.ids)} problems")
    if found.left_out:
        names = ", ".join(str(part.path) if arguments.runs else part.path.name for part in found.left_out)
        print(f"left out, as another seed or on other problems: {names}")
    table = choices(found.kept, found.alone, per_hour=per_hour)
    if latency is not None:
        table = _within_latency(table, latency)
    asked = {name: limit for name, limit in limits.items() if limit is not None}
    _check_reachable(table, asked)
    best = best_under(table, **asked)
    print(f"\nthe most accurate option{' within these limits' if any([*limits.values(), latency]) else ''}:")
    print(readable(best.to_frame().T).to_string(index=False))
    known = next((name for name in ("memory", "seconds") if table[name].notna().any()), None)
    if known:
        print(f"\noptions that no other one beats by {known}:")
        print(readable(pareto(table, known)).to_string(index=False))
    print(
        "\naccuracy: measured, with its 95 % interval over problems; memory: computed, weights (the PRM's too where it "
        "is asked) and KV cache of one problem; time: measured, a problem of many at once on the machine that recorded "
        "the runs; time alone: measured, one problem at a time; price: of 1,000 problems, from the time"
    )


def _recorded() -> list[Path]:
    """The micro profile's runs with its own PRM, and those with one problem at a time."""
    from tts_study import paths

    folders = [paths.data() / "runs" / name for name in ("micro", "micro-alone")]
    paths_there = [path for folder in folders for path in sorted(folder.glob("*-seed0*.gz"))]
    return [path for path in paths_there if not re.search("-prm_|-signals_", path.name)]


def _within_latency(table: "pd.DataFrame", latency: float) -> "pd.DataFrame":
    """The options that were timed alone and keep to `latency`; where none was timed, those that may keep to it."""
    from tts_study.analysis.choosing import SECONDS, human

    timed = table["seconds_alone"].dropna()
    if timed.empty:
        print(
            "the latency of one problem alone is not measured in these runs (`tts-study run --alone` measures it): "
            "options are left out that take longer than --latency even per problem of many at once"
        )
        return table[~(table["seconds"] > latency)]
    print(f"{len(timed)} of {len(table)} options were timed with one problem alone, and --latency chooses among these")
    within = table[table["seconds_alone"] <= latency]
    if within.empty:
        raise UserError(f"no option is within a latency of {human(latency, SECONDS)}: the least is "
                        f"{human(timed.min(), SECONDS)}")  # fmt: skip
    return within


def _check_reachable(table: "pd.DataFrame", limits: dict[str, float]) -> None:
    from tts_study.analysis.choosing import MEMORY, SECONDS, human

    for name, limit in limits.items():
        least = table[name].min()
        if least > limit:
            what, units = ("memory", MEMORY) if name == "memory" else ("time (or its price)", SECONDS)
            raise UserError(
                f"no option is within a {what} of {human(limit, units)}: the least is {human(least, units)}"
            )
        table = table[table[name].isna() | (table[name] <= limit)]


def quantity(text: str | None, units: dict[str, float] | dict[str, int], option: str) -> float | None:
    """A positive number with a unit, in the smallest unit; None stays None.

    Raises:
        UserError: it is not a positive number, or the unit is unknown.
    """
    if text is None:
        return None
    found = re.fullmatch(r"([\d.]+)\s*([A-Za-z]*)", text.strip())
    try:
        value = float(found[1]) * units[found[2]] if found else 0.0
    except (KeyError, ValueError):
        value = 0.0
    if not 0 < value < math.inf:
        raise UserError(f"{option} must be a positive number with one of the units {', '.join(filter(None, units))}, "
                        f"and {text!r:.40} is not")  # fmt: skip
    return value
