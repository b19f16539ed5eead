"""One problem's result as one line of a run's file, and back. `tts_study.runs.store` shows what the lines look like.

A tree is stored by columns, and its completions by the leaves where they end, so that nothing is stored twice. A line
ends with a checksum of itself, which files written before there was one lack::

    {"problem": {…}, …, "crc32": "1c291ca3"}
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, astuple, fields
from typing import Any

from tts_study.records import Completion, Cost, Node, Problem, SearchResult, Signal
from tts_study.runs import checks
from tts_study.strategies import tree

NODE = tuple(field.name for field in fields(Node))
CHECKSUM = "crc32"
_SUM = re.compile(rb',"crc32":"([0-9a-f]{8})"}')
_SUM_LENGTH = len(b',"crc32":"12345678"}')


def write_line(record: Mapping[str, Any]) -> bytes:
    """A JSON object as one line with its checksum, the line's end included."""
    body = json.dumps(record, separators=(",", ":")).encode()[:-1]
    return body + b',"crc32":"%08x"}\n' % zlib.crc32(body)


def read_line(line: bytes, *, needs_sum: bool = False, is_header: bool = False) -> tuple[dict[str, Any], bool]:
    """The JSON object of a line, and whether the line has a checksum; with `needs_sum`, one without is damaged.

    A header may have been edited: written again by another tool, its old checksum is no longer at the line's end in
    the form in which this module writes it. A damaged one is.

    Raises:
        ValueError: it is not a JSON object, or not what was written; the message says which.
    """
    ending = _SUM.fullmatch(line[-_SUM_LENGTH:])
    body = line[:-_SUM_LENGTH]
    if (ending and int(ending[1], 16) != zlib.crc32(body)) or (needs_sum and not ending):
        raise ValueError("its checksum does not match: the file was damaged or edited")
    try:
        record = json.loads(body + b"}" if ending else line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if CHECKSUM in record and not is_header:
        raise ValueError("its checksum is not at its end: the file was damaged or edited")
    return record, bool(ending or record.pop(CHECKSUM, None))


def write_result(problem: Problem, result: SearchResult) -> dict[str, Any]:
    """A problem and its result as a JSON object; scores to six digits.

    Raises:
        ValueError: it could not be read back, such as a score that is not a number.
    """
    record: dict[str, Any] = {"problem": asdict(problem)}
    if result.tree:  # its completions end at its leaves: they need not be stored twice
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
                **({"thought": completion.thought} if completion.thought else {}),
                **({"signals": _signals(completion)} if completion.signals else {}),
            }
            for completion in result.completions
        ]
    record["cost"] = asdict(result.cost)
    read_result(record)
    return record


def read_result(record: Mapping[str, Any]) -> tuple[Problem, SearchResult]:
    """The same, read back and checked, field by field: what is damaged must not become a result.

    Raises:
        KeyError, TypeError, ValueError: it is not such an object.
    """
    problem, cost = Problem(**record["problem"]), Cost(**record["cost"])
    checks.check_problem(problem)
    checks.check_cost(cost)
    if "tree" in record:
        columns = (checks.check_list(name, record["tree"][name]) for name in NODE)
        nodes = tuple(Node(*row) for row in zip(*columns, strict=True))
        leaves = checks.check_list("leaves", record["leaves"])
        checks.check_tree(nodes, leaves, record["subtree"])
        completions = tuple(tree.completion(nodes, leaf) for leaf in leaves)
        return problem, SearchResult(problem.id, completions, cost, nodes, record["subtree"])
    completions = tuple(_completion(each) for each in checks.check_list("completions", record["completions"]))
    return problem, SearchResult(problem.id, completions, cost)


def _completion(record: Mapping[str, Any]) -> Completion:
    steps, scores = (tuple(checks.check_list(name, record[name])) for name in ("steps", "scores"))
    signals = tuple(Signal(*each) for each in checks.check_list("signals", record.get("signals", ())))
    completion = Completion(
        steps, record["tokens"], record["finished"], scores, thought=record.get("thought", ""), signals=signals
    )  # fmt: skip
    checks.check_completion(completion)
    return completion


def _signals(completion: Completion) -> list[list[Any]]:
    """How sure the policy was of each step: tokens, and the sums of log-probabilities and of confidences."""
    return [[_rounded(value) for value in astuple(signal)] for signal in completion.signals]


def _rounded(value: Any) -> Any:
    return float(f"{value:.6g}") if isinstance(value, float) else value
