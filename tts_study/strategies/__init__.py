"""The search strategies, one file each: every module here is imported and enters itself into `registry`'s table."""

from importlib import import_module
from pkgutil import iter_modules

from tts_study.strategies import best_of_n  # first in the table
from tts_study.strategies.lookup import find, names
from tts_study.strategies.registry import METHODS, SEARCHES, Method, Search, strategy

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["METHODS", "SEARCHES", "Method", "Search", "best_of_n", "find", "names", "strategy"]
