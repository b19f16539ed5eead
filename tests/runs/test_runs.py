import asyncio
import gzip
import json
import random
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy

from tts_study import paths
from tts_study.errors import UserError
from tts_study.profiles import load_profile
from tts_study.records import Problem
from tts_study.runs import run as runs
from tts_study.runs import store
from tts_study.runs.run import problem_seed
from tts_study.runs.spec import RunSpec
from tts_study.study import Study, fresh_path

HEADER = {"n": 4, "seed": 0}
TREE = {"": ["2+3=5", "2+3=6"], "2+3=5": [r"\boxed{5}", r"\boxed{7}"], "2+3=6": [r"\boxed{6}"]}
PROBLEMS = tuple(Problem(f"test/{i}", f"What is {i}?", "5") for i in range(6))


class DicePolicy(ScriptedPolicy):
    """Draws its completions by the seed, and fails on the problems that it is given to fail on."""

    def __init__(self, failing=None) -> None:
        super().__init__(TREE)
        self.failing = failing or {}
        self.starts = self.running = self.most = 0

    async def start(self) -> None:
        self.starts += 1

    def prompt(self, problem):
        if problem.id in self.failing:
            raise self.failing[problem.id]
        return super().prompt(problem)

    async def complete(self, prefix, *, n, seed, temperature=None):
        self.running += 1
        self.most = max(self.most, self.running)
        every = await super().complete(prefix, n=3, seed=seed, temperature=temperature)
        self.running -= 1
        return replace(every, generations=tuple(random.Random(seed).choices(every.generations, k=n)))


def prm():
    return ScriptedPRM(lambda steps: 1 / (1 + len(steps[-1])))


async def search(path, problems=PROBLEMS, policy=None, strategy="best_of_n", n=4, **options):
    policy = policy or DicePolicy()
    return await run_strategy(
        strategy, problems, policy, prm(), n=n, seed=0, path=path, header=HEADER, progress=False, **options
    )


async def test_a_run_contains_every_problem_once_and_in_order(tmp_path):
    run = await search(tmp_path / "run.jsonl")
    assert run.problems == PROBLEMS
    assert [result.problem_id for result in run.results] == [problem.id for problem in PROBLEMS]
    assert all(len(result.completions) == 4 for result in run.results)
    assert all(completion.step_scores for result in run.results for completion in result.completions)


async def test_problems_run_together_give_what_each_gives_alone(tmp_path):
    together = await search(tmp_path / "run.jsonl")
    alone = [await search(tmp_path / f"{i}.jsonl", [problem]) for i, problem in enumerate(PROBLEMS)]
    assert together.results == tuple(run.results[0] for run in alone)
    assert len({result.completions for result in together.results}) > 1, "the seed of each problem is its own"


def untimed(path: Path) -> list[str]:
    """The lines of a run's problems without the seconds that they took."""
    records = [json.loads(line) for line in path.read_bytes().splitlines()[1:]]
    return [json.dumps(record | {"seconds": None, "crc32": None}) for record in records]


@settings(max_examples=60, deadline=None)
@given(part=st.floats(0, 1))
def test_a_run_cut_at_any_byte_resumes_to_the_same_results(tmp_path_factory, part):
    folder = tmp_path_factory.mktemp("cut")
    whole = asyncio.run(search(folder / "whole.jsonl"))
    content = (folder / "whole.jsonl").read_bytes()
    cut = folder / "cut.jsonl"
    cut.write_bytes(content[: round(part * len(content))])
    resumed = asyncio.run(search(cut))
    assert (resumed.problems, resumed.results) == (whole.problems, whole.results)
    assert sorted(untimed(cut)) == sorted(untimed(folder / "whole.jsonl")), "each line exactly once"


@pytest.mark.parametrize("turns", [3, 5, 8, 12])
async def test_an_interrupted_run_resumes(tmp_path, turns):
    path = tmp_path / "run.jsonl"
    task = asyncio.create_task(search(path, concurrency=2))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    before = set(store.load(path).problems)
    assert len(before) < len(PROBLEMS)
    policy = DicePolicy()
    resumed = await search(path, policy=policy)
    assert len(policy.requests) == len(PROBLEMS) - len(before), "what was done is not done again"
    assert resumed.results == (await search(tmp_path / "whole.jsonl")).results


async def test_a_complete_run_starts_no_engine(tmp_path):
    first = await search(tmp_path / "run.jsonl")
    policy = DicePolicy()
    again = await search(tmp_path / "run.jsonl", policy=policy)
    assert (policy.starts, policy.requests) == (0, [])
    assert again.results == first.results


async def test_one_failing_problem_does_not_take_the_others_with_it(tmp_path):
    path = tmp_path / "run.jsonl"
    failing = {"test/2": UserError("A prompt of 9 tokens does not fit."), "test/4": UserError("Nor does this.")}
    with pytest.raises(UserError) as error:
        await search(path, policy=DicePolicy(failing))
    assert "2 of 6 problems failed, problem test/2 first: A prompt of 9 tokens does not fit." in str(error.value)
    assert {problem.id for problem in store.load(path).problems} == {"test/0", "test/1", "test/3", "test/5"}
    assert (await search(path)).results == (await search(tmp_path / "whole.jsonl")).results


async def test_a_bug_is_not_dressed_up_as_bad_input(tmp_path):
    with pytest.raises(ZeroDivisionError):
        await search(tmp_path / "run.jsonl", policy=DicePolicy({"test/1": ZeroDivisionError()}))
    assert len(store.load(tmp_path / "run.jsonl").problems) == 5


def test_so_many_problems_are_searched_at_once_that_the_batches_are_full_and_more_where_scores_come_in_bursts():
    profile = partial(load_profile, "micro", max_num_seqs=256)
    assert runs.at_once(profile(prm_burst=0), 16) == 2 * 256 // 16
    assert runs.at_once(profile(prm_burst=0.5), 16) == 4 * 256 // 16
    assert runs.at_once(profile(prm_burst=0, policy_url="http://a,http://b"), 16) == 4 * 256 // 16
    assert runs.at_once(profile(prm_burst=0), 256) == 8, "but not so few that all wait for the same engine"


@pytest.mark.parametrize("concurrency", [1, 2, 100])
async def test_no_more_problems_run_at_once_than_allowed(tmp_path, concurrency):
    policy = DicePolicy()
    await search(tmp_path / "run.jsonl", policy=policy, concurrency=concurrency)
    assert policy.most == min(concurrency, len(PROBLEMS))


async def test_another_run_in_the_same_place_is_refused(tmp_path):
    await search(tmp_path / "run.jsonl")
    with pytest.raises(UserError, match="contains another run: seed is 0 there and 1 here"):
        await run_strategy(
            "best_of_n", PROBLEMS, DicePolicy(), prm(), n=4, seed=1,
            path=tmp_path / "run.jsonl", header=HEADER | {"seed": 1},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "n", "message"),
    [
        ("best_of_n", 0, "n must be at least 1, and 0 is not"),
        ("majority", -4, "n must be at least 1, and -4 is not"),
        ("greedy", 4, "n must be 1, and 4 is not"),
        ("best_of_m", 4, "unknown strategy 'best_of_m': choose one of greedy, majority, best_of_n, weighted_best_of_n"),
        ("beam_search", 6, "beam_search keeps n / beam_width beams: n must be a multiple of 4, and 6 is not"),
        ("dvts", 2, "dvts keeps n / beam_width beams: n must be a multiple of 4, and 2 is not"),
    ],
)
async def test_a_budget_that_a_strategy_cannot_spend_is_refused(tmp_path, strategy, n, message):
    with pytest.raises(UserError) as error:
        await search(tmp_path / "run.jsonl", strategy=strategy, n=n, options={"beam_width": 4})
    assert message in str(error.value)
    assert not (tmp_path / "run.jsonl").exists()


@given(seed=st.integers(), ids=st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_a_problems_seed_fits_63_bits_and_is_its_own(seed, ids):
    first, second = (problem_seed(seed, each) for each in ids)
    assert 0 <= first < 2**63
    assert first != second
    assert problem_seed(seed + 1, ids[0]) != first


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a data set of six problems, two policies without weights, and one recorded run."""
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    for model in ("1b", "3b", "prm"):
        (tmp_path / "data" / "micro" / model).mkdir(parents=True)
        (tmp_path / "data" / "micro" / model / "model.safetensors").write_bytes(model.encode())
    rows = [f'{{"unique_id": "{p.id}", "problem": "{p.text}", "answer": "{p.answer}"}}\n' for p in PROBLEMS]
    (tmp_path / "data" / "micro" / "test.jsonl").write_text("".join(rows))
    header = RunSpec.of(load_profile("micro"), "best_of_n", PROBLEMS, n=4).header
    plain = tmp_path / "run.jsonl"
    searched = run_strategy(
        "best_of_n", PROBLEMS, DicePolicy(), prm(), n=4, seed=0, path=plain, header=header, progress=False
    )
    asyncio.run(searched)
    recorded = tmp_path / "data" / "runs" / "micro" / "1b-best_of_n-n4-seed0.jsonl.gz"
    recorded.parent.mkdir(parents=True)
    recorded.write_bytes(gzip.compress(plain.read_bytes()))
    return tmp_path


def test_a_search_describes_its_options_and_other_runs_do_not(project):
    micro = load_profile("micro")
    header = RunSpec.of(micro, "dvts", PROBLEMS, n=8, options={"beam_width": 8, "lookahead": "1"}).header
    assert header["search"] == {"beam_width": 8, "max_steps": 40, "lookahead": 1, "aggregation": "min"}
    assert not {"search", "options"} & set(RunSpec.of(micro, "best_of_n", PROBLEMS, n=8).header)


def test_the_name_of_a_run_tells_options_that_are_not_the_profiles():
    micro = load_profile("micro", aggregation="last")
    asked = dict(n=8, seed=1)
    assert RunSpec.of(load_profile("micro"), "dvts", PROBLEMS, **asked).name == "1b-dvts-n8-seed1"
    changed = RunSpec.of(micro, "dvts", PROBLEMS, options={"beam_width": 8}, **asked)
    assert changed.name == "1b-dvts-n8-seed1-beam_width_8-aggregation_last"
    assert RunSpec.of(micro, "best_of_n", PROBLEMS, **asked).name == "1b-best_of_n-n8-seed1"
    other = load_profile("micro", prm="data/micro/8b")
    assert RunSpec.of(other, "dvts", PROBLEMS, **asked).name == "1b-dvts-n8-seed1-prm_8b"
    assert RunSpec.of(other, "majority", PROBLEMS, **asked).name == "1b-sample-n8-seed1", "which asks no PRM"


def test_a_header_does_not_mention_an_option_that_is_what_it_was_before_there_was_one(project):
    micro = load_profile("micro")
    dropped, kept = (
        RunSpec.of(micro, "beam_search", PROBLEMS, n=8, options={"drop_duplicates": drop}) for drop in (True, False)
    )
    assert set(dropped.header["search"]) == {"beam_width", "max_steps", "lookahead", "aggregation"}
    assert kept.header["search"] == dropped.header["search"] | {"drop_duplicates": False}
    assert kept.name == "1b-beam_search-n8-seed0" and kept.digest != dropped.digest
    assert dropped.name == "1b-beam_search-n8-seed0-drop_duplicates_True"
    assert dropped.header["options"]["drop_duplicates"] is True, "a remark for the reader"


def replayed(method="best_of_n", n=4, **asked):
    return Study("micro", **asked).run(method, n).run


def test_a_recorded_run_is_replayed_whole_or_in_part(project):
    assert replayed().problems == PROBLEMS
    assert replayed(n_problems=2).problems == PROBLEMS[:2]
    assert replayed(n_problems=2).results == replayed().results[:2]


def test_a_recorded_run_is_replayed_for_any_part_of_its_problems(project):
    assert replayed(dataset_ids="test/4,test/1").problems == (PROBLEMS[1], PROBLEMS[4])
    assert replayed(dataset_ids="test/4").results == replayed().results[4:5]


def test_fresh_runs_of_other_parts_or_settings_do_not_meet(project):
    paths_taken = []
    parts = [dict(n_problems=2), dict(n_problems=3), dict(dataset_ids="test/1,test/2"), dict()]
    other = project / "other.jsonl"
    other.write_text("".join(json.dumps({"problem": problem.text, "answer": "6"}) + "\n" for problem in PROBLEMS))
    settings = [dict(temperature=0.5), dict(prm="data/micro/1b"), dict(top_p=0.9), dict(dataset=str(other))]
    for part in [*parts, *settings]:
        study = Study("micro", **part)
        paths_taken.append(fresh_path(RunSpec.of(study.profile, "best_of_n", study.problems, n=4)))
    assert len(set(paths_taken)) == 8
    assert paths_taken[0].parent.name == "2-problems"


async def test_a_run_begun_with_one_sampler_does_not_resume_with_another(tmp_path):
    path, gpu = tmp_path / "run.jsonl", DicePolicy()
    await search(path, PROBLEMS[:3])
    gpu.sampler = "vllm"
    with pytest.raises(UserError, match="started with the sampler 'scripted', and this machine has 'vllm'"):
        await search(path, policy=gpu)
    assert (await search(path, PROBLEMS[:3], policy=gpu)).header["sampler"] == "scripted", "nothing is left to draw"
    assert len((await search(path)).problems) == 6


def test_a_replay_takes_what_any_sampler_drew(project):
    path = project / "data" / "runs" / "micro" / "1b-best_of_n-n4-seed0.jsonl.gz"
    lines = gzip.decompress(path.read_bytes()).split(b"\n")
    lines[0] = json.dumps(json.loads(lines[0]) | {"sampler": "vllm"}).encode()
    path.write_bytes(gzip.compress(b"\n".join(lines)))
    assert replayed().problems == PROBLEMS


def test_a_replay_imports_neither_vllm_nor_torch():
    code = (
        "import sys\n"
        "from tts_study import Study\n"
        "Study('micro', n_problems=2).run('best_of_n', 64)\n"
        "assert not {'vllm', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_replay_does_not_care_how_the_machine_is_used(project):
    assert replayed(kv_cache_gib=2, max_num_seqs=8).problems == PROBLEMS


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (dict(n=8), "no run is recorded for"),
        (dict(policy="3b"), "no run is recorded for"),
        (dict(temperature=0.5), "settings.temperature is 1.0 there and 0.5 here"),
        (dict(method="greedy"), "n must be 1"),
        (dict(seed=-1), "the seed must be at least 0, and -1 is not"),
        (dict(dataset_ids="test/9"), "no problem has the id 'test/9'"),
    ],
)
def test_a_replay_of_what_was_not_recorded_is_refused(project, asked, message):
    with pytest.raises(UserError) as error:
        replayed(**asked)
    assert message in str(error.value)


def test_a_replay_is_refused_for_a_data_set_of_another_name(project):
    data = project / "data" / "micro" / "test.jsonl"
    other = data.with_name("other.jsonl")
    other.write_bytes(data.read_bytes())
    there, here = "data/micro/test.jsonl", "data/micro/other.jsonl"
    with pytest.raises(UserError, match=f"dataset.name is '{there}' there and '{here}' here"):
        replayed(dataset=str(other))
    given = project / "data" / "runs" / "micro" / "1b-best_of_n-n4-seed0.jsonl.gz"
    assert replayed(dataset=str(other), runs=[given]).problems == PROBLEMS, "a run that is given by name is taken"


def test_a_replay_is_refused_once_weights_or_problems_have_changed(project):
    weights = project / "data" / "micro" / "1b" / "model.safetensors"
    weights.write_bytes(b"trained again")
    with pytest.raises(UserError, match="policy.sha256"):
        replayed()
    weights.write_bytes(b"1b")
    data = project / "data" / "micro" / "test.jsonl"
    data.write_text(data.read_text().replace("What is 3?", "What is three?"))
    with pytest.raises(UserError, match="does not contain problem test/3"):
        replayed()
    assert len(replayed(n_problems=3).problems) == 3
