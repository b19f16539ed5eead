"""Damaged files, full disks and results that cannot be: one sentence each, and nothing wrong kept."""

import asyncio
import errno
import fcntl
import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_engines import ScriptedPolicy, ScriptedPRM, run_strategy

from tts_study.cli import main
from tts_study.engines.checkpoints import describe_model
from tts_study.errors import RunStopped, UserError
from tts_study.records import Completion, Cost, Node, Problem, SearchResult
from tts_study.runs import store
from tts_study.runs.export import published_rows, write
from tts_study.runs.find import find_runs
from tts_study.runs.shards import Shard

HEADER = {"n": 2, "seed": 0}
PROBLEMS = tuple(Problem(f"p{i}", f"What is {i}?", "5") for i in range(40))
SEARCHED = SearchResult(
    "p0",
    (Completion(("2+3=5", "5"), 5, True, (0.5, 0.75), leaf=1),),
    Cost(generated=9),
    (Node(None, "2+3=5", 3, 0.5, 0.5, "kept"), Node(0, "5", 2, 0.75, 0.5, "finished")),
    subtree=1,
)


def sampled(problem, **changes):
    completion = replace(Completion(("2+3=5", "5"), 5, True, (0.5, 0.75)), **changes)
    return SearchResult(problem.id, (completion,), Cost(generated=9))


def written(path, *results):
    with store.writing(path, HEADER) as writer:
        for problem, result in zip(PROBLEMS, results, strict=False):
            writer.append(problem, result)
    return path


async def search(path, problems=PROBLEMS, policy=None, header=HEADER):
    policy = policy or ScriptedPolicy({"": ["5", "6"]})
    return await run_strategy(
        "best_of_n", problems, policy, ScriptedPRM({"5": 0.9, "6": 0.1}), n=2, seed=0, path=path, header=header,
        progress=False, concurrency=4,
    )  # fmt: skip


# --- records are checked when they are read --------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_result_goes_unnoticed(tmp_path_factory, data):
    path = written(tmp_path_factory.mktemp("run") / "run.jsonl", sampled(PROBLEMS[0]), sampled(PROBLEMS[1]))
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(content.index(b"\n") + 1, len(content) - 2))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"line [23] "):
        store.load(path)


def test_a_flipped_letter_of_the_header_is_noticed_too(tmp_path):
    path = written(tmp_path / "run.jsonl", sampled(PROBLEMS[0]))
    path.write_bytes(path.read_bytes().replace(b'"seed":0', b'"seed":1', 1))
    with pytest.raises(UserError, match="line 1 is broken .its checksum does not match"):
        store.load(path)


def without_checksums(path):
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        del line["crc32"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_file_from_before_there_were_checksums_loads_and_may_be_continued(tmp_path):
    path = written(tmp_path / "run.jsonl", sampled(PROBLEMS[0]))
    run = store.load(path)
    assert store.load(without_checksums(path)) == run
    with store.writing(path, HEADER) as writer:
        writer.append(PROBLEMS[1], sampled(PROBLEMS[1]))
    assert len(store.load(path).problems) == 2


OF_COMPLETIONS = [
    ("steps", "2+3=5"), ("steps", [3]), ("steps", None), ("tokens", -5), ("tokens", 1.5), ("tokens", True),
    ("finished", 1), ("scores", [1.5]), ("scores", [float("nan")]), ("scores", ["high"]), ("scores", [[0.5]]),
    ("steps", ["2+3=5", "\ud800"]), ("thought", "\udfff"),
]  # fmt: skip
HUGE = 10**400  # a number that JSON can hold, and no table
OF_PROBLEMS = [("level", HUGE), ("id", ["a"]), ("id", 3), ("text", None), ("answer", 5), ("level", "1"), ("subject", 2)]
OF_TREES = [
    ("parent", [None, 1]), ("parent", [1, 0]), ("parent", [None, -1]), ("parent", [None, 9]), ("parent", [0, 0]),
    ("tokens", [3, -2]), ("text", ["a"]), ("text", "ab"), ("score", [0.5, 2]), ("value", [0.5, float("inf")]),
    ("fate", ["kept", "lost"]), ("fate", ["kept", ["kept"]]), ("fate", ["kept", "duplicate"]), ("twin", [None, 0]),
    ("ahead", [0, -1]), ("ahead", None), ("tokens", [3, HUGE]), ("value", [0.5, HUGE]),
]  # fmt: skip


def refused(path, record):
    header = path.read_text().splitlines()[0]
    path.write_text(f"{header}\n{json.dumps(record)}\n")
    with pytest.raises(UserError, match="line 2 is not a problem's result") as caught:
        store.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        *(("completion", *each) for each in OF_COMPLETIONS),
        *(("problem", *each) for each in OF_PROBLEMS),
        *(("tree", *each) for each in OF_TREES),
        *(("whole", *each) for each in [("leaves", [7]), ("leaves", [-1]), ("subtree", 0), ("cost", {"generated": -1}),
                                        ("cost", {"generated": HUGE}), ("subtree", HUGE), ("seconds", -1),
                                        ("seconds", float("nan")), ("seconds", "1"), ("seconds", HUGE),
                                        ("cost", [1]), ("problem", "p0"), ("tree", [])]),
    ],
)  # fmt: skip
def test_a_record_without_a_checksum_is_checked_field_by_field(tmp_path, part, name, value):
    path = without_checksums(
        written(tmp_path / "run.jsonl", sampled(PROBLEMS[0]) if part == "completion" else SEARCHED)
    )
    record = json.loads(path.read_text().splitlines()[1])
    owner = {"whole": record, "completion": record.get("completions", [None])[0]}.get(part) or record[part]
    owner[name] = value
    refused(path, record)


@pytest.mark.parametrize("name, value", [
    ("strategy", ["best_of_n"]), ("n", "4"), ("n", -3), ("shard", 3), ("dataset", []), ("dataset", {}), ("policy", {}),
    ("policy", {"model": 7}), ("prm", {"sha256": "9f"}), ("seed", -1),
])  # fmt: skip
def test_a_header_of_other_types_is_refused(tmp_path, name, value):
    path = tmp_path / "run.jsonl"
    path.write_text(json.dumps(HEADER | {name: value}) + "\n")
    with pytest.raises(UserError, match=rf"line 1 is broken .{name}(\.\w+)? cannot be"):
        store.load(path)


@pytest.mark.parametrize("damage", [b"\xff" * 60, b"\x00" * 60])
def test_a_corrupt_deflate_stream_is_one_sentence(tmp_path, damage):
    packed = bytearray(gzip.compress(written(tmp_path / "run.jsonl", *map(sampled, PROBLEMS)).read_bytes()))
    packed[40:100] = damage
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(packed)
    with pytest.raises(UserError, match="cannot read the run"):
        store.load(path)
    packed[16:40] = damage[:24]
    path.write_bytes(packed)
    with pytest.raises(UserError, match="cannot read .*run.jsonl.gz: "):
        find_runs([tmp_path])


def test_pipes_and_devices_are_refused_and_not_waited_for(tmp_path):
    pipe, device = tmp_path / "run.jsonl", tmp_path / "zero.jsonl"
    os.mkfifo(pipe)
    device.symlink_to("/dev/zero")
    for path in (pipe, device):
        with pytest.raises(UserError, match="it is a pipe, a socket or a device, not a file"):
            store.load(path)
        with pytest.raises(UserError, match="not a file"), store.writing(path, HEADER):
            pass


async def test_a_stored_problem_that_differs_from_the_one_asked_is_noticed_before_it_is_searched_again(tmp_path):
    path = tmp_path / "run.jsonl"
    await search(path)
    without_checksums(path).write_text(path.read_text().replace("What is 7?", "What ia 7?"))
    with pytest.raises(UserError, match="contains problem 'p7', which differs in the data set"):
        await search(path)
    path.write_text(path.read_text().replace("What ia 7?", "What is 7?").replace('"p7"', '"q7"'))
    with pytest.raises(UserError, match="line 2 repeats|contains problem 'q7'|contains another run"):
        await search(path, header=HEADER | {"dataset": {"name": "x"}})


@pytest.mark.parametrize(
    ("name", "value"),
    [("scores", (float("nan"),)), ("scores", (1.5,)), ("scores", ("high",)), ("steps", ("\ud800",))],
)
async def test_a_result_that_could_not_be_read_back_is_not_written(tmp_path, name, value):
    path = tmp_path / "run.jsonl"
    with store.writing(path, HEADER) as writer:
        with pytest.raises(UserError, match=f"the result of problem p0 cannot be stored: {name} cannot be"):
            writer.append(PROBLEMS[0], sampled(PROBLEMS[0], **{"step_scores" if name == "scores" else name: value}))
        writer.append(PROBLEMS[1], sampled(PROBLEMS[1]))
    assert store.load(path).problems == (PROBLEMS[1],)


# --- a full disk, and locks -------------------------------------------------------------------------------------------

FULL = """
import asyncio, resource, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from runs.test_damage import search
resource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    asyncio.run(search(Path(sys.argv[1])))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("size", [100, 1500, 4321])
def test_a_full_disk_ends_the_run_at_once_with_whole_lines_and_the_same_command_resumes_it(tmp_path, size):
    path = tmp_path / "run.jsonl"
    code = FULL.format(tests=str(Path(__file__).parents[1]), size=size)
    message = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True).stdout
    assert message.startswith("RunStopped") and "cannot write" in message and "File too large" in message, message
    content = path.read_bytes()
    assert len(content) <= size and (not content or content.endswith(b"\n"))
    before = len(store.load(path).problems) if content else 0
    policy = ScriptedPolicy({"": ["5", "6"]})
    assert asyncio.run(search(path, policy=policy)).problems == PROBLEMS
    assert len(policy.requests) == len(PROBLEMS) - before
    assert len(path.read_bytes().splitlines()) == 1 + len(PROBLEMS)


async def test_the_first_line_that_cannot_be_written_stops_the_search(tmp_path, monkeypatch):
    append, written = store.Writer.append, []

    def full(self, problem, result, seconds=None):
        if len(written) >= 5:
            raise RunStopped("cannot write (No space left on device); make room.")
        written.append(problem)
        append(self, problem, result, seconds)

    monkeypatch.setattr(store.Writer, "append", full)
    policy = ScriptedPolicy({"": ["5", "6"]})
    with pytest.raises(RunStopped, match="stopped at problem p.*No space left"):
        await search(tmp_path / "run.jsonl", policy=policy)
    assert len(policy.requests) <= 5 + 1 + 4, "and no more than what is searched at once"


def test_a_lock_that_fails_for_another_reason_than_another_process_says_so(tmp_path, monkeypatch):
    def unlockable(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unlockable)
    with pytest.raises(UserError, match="cannot lock .*No locks available.*file system that has locks"):
        written(tmp_path / "run.jsonl")


def test_a_run_that_failed_to_start_does_not_refuse_the_corrected_command(tmp_path):
    path = written(tmp_path / "run.jsonl")
    with store.writing(path, HEADER | {"seed": 1}) as writer:
        writer.append(PROBLEMS[0], sampled(PROBLEMS[0]))
    assert store.load(path).header["seed"] == 1
    with pytest.raises(UserError, match="contains another run"):
        written(path)


def test_a_header_may_be_edited_with_a_tool_for_json_and_results_may_not(tmp_path):
    path = written(tmp_path / "run.jsonl", sampled(PROBLEMS[0]))
    header, result = map(json.loads, path.read_text().splitlines())
    path.write_text(path.read_text().replace(path.read_text().splitlines()[0], json.dumps(header | {"created": "now"})))
    assert store.load(path).header["created"] == "now"
    path.write_text(f"{json.dumps(header)}\n{json.dumps(result)}\n")
    with pytest.raises(UserError, match="line 2 is broken .its checksum does not match"):
        store.load(path)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_an_export_is_there_whole_or_not_at_all(tmp_path, monkeypatch, name):
    def interrupted(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    run = store.load(written(tmp_path / "run.jsonl", sampled(PROBLEMS[0])))
    rows = published_rows(replace(run, header={"strategy": "best_of_n", "n": 1}))
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupted)
        with pytest.raises(UserError, match="cannot write .*No space left"):
            write(rows, tmp_path / "out" / name)
    assert list((tmp_path / "out").iterdir()) == [], "and nothing is in the way of the next try"
    write(rows, tmp_path / "out" / name)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_verdicts_and_merged_runs_are_there_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    answers, out = tmp_path / "answers.jsonl", tmp_path / "out"
    answers.write_text('{"answer": "2", "prediction": "3"}\n' * 2000)
    header = {"strategy": "best_of_n", "n": 1, "seed": 0, "dataset": store.describe_dataset("x/y", PROBLEMS)}
    shards = [tmp_path / f"{index}.jsonl" for index in (1, 2)]
    for index, path in enumerate(shards, start=1):
        shard = Shard(index, 2)
        with store.writing(path, header | shard.describe(PROBLEMS)) as writer:
            for problem in shard.of(PROBLEMS):
                writer.append(problem, sampled(problem))
    commands = (
        ["grade", str(answers), "--verdicts", str(out / "verdicts.jsonl")],
        ["merge", *map(str, shards), "--out", str(out / "merged.jsonl.gz")],
    )

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for command in commands:
        with monkeypatch.context() as patched:
            patched.setattr(os, "replace", full)
            assert main(command) == 2 and capsys.readouterr().err.count("\n") == 1
        assert list(out.iterdir()) == [], "and nothing is in the way of the next try"
    assert [main(command) for command in commands] == [0, 0]
    assert {path.name for path in out.iterdir()} == {"verdicts.jsonl", "merged.jsonl.gz"}


def test_weights_that_are_a_pipe_are_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="it is a pipe"):
        describe_model(str(tmp_path))
