"""The simulator against what others measured: vLLM's throughput, and search-and-learn's own hours."""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.gpu_cost.assumptions import Assumptions
from benchmarks.gpu_cost.simulator import HOUR, Pair, work
from tts_study.engines.shapes import kv_bytes, shape_of

# search-and-learn, recipes/README.md: 500 problems, n = 256, one H100: "~3 hours for Best-of-N and ~60+ hours for beam
# search and DVTS"; its configuration allows 40 rounds
THEIR_BEST_OF_N, THEIR_SEARCH = 3.0, "60+"
THEIR_ROUNDS = (10, 20, 40)

# Lambda's vllm-benchmark (benchmark_v0.md): vLLM 0.6.0 with 10 scheduler steps, H100 SXM, max-num-seqs 256, 5,000
# prompts of ShareGPT: model, GPUs, output tokens a second
MEASURED = (
    ("meta-llama/Llama-3.1-8B-Instruct", 1, 8088.35),
    ("meta-llama/Llama-3.1-70B-Instruct", 4, 3542.88),
)
PROMPT, REPLY = 220, 200  # tokens, of ShareGPT as vLLM's benchmark filters it


def measured_rates(given: Assumptions) -> list[Sequence[str]]:
    """Generated tokens a second of a policy alone, prompts read in between: as measured, and as simulated."""
    table: list[Sequence[str]] = [("policy", "GPUs", "vLLM 0.6.0, measured by Lambda", "simulated", "ratio")]
    for model, gpus, measured in MEASURED:
        shape = shape_of(model)
        moved = shape.weight_bytes + given.sequences * kv_bytes(shape, PROMPT + REPLY / 2)
        step = moved / (gpus * given.terabytes * 1e12 * given.bandwidth_share) + given.overhead / 1e3
        reading = 2 * shape.body * PROMPT / (gpus * given.tflops * 1e12 * given.compute_share)
        rate = REPLY / (REPLY * step / given.sequences + reading)
        table.append((model.split("/")[1], str(gpus), f"{measured:,.0f}", f"{rate:,.0f}", f"{rate / measured:.1f}"))
    return table


def search_and_learn(pair: Pair, given: Assumptions) -> list[Sequence[str]]:
    """Hours on one GPU for the 1b at n = 256 over 500 problems: theirs, theirs as simulated, and ours.

    Their PRM runs in transformers, at an unknown speed. It is taken from their Best-of-N, where it is the one
    unknown; their search then follows: the PRM reads every candidate whole, in every round.
    """
    sized = replace(given, problems=500, n=256)
    pair = replace(pair, given=sized)
    best = work("best_of_n", sized.n, sized)
    sampling = sized.problems * best.generated / pair.decoded / HOUR
    speed = sized.problems * best.scored / max(THEIR_BEST_OF_N - sampling, 1e-9)  # tokens an hour
    table: list[Sequence[str]] = [("", "they say", "simulated, as they do it", "simulated, as here")]
    best_of_n, search = (
        sized.problems * pair.gpu_hours(work(name, sized.n, sized)) for name in ("best_of_n", "beam_search")
    )
    table.append(("best_of_n", f"{THEIR_BEST_OF_N:.0f}", f"{THEIR_BEST_OF_N:.0f} (as set)", f"{best_of_n:.1f}"))
    for rounds in THEIR_ROUNDS:
        judged = sized.problems * sized.n * sum(_whole(sized, min(r, sized.steps)) for r in range(1, rounds + 1))
        generating = sampling * min(rounds / sized.steps, 1.0)
        table.append((
            f"beam_search, dvts: {rounds} rounds", THEIR_SEARCH, f"{generating + judged / speed:.0f}",
            f"{search:.1f}" if rounds == THEIR_ROUNDS[0] else "",
        ))  # fmt: skip
    return table


def _whole(given: Assumptions, steps: float) -> float:
    """Tokens that a PRM reads of a solution with this number of steps."""
    return given.prm_prompt + steps * (given.step + given.prm_turn)
