"""Each family of PRMs, on real vLLM and a tiny random model, gives the scores of its reference in transformers."""

import asyncio

import pytest
from prm_families import FAMILIES, checkpoint, compare, plugin_installed

OFTEN = {"qwen", "skywork"}  # a pooling head of vLLM's, this project's plugin; test_llama_structure starts an rlhflow
EACH = [
    pytest.param(family, id=family.name, marks=() if family.name in OFTEN else pytest.mark.full) for family in FAMILIES
]


@pytest.mark.engine
@pytest.mark.parametrize("family", EACH)
def test_step_positions_and_scores_are_those_of_the_reference(family, tmp_path):
    if family.name == "skywork" and not plugin_installed():
        pytest.skip("vLLM does not find the project's plugin: install the project again (make setup)")
    comparison = asyncio.run(compare(family, checkpoint(family, tmp_path)))
    assert comparison.whole < 1e-3
    assert comparison.last < 1e-3
    assert comparison.spread > 0.05  # so that a score of another step would not have passed
    assert comparison.cached > comparison.scored  # in a search, most of a solution comes from the prefix cache
