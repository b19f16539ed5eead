"""Other people's completions, in the columns of the blog's published data sets, as a run.

A row of HuggingFaceH4/Llama-3.2-1B-Instruct-best-of-N-completions, as search-and-learn writes it, is one problem::

    {"unique_id": "test/0", "problem": "…", "answer": "59", "level": 1, "subject": "…", "solution": "…",
     "completions": ["## Step 1: …", …], "scores": [[0.98, 0.97], …], "agg_scores": [0.97, …], "pred": "## Step 1: …",
     "completion_tokens": [212, …]}

A completion is one text, and each has its own list of step scores. Their PRM scored each text between blank lines, an
empty last step included, so there may be more scores than steps here: scores are taken as they are, which gives the
blog's own choice, and `unmatched` counts such completions. The columns say neither whether a completion
ended by itself (all count as finished) nor, for DVTS, its tokens. Our own exports (`tts_study.runs.export`) contain
both, in `finished` and `completion_tokens`, and the `strategy` and the size of its `subtree`s.
"""

import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tts_study.errors import UserError, one_line
from tts_study.problems.files import half_character, listed, read_rows
from tts_study.problems.load import Columns, read_problems
from tts_study.prompts.steps import split_steps
from tts_study.records import Completion, Cost, Problem, SearchResult
from tts_study.runs.checks import LARGEST
from tts_study.runs.store import OLD_NAMES, Run
from tts_study.strategies import SEARCHES

MAX_COMPLETIONS = 100_000  # of a problem: more than any study has; a row with more is a mistake
MAX_TEXT = 200_000  # characters of a completion: more than any model's context, and read within seconds
BLOG = {"beam": "beam_search", "dvts": "dvts"}  # searches, by parts of the names of the blog's data sets


@dataclass(frozen=True)
class Scored:
    """Which columns contain completions and step scores, and what these are.

    Attributes:
        completions: the column of texts.
        scores: the column of step scores.
        logits: the scores are a reward model's logits; their sigmoids are taken.
        ignore: take no scores, whatever there is: majority and pass only.
    """

    completions: str = "completions"
    scores: str = "scores"
    logits: bool = False
    ignore: bool = False


def load_published(
    dataset: str,
    *,
    config: str | None = None,
    split: str = "train",
    limit: int | None = None,
    columns: Columns | None = None,
    scored: "Scored | None" = None,
) -> Run:
    """Read a data set of completions as a run; its header contains only the data set, the strategy and n.

    Args:
        dataset: a .jsonl or .parquet file, or a name on the Hugging Face hub.
        config: the hub data set's configuration.
        split: the hub data set's split.
        limit: only this number of problems, from the first on.
        columns: other names of the columns of problems, answers, ids, levels, subjects and solutions.
        scored: the columns of completions and scores, and what the scores are.

    Raises:
        UserError: the data set is not there or is empty, or a row lacks a column, or its completions and scores do not
            fit together, or not with the other rows'.
    """
    rows = islice(read_rows(dataset, config=config, split=split), limit)
    problems: list[Problem] = []
    results: list[SearchResult] = []
    strategy = next((value for key, value in BLOG.items() if key in f"{dataset} {config}".lower()), "best_of_n")
    scored = scored or Scored()
    for problem, (place, row) in read_problems(rows, columns or Columns()):
        completions = _completions(place, row, scored)
        _check_alike(place, completions, results)
        strategy = one_line(row["strategy"]) if isinstance(row.get("strategy"), str) else strategy
        problems.append(problem)
        # what a search generated beyond its completions is not recorded
        cost = Cost(generated=sum(completion.tokens for completion in completions))
        subtree = _subtree(place, row, strategy, f"{dataset} {config}", len(completions))
        results.append(SearchResult(problem.id, completions, cost, subtree=subtree))
    if not results:
        raise UserError(f"{dataset}: there are no completions in it")
    header = {"dataset": {"name": dataset, "config": config}, "strategy": strategy, "n": len(results[0].completions)}
    return Run(header, tuple(problems), tuple(results))


def _completions(place: str, row: Mapping[str, Any], scored: Scored) -> tuple[Completion, ...]:
    if scored.completions not in row:
        raise UserError(
            f"{place} has no {scored.completions!r}: its columns are {listed(row)}; name it with --completions-column"
        )
    texts = row[scored.completions]
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise UserError(
            f"{place}: {scored.completions!r} must be a list of texts, and {texts!r:.40} is not (CSV has no lists)"
        )
    if len(texts) > MAX_COMPLETIONS:
        raise UserError(
            f"{place} has {len(texts):,} completions, and {MAX_COMPLETIONS:,} of a problem are read at most"
        )
    if half := next(filter(None, map(half_character, texts)), None):
        raise UserError(f"{place}: a completion has half a character, {half!a} (a lone surrogate): repair the row")
    if (longest := max(map(len, texts))) > MAX_TEXT:
        raise UserError(f"{place}: a completion has {longest:,} characters, and {MAX_TEXT:,} are read at most; cut it")
    scores = [()] * len(texts) if scored.ignore else _scores(place, row, scored, len(texts))
    tokens, finished = (_of_each(row.get(name), len(texts)) for name in ("completion_tokens", "finished"))
    return tuple(
        Completion(split_steps(text), _count(count), ended is not False, tuple(each))
        for text, each, count, ended in zip(texts, scores, tokens, finished, strict=True)
    )


def _scores(place: str, row: Mapping[str, Any], scored: Scored, n: int) -> list[tuple[float, ...]]:
    """The step scores of each of n completions, in [0, 1]."""
    if scored.scores not in row:
        raise UserError(
            f"{place} has no {scored.scores!r}: its columns are {listed(row)}; name the column of step scores with "
            "--scores-column, or replay without scores (--scores none): majority and pass only"
        )
    scores = row[scored.scores]
    if not isinstance(scores, list) or not all(isinstance(each, list) for each in scores):
        raise UserError(f"{place}: {scored.scores!r} must be a list of a list of step scores for each completion")
    if len(scores) != n:
        raise UserError(f"{place} has {n} completions and step scores of {len(scores)}: give both for each")
    for score in (score for each in scores for score in each):
        number = isinstance(score, int | float) and not isinstance(score, bool) and abs(score) <= sys.float_info.max
        if not number or not (scored.logits or 0 <= score <= 1):
            hint = (
                "; for a reward model's logits say --scores logits" if number else
                "; a score that is missing can be neither ranked nor weighed: score it, or say --scores none"
            )  # fmt: skip
            raise UserError(f"{place}: a step score must be a number from 0 to 1, and {score!r:.40} is not{hint}")
    return [tuple(_sigmoid(score) if scored.logits else float(score) for score in each) for each in scores]


def _sigmoid(logit: float) -> float:
    return (
        1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(max(logit, -700.0)) / (1 + math.exp(max(logit, -700.0)))
    )


def _subtree(place: str, row: Mapping[str, Any], strategy: str, name: str, n: int) -> int:
    """How many completions depend on each other: all of a beam search, M of DVTS ("--m-4--" in the blog's names)."""
    stated = row.get("subtree")
    if stated is None:
        width = re.search(r"-m-(\d{1,4})-", name) if strategy == "dvts" else None
        stated = int(width[1]) if width else n if depends(strategy) else 1
    if not isinstance(stated, int) or stated < 1 or n % stated:
        raise UserError(f"{place}: {n} completions cannot form subtrees of {stated!r:.40}: it must divide them")
    return stated


def _of_each(values: Any, n: int) -> list[Any]:
    """A value for each of n completions, None where the data set has none (or one for all, as the blog's DVTS has)."""
    return values if isinstance(values, list) and len(values) == n else [None] * n


def _count(value: Any) -> int:
    return value if type(value) is int and 0 < value <= LARGEST else 0


def _check_alike(place: str, completions: tuple[Completion, ...], before: list[SearchResult]) -> None:
    first = before[0].completions if before else completions
    if len(completions) != len(first):
        raise UserError(
            f"{place} has {len(completions)} completions and the first row {len(first)}: "
            "give equally many for each problem, or put those with other numbers into separate data sets"
        )
    # an empty completion has no step to score
    scored = {bool(completion.step_scores) for completion in (*first, *completions) if completion.steps}
    if len(scored) > 1:
        raise UserError(
            f"{place}: some completions have step scores and some have none; score all or none of the data set"
        )


def unmatched(run: Run) -> int:
    """How many of a run's completions have another number of step scores than of steps; unscored ones do not count."""
    completions = [completion for result in run.results for completion in result.completions]
    return sum(len(each.step_scores) not in (0, len(each.steps)) for each in completions)


def is_scored(run: Run) -> bool:
    """Whether a PRM scored a run's completions."""
    return any(completion.step_scores for result in run.results for completion in result.completions)


def depends(strategy: str) -> bool:
    """Whether the completions of a problem depend on each other, as a search's do."""
    search = SEARCHES.get(OLD_NAMES.get(strategy, strategy))
    return search is not None and search.smaller_n != "samples"
