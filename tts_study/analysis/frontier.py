"""Small models that search against large ones: which is better at which n, FLOPs, memory and time?

Every (policy, strategy, n) is an option with an accuracy and a price in several currencies:

- flops_policy, flops: a problem's FLOPs without and with the PRM's (the blog's comparison leaves the PRM out);
- weights: bytes of the policy, and of the PRM where the strategy asks one that is not the policy itself;
- memory: the weights, and the KV cache of all n sequences of one problem in each model, at full length;
- seconds: wall-clock seconds a problem on the machine that recorded the run; NaN where the run does not record it.

The best of many options that were measured on the same problems looks a little better than it is: read its band.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from tts_study.analysis import cost
from tts_study.analysis.crossing import Curve, Reach, overtaking
from tts_study.analysis.grid import Grid
from tts_study.analysis.inference import bootstrap
from tts_study.engines.shapes import Shape, kv_bytes
from tts_study.errors import UserError

PRICES = ("flops_policy", "flops", "weights", "memory", "seconds")


@dataclass(frozen=True, eq=False)
class Contender:
    """A policy with all its options.

    Attributes:
        policy: its short name.
        grid: its strategies at their budgets; greedy decoding has the single budget 1.
        options: a row for each strategy and n, as of `options`.
        curves: each strategy's curve against n, all of the same draws.
    """

    policy: str
    grid: Grid
    options: pd.DataFrame
    curves: Mapping[str, Curve]


def contender(
    policy: str,
    grid: Grid,
    shape: Shape,
    prm: Shape | None,
    *,
    context: int,
    choices: Mapping[str, Curve] = MappingProxyType({}),
    seed: int = 0,
) -> Contender:
    """A policy, its accuracies and its prices.

    Arguments as of `options`; `choices` are the curves of those strategies that are cross-validated choices, as of
    `compute_optimal.choice_curve` with the same seed.
    """
    curves = {name: choices.get(name) or grid.curve(name, seed=seed) for name in grid.strategies}
    table = options(policy, grid, shape, prm, context=context, seed=seed)
    return Contender(policy, grid, table, curves)


def options(
    policy: str,
    grid: Grid,
    shape: Shape,
    prm: Shape | None,
    *,
    context: int,
    seed: int = 0,
) -> pd.DataFrame:
    """Accuracy and prices of each strategy and n.

    Args:
        policy: the policy's short name.
        grid: its strategies at their budgets.
        shape: the policy's.
        prm: the PRM's; None where the policy judges itself, with one copy of its weights.
        context: tokens of a prompt with a long completion, as of `cost.longest_context`, for the KV cache.
        seed: of the bootstrap.

    Returns:
        Columns policy, method, n, accuracy, low, high, generated, scored (tokens a problem), flops_prm, and `PRICES`.
    """
    rows = []
    for m, strategy in enumerate(grid.strategies):
        for j, n in enumerate(grid.ns):
            if np.isnan(grid.accuracy_M_n_P[m, j]).any():
                continue
            band = bootstrap(grid.accuracy_M_n_P[m, j], seed=seed)
            tokens_K = grid.tokens_M_n_P_K[m, j].mean(axis=0)
            row = dict(policy=policy, method=strategy, n=n, accuracy=band.estimate, low=band.low, high=band.high)
            row |= _prices(tokens_K, n, shape, prm, context)
            rows.append(row | {"seconds": grid.seconds_M_n[m, j]})
    return pd.DataFrame(rows)


def pareto(options: pd.DataFrame, price: str) -> pd.DataFrame:
    """The options that no other one beats: none is at least as accurate for less, or more accurate for as much.

    Args:
        options: of one or several policies.
        price: one of `PRICES`; options whose price is unknown are left out.

    Returns:
        Their rows, the cheapest first.

    Raises:
        UserError: there is no such price.
    """
    _check_price(price, options)
    priced = options.dropna(subset=[price]).sort_values([price, "accuracy"], ascending=[True, False], kind="stable")
    best_before = priced["accuracy"].cummax().shift(fill_value=-np.inf)
    return priced[priced["accuracy"] > best_before].reset_index(drop=True)


def best_under(options: pd.DataFrame, **limits: float) -> pd.Series:
    """What should I run? The most accurate option within all limits; of equals the one with the fewest FLOPs.

    Args:
        options: of one or several policies.
        limits: the largest allowed values of one or several of `PRICES`, such as memory=16 * 2**30, seconds=2.

    Raises:
        UserError: there is no such price, or no option is within the limits; the message names the cheapest.
    """
    within = options
    for price, limit in limits.items():
        _check_price(price, options)
        cheapest = within[price].min()
        within = within[within[price] <= limit]
        if within.empty:
            raise UserError(f"nothing costs at most {limit:g} {price}: the cheapest option left costs {cheapest:g}")
    return within.sort_values(["accuracy", "flops"], ascending=[False, True], kind="stable").iloc[0]


def overtakings(small: Contender, large: Contender, *, rival: str = "greedy") -> pd.DataFrame:
    """From which n on is each of a small policy's strategies as good as a large policy, and what does it cost there?

    Args:
        small: the policy that searches.
        large: the policy to overtake, on the same problems.
        rival: what the large one does: a strategy of a single n, such as greedy, is a line to overtake; one of several
            is compared at equal n.

    Returns:
        A row for each strategy of the small policy with more than one n: columns policy, method, rival, n, n_low,
        n_high (inf: not by the last n measured), text (the same in words), and for each of `PRICES` its `…_ratio`: the
        small one's price at that n over the large one's (inf where it is not overtaken).

    Raises:
        UserError: the two were not run on the same problems, share no n, or the large one has no such strategy.
    """
    _check_rival(small, large, rival)
    rows = []
    for strategy, curve in small.curves.items():
        if len(curve.xs) < 2:
            continue
        reach = overtaking(curve, large.curves[rival])
        ratios = {f"{p}_ratio": _at(small, strategy, p, reach) / _at(large, rival, p, reach) for p in PRICES}
        place = dict(n=reach.estimate, n_low=reach.low, n_high=reach.high, text=str(reach))
        rows.append(dict(policy=small.policy, method=strategy, rival=f"{large.policy} {rival}", **place, **ratios))
    return pd.DataFrame(rows)


def all_overtakings(contenders: Mapping[str, Contender], small: Sequence[str]) -> pd.DataFrame:
    """`overtakings` of each small policy against each larger one of a ladder, smallest first."""
    ladder = list(contenders)
    pairs = [(one, large) for one in small for large in ladder[ladder.index(one) + 1 :]]
    tables = [overtakings(contenders[one], contenders[large]) for one, large in pairs]
    columns = ["policy", "method", "rival", "n", "n_low", "n_high", "text", *(f"{price}_ratio" for price in PRICES)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _prices(tokens_K: np.ndarray, n: int, shape: Shape, prm: Shape | None, context: int) -> dict[str, float]:
    generated, scored = (float(tokens_K[cost.KINDS.index(kind)]) for kind in ("generated", "scored"))
    policy_flops = float(cost.policy_flops(tokens_K, shape))
    prm_flops = float(cost.prm_flops(tokens_K, prm or shape))
    models = [shape, prm] if scored and prm else [shape]
    weights = sum(model.weight_bytes for model in models)
    kv = sum(kv_bytes(model, n * context) for model in models)
    return dict(
        generated=generated, scored=scored, flops_policy=policy_flops, flops_prm=prm_flops,
        flops=policy_flops + prm_flops, weights=weights, memory=weights + kv,
    )  # fmt: skip


def _check_rival(small: Contender, large: Contender, rival: str) -> None:
    if small.grid.ids != large.grid.ids:
        raise UserError(f"{small.policy} and {large.policy} were run on different problems: run both on the same ones")
    large.grid.of(rival)  # refuses what it does not have


def _at(one: Contender, strategy: str, price: str, reach: Reach) -> float:
    """A strategy's price where something is reached, linear in both logarithms; inf where it is not reached."""
    rows = one.options[one.options["method"] == strategy].sort_values("n")
    if len(rows) == 1:
        return rows[price].item()
    if reach.estimate > reach.last:
        return np.inf
    return float(np.exp(np.interp(np.log(reach.estimate), np.log(rows["n"]), np.log(rows[price]))))


def _check_price(price: str, options: pd.DataFrame) -> None:
    if price not in PRICES:
        raise UserError(f"unknown price {price!r}: choose one of {', '.join(PRICES)}")
    if options[price].isna().all():
        raise UserError(f"no option has its {price}: record the runs again")
