"""Tokens, memory and time of a search on GPUs, from lengths and rates: a simulator of a page.

Tokens of one problem, with n completions of S steps of t tokens each, on engines with a prefix cache of blocks of b:

- best_of_n: n · S · t are generated; the prompt is read once, and each further request reads half a block of it again
  (the last one, not full, is not shared). The PRM reads every solution once, template included.
- beam_search, dvts: S rounds of n candidates, n · S · t are generated, however many subtrees there are: a beam that is
  pruned is replaced by another one's copy, and one that finished costs no more. Each request reads half a block again,
  and so does the PRM, which otherwise reads only what is new.

Time. A decoding step reads the weights and the KV cache of its batch once, at a share of the bandwidth, and takes a
fixed time besides; reading tokens takes 2 FLOPs a weight, at a share of the peak. The policy and the PRM share GPUs, so
their times add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gpu_cost.assumptions import Assumptions
from tts_study.engines.shapes import Shape, kv_bytes
from tts_study.records import Cost
from tts_study.runs.published import depends
from tts_study.runs.store import Run
from tts_study.strategies import SEARCHES

GPU_COUNTS = (1, 2, 4, 8)  # that a pair of engines may span
LEAST_BATCH = 64  # sequences that a pair must have room for
HOUR = 3600.0


@dataclass(frozen=True)
class Work:
    """What one problem takes: tokens that are really computed, and rounds that wait for each other."""

    generated: float
    read: float
    scored: float
    rounds: float


def work(strategy: str, n: float, given: Assumptions) -> Work:
    """The work of a problem by the lengths that are assumed."""
    generated, turn = n * given.solution, given.step + given.prm_turn
    if SEARCHES[strategy].smaller_n != "samples":
        requests = n * given.steps
        scored = given.prm_prompt + requests * (turn + given.block / 2)
        return Work(generated, given.prompt + requests * given.block / 2, scored, given.steps)
    return Work(generated, given.prompt + n * given.block / 2, n * (given.prm_prompt + given.steps * turn), 1)


def recorded_work(run: Run, n: float) -> Work:
    """The work of a problem as a run counted it, on average, scaled to `n`."""
    total = sum((result.cost for result in run.results), Cost())
    share = n / run.header["n"] / len(run.results)
    longest = [max(len(c.steps) for c in result.completions) for result in run.results if result.completions]
    rounds = sum(longest) / len(longest) if depends(run.header["strategy"]) else 1
    return Work(total.generated * share, total.prompt * share, total.scored * share, rounds)


@dataclass(frozen=True)
class Pair:
    """A policy and a PRM that share GPUs.

    Attributes:
        policy: the policy's shape.
        prm: the PRM's.
        given: rates and sizes.
    """

    policy: Shape
    prm: Shape
    given: Assumptions

    @property
    def gpus(self) -> int:
        """The fewest GPUs on which both fit, with a batch."""
        return next((count for count in GPU_COUNTS if self.room(count) >= LEAST_BATCH), GPU_COUNTS[-1])

    @property
    def batch(self) -> float:
        """Sequences that are decoded at once: as many as asked for, or as fit the KV cache."""
        return min(self.given.sequences, self.room(self.gpus))

    def sequence_bytes(self) -> float:
        """KV cache of one whole sequence, in both models."""
        given = self.given
        judged = given.prm_prompt + given.steps * (given.step + given.prm_turn)
        return kv_bytes(self.policy, given.prompt + given.solution) + kv_bytes(self.prm, judged)

    def room(self, gpus: int) -> float:
        """Whole sequences for which this number of GPUs has room besides the weights."""
        free = gpus * self.given.memory * 1e9 * self.given.memory_share
        return (free - self.policy.weight_bytes - self.prm.weight_bytes) / self.sequence_bytes()

    def step_seconds(self) -> float:
        """One decoding step of a whole batch, each sequence half done."""
        given, batch = self.given, self.batch
        moved = self.policy.weight_bytes + batch * kv_bytes(self.policy, given.prompt + given.solution / 2)
        moving = moved / (self.gpus * given.terabytes * 1e12 * given.bandwidth_share)
        return max(moving, batch * self._read_seconds(self.policy, head=True)) + given.overhead / 1e3

    def _read_seconds(self, shape: Shape, *, head: bool = False) -> float:
        """One token read by a model that has the GPUs to itself."""
        flops = 2 * (shape.body + (shape.head if head else 0))
        return flops / (self.gpus * self.given.tflops * 1e12 * self.given.compute_share)

    @property
    def decoded(self) -> float:
        """Tokens a second that the policy generates."""
        return self.batch / self.step_seconds()

    @property
    def read(self) -> float:
        """Prompt tokens a second that the policy reads."""
        return 1 / self._read_seconds(self.policy)

    @property
    def scored(self) -> float:
        """Tokens a second that the PRM reads."""
        return 1 / self._read_seconds(self.prm)

    def gpu_hours(self, work: Work) -> float:
        """GPU-hours of one problem's work, of all GPUs of the pair."""
        seconds = work.generated / self.decoded + work.read / self.read + work.scored / self.scored
        return self.gpus * seconds / HOUR

    def slowest(self) -> float:
        """Hours that a problem takes at least, however many GPUs there are: its longest solution, token by token."""
        return self.given.longest * self.step_seconds() / HOUR


def study_work(given: Assumptions) -> dict[str, list[Work]]:
    """One seed of the study: what it runs on each problem, by strategy.

    Best-of-N and DVTS give every smaller n by subsampling; beam search needs a run for each.
    """
    budgets = [given.n]
    while budgets[-1] >= 16:
        budgets.append(budgets[-1] / 4)
    return {
        "best_of_n": [work("best_of_n", given.n, given)],
        "beam_search": [work("beam_search", n, given) for n in budgets],
        "dvts": [work("dvts", given.n, given)],
    }


def hours(pair: Pair, works: Sequence[Work]) -> float:
    """GPU-hours of some runs over all problems."""
    return pair.given.problems * sum(pair.gpu_hours(each) for each in works)


def wall_hours(pairs: Sequence[Pair], gpu_hours: Sequence[float], gpus: int) -> float:
    """Hours on a number of GPUs: each pair's runs one after another, on as many copies of the pair as fit."""
    each = zip(pairs, gpu_hours, strict=True)
    busy = [hours / (gpus // pair.gpus * pair.gpus) for pair, hours in each]
    return sum(busy) + sum(pair.slowest() + pair.given.start / 60 for pair in pairs)
