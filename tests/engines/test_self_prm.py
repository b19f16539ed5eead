"""A policy as its own PRM: what it is asked, what becomes of its answers, on which engine; and the scores of real vLLM.

The Llama-shaped model is compared in test_llama_structure, whose engine runs already.
"""

import asyncio
import math
from dataclasses import replace

import family_tokenizers
import psutil
import pytest
import torch
from engine_settings import SHARED
from test_engines import OTHER, PROBLEM, SOLUTION, reference
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from tts_study.engines.engine import NextToken
from tts_study.engines.policy import VllmPolicy
from tts_study.engines.self_prm import SelfPRM
from tts_study.engines.settings import PolicySettings
from tts_study.errors import RunStopped, UserError
from tts_study.profiles import load_profile
from tts_study.prompts.policy import render
from tts_study.prompts.prm.self_verify import QUESTION, answer_ids
from tts_study.records import Cost
from tts_study.runs.engines import Engines, policy_settings
from tts_study.runs.spec import RunSpec
from tts_study.strategies.best_of_n import best_of_n
from tts_study.strategies.dvts import dvts


def asked_in_chat(prm, problem, steps):
    """The prompts as a reader of the docs would write them: the whole chat, templated at once."""
    settings, tokenizer = prm.policy.settings, prm.engine.tokenizer
    system = [{"role": "system", "content": settings.system_prompt}] if settings.system_prompt else []
    prompts = []
    for i in range(len(steps)):
        turns = (("user", problem.text), ("assistant", "\n\n".join(steps[: i + 1])), ("user", QUESTION))
        chat = [*system, *({"role": role, "content": content} for role, content in turns)]
        text = render(tokenizer, chat, settings.chat_template, add_generation_prompt=True)
        prompts.append(tuple(tokenizer.encode(text, add_special_tokens=False)))
    return prompts


def by_transformers(prm, problem, steps, dtype=torch.float32):
    """P(Yes) by transformers: softmax over the two tokens' logits after the templated chat."""
    model = AutoModelForCausalLM.from_pretrained(prm.engine.settings.model, dtype=dtype)
    tokenizer = prm.engine.tokenizer
    answers = [tokenizer.encode(word, add_special_tokens=False)[0] for word in ("Yes", "No")]
    with torch.inference_mode():
        last = [model(torch.tensor([prompt])).logits[0, -1].float() for prompt in asked_in_chat(prm, problem, steps)]
    return [logits[answers].softmax(-1)[0].item() for logits in last]


class Answering:
    """An engine's stand-in that gives the same reply to everything, and notes what it was asked."""

    def __init__(self, engine, reply):
        self.settings, self.tokenizer, self.check_fits = engine.settings, engine.tokenizer, engine.check_fits
        self.reply, self.asked = reply, []

    async def next_token(self, token_ids, among):
        self.asked.append((token_ids, among))
        return self.reply


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    """A Qwen-shaped policy."""
    tokenizer, folder = family_tokenizers.qwen(), tmp_path_factory.mktemp("qwen")
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=0.2,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return VllmPolicy(PolicySettings(model=str(folder), dtype="float32", system_prompt="Be brief.", **SHARED))


def answered(policy, reply, prm_format="auto"):
    prm = SelfPRM(policy, prm_format)
    prm.engine = Answering(policy.engine, reply)
    return prm


# --- without an engine -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["qwen", "llama"])
def test_the_prompts_are_the_chat_templated_at_once(chat, family):
    if family == "llama":
        chat = VllmPolicy(replace(chat.settings, chat_template=load_profile("llama").chat_template))
        chat.engine.tokenizer = family_tokenizers.llama3()
    prm = SelfPRM(chat)
    assert prm.prompts(PROBLEM, SOLUTION) == asked_in_chat(prm, PROBLEM, SOLUTION)
    prompt = chat.prompt(PROBLEM)
    assert all(asked[: len(prompt)] == prompt for asked in prm.prompts(PROBLEM, SOLUTION))
    assert [prm.engine.tokenizer.decode([token]) for token in prm.answers] == ["Yes", "No"]


async def test_a_score_is_the_share_of_yes_and_each_step_is_asked_once(chat):
    prm = answered(chat, NextToken((math.log(0.3), math.log(0.1)), cached=4))
    scored = await prm.score_solutions(PROBLEM, [SOLUTION, (), list(SOLUTION)])
    assert scored.step_scores[1] == () and scored.step_scores[0] == scored.step_scores[2]
    assert scored.step_scores[0] == pytest.approx([0.75] * len(SOLUTION))
    prompts = prm.prompts(PROBLEM, SOLUTION)
    assert [token_ids for token_ids, _ in prm.engine.asked] == prompts
    computed, cached = sum(map(len, prompts)) - 4 * len(prompts), 4 * len(prompts)
    assert scored.cost == Cost(scored=computed, scored_cached=cached)
    prm.engine.asked.clear()
    last = await prm.score_last_steps(PROBLEM, [SOLUTION])
    assert last.step_scores == ((scored.step_scores[0][-1],),)
    assert [token_ids for token_ids, _ in prm.engine.asked] == prompts[-1:]


async def test_probabilities_of_almost_0_are_no_trouble(chat):
    for logprobs, score in (((-9999.0, -0.1), 0.0), ((-0.1, -9999.0), 1.0), ((-9999.0, -9999.0), 0.5)):
        prm = answered(chat, NextToken(logprobs, cached=0))
        assert (await prm.score_last_steps(PROBLEM, [SOLUTION])).step_scores == ((pytest.approx(score),),)


@pytest.mark.parametrize(
    "reply, said",
    [
        (NextToken((math.nan, -1.0), 0), "numbers overflow"),
        (NextToken((-math.inf, -1.0), 0), "-inf, which is not the logarithm of a probability"),
        (NextToken((0.5, -1.0), 0), "0.5, which is not the logarithm of a probability"),
        (NextToken(("-1", -1.0), 0), "'-1', which is not the logarithm of a probability"),
        (NextToken((True, -1.0), 0), "True, which is not the logarithm of a probability"),
        (NextToken((-1.0,), 0), "1 log-probabilities for 2 tokens"),
        (NextToken((-1.0, -2.0), 10**6), "1000000 cached tokens"),
    ],
)
async def test_a_reply_that_cannot_be_ends_the_run(chat, reply, said):
    with pytest.raises(RunStopped, match=said):
        await answered(chat, reply).score_last_steps(PROBLEM, [SOLUTION])


async def test_a_step_that_leaves_no_room_for_the_question_scores_0(chat):
    prm = answered(chat, NextToken((-1.0, -1.0), 0))
    long = ["1 + 1 = 2, " * 10] * 20
    (scores,) = (await prm.score_solutions(PROBLEM, [long])).step_scores
    assert set(scores) == {0.5, 0.0} and scores == tuple(sorted(scores, reverse=True))
    assert max(len(token_ids) for token_ids, _ in prm.engine.asked) < SHARED["max_model_len"]


def test_a_policy_without_the_words_or_with_another_family_is_refused(policy_folder, chat):
    micro = VllmPolicy(PolicySettings(model=str(policy_folder)))
    with pytest.raises(UserError, match="does not write 'Yes' as a single token"):
        SelfPRM(micro).answers  # noqa: B018
    assert len(set(SelfPRM(micro, "rlhflow").answers)) == 2
    with pytest.raises(UserError, match="cannot be asked as a PRM of the family 'qwen'"):
        SelfPRM(micro, "qwen")
    with pytest.raises(UserError, match="does not keep an assistant's turn"):
        answer_ids(chat.engine.tokenizer, "{% for message in messages %}{{ message['role'] }}{% endfor %}")


async def test_a_profile_that_judges_itself_has_one_engine_with_all_the_memory(monkeypatch):
    for name in ("TTS_STUDY_POLICY_URL", "TTS_STUDY_PRM_URL"):
        monkeypatch.delenv(name, raising=False)
    itself = load_profile("micro", prm="self", prm_format="rlhflow")
    assert policy_settings(itself).gpu_memory_utilization == 0.9
    engines = Engines()
    policy, prm = await engines.of(itself, needs_prm=True)
    assert isinstance(prm, SelfPRM) and prm.engine is policy.engine
    assert (await engines.of(itself, needs_prm=True)) == (policy, prm)
    assert (await engines.of(itself, needs_prm=False)) == (policy, None)
    larger, other = await engines.of(load_profile(itself, policy="3b"), needs_prm=True)
    assert other.engine is larger.engine is not policy.engine
    with pytest.raises(UserError, match="leave prm_url out"):
        await engines.of(load_profile(itself, prm_url="http://a"), needs_prm=True)


def test_a_run_says_that_the_policy_judged_and_what_it_was_asked():
    def spec(method="best_of_n", **settings):
        return RunSpec.of(load_profile("micro", **settings), method, [PROBLEM, OTHER], n=4)

    usual, itself = spec(), spec(prm="self")
    assert itself.header["prm"] == itself.header["policy"] | {"asked": QUESTION}
    assert spec(prm="self", prm_format="rlhflow").header["prm"]["asked"] == "rlhflow"
    assert itself.name == usual.name + "-prm_self"
    assert len({each.digest for each in (usual, itself, spec(prm="self", prm_format="rlhflow"))}) == 3
    assert spec("majority", prm="self").name == spec("majority").name, "no PRM is asked"


async def test_signals_beside_its_questions_are_refused(policy_folder):
    asked = load_profile("micro", policy=str(policy_folder), prm="self", prm_format="rlhflow", signals=True)
    with pytest.raises(UserError, match="signals are not kept in a run with --prm self"):
        await Engines().of(asked, needs_prm=True)


# --- on real vLLM ----------------------------------------------------------------------------------------------------


@pytest.mark.engine
def test_verdicts_of_a_policy_in_rlhflows_format_are_those_of_transformers(engines, loop, policy_folder):
    prm = SelfPRM(engines[0], "rlhflow")
    scored = loop.run_until_complete(prm.score_solutions(PROBLEM, [SOLUTION]))
    expected = reference(policy_folder, torch.float32, PROBLEM, SOLUTION)
    assert scored.step_scores[0] == pytest.approx(expected, abs=1e-5)
    assert max(expected) - min(expected) > 0.01
    assert scored.cost.scored_cached > scored.cost.scored, "each step finds those before it in the cache"


@pytest.mark.engine
def test_searches_with_it_take_one_copy_of_the_weights_and_no_new_process(engines, loop):
    """Sampled and judged by one engine, side by side: what is sampled does not depend on it."""
    policy = engines[0]
    before, prm = set(psutil.Process().children(recursive=True)), SelfPRM(policy, "rlhflow")

    async def search():
        alone = await policy.complete(policy.prompt(PROBLEM), n=8, seed=3)
        options = dict(max_tokens=200, aggregation="min", max_steps=4)
        return alone, *await asyncio.gather(
            best_of_n(PROBLEM, policy, prm, n=8, seed=3),
            dvts(OTHER, policy, prm, n=8, seed=3, **options),
        )

    alone, sampled, tree = loop.run_until_complete(search())
    assert [c.tokens for c in sampled.completions] == [len(g.token_ids) for g in alone.generations]
    assert all(len(c.step_scores) == len(c.steps) for c in (*sampled.completions, *tree.completions))
    assert any(c.step_scores for c in tree.completions)
    assert set(psutil.Process().children(recursive=True)) <= before


@pytest.mark.engine
@pytest.mark.full
async def test_a_qwen_shaped_policys_answers_are_those_of_transformers(chat):
    prm = SelfPRM(chat)
    async with chat:
        for problem in (PROBLEM, OTHER):
            (whole,) = (await prm.score_solutions(problem, [SOLUTION])).step_scores
            expected = by_transformers(prm, problem, SOLUTION)
            assert whole == pytest.approx(expected, abs=1e-3)
            again = await prm.score_last_steps(problem, [SOLUTION])
            assert again.step_scores[0][0] == pytest.approx(expected[-1], abs=1e-3)
            assert again.cost.scored <= SHARED["block_size"], "all but the last block is in the cache"
    assert max(expected) - min(expected) > 0.01
