"""The claims that are tested on recorded runs."""

import pandas as pd
import pytest

from tts_study.analysis.inference import PairedTest
from tts_study.micro.claims import _over_all, _sound, verdict
from tts_study.micro.problems import parse_problem, solutions
from tts_study.records import Completion, Cost, Node, Problem, SearchResult

TEXT = "Start with 52, add 40, subtract 20."
PROBLEM = Problem("p", TEXT, "72")


def sampled(*steps: str) -> Completion:
    return Completion(steps, 9, True, ())


def test_a_right_answer_by_a_wrong_step_is_not_sound_and_a_search_is_sound_wherever_its_tree_is():
    right = solutions(parse_problem(TEXT))[0]
    lucky = sampled("52+40=82", "82-20=72", r"\boxed{72}")
    assert not _sound(PROBLEM, SearchResult("p", (lucky,), Cost()))
    assert _sound(PROBLEM, SearchResult("p", (lucky, sampled(*right)), Cost()))
    nodes = [Node(i - 1 if i else None, step, 1, 0.5, 0.5, "kept") for i, step in enumerate(right[:-1])]
    end = Node(len(right) - 2, right[-1], 1, 0.5, 0.5, "finished")
    assert _sound(PROBLEM, SearchResult("p", (lucky,), Cost(), (*nodes, end), 1)), "though it was not returned"


def test_a_verdict_needs_a_corrected_p_value():
    better, worse = PairedTest(0.1, 0.05, 0.15, 0.01, 0.05), PairedTest(-0.1, -0.15, -0.05, 0.01, 0.05)
    assert verdict(better, 0.01) == "supported"
    assert verdict(worse, 0.01) == "not supported: the opposite"
    assert verdict(better, 0.06) == "not distinguishable"


@pytest.mark.parametrize(
    ("differences", "p_values", "said"),
    [
        ([0.2, 0.1], [0.01, 0.01], "positive with each"),
        ([-0.2, -0.1], [0.01, 0.01], "negative with each"),
        ([0.2, 0.1], [0.01, 0.5], "depends on the verifier"),
        ([0.2, -0.1], [0.01, 0.01], "depends on the verifier"),
        ([0.2, -0.1], [0.3, 0.5], "not distinguishable"),
    ],
)
def test_the_tests_of_all_verifiers_are_summed_up(differences, p_values, said):
    assert _over_all(pd.DataFrame(dict(difference=differences, p_holm=p_values))) == said
