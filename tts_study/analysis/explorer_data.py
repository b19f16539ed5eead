"""What the explorer's page shows of each problem, as plain data: completions, what each rule picks, search trees."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tts_study.analysis.grading import Graded
from tts_study.analysis.inference import Floats
from tts_study.errors import UserError
from tts_study.records import Completion, Node, Problem, SearchResult
from tts_study.runs.store import Run
from tts_study.strategies import selection, tree
from tts_study.strategies.aggregation import Aggregation
from tts_study.strategies.selection import NO_ANSWER

MOST_TEXT = 600  # characters of a step or an answer that are shown
Data = dict[str, Any]


def explorer_data(parts: Sequence[tuple[Run, Graded]], *, aggregation: Aggregation, limit: int = 30) -> Data:
    """The problems that all given runs have, with what the runs found for them.

    Args:
        parts: runs and their grades: one without trees, whose completions are shown, and searches that kept trees.
        aggregation: step scores to score.
        limit: how many problems at most.

    Raises:
        UserError: not exactly one run without trees is given, no search, or no problem is in all runs.
    """
    sampled = [part for part in parts if not part[0].results[0].tree]
    searches = [part for part in parts if part[0].results[0].tree]
    if len(sampled) != 1 or not searches:
        raise UserError("an explorer shows one run of sampled completions and one or more searches that kept a tree")
    shown = [_by_problem(part, aggregation) for part in (*sampled, *searches)]
    problems = [problem for problem in shown[0] if all(problem in there for there in shown)][:limit]
    if not problems:
        raise UserError("the runs have no problem in common: give runs of the same data set")
    run = sampled[0][0]
    return {
        "policy": Path(str(run.header.get("policy", {}).get("model", "unknown"))).name,
        "aggregation": aggregation,
        "searches": [{"strategy": one.header["strategy"], "n": one.header["n"]} for one, _ in searches],
        "problems": [
            _problem(problem)
            | _sampled(*shown[0][problem])
            | {"trees": [_tree(*there[problem]) for there in shown[1:]]}
            for problem in problems
        ],
    }  # fmt: skip


_Found = tuple[SearchResult, Sequence[int], Sequence[bool], Floats]


def _by_problem(part: tuple[Run, Graded], aggregation: Aggregation) -> dict[Problem, _Found]:
    run, graded = part
    rows = zip(run.results, graded.groups_P_N.tolist(), graded.correct_P_N.tolist(), graded.scores_P_N(aggregation),
               strict=True)  # fmt: skip
    return dict(zip(run.problems, rows, strict=True))


def _problem(problem: Problem) -> Data:
    subject = None if problem.subject is None else cut(problem.subject)
    return {"id": cut(problem.id), "text": problem.text, "gold": cut(problem.answer), "level": problem.level,
            "subject": subject}  # fmt: skip


def _sampled(result: SearchResult, groups: Sequence[int], correct: Sequence[bool], scores: Floats) -> Data:
    """Completions, and for each n from 1 on the answer that each rule picks among the first n."""
    numbers = range(1, len(groups) + 1)
    return {
        "completions": [_completion(completion) for completion in result.completions],
        "groups": groups,
        "right": sorted({group for group, right in zip(groups, correct, strict=True) if right}),
        "scores": [round(float(score), 4) if np.isfinite(score) else None for score in scores],
        "picks": {
            "majority": [selection.majority(groups[:n]) for n in numbers],
            "best": [selection.best(groups[:n], scores[:n].tolist()) for n in numbers],
            "weighted": [selection.weighted(groups[:n], scores[:n].tolist()) for n in numbers],
        },
    }


def _completion(completion: Completion) -> Data:
    steps = [cut(step) for step in completion.steps]
    return {"steps": steps, "scores": _rounded(completion.step_scores), "finished": completion.finished}


def _tree(result: SearchResult, groups: Sequence[int], correct: Sequence[bool], scores: Floats) -> Data:
    """The distinct nodes of a search, by columns, and the leaf of the completion with the highest score."""
    competing = result.subtree == len(result.completions)  # DVTS's subtrees are shown apart
    nodes = tree.merged(result.tree) if competing else result.tree
    distinct = [i for i, node in enumerate(nodes) if node.twin is None]
    number = {i: k for k, i in enumerate(distinct)}
    times = Counter(tree.original(nodes, i) for i in range(len(nodes)))
    parents = [_first(nodes, nodes[i].parent, number) for i in distinct]
    answered = [i for i, group in enumerate(groups) if group != NO_ANSWER]
    best = max(answered, key=lambda i: scores[i], default=None)
    leaf = None if best is None else result.completions[best].leaf
    return {
        "parent": parents,
        "text": [cut(nodes[i].text) for i in distinct],
        "score": _rounded([nodes[i].score for i in distinct]),
        "value": _rounded([nodes[i].value for i in distinct]),
        "fate": [nodes[i].fate for i in distinct],
        "times": [times[i] for i in distinct],
        "chosen": _first(nodes, leaf, number),
        "right": best is not None and correct[best],
    }


def _first(nodes: Sequence[Node], i: int | None, number: dict[int, int]) -> int | None:
    """The number of a node, or of the one that it repeats, among the distinct nodes."""
    return None if i is None else number[tree.original(nodes, i)]


def _rounded(values: Sequence[float | None]) -> list[float | None]:
    return [None if value is None or not np.isfinite(value) else round(float(value), 4) for value in values]


def cut(text: str) -> str:
    """The text, or its beginning where it is longer than the page shows."""
    return text if len(text) <= MOST_TEXT else text[:MOST_TEXT] + " …"
