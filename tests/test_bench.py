"""The bench compares like with like: turns alternate, and each ratio says which way is better."""

import asyncio

from tts_study.bench import WARM_UP, Bench, take_turns
from tts_study.bench_remote import RemoteBench


def test_both_are_warmed_up_and_thentake_turns_with_changing_order():
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
    for told in (
        "3.0 / 2.0, ratio 1.50; 99.5% of the samples", "1.0 / 2.0, ratio 0.50", "2e-07", "both      ratio 1.00",
    ):  # fmt: skip
        assert told in str(bench)
