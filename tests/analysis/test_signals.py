"""The policy's own signals: hand-computed values, and each rule against brute force over subsets."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from tts_study.analysis import signals
from tts_study.analysis.grading import grade
from tts_study.analysis.grid import Part, build
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Problem, SearchResult, Signal
from tts_study.runs.store import Run

STEPS = (Signal(4, -2.0, 12.0), Signal(1, -3.0, 1.5), Signal(5, -1.0, 20.0))


def completion(answer, *signals):
    steps = tuple(f"step {i}" for i in range(len(signals) - 1)) + (rf"\boxed{{{answer}}}",)
    return Completion(steps, 10, True, signals=signals)


def run_of(*completions):
    problem = Problem("a", "1+1?", "2")
    return Run({}, (problem,), (SearchResult("a", completions, Cost()),))


@pytest.mark.parametrize(
    ("name", "value"),
    [("mean_logprob", -0.6), ("sum_logprob", -6.0), ("confidence", 3.35), ("lowest_step", 1.5), ("last_step", 4.0)],
)
def test_signals_by_hand(name, value):
    assert signals.signal(completion(2, *STEPS), name) == pytest.approx(value)


def test_a_completion_without_an_answer_is_never_picked_and_a_run_without_signals_is_refused():
    run = run_of(completion(2, *STEPS), Completion((), 0, False))
    graded = grade(run.problems, run.results)
    assert signals.values_P_N(run, graded, "confidence").tolist() == [[3.35, -np.inf]]
    with pytest.raises(UserError, match="lacks the policy's signals: record it with --set signals=true"):
        signals.signal(Completion(("2",), 3, True), "confidence")


VALUES = [-0.5, -0.1, -2.0, -0.3, -1.0, -np.inf]
ANSWERS = [7, 2, 2, 7, 2, None]


def graded_six():
    sure = (Signal(1, -1.0, 1.0),)
    each = [completion(answer, *sure) if answer else Completion(("no",), 1, False, signals=sure) for answer in ANSWERS]
    run = run_of(*each)
    return grade(run.problems, run.results)


def vote(weights, answers):
    totals = {}
    for weight, answer in zip(weights, answers, strict=True):
        if answer is not None:
            totals[answer] = totals.get(answer, 0.0) + weight
    top = max(totals.values(), default=0.0)
    winners = [answer for answer, total in totals.items() if total >= top * (1 - 1e-12)]
    return winners.count(2) / len(winners) if winners else 0.0


def by_hand(rule, values, answers, n):
    weights = [np.exp(value) for value in values]
    if rule == "best":
        top = max(values)
        return float(answers[values.index(top)] == 2) if top > -np.inf else 0.0
    if rule == "borda":
        weights = [sum(other <= value for other in values) ** signals.POWER for value in values]
    if rule == "filtered":
        least = sorted(weights)[-max(1, int(np.ceil(0.5 * n)))]
        weights = [weight if weight >= least else 0.0 for weight in weights]
    return vote(weights, answers)


@pytest.mark.parametrize("rule", signals.RULES)
@pytest.mark.parametrize("n", [1, 3, 6])
def test_each_rule_is_the_mean_over_all_subsets(rule, n):
    found = signals.solved_by(graded_six(), [VALUES], rule, n, seed=0, kept=0.5)
    drawn = list(combinations(range(6), n))
    subsets = [([VALUES[i] for i in one], [ANSWERS[i] for i in one]) for one in drawn]
    expected = np.mean([by_hand(rule, values, answers, n) for values, answers in subsets])
    tolerance = 0.1 if n == 3 and rule != "best" else 1e-9  # votes at n = 3 are means over random subsets
    assert found[0] == pytest.approx(expected, abs=tolerance)


def test_ranks_and_the_filter_let_few_confident_votes_win_where_sums_do_not():
    """Two confident ones say 7 and three say 2: 5.9 against 6.3, by ranks 6 and 5 against 2, 3 and 4."""
    confident = [[3.0, 2.0, 2.1, 2.9, 2.2, -np.inf]]
    won = {rule: signals.solved_by(graded_six(), confident, rule, 6, seed=0, kept=0.4)[0] for rule in signals.RULES}
    assert won == {"best": 0.0, "weighted": 1.0, "borda": 0.0, "filtered": 0.0}


def test_auroc_within_a_problem_counts_pairs_and_leaves_out_what_has_no_answer():
    graded = graded_six()
    # right ones have -0.1, -2.0, -1.0 and wrong ones -0.5, -0.3: of six pairs the first wins two, the others none
    assert signals.auroc_within(graded, [VALUES]).tolist() == pytest.approx([2 / 6])
    table = signals.table(graded, {"mean_logprob": np.array([VALUES])})
    assert table.loc[0, ["signal", "problems"]].tolist() == ["mean_logprob", 1]
    assert table.loc[0, "auroc"] == pytest.approx(2 / 6)


def test_tests_compare_each_signal_and_rule_with_the_plain_vote_of_the_same_completions():
    graded = graded_six()
    tests = signals.tests(graded, {"up": np.array([VALUES])}, 6, seed=0).set_index(["signal", "rule"])
    # three say 2 and two say 7: the plain vote is right, and so is the choice of the highest value
    assert tests.loc[("up", "best"), "accuracy"] == 1.0 and tests.loc[("up", "best"), "difference"] == 0.0
    assert list(tests.index) == [("up", rule) for rule in signals.RULES]


def test_a_choice_by_a_signal_costs_what_the_vote_costs():
    cost = Cost(generated=60, prompt=7, scored=50)
    run = run_of(*(completion(answer, *STEPS) for answer in (2, 7, 2)))
    run = replace(run, results=(replace(run.results[0], cost=cost),), header={"n": 3})
    graded = grade(run.problems, run.results)
    grid = build([Part("majority", run, graded, "majority", (1, 3))])
    values = signals.every(run, graded, "min")
    wider = signals.beside(grid, graded, values, seed=0)
    assert wider.strategies == ("majority", *signals.SIGNALS) and "prm" not in values
    assert np.array_equal(wider.tokens_M_n_P_K[0], wider.tokens_M_n_P_K[1])
    # all are equally sure, so that each is picked equally often
    assert wider.of("confidence")[1].ravel().tolist() == pytest.approx([2 / 3, 2 / 3])
