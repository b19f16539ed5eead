"""PRMs from few and from many labels, exact ones and those of rollouts."""

import math

import numpy as np
import pytest

from tts_study.analysis import first_errors, label_budget
from tts_study.analysis.first_errors import Judged
from tts_study.errors import UserError
from tts_study.micro import label_budget as labels
from tts_study.micro.generate import split_of
from tts_study.micro.label_budget import Labelled, count, judged_run, read_labelled, read_quality, trained
from tts_study.micro.label_training import train_and_judge
from tts_study.micro.packing import IGNORE
from tts_study.micro.rollouts import judged_document
from tts_study.plots import quality_against_labels

TEXT = "Start with 52, add 40, subtract 20."
RIGHT = Labelled(TEXT, ("52+40=92", "92-20=72", r"\boxed{72}"), (0.5, 0.0, 1.0))
WRONG = Labelled(TEXT, ("52+40=92", "92-20=71", r"\boxed{72}"), (0.5, 0.125, 1.0))


def test_the_same_steps_are_labelled_by_the_checker_and_by_rollouts():
    assert RIGHT.labels("exact") == [True, True, True] and RIGHT.labels("rollouts") == [True, False, True]
    assert WRONG.labels("exact") == [True, False, False] and WRONG.labels("rollouts") == [True, True, True]


def test_a_budget_counts_a_label_for_each_step_and_continuations_for_all_but_the_last():
    assert count([RIGHT, WRONG], "exact") == {"solutions": 2, "labels": 6, "continuations": 0}
    assert count([RIGHT, WRONG], "rollouts") == {"solutions": 2, "labels": 6, "continuations": 2 * 2 * 8}


def test_each_label_is_learned_after_its_step(micro_tokenizer):
    document = judged_document(micro_tokenizer, TEXT, WRONG.steps, WRONG.labels("exact"))
    assert [verdict for verdict in document.verdicts if verdict != IGNORE] == [1, 0, 0]


def test_no_labelled_problem_is_in_the_test_set_or_the_validation_set():
    assert {split_of(each.problem) for each in read_labelled()} == {"train"}
    assert not {each.problem for each in read_labelled()} & {problem.text for problem in judged_run(500).problems}


def test_the_recorded_trainings_are_those_of_all_budgets_and_count_as_the_labels_do():
    rows, labelled = read_quality(), read_labelled()
    assert {(row["kind"], row["solutions"]) for row in rows} == {(k, b) for k in labels.KINDS for b in labels.BUDGETS}
    for row in rows:
        assert count(labelled[: row["solutions"]], row["kind"]).items() <= row.items()


def test_a_training_judges_each_completion_up_to_the_step_after_its_first_error():
    run = judged_run(2)
    row = train_and_judge([RIGHT, WRONG], "exact", run, seed=0, steps=1)
    assert (row["kind"], row["labels"], row["steps"]) == ("exact", 6, 1)
    assert {problem for problem, _, _ in row["judged"]} == {problem.id for problem in run.problems}
    assert all(label < len(scores) and all(0 <= score <= 1 for score in scores) for _, label, scores in row["judged"])


def test_unknown_labels_and_more_solutions_than_there_are_are_refused():
    with pytest.raises(UserError, match="unknown labels 'guessed': choose from exact, rollouts"):
        trained(50, "guessed", seed=0, n_problems=1)
    with pytest.raises(UserError, match="solutions must be from 1 to 800, and 801 is not"):
        trained(801, "exact", seed=0, n_problems=1)
    with pytest.raises(UserError, match="kinds must be a list of exact, rollouts, and 'exact' is not"):
        label_budget.of_kinds([{"kind": "exact"}, {"kind": "rollouts"}], "exact")


def row(kind: str, *judged: list) -> dict:
    return {"kind": kind, "solutions": 2, "labels": 6, "continuations": 0, "judged": judged}


GOOD = row("exact", ["a", -1, [0.9, 0.8]], ["b", 1, [0.7, 0.1]])
BAD = row("rollouts", ["a", -1, [0.9, 0.4]], ["b", 1, [0.7, 0.6]])


def test_quality_and_differences_are_those_worked_out_by_hand():
    curve = label_budget.curve([GOOD, BAD]).set_index("kind")
    assert curve.loc["exact", ["f1", "auroc"]].tolist() == [1, 1]
    # right steps 0.9 0.4 0.7, the wrong one 0.6: two of three pairs are in order; both solutions are judged falsely
    assert curve.loc["rollouts", ["on_right", "on_wrong", "f1"]].tolist() == [0, 0, 0]
    assert curve.loc["rollouts", "auroc"] == pytest.approx(2 / 3)
    (difference,) = label_budget.differences([GOOD, BAD]).to_dict("records")
    assert (difference["f1"], difference["auroc"]) == (1, pytest.approx(1 / 3))
    assert label_budget.differences([GOOD]).empty


def test_auroc_in_a_draw_is_that_of_the_drawn_solutions():
    judged = [Judged(-1, (0.9, 0.4, 0.4)), Judged(1, (0.7, 0.4, 0.2)), Judged(0, (0.8,)), Judged(-1, (0.6,))]
    drawn = np.array([[1, 1, 1, 1], [0, 2, 0, 1], [2, 0, 0, 2]])
    found = first_errors.auroc_draws(judged, drawn.astype(float))
    for value, draw in zip(found, drawn, strict=True):
        several = [each for each, times in zip(judged, draw, strict=True) for _ in range(times)]
        expected = first_errors.quality(several).auroc
        assert value == pytest.approx(expected) or (math.isnan(value) and math.isnan(expected))


def test_agreement_tells_missed_errors_from_rejected_steps():
    table = label_budget.agreement([*labels.label_errors([RIGHT, WRONG])])
    # other steps: right 3, of which one is called wrong; wrong 1, called right. Last steps: both are called right
    assert table.loc["other steps", ["labels", "right", "said_right"]].tolist() == [4, 3, 3]
    assert table.loc["other steps", ["missed", "rejected"]].tolist() == [1, pytest.approx(1 / 3)]
    assert table.loc["last step", ["labels", "right", "missed", "rejected"]].tolist() == [2, 1, 1, 0]


def test_the_figure_has_a_line_for_each_kind_of_labels_in_both_panels():
    figure = quality_against_labels(label_budget.curve([GOOD, BAD]), "Title")
    drawn = [[line.get_label() for line in axes.lines] for axes in figure.axes]
    assert drawn == [["Exact labels", "Labels by rollouts"]] * 2
