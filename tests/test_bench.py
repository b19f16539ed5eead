"""The bench compares like with like: turns alternate, and each ratio says which way is better."""

import asyncio

from tts_study.bench import WARM_UP, Bench, _take_turns


def test_both_are_warmed_up_and_then_take_turns_with_changing_order():
    calls = []

    async def ours(work):
        calls.append(("ours", len(work)))
        return "o"

    async def plain(work):
        calls.append(("plain", len(work)))
        return "p"

    mine, others = asyncio.run(_take_turns(ours, plain, list(range(10)), repeats=2))
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
