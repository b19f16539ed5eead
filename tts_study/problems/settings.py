"""The settings of a data set: where the problems are, and which of them to ask."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Columns:
    """The name of each column; only the first two are required."""

    problem: str = "problem"
    answer: str = "answer"
    id: str = "unique_id"
    level: str = "level"
    subject: str = "subject"
    solution: str = "solution"


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """A data set, its columns, and the part of it that is used.

    Attributes:
        dataset: a .jsonl, .csv or .parquet file, or a data set's name on the hub.
        dataset_config: the hub data set's configuration, if it has several.
        dataset_split: the hub data set's split.
        dataset_levels: ask only problems of these levels, such as "4,5".
        dataset_subjects: ask only problems of these subjects, separated by commas.
        dataset_ids: ask only the problems with these ids, separated by commas.
        dataset_skip_ids: leave the problems with these ids out, separated by commas.
        problem_column: the column of the texts; likewise the other five, of which only the answers' must exist.
    """

    dataset: str
    dataset_config: str | None = None
    dataset_split: str = "test"
    dataset_levels: str | None = None
    dataset_subjects: str | None = None
    dataset_ids: str | None = None
    dataset_skip_ids: str | None = None
    problem_column: str = Columns.problem
    answer_column: str = Columns.answer
    id_column: str = Columns.id
    level_column: str = Columns.level
    subject_column: str = Columns.subject
    solution_column: str = Columns.solution

    @property
    def columns(self) -> Columns:
        """The names of the columns."""
        return Columns(**{each.name: getattr(self, f"{each.name}_column") for each in fields(Columns)})
