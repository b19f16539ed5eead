"""The search strategies, one file each; `registry` is the table of them."""

from tts_study.strategies import best_of_n, beam_search, dvts, particle_filter# noqa: I001 (the table's order)
from tts_study.strategies.registry import METHODS, SEARCHES, Method, Search, by_value, find, strategy

__all__ = [
    "METHODS",
    "SEARCHES",
    "Method",
    "Search",
    "beam_search",
    "best_of_n",
    "by_value",
    "dvts",
    "find",
    "particle_filter",
    "strategy",
]
