"""The search strategies by name: how each searches, and which rule picks its answer."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tts_study.profiles import Profile
from tts_study.records import SearchResult
from tts_study.strategies.beam_search import beam_search
from tts_study.strategies.best_of_n import best_of_n, greedy, majority
from tts_study.strategies.dvts import dvts

TREE_OPTIONS = ("beam_width", "max_steps", "max_tokens", "lookahead", "aggregation")


@dataclass(frozen=True)
class Strategy:
    """A way to spend a budget of `n` generations.

    Attributes:
        search: the coroutine over one problem: (problem, policy, prm, *, n, seed, **options) -> SearchResult.
        rule: the selection rule that names its answer: "majority", "best" or "weighted".
        needs_prm: whether `search` asks a PRM.
        options: the profile's fields that `search` takes besides.
    """

    search: Callable[..., Awaitable[SearchResult]]
    rule: str
    needs_prm: bool
    options: tuple[str, ...] = ()

    def options_of(self, profile: Profile) -> dict[str, Any]:
        """What a profile says about them."""
        return {name: getattr(profile, name) for name in self.options}


STRATEGIES = {
    "greedy": Strategy(greedy, rule="majority", needs_prm=False),
    "majority": Strategy(majority, rule="majority", needs_prm=False),
    "best_of_n": Strategy(best_of_n, rule="best", needs_prm=True),
    "weighted_best_of_n": Strategy(best_of_n, rule="weighted", needs_prm=True),
    "beam_search": Strategy(beam_search, rule="best", needs_prm=True, options=TREE_OPTIONS),
    "dvts": Strategy(dvts, rule="best", needs_prm=True, options=TREE_OPTIONS),
}
