"""What should I run? Accuracy of recorded runs beside memory, time and price, for every policy, method and n.

Accuracy and seconds are measured: seconds a problem while the machine that recorded the run worked on many
problems at once. Memory is computed from the models' shapes: weights, and the KV cache of one problem. How long one
problem takes alone is measured by separate runs (`tts-study run --alone`), and unknown where there is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tts_study import paths
from tts_study.analysis import cost, frontier, grid
from tts_study.analysis.side_by_side import Part, aggregation_of, budgets, differing_options, methods_of, suffix
from tts_study.engines.shapes import Shape, shape_of
from tts_study.engines.user_code import is_function
from tts_study.errors import UserError
from tts_study.profiles import located
from tts_study.runs.store import ALONE
from tts_study.strategies import METHODS

PROBLEMS = 1000  # that a price is stated for
MEMORY = {"B": 1.0, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30, "TiB": 2.0**40}
SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}
UNKNOWN = "not measured"
MEASURES = ("memory", "weights", "flops", "flops_policy")  # unknown if a model is not available here


@dataclass(frozen=True, eq=False)
class Sorted:
    """Runs, divided by what they can be used for.

    Attributes:
        kept: on the largest set of problems, and of the first seed of each.
        alone: those that searched one problem at a time.
        left_out: all others.
    """

    kept: list[Part]
    alone: list[Part]
    left_out: list[Part]


def comparable(parts: Sequence[Part]) -> Sorted:
    """The runs that can be compared, those that say how long a problem takes alone, and the others.

    Raises:
        UserError: there are only runs that searched one problem at a time.
    """
    alone = [part for part in parts if part.run.header.get(ALONE)]
    many = [part for part in parts if not part.run.header.get(ALONE)]
    if not many:
        raise UserError("these runs measure the time of one problem alone: also give runs that search many at once")
    most = max(many, key=lambda part: len(part.graded.ids)).graded.ids
    differing = differing_options(parts)
    kept: dict[tuple[str, str, int], Part] = {}
    for part in sorted(many, key=lambda part: int(part.run.header["seed"])):
        if part.graded.ids == most:
            kept.setdefault((part.policy, part.search + suffix(part, differing), part.run.header["n"]), part)
    chosen = set(map(id, kept.values()))
    return Sorted([p for p in many if id(p) in chosen], alone, [p for p in many if id(p) not in chosen])


def choices(
    parts: Sequence[Part], alone: Sequence[Part] = (), *, per_hour: float | None = None, seed: int = 0
) -> pd.DataFrame:
    """Every option with its accuracy and its costs.

    Args:
        parts: runs on the same problems, as of `comparable`.
        alone: runs that searched one problem at a time, for how long that takes.
        per_hour: what an hour of the machine that recorded the runs costs.
        seed: of subsets and of the bootstrap.

    Returns:
        Columns as of `frontier.options`; seconds_alone, the mean over problems; and price (of `PROBLEMS` problems);
        NaN where something is not known.
    """
    policies = dict.fromkeys(part.policy for part in parts)
    differing = differing_options([*parts, *alone])
    tables = [_of_policy([p for p in parts if p.policy == policy], differing, seed) for policy in policies]
    table = with_latency(pd.concat(tables, ignore_index=True), alone, differing)
    return table.assign(price=table["seconds"] / 3600 * PROBLEMS * (np.nan if per_hour is None else per_hour))


def with_latency(
    options: pd.DataFrame, alone: Sequence[Part], differing: dict[tuple[str, str], list[tuple[str, str]]] | None = None
) -> pd.DataFrame:
    """Options with how long one problem takes alone.

    Args:
        options: with columns policy, method, n.
        alone: runs that searched one problem at a time.
        differing: the options in which runs differ, as of `differing_options`; those of `alone` if None.

    Returns:
        The same with a column seconds_alone, the mean over problems; NaN where it was not measured.
    """
    differing = differing_options(alone) if differing is None else differing
    timed = {
        (part.policy, method + suffix(part, differing), part.run.header["n"]): part.run.seconds
        for part in alone
        for method, _ in methods_of(part, None)
        if method not in METHODS or METHODS[method].search.name == part.search
    }
    places = zip(options["policy"], options["method"], options["n"], strict=True)
    return options.assign(seconds_alone=np.array([timed.get(place) for place in places], dtype=float))


def recorded_alone(profile: str) -> list[Part]:
    """A profile's recorded runs that searched one problem at a time; none if there are none."""
    return [Part.read(path) for path in sorted((paths.data() / "runs" / f"{profile}-alone").glob("*.jsonl.gz"))]


def _of_policy(
    parts: Sequence[Part], differing: dict[tuple[str, str], list[tuple[str, str]]], seed: int
) -> pd.DataFrame:
    read: set[tuple[str, int]] = set()
    cells = []
    for part in sorted(parts, key=lambda part: -part.run.header["n"]):  # a smaller n is read off the largest run
        for method, rule in methods_of(part, None):
            label = method + suffix(part, differing)
            ns = [n for n in budgets(part) if (label, n) not in read]
            if method != "pass" and ns:
                read |= {(label, n) for n in ns}
                cells.append(grid.Part(label, part.run, part.graded, rule, ns))
    built = grid.build(cells, aggregation=aggregation_of(parts[0].run), seed=seed)
    known = [_shape(parts, "policy"), _shape(parts, "prm")]
    judges = [part.run.header["prm"] for part in parts if "prm" in part.run.header]
    shape, prm = (one or _NO_SHAPE for one in known)
    sampled = [part.run for part in parts if part.graded.subtree == 1]
    context = max(map(cost.longest_context, sampled), default=0)
    itself = bool(judges) and "asked" in judges[0]
    table = frontier.options(parts[0].policy, built, shape, None if itself else prm, context=context, seed=seed)
    if not known[0] or not context or (judges and not known[1]):
        table[list(MEASURES)] = np.nan
    return table


_NO_SHAPE = Shape(
    parameters=0, embedding=0, head=0, tied=False, layers=0, query_width=0, kv_width=0, weight_bytes=0
)  # of a model that is not available here, or not used, or a function


def _shape(parts: Sequence[Part], model: str) -> Shape | None:
    for part in parts:
        if model in part.run.header:
            name = str(part.run.header[model]["model"])
            if is_function(name):
                return _NO_SHAPE
            try:
                return shape_of(located(name))
            except UserError:
                return None
    return None


def readable(options: pd.DataFrame) -> pd.DataFrame:
    """Options, as of `choices` or `frontier.options`, in human units."""
    table = options[["policy", "method", "n"]].copy()
    table["accuracy"] = [
        f"{100 * row.accuracy:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f})" for row in options.itertuples()
    ]
    table["memory"] = [human(value, MEMORY) for value in options["memory"]]
    table["time"] = [human(value, SECONDS) for value in options["seconds"]]
    alone = options.get("seconds_alone", pd.Series(np.nan, index=options.index))
    table["time alone"] = [human(value, SECONDS) for value in alone]
    if "price" in options:
        table["price"] = ["not given" if np.isnan(value) else f"{value:.2g} USD" for value in options["price"]]
    return table


def human(value: float, units: Mapping[str, float]) -> str:
    """A value in the largest unit in which it is at least 1."""
    if np.isnan(value):
        return UNKNOWN
    name, size = max(
        ((n, s) for n, s in units.items() if value >= s), key=lambda pair: pair[1], default=next(iter(units.items()))
    )
    return f"{value / size:.3g} {name}"
