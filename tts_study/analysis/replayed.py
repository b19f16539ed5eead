"""The tables of notebooks 01 and 02 for published completions, several data sets side by side if there are several.

Completions that were sampled independently (Best-of-N) give every n up to N, DVTS every number of whole subtrees. Those
of a beam search depend on each other: a data set gives one point, and the blog has one for each n; together they make a
curve.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from tts_study.analysis import accuracy
from tts_study.analysis.accuracy import RULES, Rule
from tts_study.analysis.grading import Graded, grade
from tts_study.errors import UserError
from tts_study.runs.published import depends, is_scored
from tts_study.runs.store import Run
from tts_study.strategies.aggregation import AGGREGATIONS, Aggregation


def grade_all(runs: Mapping[str, Run]) -> dict[str, Graded]:
    """Every data set's completions, graded."""
    return {name: grade(run.problems, run.results) for name, run in runs.items()}


def accuracies(
    runs: Mapping[str, Run], graded: Mapping[str, Graded], *, aggregation: Aggregation, seed: int = 0
) -> pd.DataFrame:
    """Accuracy against n of every data set: columns dataset, strategy, method, n, accuracy, low, high.

    Args:
        runs: by the data set's name.
        graded: the same, graded.
        aggregation: step scores to score.
        seed: of the subsets and of the bootstrap.

    Raises:
        UserError: there is no such aggregation.
    """
    if aggregation not in AGGREGATIONS:
        raise UserError(f"unknown aggregation {aggregation!r}: choose one of {', '.join(AGGREGATIONS)}")

    def of_one(name: str, run: Run) -> pd.DataFrame:
        solved = accuracy.solved(graded[name], rules_of(run), aggregation=aggregation, seed=seed)
        return accuracy.table(solved, seed=seed)

    return _of_each(runs, of_one)


def accuracies_by_level(
    runs: Mapping[str, Run],
    graded: Mapping[str, Graded],
    ns: Sequence[int] | None = None,
    *,
    aggregation: Aggregation,
    seed: int = 0,
) -> pd.DataFrame:
    """As `accuracies` for the problems of each level, at the given n that a run has: one more column, level.

    Without `ns`, at n = 1, 8 and N.
    """

    def of_one(name: str, run: Run) -> pd.DataFrame:
        N, subtree = run.header["n"], graded[name].subtree
        has = sorted({n for n in ns or (1, 8, N) if n <= N and n % subtree == 0})
        solved = accuracy.solved(graded[name], rules_of(run), has, aggregation=aggregation, seed=seed)
        return accuracy.table_by_level(solved, graded[name].level_P, seed=seed)

    return _of_each({name: run for name, run in runs.items() if states_levels(run)}, of_one)


def states_levels(run: Run) -> bool:
    """Whether any of a run's problems states its level."""
    return any(problem.level is not None for problem in run.problems)


def rules_of(run: Run) -> tuple[Rule, ...]:
    """The rules that a run allows: without step scores, majority and pass."""
    return RULES if is_scored(run) else ("majority", "pass")


def _of_each(runs: Mapping[str, Run], table: Any) -> pd.DataFrame:
    parts = [table(name, run).assign(dataset=name, strategy=run.header["strategy"]) for name, run in runs.items()]
    everything = pd.concat(parts, ignore_index=True)
    first = ["dataset", "strategy"]
    return everything[first + [column for column in everything if column not in first]]


def one_figure(table: pd.DataFrame, rule: Rule) -> pd.DataFrame:
    """The curves to draw together: every method of sampled completions, and `rule` for searches, named as they are.

    Args:
        table: as of `accuracies`, or of `accuracies_by_level`.
        rule: how a search's answer is picked; its accuracy is the search's.

    Returns:
        Columns method, n, accuracy, low, high, and level if the table has it.

    Raises:
        UserError: there is no such rule, two data sets give the same curve at the same n, or no data set has anything
            to draw.
    """
    if rule not in RULES:
        raise UserError(f"unknown rule {rule!r}: choose one of {', '.join(RULES)}")
    searched = table["strategy"].map(depends).astype(bool)
    searches = table[searched & (table["method"] == rule)]
    curves = pd.concat([table[~searched], searches.assign(method=searches["strategy"])])
    if curves.empty:
        raise UserError(f"there is nothing to draw by {rule!r}: without step scores choose majority or pass")
    twice = curves[curves.duplicated(curves.columns.intersection(["level", "method", "n"]))]
    if len(twice):
        row = twice.iloc[0]
        raise UserError(
            f"two data sets give {row['method']} at n = {row['n']} (the second is {row['dataset']}): "
            "draw one policy and one seed at a time"
        )
    return curves.sort_values(["n"], kind="stable").drop(columns=["dataset", "strategy"])


def shared_n(curves: pd.DataFrame) -> list[int]:
    """The n at which every method of `one_figure` has a point."""
    of_each = [set(of_one) for _, of_one in curves.groupby("method")["n"]]
    return sorted(set.intersection(*of_each))
