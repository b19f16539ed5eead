"""What the simulator assumes: each number with its source; each can be overridden."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from tts_study.errors import UserError

GUESS = "assumption"
DATA_SHEET = "NVIDIA's data sheet of the H100 SXM"
BLOG = "the blog's setting"
PROFILE = "the llama profile"


def _given(value: float, source: str) -> Any:
    return field(default=value, metadata={"source": source})


@dataclass(frozen=True, kw_only=True)
class Assumptions:
    """Everything that is not computed.

    Lengths are means in tokens; shares are of what the hardware could do at best.
    """

    problems: float = _given(500, "MATH-500")
    n: float = _given(256, BLOG)
    seeds: float = _given(5, BLOG)
    prompt: float = _given(280, f"{GUESS}: system prompt, template and problem")
    steps: float = _given(10, f"{GUESS}: steps of a solution")
    step: float = _given(40, f"{GUESS}: a step; with 10 of them a solution has 400")
    longest: float = _given(2048, PROFILE + ": max_tokens")
    prm_prompt: float = _given(100, f"{GUESS}: template and problem")
    prm_turn: float = _given(12, f"{GUESS}: template around each step in RLHFlow's format")
    block: float = _given(16, PROFILE + ": block_size: only whole blocks are reused from the prefix cache")
    sequences: float = _given(256, PROFILE + ": max_num_seqs")
    tflops: float = _given(989, f"{DATA_SHEET}: dense bf16")
    terabytes: float = _given(3.35, f"{DATA_SHEET}: memory bandwidth, TB/s")
    memory: float = _given(80, f"{DATA_SHEET}: GB")
    memory_share: float = _given(0.9, PROFILE + ": policy_memory + prm_memory")
    compute_share: float = _given(0.45, f"{GUESS}: prefill and scoring")
    bandwidth_share: float = _given(0.6, f"{GUESS}: decoding")
    overhead: float = _given(5, f"{GUESS}: ms between two decoding steps")
    usd: float = _given(3, f"{GUESS}: an H100 for an hour; offers of 2 to 4 in 2026")
    start: float = _given(3, f"{GUESS}: minutes until a pair of engines is up")
    text: float = _given(4.5, f"{GUESS}: bytes of a run file for each generated token")
    storing: float = _given(20, "ms of the driver a problem, n = 256: `python -m benchmarks ray`, rounded up")
    driver: float = _given(10_000, "tokens/s that one driver sustains in a search: `python -m benchmarks driver`")

    @property
    def solution(self) -> float:
        """Tokens of a solution."""
        return self.steps * self.step


def with_overrides(assignments: Sequence[str], given: Assumptions | None = None) -> Assumptions:
    """Assumptions with some of them replaced: "usd=2.5".

    Raises:
        UserError: there is no such assumption, or the value is not a number above 0.
    """
    base = given or Assumptions()
    names = [each.name for each in fields(Assumptions)]
    values: dict[str, float] = {}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        if name not in names:
            raise UserError(f"there is no assumption {name!r}: choose one of {', '.join(names)}")
        try:
            values[name] = float(text)
        except ValueError:
            values[name] = 0.0
        if not 0 < values[name] < float("inf"):
            raise UserError(f"{name} must be a number above 0, and {text!r} is not: write NAME=VALUE")
    changed: Mapping[str, Any] = values
    return replace(base, **changed)
