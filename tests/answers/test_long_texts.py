"""Finding an answer takes time in proportion to a completion's length, whatever a model repeats."""

import time

import pytest

from tts_study import answers
from tts_study.prompts.steps import split_steps

UNITS = [
    "\n",
    " ",
    "\n\n",
    "#",
    "* ",
    "所以",
    "the answer is ",
    "#### ",
    "$",
    "{",
    r"\boxed{",
    "a\n",
    "<answer>",
    "answer\n",
    "1,000,",
]


@pytest.mark.parametrize("unit", UNITS)
def test_a_hundred_thousand_repeated_characters_are_read_in_a_second(unit):
    text = unit * (100_000 // len(unit))
    began = time.process_time()
    split_steps(text)
    answers.extract(text, finished=True)
    assert time.process_time() - began < 2
