"""Find a method by its name: in the package, in a file of the user's, or in another package."""

import inspect
from importlib.metadata import entry_points
from typing import Any

from tts_study.engines import user_code
from tts_study.errors import UserError
from tts_study.strategies.registry import ALIASES, METHODS, SEARCHES, Method, strategy

ENTRY_POINTS = "tts_study.strategies"  # the group in which a package offers its strategies


def find(name: str | Method) -> Method:
    """A method by its name, by "my_file.py:name", or by the name of an entry point.

    Raises:
        UserError: there is no such method, or its file cannot be read.
    """
    if isinstance(name, Method):
        return name
    if name in METHODS or name in ALIASES:
        return METHODS[ALIASES.get(name, name)]
    if user_code.is_function(name):
        return _declared(user_code.load(name), name)
    for offered in entry_points(group=ENTRY_POINTS, name=name):
        return _declared(offered.load(), name)
    raise UserError(f"unknown strategy {name!r}: choose one of {', '.join(names())}, or give my_file.py:name")


def names() -> list[str]:
    """The names of all methods, as the command line has them."""
    long = {method: alias for alias, method in ALIASES.items()}
    return [long.get(name, name) for name in METHODS]


def _declared(function: Any, name: str) -> Method:
    """The method of a function, declared now if its file did not do it."""
    if not inspect.iscoroutinefunction(function):
        raise UserError(f"{name} is not an `async def` of a strategy: docs/extend.md shows one")
    search = SEARCHES.get(function.__name__)
    if search is None or search.function is not function:
        strategy()(function)
    return METHODS[function.__name__]
