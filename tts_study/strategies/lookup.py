"""Find a method by its name: in the package, in a file of the user's, or in another package."""

import hashlib
import importlib.util
import inspect
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

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
    if ".py:" in name:
        path, _, function = name.rpartition(":")
        return _in_file(Path(path), function)
    for offered in entry_points(group=ENTRY_POINTS, name=name):
        return _declared(offered.load(), name)
    raise UserError(f"unknown strategy {name!r}: choose one of {', '.join(names())}, or give my_file.py:name")


def names() -> list[str]:
    """The names of all methods, as the command line has them."""
    long = {method: alias for alias, method in ALIASES.items()}
    return [long.get(name, name) for name in METHODS]


def by_value() -> list[Any]:
    """The modules of strategies that were read from a file: workers elsewhere cannot import them."""
    return [module for name, module in sys.modules.items() if name.startswith(_MODULE)]


_MODULE = "tts_study_strategy_"


def _in_file(path: Path, function: str) -> Method:
    if not path.is_file():
        raise UserError(f"there is no file {path}: a strategy of your own is given as my_file.py:name")
    name = _MODULE + hashlib.sha256(str(path.resolve()).encode() + path.read_bytes()).hexdigest()[:16]
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except UserError:
            del sys.modules[name]
            raise
        except Exception as error:
            del sys.modules[name]
            raise UserError(f"cannot read the strategies in {path}: {type(error).__name__}: {error}") from error
    return _declared(getattr(sys.modules[name], function, None), f"{path}:{function}")


def _declared(function: Any, name: str) -> Method:
    """The method of a function, declared now if its file did not do it."""
    if not inspect.iscoroutinefunction(function):
        raise UserError(f"{name} is not an `async def` of a strategy: docs/extend.md shows one")
    search = SEARCHES.get(function.__name__)
    if search is None or search.function is not function:
        strategy()(function)
    return METHODS[function.__name__]
