"""The bench compares like with like: turns alternate, and each ratio says which way is better."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from benchmarks import rooms
from benchmarks.engines import WARM_UP, Bench, take_turns
from benchmarks.memory import EngineMemory
from benchmarks.processor_time import Time
from benchmarks.request_clock import RequestClock
from benchmarks.search import SearchBench, Searched
from benchmarks.servers import RemoteBench
from tts_study.cli.gpu_checks.plain import lengths_of, packed
from tts_study.records import Completion, Cost, SearchResult


def test_both_are_warmed_up_and_then_take_turns_with_changing_order():
    calls = []

    async def ours(work):
        calls.append(("ours", len(work)))
        return "o"

    async def plain(work):
        calls.append(("plain", len(work)))
        return "p"

    mine, others = asyncio.run(take_turns(ours, plain, list(range(10)), repeats=2))
    assert calls == [
        ("ours", WARM_UP), ("plain", WARM_UP), ("ours", 10), ("plain", 10), ("plain", 10), ("ours", 10),
    ]  # fmt: skip
    assert [result for _, result in mine] == ["o", "o"] and [result for _, result in others] == ["p", "p"]
    assert all(seconds >= 0 for seconds, _ in mine + others)


def test_ratios_are_ours_over_plain_and_printed():
    bench = Bench(n=64, problems=100, tokens=400_000, sampling=9_000.0, plain_sampling=10_000.0, solutions=5_000,
                  scoring=11.0, plain_scoring=10.0)  # fmt: skip
    assert bench.sampling_ratio == 0.9
    assert bench.scoring_ratio == 1.1
    assert "ratio 0.90" in str(bench) and "ratio 1.10" in str(bench)


def test_the_price_of_servers_is_their_seconds_over_those_in_this_process():
    bench = RemoteBench(n=4, problems=2, tokens=100, sampling=3.0, local_sampling=2.0, scoring=1.0, local_scoring=2.0,
                        equal=0.995, deviation=2e-7)  # fmt: skip
    assert bench.ratio == 1.0
    for message in (
        "3.0 / 2.0, ratio 1.50; 99.5% of the samples", "1.0 / 2.0, ratio 0.50", "2e-07", "both      ratio 1.00",
    ):  # fmt: skip
        assert message in str(bench)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=12, unique=True))
def test_packed_texts_hold_each_prefix_once_and_none_is_longer_than_the_longest(texts):
    prefixes = {text[: i + 1] for text in texts for i in range(len(text))}
    every = packed(texts)
    assert sum(map(len, every)) == len(prefixes)
    assert all(len(text) <= max(map(len, texts)) for text in every)


def test_the_floor_of_sampling_has_each_completions_length_and_that_of_a_search_equal_parts():
    completions = tuple(Completion(("x",), tokens, True) for tokens in (3, 4, 0))
    sampled = SearchResult("p", completions, Cost(generated=7))
    assert lengths_of((1, 2), sampled) == [((1, 2), 3), ((1, 2), 4)]
    pruned_too = replace(sampled, cost=Cost(generated=11))
    assert lengths_of((1, 2), pruned_too) == [((1, 2), 4), ((1, 2), 4), ((1, 2), 3)]


def test_a_request_clock_counts_the_time_without_requests_only(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    clock = RequestClock()
    now = 2.0
    with clock.request():
        now = 5.0
        with clock.request():
            now = 6.0
        now = 7.0
    now = 10.0
    assert clock.idle() == 2.0 + 3.0
    with clock.request():
        now = 20.0
        assert clock.idle() == 2.0 + 3.0


def test_a_search_bench_tells_ratios_to_its_floor():
    cost = Cost(generated=1000, prompt=55, prompt_cached=4, scored=130)
    searched = Searched(Time(30.0, 10.0, 25.0, 15.0), (0.01, 0.25), cost, (90, 13), (), ((0,) * 100,))
    bench = SearchBench("dvts", 64, 10, searched, Time(15.0, 1.0, 14.0, 0.0), Time(5.0, 1.0, 0.0, 9.0))
    assert (bench.ratio, bench.processor_ratio) == (1.5, 2.0)
    message = str(bench)
    assert "ratio 1.50 (at most 1.6), of processor time 2.00" in message
    assert "policy    90 requests, 55 tokens of their prompts computed, 4 cached" in message
    assert "PRM       13 requests, 130 tokens computed" in message
    assert "over distinct ones 1.30" in message and "policy 1%, PRM 25%" in message
    assert "here 10.0 s, policy 25.0 s, PRM 15.0 s; floor here 2.0 s, policy 14.0 s, PRM 9.0 s" in message


def test_the_package_has_few_rooms_and_a_strategy_is_one_file():
    assert len(rooms.entries()) <= 16
    # its own file, and the micro study's table of the searches that it compares
    assert sorted(rooms.files_naming(rooms.STRATEGY)) == ["micro/claims.py", "strategies/rebase.py"]


def test_the_memory_of_engines_is_added_up_and_each_is_named():
    assert str(EngineMemory("self", (2 * 2**30,))) == "--prm self: 1 engine process, 2,048 = 2,048 MiB"
    assert str(EngineMemory("a/prm", (2**30, 2**29))) == "--prm a/prm: 2 engine processes, 1,024 + 512 = 1,536 MiB"
