"""One problem's result as one line of a run's file, and back. `tts_study.runs.store` shows what the lines look like.

A tree is stored by columns, and its completions by the leaves where they end, so that nothing is told twice.
"""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from tts_study import tree
from tts_study.records import Completion, Cost, Node, Problem, SearchResult

NODE = tuple(field.name for field in fields(Node))


def write_result(problem: Problem, result: SearchResult) -> dict[str, Any]:
    """A problem and its result as a JSON object; scores to six digits."""
    record: dict[str, Any] = {"problem": asdict(problem)}
    if result.tree:  # its completions end at its leaves: they need not be told twice
        record["leaves"] = [completion.leaf for completion in result.completions]
        record["subtree"] = result.subtree
        record["tree"] = {name: [_rounded(getattr(node, name)) for node in result.tree] for name in NODE}
    else:
        record["completions"] = [
            {
                "steps": completion.steps,
                "scores": [_rounded(score) for score in completion.step_scores],
                "tokens": completion.tokens,
                "finished": completion.finished,
            }
            for completion in result.completions
        ]
    return record | {"cost": asdict(result.cost)}


def read_result(record: Mapping[str, Any]) -> tuple[Problem, SearchResult]:
    """The same, read back.

    Raises:
        KeyError, TypeError, AttributeError, ValueError, IndexError: it is no such object.
    """
    problem, cost = Problem(**record["problem"]), Cost(**record["cost"])
    if "tree" in record:
        grown = tuple(Node(*row) for row in zip(*(record["tree"][name] for name in NODE), strict=True))
        if not all(node.parent is None or 0 <= node.parent < i for i, node in enumerate(grown)):
            raise ValueError("a node comes before its parent")
        completions = tuple(tree.completion(grown, leaf) for leaf in record["leaves"])
        return problem, SearchResult(problem.id, completions, cost, grown, record["subtree"])
    completions = tuple(
        Completion(tuple(each["steps"]), each["tokens"], each["finished"], tuple(each["scores"]))
        for each in record["completions"]
    )
    return problem, SearchResult(problem.id, completions, cost)


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
