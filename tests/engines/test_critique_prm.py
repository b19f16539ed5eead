"""A chat model that writes verdicts: what it is asked, and what becomes of what it writes."""

from types import SimpleNamespace

import family_tokenizers
import pytest

from tts_study.engines.critique_prm import CritiquePRM
from tts_study.engines.settings import PolicySettings
from tts_study.profiles import load_profile
from tts_study.prompts.prm.critique import asked, first_wrong, scores
from tts_study.records import Cost, Generation, Problem, Sampled
from tts_study.runs.engines import Engines
from tts_study.runs.spec import RunSpec

PROBLEM = Problem(id="a", text="What is 2+3?", answer="5")
STEPS = ("2+3=6", "so 6", r"\boxed{6}")


class Critic:
    """A stand-in for a policy: it writes the same verdicts to everything, and notes what it was asked."""

    def __init__(self, settings, engine):
        self.settings, self.engine, self.requests = settings, engine, engine.requests

    async def complete(self, prefix, *, n, seed, temperature=None):
        self.requests.append((self.engine.tokenizer.decode(list(prefix)), n, seed))
        written = tuple(Generation((1, 2, 3), text, "end") for text in self.engine.verdicts[:n])
        return Sampled(written, Cost(generated=3 * n, prompt=10, prompt_cached=4))


def critic(*verdicts, **settings):
    engine = SimpleNamespace(verdicts=verdicts, requests=[], tokenizer=family_tokenizers.qwen())
    return Critic(PolicySettings(model="m", system_prompt="Solve it.", **settings), engine)


@pytest.mark.parametrize(
    ("verdict", "index"),
    [
        (r"Paragraph 1 is wrong: \boxed{1}", 1),
        (r"\boxed{0}? No, it is right. \boxed{ -1 }", -1),
        (r"The last is wrong. \boxed{2}.", 2),
        (r"\boxed{3}", None),
        (r"\boxed{-2}", None),
        (r"\boxed{1.5}", None),
        ("It looks right to me.", None),
        ("", None),
    ],
)
def test_a_verdict_is_the_last_box_that_names_a_step_or_none(verdict, index):
    assert first_wrong(verdict, 3) == index


def test_a_steps_score_is_the_share_of_verdicts_that_find_no_error_up_to_it():
    verdicts = [r"\boxed{-1}", r"\boxed{1}", r"\boxed{2}", "?"]
    assert scores(verdicts, 3) == (0.75, 0.5, 0.25)
    assert scores(["?"], 2) == (0.0, 0.0)


async def test_it_is_asked_once_about_all_steps_without_the_solvers_prompt_and_its_tokens_are_counted():
    prm = CritiquePRM(critic(r"\boxed{1}", r"\boxed{-1}"), 2, owns_engine=False)
    whole = await prm.score_solutions(PROBLEM, [STEPS, (), STEPS])
    assert whole.step_scores == ((1.0, 0.5, 0.5), (), (1.0, 0.5, 0.5))
    assert whole.cost == Cost(scored=16, scored_cached=4)
    last = await prm.score_last_steps(PROBLEM, [STEPS[:2]])
    assert last.step_scores == ((0.5,),)
    (text, n, _), (shorter, _, _) = prm.engine.requests
    assert asked(PROBLEM.text, STEPS) in text and asked(PROBLEM.text, STEPS[:2]) in shorter
    assert (n, "Solve it." in text) == (2, False)
    assert "<paragraph_1>\nso 6\n</paragraph_1>" in text


async def test_a_solution_that_leaves_no_room_for_a_verdict_scores_0_and_is_not_asked_about():
    prm = CritiquePRM(critic(r"\boxed{-1}", max_model_len=64), 1, owns_engine=False)
    assert (await prm.score_solutions(PROBLEM, [STEPS])).step_scores == ((0.0, 0.0, 0.0),)
    assert not prm.engine.requests


async def test_the_policy_writes_on_its_own_engine_and_the_header_says_how_many_verdicts(policy_folder):
    engines = Engines()
    itself = load_profile("micro", policy=str(policy_folder), prm="self", prm_format="critique", prm_verdicts=3)
    policy, prm = await engines.of(itself, needs_prm=True)
    assert isinstance(prm, CritiquePRM) and (prm.engine is policy.engine, prm.k) == (True, 3)
    other = load_profile(itself, prm=str(policy_folder))
    policy, prm = await engines.of(other, needs_prm=True)
    assert isinstance(prm, CritiquePRM) and prm.engine is not policy.engine
    headers = [RunSpec.of(each, "best_of_n", [PROBLEM], n=2).header["prm"] for each in (itself, other)]
    assert [header["verdicts"] for header in headers] == [3, 3]
    assert headers[0]["asked"] == "critique" and "asked" not in headers[1]
    await engines.close()
