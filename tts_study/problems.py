"""A data set as `Problem`s: a local .jsonl, .csv or .parquet file, or a name on the Hugging Face hub.

Only the problem's text and its answer must be there, in the columns that the profile names. A row::

    {"unique_id": "test/0", "problem": "Start with 42, add 17.", "answer": "59", "level": 1, "subject": "Arithmetic"}
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tts_study.errors import UserError
from tts_study.profiles import HUB_NAME, Profile, located
from tts_study.records import Problem

Row = tuple[str, Mapping[str, Any]]  # where it stands, for messages, and its columns
SUFFIXES = (".jsonl", ".csv", ".parquet")


def load_problems(profile: Profile, limit: int | None = None) -> tuple[Problem, ...]:
    """Load the first `limit` problems of a profile's data set, or all of them.

    Raises:
        UserError: the data set is not there or is empty, or a row of it is broken or lacks what it must have.
    """
    if limit is not None and limit < 1:
        raise UserError(f"the number of problems must be at least 1, and {limit} is not")
    problems: dict[str, Problem] = {}
    places: dict[str, str] = {}
    for number, (place, row) in enumerate(_rows(profile), start=1):
        problem = _problem(profile, place, row, number)
        if problem.id in problems:
            raise UserError(f"{place}: the id {problem.id!r} is already that of {places[problem.id]}; make ids unique")
        problems[problem.id], places[problem.id] = problem, place
    if not problems:
        raise UserError(f"{profile.dataset}: there are no problems in it")
    return tuple(problems.values())[:limit]


def _rows(profile: Profile) -> Iterator[Row]:
    name = located(profile.dataset)
    path = Path(name)
    if path.suffix in SUFFIXES or path.is_file():
        if not path.is_file():
            raise UserError(f"there is no file {profile.dataset}: check the data set's path")
        yield from _file_rows(path)
    elif HUB_NAME.fullmatch(name):
        yield from _hub_rows(profile)
    else:
        raise UserError(
            f"unknown data set {profile.dataset!r}: give a file ({', '.join(SUFFIXES)}) "
            "or a data set's name on the Hugging Face hub"
        )


def _file_rows(path: Path) -> Iterable[Row]:
    match path.suffix:
        case ".jsonl":
            return read_jsonl(path)
        case ".csv" | ".parquet":
            return _table_rows(path)
    raise UserError(f"cannot read {path}: a data set's file must be one of {', '.join(SUFFIXES)}")


def read_jsonl(path: Path) -> Iterator[Row]:
    """The lines of a file, one JSON object each, with the place of each ("FILE, line 3").

    Raises:
        UserError: a line is empty, is not a JSON object, or is not UTF-8; the file cannot be read.
    """
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    for number, line in enumerate(lines, start=1):
        place = f"{path}, line {number}"
        if not line.strip():
            raise UserError(f"{place} is empty: remove it")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place} is not JSON ({error}): repair or remove it") from None
        if not isinstance(row, dict):
            raise UserError(f"{place} is not a JSON object but a {type(row).__name__}: write one object a line")
        yield place, row


def _table_rows(path: Path) -> Iterator[Row]:
    import pandas as pd

    try:
        # as text: an answer "007" or "1e3" is not a number to be tidied
        table = pd.read_csv(path, dtype=str, keep_default_na=False) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:  # what pandas and pyarrow raise on files that they cannot parse
        raise UserError(f"cannot read {path}: {str(error).splitlines()[0]}") from None
    for number, row in enumerate(table.to_dict("records"), start=1):
        yield f"{path}, row {number}", {str(column): value for column, value in row.items()}


def _hub_rows(profile: Profile) -> Iterator[Row]:
    import datasets
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # the last of its retries says what went wrong
    try:
        rows = datasets.load_dataset(profile.dataset, profile.dataset_config, split=profile.dataset_split)
    except Exception as error:  # the hub's client raises more than its documentation lists
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise UserError(f"cannot load the data set {profile.dataset!r} from the Hugging Face hub: {reason}") from error
    for number, row in enumerate(rows, start=1):
        yield f"{profile.dataset}, row {number}", row


def _problem(profile: Profile, place: str, row: Mapping[str, Any], number: int) -> Problem:
    def text(column: str) -> str:
        value = row.get(column)
        usable = isinstance(value, str | int | float) and not isinstance(value, bool) and value == value  # no NaN
        return str(value).strip() if usable else ""

    for column in (profile.problem_column, profile.answer_column):
        if column not in row:
            raise UserError(f"{place} has no {column!r}: its columns are {', '.join(map(repr, row)) or 'none'}")
        if not text(column):
            raise UserError(f"{place}: {column!r} must be a text or a number, and {row[column]!r:.40} is not")
    return Problem(
        id=text(profile.id_column) or str(number),
        text=text(profile.problem_column),
        answer=text(profile.answer_column),
        level=_level(text(profile.level_column)),
        subject=text(profile.subject_column) or None,
        solution=text(profile.solution_column),
    )


def _level(text: str) -> int | None:
    """5 of "5", "5.0" (as a table with gaps gives it) and "Level 5" (as MATH writes it)."""
    number = re.fullmatch(r"(?:level )?(\d{1,9})(?:\.0)?", text, re.IGNORECASE)
    return int(number[1]) if number else None
