"""The search strategies by name: how each searches, and which rule picks its answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tts_study.records import SearchResult
from tts_study.strategies.best_of_n import best_of_n, greedy, majority


@dataclass(frozen=True)
class Strategy:
    """A way to spend a budget of `n` generations.

    Attributes:
        search: the coroutine over one problem: (problem, policy, prm, *, n, seed) -> SearchResult.
        rule: the selection rule that names its answer: "majority", "best" or "weighted".
        needs_prm: whether `search` asks a PRM.
    """

    search: Callable[..., Awaitable[SearchResult]]
    rule: str
    needs_prm: bool


STRATEGIES = {
    "greedy": Strategy(greedy, rule="majority", needs_prm=False),
    "majority": Strategy(majority, rule="majority", needs_prm=False),
    "best_of_n": Strategy(best_of_n, rule="best", needs_prm=True),
    "weighted_best_of_n": Strategy(best_of_n, rule="weighted", needs_prm=True),
}
