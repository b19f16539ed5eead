"""vLLM's GPU runner ("V2") on this CPU, by Triton's interpreter: what the project starts on a GPU, searched and scored.

`tests/gpu_rehearsal/rehearse.py` runs in a process of its own, with the environment that lets vLLM run its GPU runner;
meanwhile the CPU runner scores the same problem here. docs/gpu.md says what this cannot show.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from gpu_rehearsal.rehearse import BATCH, STRATEGIES, N, small_profile, some_problems

from tts_study.engines.build import RUNNER
from tts_study.engines.prm import VllmPRM
from tts_study.runs.engines import prm_settings

FOLDER = Path(__file__).parents[1] / "gpu_rehearsal"
ENVIRONMENT = {
    "GPU_REHEARSAL": "1", "TRITON_INTERPRET": "1", RUNNER: "1", "PYTHONPATH": str(FOLDER),
    "VLLM_CPU_KVCACHE_SPACE": "1", "OMP_NUM_THREADS": "1",
}  # fmt: skip

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory, loop):
    """What the GPU runner found, and the CPU runner's scores of the same solutions."""
    out = tmp_path_factory.mktemp("rehearsal") / "found.json"
    command = [sys.executable, str(FOLDER / "rehearse.py"), str(out)]
    with open(out.with_suffix(".log"), "w") as log:
        process = subprocess.Popen(command, env=os.environ | ENVIRONMENT, stdout=log, stderr=subprocess.STDOUT)
    prm = VllmPRM(prm_settings(small_profile()))
    try:
        loop.run_until_complete(prm.start())
        assert process.wait(timeout=1800) == 0, out.with_suffix(".log").read_text()[-3000:]
        found = json.loads(out.read_text())
        print(out.with_suffix(".log").read_text())
        problem = some_problems(small_profile())[0]
        scored = loop.run_until_complete(prm.score_solutions(problem, found["scores"]["solutions"]))
        yield found | {"cpu": scored.step_scores}
    finally:
        process.kill()
        process.wait()
        loop.run_until_complete(prm.close())


def test_the_engines_are_those_of_a_gpu(rehearsal):
    facts = rehearsal["facts"]
    assert facts["v2"] == facts["chunked"] == [True, True]
    assert facts["engines"] == ["VllmEngine", "VllmEngine"] and facts["logits_processors"] == [None, None]
    assert facts["sampler"] == facts["remote_sampler"] == "vllm"
    assert facts["loaded"] == [], "a GPU loads nothing from the CPU's room"
    assert facts["batch"] == [BATCH, BATCH] and min(facts["prompts"]) > BATCH, "each prompt is prefilled in chunks"


def without_cache_and_scores(result):
    """What sampling and ranking decide: texts, lengths, fates; the counts of a cache depend on what ran before."""
    completions = [{**each, "step_scores": len(each["step_scores"])} for each in result["completions"]]
    nodes = [{**each, "score": None, "value": None} for each in result["tree"]]
    return completions, nodes, result["cost"]["generated"]


def step_scores(result):
    return [score for completion in result["completions"] for score in completion["step_scores"]]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_finds_the_same_alone_and_beside_another_problem(rehearsal, strategy):
    alone, crowded = rehearsal["alone"][strategy], rehearsal["crowded"][strategy]
    assert without_cache_and_scores(alone) == without_cache_and_scores(crowded)
    assert step_scores(alone) == pytest.approx(step_scores(crowded), abs=1e-5)
    assert any(completion["finished"] for completion in alone["completions"])


def test_signals_change_no_sample_and_tell_of_each_of_its_tokens(rehearsal):
    found = rehearsal["signals"]
    assert found["kept"] == found["plain"]
    for tokens, signals in zip(found["kept"], found["signals"], strict=True):
        assert sum(signal["tokens"] for signal in signals) == len(tokens)
        assert all(signal["logprob"] < 0 < signal["confidence"] for signal in signals)


def test_the_samples_of_one_request_differ(rehearsal):
    samples = rehearsal["alone"]["best_of_n"]["completions"]
    assert len(samples) == N and len({tuple(completion["steps"]) for completion in samples}) > 1


def test_scores_are_those_of_the_cpu_runner_from_the_cache_too(rehearsal):
    scores, cpu = rehearsal["scores"], rehearsal["cpu"]
    assert scores["from_cache"] > 0
    for whole, cached, expected in zip(scores["whole"], scores["cached"], cpu, strict=True):
        assert whole == pytest.approx(expected, abs=1e-3)
        assert cached == pytest.approx(expected, abs=1e-3)
    every = [score for of_one in cpu for score in of_one]
    assert max(every) - min(every) > 0.1, "the solutions differ enough for a wrong score to show"


def test_servers_on_the_gpu_runner_give_what_engines_in_this_process_give(rehearsal):
    here, there = rehearsal["alone"]["dvts"], rehearsal["remote"]["dvts"]
    assert without_cache_and_scores(here) == without_cache_and_scores(there)
    assert step_scores(here) == pytest.approx(step_scores(there), abs=1e-5)
