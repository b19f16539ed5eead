"""The engines on real vLLM, with tiny random models: exact continuations, honest counts, clean ends.

Starting an engine takes half a minute on a CPU, so that the session shares one policy and one PRM.
"""

import asyncio
import os
import subprocess
import sys
from dataclasses import replace

import psutil
import pytest
import torch
from engine_settings import SHARED
from transformers import AutoModelForCausalLM

from tts_study.engines.build import RUNNER
from tts_study.engines.policy import VllmPolicy, sample_seeds
from tts_study.engines.prm import VllmPRM
from tts_study.engines.settings import EngineSettings, PolicySettings, PRMSettings
from tts_study.engines.vllm import VllmEngine
from tts_study.errors import UserError
from tts_study.prompts.prm.rlhflow import rlhflow_tokens, verdict_ids
from tts_study.records import Cost, Generation, Problem

PROBLEM = Problem(id="a", text="Start with 42, subtract 17, multiply by 3.", answer="75")
OTHER = Problem(id="b", text="Start with 7, add 5, multiply by 2, subtract 9.", answer="15")
# long enough to fill several cache blocks
SOLUTION = ("42-17=25", "25*3=75", "so 25*3 is 75 and not 76", "which makes 75 the answer to it", r"\boxed{75}")


@pytest.fixture
def policy(engines):
    return engines[0]


@pytest.fixture
def prm(engines):
    return engines[1]


@pytest.fixture
def run(loop):
    return loop.run_until_complete


# --- the policy ------------------------------------------------------------------------------------------------------


@pytest.mark.engine
def test_greedy_steps_one_after_the_other_are_the_greedy_completion(policy, run):
    prompt = policy.prompt(PROBLEM)
    (whole,) = run(policy.complete(prompt, n=1, seed=0, temperature=0.0)).generations
    prefix, steps = prompt, 0
    while len(prefix) < len(prompt) + len(whole.token_ids):
        (step,) = run(policy.steps(prefix, n=1, seed=0, temperature=0.0)).generations
        prefix += step.token_ids
        steps += 1
    assert steps > 2
    assert prefix[: len(prompt) + len(whole.token_ids)] == prompt + whole.token_ids


@pytest.mark.engine
def test_a_step_keeps_its_separator_in_text_and_token_ids(policy, run):
    separator = policy.engine.tokenizer.convert_tokens_to_ids("\n\n")
    steps = [g for g in run(policy.steps(policy.prompt(PROBLEM), n=32, seed=1)).generations if g.stop == "step"]
    assert len(steps) > 5
    assert all(g.text.count("\n\n") == 1 and g.text.endswith("\n\n") for g in steps)
    assert any(g.token_ids[-1] == separator for g in steps)


@pytest.mark.engine
def test_a_separator_of_two_tokens_ends_a_step_too(policy, run):
    newline = policy.engine.tokenizer.convert_tokens_to_ids("\n")
    ends = {g.token_ids[-2:] for g in run(policy.steps(policy.prompt(OTHER), n=512, seed=5)).generations}
    assert (newline, newline) in ends


@pytest.mark.engine
def test_the_models_own_end_is_reported_from_a_limit(policy, run):
    end = policy.engine.tokenizer.eos_token_id
    generations = run(policy.complete(policy.prompt(PROBLEM), n=48, seed=2)).generations
    assert {g.stop for g in generations} == {"end", "length"}
    for g in generations:
        assert (g.token_ids[-1] == end) == (g.stop == "end")
        assert (len(g.token_ids) == policy.settings.max_tokens) == (g.stop == "length")
        assert "<|" not in g.text


@pytest.mark.engine
def test_a_sample_depends_neither_on_n_nor_on_what_runs_beside_it(policy, run):
    prompt = policy.prompt(PROBLEM)

    async def crowded():
        crowd = [policy.complete(policy.prompt(OTHER), n=16, seed=seed) for seed in range(3)]
        return (await asyncio.gather(policy.complete(prompt, n=8, seed=3), *crowd))[0]

    alone = run(policy.complete(prompt, n=4, seed=3)).generations
    assert run(crowded()).generations[:4] == alone
    assert len(set(alone)) == 4
    assert run(policy.complete(prompt, n=4, seed=4)).generations != alone


@pytest.mark.engine
def test_cached_and_computed_tokens_are_the_prompt_of_every_sample(policy, run):
    prompt = policy.prompt(OTHER) * 3
    first = run(policy.steps(prompt, n=4, seed=0))
    again = run(policy.steps(prompt, n=4, seed=1))
    for sampled in (first, again):
        assert sampled.cost.prompt + sampled.cost.prompt_cached == 4 * len(prompt)
        assert sampled.cost.generated == sum(len(g.token_ids) for g in sampled.generations)
    blocks = (len(prompt) - 1) // SHARED["block_size"]
    assert again.cost.prompt_cached == 4 * blocks * SHARED["block_size"] > first.cost.prompt_cached


@pytest.mark.engine
def test_a_completion_stops_where_the_context_ends(policy, run):
    context = policy.settings.max_model_len
    prompt = (policy.prompt(PROBLEM) * 100)[: context - 3]
    generations = run(policy.complete(prompt, n=8, seed=0)).generations
    assert {len(g.token_ids) for g in generations if g.stop == "length"} == {3}
    full = run(policy.steps((*prompt, 5, 5, 5), n=2, seed=0))
    assert full.generations == (Generation((), "", "length"),) * 2 and full.cost == Cost()


# --- the PRM ---------------------------------------------------------------------------------------------------------


def reference(folder, dtype, problem, steps):
    """P("+") by transformers: softmax over the two tokens' logits where the verdicts are predicted."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    tokenizer = VllmEngine(EngineSettings(model=str(folder))).tokenizer
    token_ids, positions = rlhflow_tokens(tokenizer, problem.text, steps)
    with torch.inference_mode():
        logits = model(torch.tensor([token_ids])).logits[0].float()
    return logits[list(positions)][:, list(verdict_ids(tokenizer))].softmax(-1)[:, 0].tolist()


@pytest.mark.engine
def test_scores_in_fp32_are_those_of_transformers(prm, run, prm_folder):
    for problem in (PROBLEM, OTHER):
        (scores,) = run(prm.score_solutions(problem, [SOLUTION])).step_scores
        assert scores == pytest.approx(reference(prm_folder, torch.float32, problem, SOLUTION), abs=1e-5)
    assert max(scores) - min(scores) > 1e-3


@pytest.mark.engine
def test_the_score_of_a_last_step_is_its_score_in_the_whole_solution(prm, run):
    (whole,) = run(prm.score_solutions(PROBLEM, [SOLUTION])).step_scores
    prefixes = [SOLUTION[:count] for count in range(1, len(SOLUTION) + 1)]
    last = run(prm.score_last_steps(PROBLEM, prefixes)).step_scores
    assert [score for (score,) in last] == pytest.approx(whole, abs=1e-5)


@pytest.mark.engine
def test_a_last_step_costs_little_once_the_steps_before_it_were_scored(prm, run):
    problem = Problem(id="c", text=OTHER.text + " Show it.", answer="15")
    before = run(prm.score_last_steps(problem, [SOLUTION[:-1]])).cost
    after = run(prm.score_last_steps(problem, [SOLUTION])).cost
    tokens, _ = rlhflow_tokens(prm.engine.tokenizer, problem.text, SOLUTION)
    assert after.scored + after.scored_cached == len(tokens)
    assert after.scored_cached > before.scored - SHARED["block_size"] > 0


@pytest.mark.engine
def test_what_is_asked_apart_within_a_burst_is_scored_together(prm, run, loop, monkeypatch):
    sent = []
    run(prm.engine.start())
    encode = prm.engine._llm.encode

    def noted(*request):
        sent.append(loop.time())
        return encode(*request)

    async def ask(place):
        await asyncio.sleep(0.05 * place)
        return (await prm.score_solutions(PROBLEM, [SOLUTION[: place + 1]])).step_scores

    async def ask_apart(burst=0.0):
        await asyncio.sleep(burst and burst - loop.time() % burst)  # to where one begins
        sent.clear()
        scores = await asyncio.gather(*map(ask, range(3)))
        return scores, max(sent) - min(sent)

    monkeypatch.setattr(prm.engine._llm, "encode", noted)
    scores, apart = run(ask_apart())
    monkeypatch.setattr(prm.engine, "settings", replace(prm.settings, burst=1.0))
    same, together = run(ask_apart(burst=1.0))
    assert same == scores
    assert together < 0.05 < apart


@pytest.mark.engine
def test_equal_solutions_are_scored_once_and_empty_ones_never(prm, run):
    once = run(prm.score_solutions(PROBLEM, [SOLUTION]))
    many = run(prm.score_solutions(PROBLEM, [(), SOLUTION, list(SOLUTION), ()]))
    assert many.step_scores == ((), once.step_scores[0], once.step_scores[0], ())
    assert many.cost == once.cost
    assert run(prm.score_last_steps(PROBLEM, [(), ()])).cost == Cost()


@pytest.mark.engine
def test_steps_beyond_the_prms_context_score_zero(prm, run):
    long = ["1+1=2, " * 10] * 20
    (scores,) = run(prm.score_solutions(PROBLEM, [long])).step_scores
    judged = [score for score in scores if score]
    assert 0 < len(judged) < len(scores) == 20
    assert scores == (*judged, *(0.0,) * (20 - len(judged)))
    assert run(prm.score_last_steps(PROBLEM, [long])).step_scores == ((0.0,),)


@pytest.mark.engine
def test_scores_in_bf16_are_those_of_transformers_and_closing_leaves_no_process(run, prm_folder):
    before = set(psutil.Process().children(recursive=True))

    async def score():
        async with VllmPRM(PRMSettings(model=str(prm_folder), **SHARED)) as prm:
            scored = await prm.score_solutions(PROBLEM, [SOLUTION])
            return scored.step_scores[0], set(psutil.Process().children(recursive=True)) - before

    scores, during = run(score())
    assert scores == pytest.approx(reference(prm_folder, torch.bfloat16, PROBLEM, SOLUTION), abs=1e-3)
    running = (process for process in during if process.is_running() and "vllm" in process.name().lower())
    after = [process for process in running if process.status() != psutil.STATUS_ZOMBIE]  # ended, if not yet collected
    assert during
    assert after == []


# --- without an engine -----------------------------------------------------------------------------------------------


def test_nothing_imports_vllm_before_an_engine_starts(policy_folder):
    code = (
        "import sys\n"
        "from tts_study.engines.policy import PolicySettings, VllmPolicy\n"
        "from tts_study.engines import prm\n"
        "from tts_study.records import Problem\n"
        f"VllmPolicy(PolicySettings(model={str(policy_folder)!r})).prompt(Problem('a', 'Start with 4, add 5.', '9'))\n"
        "assert 'vllm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_gpu_gets_vllms_own_seeds_and_nothing_from_the_cpus_room(policy_folder):
    code = (
        "import asyncio, sys\n"
        "from tts_study.engines.policy import PolicySettings, VllmPolicy\n"
        f"engine = VllmPolicy(PolicySettings(model={str(policy_folder)!r}, data_parallel_size=2)).engine\n"
        "sampling = {'temperature': 0.5, 'top_p': 1.0, 'seed': 7}\n"
        "assert engine._sampling(sampling) == sampling and engine.sampler == 'vllm'\n"
        "args = engine.args()\n"
        "assert args['data_parallel_size'] == 2 and args['gpu_memory_utilization'] == 0.45\n"
        "assert args['enforce_eager'] is False\n"
        "assert not {'logits_processors', 'enable_chunked_prefill'} & set(args)\n"
        "assert not [name for name in sys.modules if name.startswith('tts_study.engines.cpu')]\n"
    )
    for environment in ({RUNNER: "1"}, {RUNNER: "0"}):
        done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True)
        assert (done.returncode == 0) == (environment[RUNNER] == "1"), done.stderr.decode()


@pytest.mark.parametrize("make", [
    lambda model: VllmPolicy(PolicySettings(model=model)), lambda model: VllmPRM(PRMSettings(model=model))
])  # fmt: skip
@pytest.mark.parametrize("model", ["/no/such/folder", "no-such-model", "./models/none", "a/b/c"])
def test_a_model_that_does_not_exist_is_refused_at_once(make, model):
    with pytest.raises(UserError, match="No checkpoint in"):
        make(model)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(UserError, match="no config.json"):
        VllmPolicy(PolicySettings(model=str(tmp_path)))


def test_a_prompt_that_leaves_no_room_in_the_context_is_refused(policy_folder):
    policy = VllmPolicy(PolicySettings(model=str(policy_folder), max_model_len=64))
    with pytest.raises(UserError, match=r"A prompt of \d+ tokens .* does not fit the context of 64 tokens"):
        policy.prompt(Problem(id="long", text="7" * 64, answer="7"))
    with pytest.raises(UserError, match="does not fit"):
        asyncio.run(policy.complete([5] * 65, n=1, seed=0))


def test_neighbouring_seeds_and_prefixes_share_no_sample_seed():
    seeds = [s for prefix in ((1, 2), (1, 3), (12,)) for seed in range(20) for s in sample_seeds(prefix, seed, 16)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= s < 2**63 for s in seeds)
    assert sample_seeds((1, 2), 7, 16)[:4] == sample_seeds((1, 2), 7, 4)
