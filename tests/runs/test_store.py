import gzip
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tts_study import paths
from tts_study.engines.checkpoints import describe_model
from tts_study.errors import UserError
from tts_study.records import Completion, Cost, Problem, SearchResult, Signal
from tts_study.runs import store

HEADER = {"n": 2, "seed": 0, "policy": {"model": "m", "sha256": "1"}, "settings": {"top_p": 1.0}}
TEXTS = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates, quotes, line separators and all
SCORES = st.floats(0, 1)


SIGNAL = st.builds(Signal, st.integers(1, 9), st.floats(-1e3, 0), st.floats(0, 1e3))


@st.composite
def completions(draw):
    steps = draw(st.lists(TEXTS, max_size=3).map(tuple))
    return Completion(
        steps,
        tokens=draw(st.integers(0, 9)),
        finished=draw(st.booleans()),
        step_scores=draw(st.lists(SCORES, max_size=3).map(tuple)),
        signals=draw(st.just(()) | st.lists(SIGNAL, min_size=len(steps), max_size=len(steps)).map(tuple)),
    )


@st.composite
def solved(draw):
    problems = draw(st.lists(st.builds(Problem, TEXTS, TEXTS, TEXTS, st.none() | st.integers(1, 5), st.none() | TEXTS),
                             max_size=3, unique_by=lambda problem: problem.id))  # fmt: skip
    return [
        (problem, SearchResult(problem.id, tuple(draw(st.lists(completions(), max_size=2))), Cost(*range(5))))
        for problem in problems
    ]


def written(path, pairs, header=HEADER):
    with store.writing(path, header) as writer:
        for problem, result in pairs:
            writer.append(problem, result)
    return path


def pair(name):
    return Problem(name, "1+1?", "2"), SearchResult(name, (Completion(("2",), 3, True, (0.5,)),), Cost(generated=3))


@given(pairs=solved())
def test_what_is_stored_comes_back_with_scores_to_six_digits(tmp_path_factory, pairs):
    run = store.load(written(tmp_path_factory.mktemp("run") / "run.jsonl", pairs))
    assert run.problems == tuple(problem for problem, _ in pairs)
    for (_, expected), found in zip(pairs, run.results, strict=True):
        for one, other in zip(expected.completions, found.completions, strict=True):
            assert other.step_scores == pytest.approx(one.step_scores, rel=1e-5)
            for name in ("tokens", "logprob", "confidence"):
                kept, given = ([getattr(signal, name) for signal in each.signals] for each in (other, one))
                assert kept == pytest.approx(given, rel=1e-5)
            assert replace(other, step_scores=(), signals=()) == replace(one, step_scores=(), signals=())
        assert (found.problem_id, found.cost) == (expected.problem_id, expected.cost)


def test_a_compressed_run_reads_the_same(tmp_path):
    plain = written(tmp_path / "run.jsonl", [pair("a"), pair("b")])
    packed = tmp_path / "run.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    assert store.load(packed) == store.load(plain)


def test_each_line_is_on_disk_as_soon_as_it_is_appended(tmp_path):
    path = tmp_path / "run.jsonl"
    with store.writing(path, HEADER) as writer:
        assert len(store.load(path).problems) == 0
        writer.append(*pair("a"))
        assert len(store.load(path).problems) == 1


def test_the_header_tells_versions_and_time_but_they_do_not_count(tmp_path):
    path = written(tmp_path / "run.jsonl", [pair("a")])
    header = store.load(path).header
    assert header["versions"]["torch"]
    assert header["created"]
    assert header | HEADER == header
    written(path, [pair("b")], HEADER | {"versions": {"torch": "0.1"}, "created": "long ago"})
    assert len(store.load(path).problems) == 2


def test_a_header_says_what_drew_the_samples_and_another_sampler_does_not_resume(tmp_path):
    path = tmp_path / "run.jsonl"
    with store.writing(path, HEADER) as writer:
        writer.drawn_by("gumbel-hash")  # an engine that failed before the first sample does not count
    with store.writing(path, HEADER) as writer:
        writer.drawn_by("vllm")
        writer.append(*pair("a"))
    assert store.load(path).header["sampler"] == "vllm" and store.load(path).header["versions"]
    with store.writing(path, HEADER) as writer:
        writer.drawn_by("vllm")
        with pytest.raises(UserError, match="was started with the sampler 'vllm', and this machine has 'gumbel-hash'"):
            writer.drawn_by("gumbel-hash")
    assert store.load(path).problems == (pair("a")[0],)


def test_a_run_that_does_not_name_its_sampler_was_drawn_by_ours(tmp_path):
    path = written(tmp_path / "run.jsonl", [pair("a")])
    assert "sampler" not in store.load(path).header
    with store.writing(path, HEADER) as writer:
        writer.drawn_by("gumbel-hash")
        with pytest.raises(UserError, match="started with the sampler 'gumbel-hash'"):
            writer.drawn_by("vllm")
    store.check_header(path, HEADER, HEADER | {"sampler": "gumbel-hash"})
    with pytest.raises(UserError, match="sampler is 'gumbel-hash' there and 'vllm' here"):
        store.check_header(path, HEADER, HEADER | {"sampler": "vllm"})


def test_another_run_is_refused_with_every_field_that_differs(tmp_path):
    path = written(tmp_path / "run.jsonl", [pair("a")])
    other = HEADER | {"n": 4, "policy": {"model": "m", "sha256": "2"}, "settings": {"top_p": 1.0, "beam_width": 4}}
    with pytest.raises(UserError) as error, store.writing(path, other):
        pass
    assert f"{path} contains another run: n is 2 there and 4 here" in str(error.value)
    assert "policy.sha256 is '1' there and '2' here" in str(error.value)
    assert "settings.beam_width is not given there and 4 here" in str(error.value)
    assert len(store.load(path).problems) == 1, "and nothing is lost"


def test_a_revision_that_nobody_can_tell_is_not_compared(tmp_path):
    message, without = ({"policy": {"model": "a/b", "revision": revision}} for revision in ("abc", None))
    store.check_header(tmp_path, message, without)
    with pytest.raises(UserError, match="policy.revision"):
        store.check_header(tmp_path, message, {"policy": {"model": "a/b", "revision": "def"}})


def test_a_torn_last_line_is_dropped_and_written_over(tmp_path):
    path = written(tmp_path / "run.jsonl", [pair("a"), pair("b")])
    path.write_bytes(path.read_bytes()[:-1])
    assert [problem.id for problem in store.load(path).problems] == ["a"]
    written(path, [pair("c")])
    assert [problem.id for problem in store.load(path).problems] == ["a", "c"]


@pytest.mark.parametrize("broken", ["{", "[]", "\0\0", "{}", '{"problem": {}}', '{"problem": {"x": 1}}', "[" * 99_999])
def test_a_broken_line_is_reported_with_its_number(tmp_path, broken):
    path = written(tmp_path / "run.jsonl", [pair("a"), pair("b")])
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], broken, lines[2], ""]))
    with pytest.raises(UserError) as error:
        store.load(path)
    assert f"{path}, line 3 " in str(error.value)


def test_a_problem_that_is_there_twice_is_reported(tmp_path):
    path = written(tmp_path / "run.jsonl", [pair("a"), pair("a")])
    with pytest.raises(UserError, match="line 3 repeats problem a"):
        store.load(path)


@pytest.mark.parametrize("content", [None, b"", b'{"n": 1}', b"\x1f\x8b\x08"])
def test_a_file_without_a_run_is_reported(tmp_path, content):
    path = tmp_path / "run.jsonl.gz"
    if content is not None:
        path.write_bytes(gzip.compress(content) if content[:1] != b"\x1f" else content)
    with pytest.raises(UserError, match="run.jsonl.gz"):
        store.load(path)


def test_two_writers_do_not_mix(tmp_path):
    path = tmp_path / "run.jsonl"
    with store.writing(path, HEADER):
        with pytest.raises(UserError, match="another process is writing"), store.writing(path, HEADER):
            pass


def test_a_part_of_a_run_comes_in_the_order_asked_for(tmp_path):
    run = store.load(written(tmp_path / "run.jsonl", [pair("a"), pair("b"), pair("c")]))
    part = run.of([pair("c")[0], pair("a")[0]])
    assert [result.problem_id for result in part.results] == ["c", "a"]
    with pytest.raises(UserError, match="does not contain problem a as asked here"):
        run.of([replace(pair("a")[0], answer="3")])


def test_models_of_the_project_are_named_from_it_and_pinned_by_their_weights(tmp_path, monkeypatch):
    described = []
    for place in ("here", "there"):
        folder = tmp_path / place / "data" / "micro" / "1b"
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        (folder / "README.md").write_text(place)
        monkeypatch.setattr(paths, "root", lambda place=place: tmp_path / place)
        described.append(describe_model(str(folder)))
    assert described[0] == described[1]
    assert described[0]["model"] == "data/micro/1b"
    (folder / "model.safetensors").write_bytes(b"other weights")
    assert describe_model(str(folder))["sha256"] != described[0]["sha256"]


def test_a_data_set_is_pinned_by_the_problems_asked():
    one, other = [pair("a")[0]], [replace(pair("a")[0], answer="3")]
    assert store.describe_dataset("x/y", one) == {
        "name": "x/y", "problems": 1, "sha256": store.describe_dataset("x/y", one)["sha256"]
    }  # fmt: skip
    assert store.describe_dataset("x/y", one) != store.describe_dataset("x/y", other)


def test_a_header_is_one_line_of_json(tmp_path):
    path = written(tmp_path / "run.jsonl", [])
    assert len(path.read_text().splitlines()) == 1
    assert json.loads(path.read_text())["policy"] == HEADER["policy"]


def test_seconds_are_a_mean_over_problems_unless_some_were_recorded_without(tmp_path):
    with store.writing(tmp_path / "run.jsonl", HEADER) as writer:
        writer.append(*pair("a"), seconds=1.0)
        writer.append(*pair("b"), seconds=2.0)
    run = store.load(tmp_path / "run.jsonl")
    assert run.seconds == 1.5 == run.of(run.problems[:1]).seconds
    assert store.load(written(tmp_path / "run.jsonl", [pair("c")])).seconds is None
