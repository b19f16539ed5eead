"""The one table of strategies: which searches there are, and which methods pick an answer from their completions.

A *search* is a coroutine over one problem; its name is what a run records. A *method* is a search together with the
rule that picks its answer: majority, Best-of-N and weighted Best-of-N are three methods on the same completions.

A search declares itself, in its own file::

    @strategy(label="Beam search", smaller_n="own run")
    async def beam_search(problem, policy, prm, *, n, seed, max_tokens, aggregation, beam_width=4): ...

Keyword arguments with a default are the search's options; those without one, besides `n` and `seed`, are fields of the
profile. Everything else reads this table: command line, experiments, plots, headers, workers.
"""

import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Literal

from tts_study.errors import UserError
from tts_study.records import SearchResult
from tts_study.strategies.values import typed

Rule = Literal["majority", "best", "weighted", "pass"]  # "pass": by a perfect verifier, an upper bound
# how a run of N completions gives a smaller n: any n of independent samples, whole subtrees, or not at all
SmallerN = Literal["samples", "subtrees", "own run"]
Function = Callable[..., Awaitable[SearchResult]]


@dataclass(frozen=True)
class Search:
    """A way to spend a budget of `n` generations.

    Attributes:
        name: what a run records.
        function: the coroutine over one problem: (problem, policy, prm, *, n, seed, **options) -> SearchResult.
        needs_prm: whether it asks a PRM.
        smaller_n: how its run gives a smaller n.
        contained_in: searches whose runs contain this one's completions.
        before: the values of options in old runs whose header does not name them, if these differ from the defaults.
        always_named: options that every header names, since the oldest runs do.
        source: a digest of the file that it was read from; "" for the package's own.
    """

    name: str
    function: Function
    needs_prm: bool = True
    smaller_n: SmallerN = "own run"
    contained_in: tuple[str, ...] = ()
    before: Mapping[str, Any] = field(default_factory=dict, hash=False)
    always_named: tuple[str, ...] = ()
    source: str = ""

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """Its options, with their defaults."""
        return {p.name: p.default for p in self._keywords if p.default is not p.empty}

    @cached_property
    def from_profile(self) -> tuple[str, ...]:
        """The fields of the profile that it takes."""
        return tuple(p.name for p in self._keywords if p.default is p.empty and p.name not in ("n", "seed"))

    @property
    def _keywords(self) -> list[inspect.Parameter]:
        return [p for p in inspect.signature(self.function).parameters.values() if p.kind is p.KEYWORD_ONLY]

    def options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """All options: as given, else by default; what is given as text becomes what the default is.

        Raises:
            UserError: there is no such option, or its value is invalid.
        """
        for name in given:
            if name not in self.defaults:
                known = ", ".join(self.defaults) or "none"
                raise UserError(f"{self.name} has no option {name!r}: its options are {known}")
        changed = {name: _option(name, given[name], self.defaults[name]) for name in given if given[name] is not None}
        return {**self.defaults, **changed}

    def check_budget(self, n: int, options: Mapping[str, Any]) -> None:
        """Make sure that the search can spend `n` generations.

        Raises:
            UserError: it cannot.
        """
        check_whole("n", n)
        if n > MOST_COMPLETIONS:
            raise UserError(f"n must be at most {MOST_COMPLETIONS:,}: no study spends more on a problem")
        if n < 1:
            raise UserError(f"n must be at least 1, and {n} is not: it is the number of generations for each problem")
        if self.name == "greedy" and n != 1:
            raise UserError(f"greedy decoding gives one completion: n must be 1, and {n} is not")
        width = options.get("beam_width", 1)
        if n % width:
            raise UserError(f"{self.name} keeps n / beam_width beams: n must be a multiple of {width}, and {n} is not")

    def contains(self, N: int, n: int, options: Mapping[str, Any]) -> bool:
        """Whether a run of `N` completions contains `n`."""
        if n == N or self.smaller_n == "own run":
            return n == N
        return n < N and (self.smaller_n == "samples" or n % options.get("beam_width", 1) == 0)


@dataclass(frozen=True)
class Method:
    """A search, and the rule that picks its answer.

    Attributes:
        name: its name in tables.
        search: what it searches with.
        rule: how the answer is picked from the completions.
        label: its name in figures.
    """

    name: str
    search: Search
    rule: Rule
    label: str


def check_whole(name: str, value: Any) -> int:
    """The value, if it is a number and not text, as a notebook's parameter may be (`papermill -r n 64`).

    Raises:
        UserError: it is not a whole number.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise UserError(f"{name} must be a whole number, and {value!r:.40} is a {type(value).__name__}")
    return int(value)


def check_list(name: str, values: Any) -> list[int]:
    """The values, if they are a list of whole numbers, none of them twice.

    Raises:
        UserError: it is text or something else, is empty, or has a value that is no whole number.
    """
    if not isinstance(values, list | tuple) or not values:
        kind = "is empty" if isinstance(values, list | tuple) else f"is a {type(values).__name__}"
        raise UserError(f"{name} must be a list of whole numbers such as [4, 16, 64], and {values!r:.40} {kind}")
    return list(dict.fromkeys(check_whole(f"each of {name}", value) for value in values))


MOST_COMPLETIONS = 100_000  # of a problem
SEARCHES: dict[str, Search] = {}
METHODS: dict[str, Method] = {}
# the command line's longer names of methods
ALIASES = {"best_of_n": "best", "weighted_best_of_n": "weighted"}


def strategy(
    *,
    label: str | None = None,
    rule: Rule = "best",
    methods: Mapping[str, tuple[Rule, str]] | None = None,
    needs_prm: bool = True,
    smaller_n: SmallerN = "own run",
    contained_in: tuple[str, ...] = (),
    before: Mapping[str, Any] | None = None,
    always_named: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Declare a search, and the methods that read its completions.

    Args:
        label: what figures call its one method, which has the function's name.
        rule: how that method picks its answer.
        methods: several methods in its place: name → rule and label.
        needs_prm: whether the search asks a PRM.
        smaller_n: how its run gives a smaller n.
        contained_in: searches whose runs contain this one's completions.
        before: see `Search`.
        always_named: see `Search`.
    """

    def declare(function: Function) -> Function:
        name = function.__name__
        shown = methods or {name: (rule, label or name.replace("_", " ").capitalize())}
        search = Search(
            name, function, needs_prm, smaller_n, contained_in, dict(before or {}), always_named, _source(function)
        )
        declared = [Method(each, search, picked, shown_as) for each, (picked, shown_as) in shown.items()]
        for taken in (SEARCHES.get(name), *(METHODS[each.name].search for each in declared if each.name in METHODS)):
            if taken is not None and taken.source != search.source and not taken.source:
                raise UserError(f"there is a strategy {taken.name!r} already: give {name!r} another name")
        SEARCHES[name] = search
        METHODS.update({each.name: each for each in declared})
        return function

    return declare


def _source(function: Function) -> str:
    if function.__module__.startswith("tts_study."):
        return ""
    path = inspect.getsourcefile(function)
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16] if path else "unknown"


def _option(name: str, value: Any, default: Any) -> Any:
    """An option's value as its default is."""
    kind = type(default)
    if kind not in (bool, int, float):
        return value
    number = typed(name, value, kind)
    if kind is bool:
        return number
    least = 0 if default == 0 or kind is float else 1
    if not least <= number < float("inf"):
        raise UserError(f"{name} must be at least {least}, and {value!r} is not")
    return number
