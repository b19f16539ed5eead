"""Several strategies by one policy on the same problems: run or replay what they need, once, and put it on one grid."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tts_study import tables
from tts_study.errors import UserError
from tts_study.grid import Grid, Part, build
from tts_study.profiles import load_profile
from tts_study.runs import study_run
from tts_study.store import Run
from tts_study.strategies import STRATEGIES
from tts_study.tables import Graded, Method

# each strategy, as the figures call it: the search that it reads, and how it picks an answer
SEARCHES: dict[str, tuple[str, Method]] = {
    "greedy": ("greedy", "majority"),
    "majority": ("best_of_n", "majority"),
    "best": ("best_of_n", "best"),
    "weighted": ("best_of_n", "weighted"),
    "beam_search": ("beam_search", "best"),
    "dvts": ("dvts", "best"),
}


@dataclass(frozen=True, eq=False)
class Experiment:
    """Strategies at some budgets.

    Attributes:
        runs: the runs by search and n: sampling and DVTS have one, of the largest n, and beam search one for each.
        graded: the same runs, graded.
        grid: accuracy and cost of every strategy at every budget that it has.
    """

    runs: Mapping[tuple[str, int], Run]
    graded: Mapping[tuple[str, int], Graded]
    grid: Grid


async def experiment(
    profile: str, strategies: Sequence[str], ns: Sequence[int], *, limit: int, seed: int, fresh: bool, **overrides: Any
) -> Experiment:
    """Run or replay strategies at some budgets.

    Args:
        profile: a profile's name.
        strategies: some of `SEARCHES`, cheap ones first: of equally good ones the first is chosen.
        ns: the budgets; greedy decoding has 1 in any case, and a search leaves out those it cannot spend.
        limit: the data set's first so many problems.
        seed: of every random draw.
        fresh: search anew instead of replaying recorded runs.
        overrides: fields of the profile.

    Raises:
        UserError: there is no such strategy, no budget that it could spend, or as `study_run`.
    """
    settings = load_profile(profile, **overrides)
    runs: dict[tuple[str, int], Run] = {}
    graded: dict[tuple[str, int], Graded] = {}
    parts = []
    for strategy in strategies:
        search, method = _search_of(strategy)
        spent = _spent(search, ns, settings.beam_width)
        # the runs, and the budgets that are read off each: a beam search holds no smaller one
        reads = {n: (n,) for n in spent} if search == "beam_search" else {max(spent): spent}
        for n, read in reads.items():
            key = search, n
            if key not in runs:
                runs[key] = await study_run(settings, search, n=n, limit=limit, seed=seed, fresh=fresh)
                graded[key] = tables.grade(runs[key].problems, runs[key].results)
            parts.append(Part(strategy, runs[key], graded[key], method, read))
    aggregation: Any = settings.aggregation  # one of three names: the profile has checked it
    grid = build(parts, aggregation=aggregation, seed=seed)
    return Experiment(runs, graded, grid)


def _search_of(strategy: str) -> tuple[str, Method]:
    if strategy not in SEARCHES:
        raise UserError(f"unknown strategy {strategy!r}: choose some of {', '.join(SEARCHES)}")
    return SEARCHES[strategy]


def _spent(search: str, ns: Sequence[int], beam_width: int) -> tuple[int, ...]:
    """The budgets that a search can spend."""
    if search == "greedy":
        return (1,)
    by_beams = "beam_width" in STRATEGIES[search].options
    spent = tuple(sorted(n for n in set(ns) if not by_beams or n % beam_width == 0))
    if not spent:
        raise UserError(f"{search} can spend none of n = {list(ns)}: give a multiple of its beam_width, {beam_width}")
    return spent
