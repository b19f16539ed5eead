"""A data set as `Problem`s, all of them or a part: some levels, some subjects, some ids, the first ones.

Only the problem's text and its answer must be there, in the columns that the profile names. A row::

    {"unique_id": "test/0", "problem": "Start with 42, add 17.", "answer": "59", "level": 1, "subject": "Arithmetic"}

A gold answer may be a worked solution, with a box or with GSM8K's "#### 18" as its last line: the answer is taken from
it. Without a column of answers it is taken from the solution.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from tts_study import answers
from tts_study.errors import UserError
from tts_study.problems.files import Row, as_text, check_text, column_of, listed, read_rows
from tts_study.problems.settings import Columns, DataSettings
from tts_study.records import Problem

MOST_NAMED = 20  # values that a message lists


def load_problems(data: DataSettings, limit: int | None = None) -> tuple[Problem, ...]:
    """Load the part of a profile's data set that it asks for (all of it by default), or the first `limit` of that.

    Raises:
        UserError: the data set is not there or is empty, a row of it is broken or lacks what it must have, or no
            problem is of a level, subject or id that is asked for.
    """
    if limit is not None and limit < 1:
        raise UserError(f"the number of problems must be at least 1, and {limit} is not")
    rows = read_rows(data.dataset, config=data.dataset_config, split=data.dataset_split)
    problems = [problem for problem, _ in read_problems(rows, data.columns)]
    if not problems:
        raise UserError(f"{data.dataset}: there are no problems in it")
    return _subset(data, problems)[:limit]


def read_problems(rows: Iterable[Row], columns: Columns) -> Iterator[tuple[Problem, Row]]:
    """The problem in each row, beside the row. A row without an id has its number as one.

    Raises:
        UserError: a row lacks what it must have, or repeats an id.
    """
    places: dict[str, str] = {}
    for number, (place, row) in enumerate(rows, start=1):
        problem = _problem(columns, place, row, number)
        if problem.id in places and not _states(row, columns.id):
            problem = replace(problem, id=f"row {number}")  # its number is another row's id
        if problem.id in places:
            raise UserError(f"{place}: the id {problem.id!r} is already that of {places[problem.id]}; make ids unique")
        places[problem.id] = place
        yield problem, (place, row)


def _states(row: Mapping[str, Any], column: str) -> bool:
    return row.get(column) not in (None, "")


def _problem(columns: Columns, place: str, row: Mapping[str, Any], number: int) -> Problem:
    usual = Columns()
    names = Columns(
        *(column_of(row, getattr(columns, each.name), getattr(usual, each.name)) for each in fields(Columns))
    )

    def text(column: str) -> str:
        value = row.get(column)
        usable = isinstance(value, str | int | float) and not isinstance(value, bool) and value == value  # no NaN
        return str(value).strip() if usable else ""

    if names.answer not in row and columns.answer == usual.answer and answers.boxed(text(names.solution)):
        names = replace(names, answer=names.solution)
    for what, column in (("problem", names.problem), ("answer", names.answer)):
        if column not in row:
            raise UserError(
                f"{place} has no {column!r}: its columns are {listed(row)}; "
                f"name the one that contains it ({what}_column, in a shell --{what}-column)"
            )
        if not as_text(place, column, row[column]).strip():
            raise UserError(f"{place}: {column!r} must be a text or a number, and {row[column]!r:.40} is not")
    for column in (names.problem, names.answer, names.solution):
        check_text(place, column, row.get(column))
    given = as_text(place, names.answer, row[names.answer]).strip()
    answer = answers.gold(given)
    return Problem(
        id=text(names.id) or str(number),
        text=as_text(place, names.problem, row[names.problem]).strip(),
        answer=answer,
        level=_level(text(names.level)),
        subject=text(names.subject) or None,
        solution=text(names.solution) or ("" if answer == given else _worked(given, answer)),
    )


def _worked(given: str, answer: str) -> str:
    """The solution of a worked gold answer, without GSM8K's last line; "" if there is none besides the answer."""
    before, mark, _ = f"\n{given}".rpartition("\n####")
    return before.strip() if mark else given if len(given) > len(answer) + len(r"$\boxed{}$.") else ""


def _level(text: str) -> int | None:
    """5 of "5", "5.0" (as a table with gaps gives it) and "Level 5" (as MATH writes it)."""
    number = re.fullmatch(r"(?:level )?(\d{1,9})(?:\.0)?", text, re.IGNORECASE)
    return int(number[1]) if number else None


def _subset(data: DataSettings, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """The problems of the levels, subjects and ids that a profile asks for, in the data set's order."""
    asked: dict[str, tuple[str | None, Callable[[Problem], object]]] = {
        "level": (data.dataset_levels, lambda problem: problem.level),
        "subject": (data.dataset_subjects, lambda problem: problem.subject),
        "id": (data.dataset_ids, lambda problem: problem.id),
    }
    chosen = list(problems)
    for what, (text, of) in asked.items():
        if text is not None:
            wanted = _wanted(f"{data.dataset}: no problem has the {what}", text, map(of, problems))
            chosen = [problem for problem in chosen if str(of(problem)).casefold() in wanted]
    if data.dataset_skip_ids is not None:
        complaint = f"{data.dataset}: no problem to leave out has the id"
        skipped = _wanted(complaint, data.dataset_skip_ids, (problem.id for problem in problems))
        chosen = [problem for problem in chosen if problem.id.casefold() not in skipped]
        if not chosen:
            raise UserError(f"{data.dataset}: no problem is left once those with these ids are left out")
    if not chosen:
        asked_for = ", ".join(f"{what} {text}" for what, (text, _) in asked.items() if text is not None)
        raise UserError(f"{data.dataset}: no problem has all of these: {asked_for}; ask for fewer of them")
    return tuple(chosen)


def _wanted(complaint: str, text: str, there: Iterable[object]) -> set[str]:
    """The values in a text such as "4,5", each of which must be one of those that there are; case does not matter."""
    known = {str(value).casefold(): str(value) for value in there if value is not None}
    wanted = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [part for part in wanted or [text] if part.casefold() not in known]
    if unknown:
        names = sorted(known.values(), key=lambda name: (len(name) if name.isdigit() else 0, name))
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        raise UserError(
            f"{complaint} {unknown[0]!r}: choose from {', '.join(names[:MOST_NAMED])}{more}"
            if names
            else f"{complaint} {unknown[0]!r}: the data set states none"
        )
    return {part.casefold() for part in wanted}
