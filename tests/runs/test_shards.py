"""Shards of a run, merged, are the run."""

import asyncio
import json
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy

from tts_study import cli
from tts_study.errors import UserError
from tts_study.profiles import load_profile
from tts_study.records import Problem
from tts_study.runs import store
from tts_study.runs.engines import ENGINES
from tts_study.runs.recorded import given_runs, recorded
from tts_study.runs.shards import WHOLE, Shard, merge, parse_shard
from tts_study.runs.spec import RunSpec

COUNT = 3
TREE = {"": [r"\boxed{2}", r"\boxed{3}"]}
PROBLEMS = tuple(Problem(f"p{i}", f"What is {i} and one?", "2") for i in range(7))


def run_shard(folder, shard, header=None):
    whole = {"n": 2, "dataset": store.describe_dataset("x/y", PROBLEMS)} | (header or {})
    path = folder / shard.file_name()
    asyncio.run(run_strategy(
        "best_of_n", shard.of(PROBLEMS), ScriptedPolicy(TREE), ScriptedPRM({r"\boxed{2}": 0.9, r"\boxed{3}": 0.1}),
        n=2, seed=0, path=path, header=whole | shard.describe(PROBLEMS), progress=False,
    ))  # fmt: skip
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three shards, and the same run in one piece."""
    folder = tmp_path_factory.mktemp("shards")
    return [run_shard(folder, Shard(index + 1, COUNT)) for index in range(COUNT)], run_shard(folder, WHOLE)


@pytest.fixture
def shards(made, tmp_path):
    """The three shards, to be spoilt."""
    return [shutil.copy(path, tmp_path / path.name) for path in made[0]]


@given(count=st.integers(1, 9), size=st.integers(0, 40))
def test_shards_hold_every_problem_once_and_differ_by_one_at_most(count, size):
    problems = [Problem(str(i), "?", "0") for i in range(size)]
    if count > size:
        with pytest.raises(UserError, match=f"{size} problems do not make {count} shards: ask for at most {size}"):
            Shard(1, count).of(problems)
        return
    parts = [Shard(index + 1, count).of(problems) for index in range(count)]
    assert sorted((p for part in parts for p in part), key=problems.index) == problems
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize("name", ["merged.jsonl", "merged.jsonl.gz"])
def test_merged_shards_are_the_run_made_in_one_piece(made, tmp_path, order, name):
    shards, whole = made
    out = tmp_path / "new" / name
    merge([shards[i] for i in order], out)
    merged, expected = store.load(out), store.load(whole)
    assert merged.problems == PROBLEMS
    assert merged.results == expected.of(PROBLEMS).results
    store.check_header(out, merged.header, expected.header)
    assert merged.header.keys() == expected.header.keys()
    assert [path.name for path in out.parent.iterdir()] == [name], "nothing else is left behind"


def test_a_merged_run_resumes_as_the_run_that_it_is(made, tmp_path):
    merge(made[0], tmp_path / "run.jsonl")
    before = (tmp_path / "run.jsonl").read_bytes()
    run_shard(tmp_path, WHOLE)
    assert (tmp_path / "run.jsonl").read_bytes() == before


def test_missing_problems_are_named_with_the_shard_to_finish(shards, tmp_path):
    lines = shards[1].read_bytes().splitlines(keepends=True)
    shards[1].write_bytes(b"".join(lines[:1]) + lines[1][:-9])  # the last line is torn
    with pytest.raises(UserError) as error:
        merge(shards, tmp_path / "out.jsonl")
    assert str(error.value).startswith("2 of 7 problems are missing: p1, p4; finish run.shard-2-of-3.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def edited(path, **changes):
    header, *lines = path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps(json.loads(header) | changes) + "\n" + "".join(lines))


def test_files_that_are_not_the_shards_of_one_run_are_reported(made, shards, tmp_path):
    def refused(*given):
        with pytest.raises(UserError) as error:
            merge(given, tmp_path / "out.jsonl")
        return str(error.value)

    assert refused(shards[0]) == "of 3 shards, 2, 3 are not given"
    assert refused(shards[0], shards[2]) == "of 3 shards, 2 is not given"
    again = shutil.copy(shards[0], tmp_path / "again.jsonl")
    assert "are both shard 1: give each shard once" in refused(*shards, again)
    assert f"{made[1]} is not a shard: merge what" in refused(shards[0], made[1])
    assert "cannot read the run" in refused(tmp_path / "none.jsonl")
    edited(shards[2], seed=5)
    assert "contains another run: seed is 5 there and not given here" in refused(*shards)
    edited(shards[2], shard={"index": 3, "count": 4, "ids": ["p2", "p5"]})
    assert "the shards are not of one run" in refused(*shards)
    for broken in ({}, {"index": 3, "count": 3}, {"index": 0, "ids": []}, {"index": 3, "ids": [1]}):
        edited(shards[2], shard=broken and {"count": 3} | broken)
        assert "is not a shard" in refused(*shards)


def test_problems_of_another_shard_or_another_data_set_are_reported(shards, tmp_path):
    edited(shards[0], shard={"index": 1, "count": 3, "ids": ["p3", "p6"]})
    with pytest.raises(UserError, match="contains problem p0, which is another shard's"):
        merge(shards, tmp_path / "out.jsonl")
    edited(shards[0], shard={"index": 1, "count": 3, "ids": ["p6", "p3", "p0"]})
    with pytest.raises(UserError, match="not those of the data set that their headers name"):
        merge(shards, tmp_path / "out.jsonl")


def test_versions_that_differ_are_all_reported_and_an_existing_run_is_not_overwritten(shards, tmp_path):
    edited(shards[1], versions={"torch": "1.0", "vllm": "2.0"})
    merged = merge(shards, tmp_path / "out.jsonl")
    here = store.load(shards[0]).header["versions"]
    assert store.load(tmp_path / "out.jsonl").header == merged.header
    assert merged.header["versions"]["torch"] == f"1.0, {here['torch']}"
    assert merged.header["versions"]["transformers"] == here["transformers"]
    with pytest.raises(UserError, match=r"out\.jsonl exists: remove it"):
        merge(shards, tmp_path / "out.jsonl")


@pytest.mark.parametrize("text", ["", "2", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1 / 3"])
def test_a_shard_that_cannot_be_is_reported(text):
    with pytest.raises(UserError, match="a shard is written I/K, with I from 1 to K, such as 2/8, and "):
        parse_shard(text)


def test_the_commands_make_shards_and_merge_them(monkeypatch, capsys, tmp_path):
    async def of(profile, *, needs_prm):
        return ScriptedPolicy(TREE), None

    monkeypatch.setattr(ENGINES, "of", of)
    data = tmp_path / "problems.jsonl"
    rows = [{"unique_id": p.id, "problem": p.text, "answer": p.answer} for p in PROBLEMS]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ["run", "--dataset", data, "--policy", tmp_path, "--strategy", "majority", "--out", tmp_path / "out"]
    for shard in ("1/2", "2/2"):
        assert cli.main([*map(str, asked), "--shard", shard]) == 0
    files = sorted(map(str, (tmp_path / "out").glob("run.shard-*-of-2.jsonl")))
    assert cli.main(["merge", *files, "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.endswith(f"2 shards, 7 problems; the run is in {tmp_path / 'out' / 'run.jsonl'}\n")
    merged = tmp_path / "out" / "run.jsonl"
    profile = load_profile("micro", dataset=str(data), policy=str(tmp_path))
    spec = RunSpec.of(profile, "majority", PROBLEMS, n=1)
    assert recorded(spec, given_runs([merged])).problems == PROBLEMS


def test_a_merged_run_took_as_long_a_problem_as_its_shards_did_on_average(shards, tmp_path):
    taken = [store.load(path).seconds for path in shards]
    merged = merge(shards, tmp_path / "out.jsonl")
    assert merged.seconds == pytest.approx((3 * taken[0] + 2 * taken[1] + 2 * taken[2]) / 7, abs=1e-4)
