"""Our runs in the columns of the blog's published data sets: a file, or a data set on the Hugging Face hub.

The columns are those that `tts_study.runs.published` reads, and `replay(export(run))` is the run: the same tables.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tts_study import paths
from tts_study.errors import UserError
from tts_study.profiles import HUB_NAME
from tts_study.records import Completion, Problem
from tts_study.runs.published import is_scored
from tts_study.runs.store import Header, Run
from tts_study.strategies.aggregation import Aggregation, aggregate

if TYPE_CHECKING:
    from datasets import Dataset

Rows = list[dict[str, Any]]


def published_rows(run: Run, aggregation: Aggregation = "last") -> Rows:
    """A run in the columns of the blog's data sets, a row a problem.

    Args:
        run: what to write.
        aggregation: of `agg_scores`, by which `pred` is the best completion; without step scores both are left out.
    """
    scored, strategy = is_scored(run), str(run.header["strategy"])
    return [
        _row(problem, result.completions, strategy, aggregation if scored else None) | {"subtree": result.subtree}
        for problem, result in zip(run.problems, run.results, strict=True)
    ]


def _row(
    problem: Problem, completions: tuple[Completion, ...], strategy: str, aggregation: Aggregation | None
) -> dict[str, Any]:
    texts = [completion.text for completion in completions]
    row: dict[str, Any] = {
        "unique_id": problem.id,
        "problem": problem.text,
        "answer": problem.answer,
        "level": problem.level,
        "subject": problem.subject,
        "solution": problem.solution,
        "strategy": strategy,
        "completions": texts,
        "scores": [list(completion.step_scores) for completion in completions],
        "completion_tokens": [completion.tokens for completion in completions],
        "finished": [completion.finished for completion in completions],
    }
    if aggregation and texts:
        scores = [aggregate(completion.step_scores, aggregation) for completion in completions]
        row |= {"agg_scores": scores, "pred": texts[max(range(len(texts)), key=scores.__getitem__)]}
    return row


def write(rows: Rows, path: Path, *, replace: bool = False) -> None:
    """Write rows to a .parquet or .jsonl file.

    Args:
        rows: what to write.
        path: of the file.
        replace: write it again if it exists.

    Raises:
        UserError: the file's name ends otherwise, it exists already, or it cannot be written.
    """
    if path.suffix not in (".parquet", ".jsonl"):
        raise UserError(f"cannot write {path}: an export's file must end in .parquet or .jsonl")
    if path.exists() and not replace:
        raise UserError(f"{path} exists already: remove it, or write to another file")
    from pyarrow.parquet import write_table

    try:
        with paths.written_whole(path) as part:
            if path.suffix == ".jsonl":
                part.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            else:
                write_table(as_dataset(rows).with_format("arrow")[:], part)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None


def push(rows: Rows, name: str, config: str) -> None:
    """Push rows to the Hugging Face hub, as one configuration of a data set.

    Raises:
        UserError: the name cannot be one, there is no token, or the hub refuses or cannot be reached.
    """
    from huggingface_hub import get_token

    if not HUB_NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be a data set on the hub: give OWNER/NAME")
    if get_token() is None:
        raise UserError("pushing needs a token of the Hugging Face hub: set HF_TOKEN, or log in with `hf auth login`")
    try:
        as_dataset(rows).push_to_hub(name, config_name=config, split="train")
    except Exception as error:  # the hub's client raises more than its documentation lists
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"cannot push to {name!r} on the Hugging Face hub: {reason}") from error


def as_dataset(rows: Rows) -> "Dataset":
    """Rows as a `datasets.Dataset`, with the types of the columns stated: a run may lack levels, or scores."""
    from datasets import Dataset, Features, List, Value

    text, number, whole = Value("string"), Value("float64"), Value("int64")
    kinds = {name: text for name in ("unique_id", "problem", "answer", "subject", "solution", "strategy", "pred")} | {
        "level": whole,
        "subtree": whole,
        "completions": List(text),
        "scores": List(List(number)),
        "completion_tokens": List(whole),
        "finished": List(Value("bool")),
        "agg_scores": List(number),
    }
    return Dataset.from_list(rows, features=Features({name: kinds[name] for name in rows[0]}))


def config_name(header: Header, aggregation: Aggregation) -> str:
    """What search-and-learn would call a run's configuration: "HuggingFaceH4_MATH-500--T-0.8--top_p-1.0--n-256--…"."""
    settings = header.get("settings", {})
    parts = {"T": settings.get("temperature"), "top_p": settings.get("top_p"), "n": header["n"], "seed": header["seed"]}
    settings = "--".join(f"{name}-{value}" for name, value in parts.items())
    return f"{header['dataset']['name'].replace('/', '_')}--{settings}--agg_strategy-{aggregation}"
