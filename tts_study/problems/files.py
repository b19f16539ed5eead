"""The rows of a data set: a local .jsonl, .csv or .parquet file, or a name on the Hugging Face hub."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tts_study.errors import UserError
from tts_study.profiles import HUB_NAME, located

Row = tuple[str, Mapping[str, Any]]  # its place, for messages, and its columns
SUFFIXES = (".jsonl", ".csv", ".parquet")
MOST_COLUMNS = 20  # that a message names
MAX_REASON = 600  # characters of what the hub's client says; it may list all of a data set's configurations


def read_rows(dataset: str, *, config: str | None = None, split: str = "test") -> Iterator[Row]:
    """The rows of a data set, one after the other.

    Args:
        dataset: a file's path (a relative one may be the project's) or a name on the hub.
        config: the hub data set's configuration, if it has several.
        split: the hub data set's split.

    Raises:
        UserError: the data set is not there, or it or a line of it cannot be read.
    """
    name = located(dataset)
    path = Path(name)
    if path.suffix in SUFFIXES or path.is_file():
        if not path.is_file():
            raise UserError(f"there is no file {dataset}: check the data set's path")
        yield from _file_rows(path)
    elif HUB_NAME.fullmatch(name):
        yield from _hub_rows(name, config, split)
    else:
        raise UserError(
            f"unknown data set {dataset!r}: give a file ({', '.join(SUFFIXES)}) "
            "or a data set's name on the Hugging Face hub"
        )


def _file_rows(path: Path) -> Iterator[Row]:
    match path.suffix:
        case ".jsonl":
            return read_jsonl(path)
        case ".csv":
            return _csv_rows(path)
        case ".parquet":
            return _parquet_rows(path)
    raise UserError(f"cannot read {path}: a data set's file must be one of {', '.join(SUFFIXES)}")


_HALF = re.compile("[\ud800-\udfff]")
_LOST = {
    "\b": r"oxed|inom|eta|ar|egin|f|m|ullet|ig",
    "\t": r"ext|imes|heta|an(?=\s*[({\\\\^\d])|frac|riangle|au|ilde|herefore",
    "\f": r"rac|box|lat|orall",
    "\r": r"ight|angle|ho|floor|ceil",
    "\n": r"eq|abla|otin",
    "\v": r"ec|ert|arphi|arepsilon|dots",
    "\x07": r"lpha|ngle|pprox|rcsin|rccos|rctan",
}
_LOST_BACKSLASH = re.compile("|".join(f"{character}(?:{rest})(?![a-z])" for character, rest in _LOST.items()))


def half_character(text: str) -> str | None:
    """The first lone surrogate of a text, if there is one: JSON can state it, and no file in UTF-8 can contain it."""
    half = None if text.isascii() else _HALF.search(text)
    return half and half[0]


def check_text(place: str, column: str, text: object) -> None:
    r"""Refuse a text with half a character, or whose backslashes JSON took away: "\frac" is a form feed before "rac".

    Raises:
        UserError: it is such a text.
    """
    if not isinstance(text, str):
        return
    if half := half_character(text):
        raise UserError(f"{place}: {column!r} has half a character, {half!a} (a lone surrogate): repair the row")
    if lost := _LOST_BACKSLASH.search(text):
        begins = {"\b": "b", "\t": "t", "\f": "f", "\r": "r", "\n": "n", "\v": "v", "\x07": "a"}[lost[0][0]]
        command = f"{begins}{lost[0][1:]}"
        raise UserError(
            f"{place}: a backslash was lost in {column!r}: {lost[0]!r} was \\{command}; write \\\\{command} in JSON"
        )


def as_text(place: str, column: str, value: Any) -> str:
    """A value that is an answer as text: a text, a number, or a list of one of them.

    Raises:
        UserError: it is anything else.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    raise UserError(f"{place}: {column!r} must be a text or a number, and {value!r:.40} is not")


def column_of(row: Mapping[str, Any], name: str, usual: str) -> str:
    """The column called `name`; if that is the usual name, one that differs in case or spaces will do."""
    if name in row or name != usual:
        return name
    return next((column for column in row if column.strip().casefold() == name), name)


def listed(columns: Mapping[str, Any]) -> str:
    """The names of a row's columns for a message, the first of very many."""
    names = [f"{name!r:.40}" for name in list(columns)[:MOST_COLUMNS]]
    more = f" and {len(columns) - MOST_COLUMNS:,} more" if len(columns) > MOST_COLUMNS else ""
    return (", ".join(names) or "none") + more


def read_jsonl(path: Path) -> Iterator[Row]:
    """The lines of a file, one JSON object each, with the place of each ("FILE, line 3").

    Raises:
        UserError: a line is empty, is not a JSON object, or is not UTF-8; the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield _parsed(f"{path}, line {number}", line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None


def _parsed(place: str, line: bytes) -> Row:
    if not line.strip():
        raise UserError(f"{place} is empty: remove it")
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place} is not JSON ({error}): repair or remove it") from None
    if not isinstance(row, dict):
        raise UserError(f"{place} is not a JSON object but a {type(row).__name__}: write one object a line")
    return place, row


def _csv_rows(path: Path) -> Iterator[Row]:
    import pandas as pd

    try:
        # as text: an answer "007" or "1e3" must stay as it is
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (ValueError, OSError) as error:  # what pandas raises on files that it cannot parse
        raise UserError(f"cannot read {path}: {_first_line(error)}") from None
    for number, row in enumerate(table.to_dict("records"), start=1):
        yield f"{path}, row {number}", {str(column): value for column, value in row.items()}


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            # few rows at once: one may contain hundreds of completions
            batches = (batch.to_pylist() for batch in file.iter_batches(batch_size=16))
            for number, row in enumerate((row for batch in batches for row in batch), start=1):
                yield f"{path}, row {number}", row
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"cannot read {path}: {_first_line(error)}") from None


def _hub_rows(name: str, config: str | None, split: str) -> Iterator[Row]:
    import datasets
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # the last of its retries says what went wrong
    try:
        rows = datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the hub's client raises more than its documentation lists
        # of a wrong configuration or split (a ValueError), all lines: they list those that there are
        reason = " ".join(str(error).split()) if isinstance(error, ValueError) else _first_line(error)
        raise UserError(
            f"cannot load the data set {name!r} from the Hugging Face hub: {reason:.{MAX_REASON}}"
        ) from error
    for number, row in enumerate(rows, start=1):
        yield f"{name}, row {number}", row


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
