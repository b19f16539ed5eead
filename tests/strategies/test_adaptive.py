"""Adaptive stopping, live: scripted engines and counts worked out by hand."""

import asyncio

from scripted_engines import ScriptedPolicy, ScriptedPRM

from tts_study.analysis.grading import grade, picked
from tts_study.records import Generation, Problem, Sampled
from tts_study.strategies import METHODS
from tts_study.strategies.adaptive import NOT_DRAWN, stop_when_decided, stop_when_trusted

PROBLEM = Problem("p", "What is it ?", "5")
FIVE, SIX, SEVEN = (rf"so \boxed{{{n}}}" for n in (5, 6, 7))
NONE = "no idea"
PRM = ScriptedPRM({FIVE: 0.8, SIX: 0.3, SEVEN: 0.5, NONE: 0.9})


class InTurn(ScriptedPolicy):
    """Each request of one sample gets the next text."""

    def __init__(self, *texts):
        super().__init__({})
        self._texts = texts

    async def complete(self, prefix, *, n, seed, temperature=None):
        asked = await super().complete(prefix, n=n, seed=seed)
        text = self._texts[len(self.requests) - 1]
        return Sampled((Generation((1, 2, 0), text, "end"),), asked.cost)


def drawn(result):
    return [completion.text for completion in result.completions if completion != NOT_DRAWN]


def trusted(policy, n):
    return asyncio.run(stop_when_trusted(PROBLEM, policy, PRM, n=n, seed=0, aggregation="last"))


def decided(policy, n):
    return asyncio.run(stop_when_decided(PROBLEM, policy, None, n=n, seed=0))


def test_stops_at_the_first_trusted_completion_that_has_an_answer():
    policy = InTurn(SIX, NONE, SEVEN, FIVE, "never asked")
    result = trusted(policy, 8)
    assert drawn(result) == [SIX, NONE, SEVEN, FIVE], "0.9 without an answer and 0.5 are no reason to stop"
    assert len(result.completions) == 8 and len({request.seed for request in policy.requests}) == 4
    assert picked(result, METHODS["stop_when_trusted"].rule, "last") == "5"
    assert result.completions[0].step_scores == (0.3,)
    assert result.cost.scored == 3 * len("What is it ?".split()) + 3 * 2 + 4 + 2


def test_answers_as_best_of_n_if_nothing_is_trusted():
    result = trusted(InTurn(SIX, SEVEN, SIX), 3)
    assert drawn(result) == [SIX, SEVEN, SIX] and picked(result, "best", "last") == "7"


def test_stops_when_four_answers_agree_or_the_lead_is_large_enough():
    assert len(drawn(decided(InTurn(*[FIVE] * 9), 9))) == 4
    # 5 beside 1 other: P(Beta(6, 2) > 1/2) = 120/128 < 0.95; 6 beside 1: 247/256
    assert len(drawn(decided(InTurn(SIX, *[FIVE] * 9), 10))) == 7


def test_a_vote_that_stays_open_spends_the_budget_and_ties_go_to_the_first():
    result = decided(InTurn(SIX, FIVE, FIVE, SIX, NONE), 5)
    assert len(drawn(result)) == 5 and picked(result, METHODS["stop_when_decided"].rule, "last") == "6"


def test_what_was_not_drawn_has_no_answer_and_does_not_count_as_unanswered():
    graded = grade([PROBLEM], [decided(InTurn(*[FIVE] * 9), 9)])
    assert graded.note() == "0 of 4 completions gave no answer"
    assert graded.groups_P_N[0].tolist() == [0] * 4 + [-1] * 5
