"""What should I run? Accuracy of recorded runs beside memory, time and price, for every policy, method and n.

Accuracy and seconds are measured: seconds a problem while the machine that recorded the run was kept busy with many
problems at once. Memory is computed from the models' shapes: weights, and the KV cache of one problem. How long one
problem takes alone is not recorded, and nothing here claims it.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from tts_study.analysis import cost, frontier, grid
from tts_study.analysis.side_by_side import Part, aggregation_of, budgets, methods_of
from tts_study.engines.shapes import Shape, shape_of
from tts_study.errors import UserError
from tts_study.profiles import located

PROBLEMS = 1000  # that a price is stated for
MEASURES = ("memory", "weights", "flops", "flops_policy")  # unknown where a model is not at hand


def comparable(parts: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The runs on the largest set of problems and of the first seed of each, and those that are left out."""
    most = max(parts, key=lambda part: len(part.graded.ids)).graded.ids
    kept: dict[tuple[str, str, int], Part] = {}
    for part in sorted(parts, key=lambda part: int(part.run.header["seed"])):
        if part.graded.ids == most:
            kept.setdefault((part.policy, part.search, part.run.header["n"]), part)
    chosen = set(map(id, kept.values()))
    return [part for part in parts if id(part) in chosen], [part for part in parts if id(part) not in chosen]


def choices(parts: Sequence[Part], *, per_hour: float | None = None, seed: int = 0) -> pd.DataFrame:
    """Every option with what it brings and takes.

    Args:
        parts: runs on the same problems, as of `comparable`.
        per_hour: what an hour of the machine that recorded the runs costs.
        seed: of subsets and of the bootstrap.

    Returns:
        Columns as of `frontier.options`, and price (of `PROBLEMS` problems); NaN where something is not known.
    """
    policies = dict.fromkeys(part.policy for part in parts)
    tables = [_of_policy(policy, [part for part in parts if part.policy == policy], seed) for policy in policies]
    table = pd.concat(tables, ignore_index=True)
    return table.assign(price=table["seconds"] / 3600 * PROBLEMS * (np.nan if per_hour is None else per_hour))


def _of_policy(policy: str, parts: Sequence[Part], seed: int) -> pd.DataFrame:
    read: set[tuple[str, int]] = set()
    cells = []
    for part in sorted(parts, key=lambda part: -part.run.header["n"]):  # a smaller n is read off the largest run
        for method, rule in methods_of(part, None):
            ns = [n for n in budgets(part) if (method, n) not in read]
            if method != "pass" and ns:
                read |= {(method, n) for n in ns}
                cells.append(grid.Part(method, part.run, part.graded, rule, ns))
    built = grid.build(cells, aggregation=aggregation_of(parts[0].run), seed=seed)
    known = [_shape(parts, "policy"), _shape(parts, "prm")]
    needs_prm = any("prm" in part.run.header for part in parts)
    shape, prm = (one or _NO_SHAPE for one in known)
    sampled = [part.run for part in parts if part.graded.subtree == 1]
    context = max(map(cost.longest_context, sampled), default=0)
    table = frontier.options(policy, built, shape, prm, context=context, seed=seed)
    if not known[0] or not context or (needs_prm and not known[1]):
        table[list(MEASURES)] = np.nan
    return table


_NO_SHAPE = Shape(
    parameters=0, embedding=0, head=0, tied=False, layers=0, kv_width=0, weight_bytes=0
)  # of a model that is not at hand, or not asked


def _shape(parts: Sequence[Part], model: str) -> Shape | None:
    for part in parts:
        if model in part.run.header:
            try:
                return shape_of(located(str(part.run.header[model]["model"])))
            except UserError:
                return None
    return None
