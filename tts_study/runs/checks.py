"""Checks of what a run's file says, field by field, by the types and the limits that `tts_study.records` states.

Each raises a `ValueError` that names the field and its value. They look at whole columns: a run has millions of values.
"""

import math
from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from tts_study.problems.files import half_character
from tts_study.records import Completion, Cost, Fate, Node, Problem

FATES = set(get_args(Fate))
LARGEST = 2**53  # up to which a float can be any whole number: larger ones are damage, and tables could not hold them
OF_HEADER: Mapping[str, type] = {
    "strategy": str, "n": int, "seed": int, "sampler": str, "policy": dict, "prm": dict, "dataset": dict,
    "settings": dict, "search": dict, "shard": dict, "versions": dict,
}  # fmt: skip
NAMES = {"policy": "model", "prm": "model", "dataset": "name"}  # what these parts of a header state at least


def check_header_types(header: Mapping[str, Any]) -> None:
    """What a header states has its type; it need not state everything."""
    for name, kind in OF_HEADER.items():
        if name in header:
            check_all(name, [header[name]], kind, least=1 if name == "n" else 0, most=math.inf)
    for part, name in NAMES.items():
        if part in header:
            check_all(f"{part}.{name}", [header[part].get(name)], str)


def check_problem(problem: Problem) -> None:
    """Texts are texts, and a level is a whole number."""
    for name in ("id", "text", "answer", "solution"):
        check_all(name, [getattr(problem, name)], str)
    check_all("level", [problem.level], int, NoneType)
    check_all("subject", [problem.subject], str, NoneType)


def check_cost(cost: Cost) -> None:
    """No count is negative."""
    for name, value in vars(cost).items():
        check_all(name, [value], int, least=0)


def check_completion(completion: Completion) -> None:
    """Steps are texts, scores lie in [0, 1]."""
    check_all("steps", completion.steps, str)
    check_all("thought", [completion.thought], str)
    check_all("scores", completion.step_scores, int, float, least=0, most=1)
    check_all("tokens", [completion.tokens], int, least=0)
    check_all("finished", [completion.finished], bool)
    if signals := completion.signals:
        if len(signals) != len(completion.steps):
            raise ValueError(f"there are {len(signals)} signals for {len(completion.steps)} steps")
        check_all("a signal's tokens", [signal.tokens for signal in signals], int, least=1)
        check_all("a signal's logprob", [signal.logprob for signal in signals], int, float, most=1)
        check_all("a signal's confidence", [signal.confidence for signal in signals], int, float, least=-1)


def check_tree(nodes: Sequence[Node], leaves: Sequence[Any], subtree: Any) -> None:
    """Each node follows its parent and a duplicate what it repeats, and completions end at nodes."""
    check_all("parent", [node.parent for node in nodes], int, NoneType, least=0)
    check_all("text", [node.text for node in nodes], str)
    check_all("tokens", [node.tokens for node in nodes], int, least=0)
    check_all("score", [node.score for node in nodes], int, float, NoneType, least=0, most=1)
    check_all("value", [node.value for node in nodes], int, float)
    check_all("fate", [node.fate for node in nodes], str)
    check_all("twin", [node.twin for node in nodes], int, NoneType, least=0)
    check_all("ahead", [node.ahead for node in nodes], int, least=0)
    for i, node in enumerate(nodes):
        if node.fate not in FATES:
            raise ValueError(f"fate cannot be {node.fate!r:.40}")
        if node.parent is not None and node.parent >= i:
            raise ValueError(f"node {i} comes before its parent, node {node.parent}")
        if (node.fate == "duplicate") != (node.twin is not None) or (node.twin is not None and node.twin >= i):
            raise ValueError(f"node {i} is a {node.fate} one of node {node.twin}")
    check_all("leaves", leaves, int, least=0, most=len(nodes) - 1)
    check_all("subtree", [subtree], int, least=1)


def check_list(name: str, values: Any) -> list[Any]:
    """The values of what must be a list."""
    if not isinstance(values, list | tuple):
        raise ValueError(f"{name} cannot be {values!r:.40}")
    return list(values)


def check_seconds(seconds: Any) -> None:
    """A time is a number, and not negative; it may be missing."""
    check_all("seconds", [seconds], int, float, NoneType, least=0)


def check_all(name: str, values: Sequence[Any], *kinds: type, least: float = -LARGEST, most: float = LARGEST) -> None:
    """Make sure that values are of one of the kinds, numbers finite and within limits, and characters whole."""
    types = set(map(type, values))
    if all(issubclass(each, kinds) and (each is not bool or bool in kinds) for each in types):
        numbers = [value for value in values if isinstance(value, int | float)]
        finite = all(math.isfinite(value) for value in numbers if isinstance(value, float))
        whole = not any(half_character(value) for value in values if isinstance(value, str))
        if finite and whole and (not numbers or (least <= min(numbers) and max(numbers) <= most)):
            return
    for value in values if len(values) > 1 else ():
        check_all(name, [value], *kinds, least=least, most=most)
    raise ValueError(f"{name} cannot be {values[0]!r:.40}")
