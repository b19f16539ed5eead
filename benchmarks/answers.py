"""How reliably answers are read and compared: what `python -m benchmarks answers` prints.

Each measurement takes gold answers and returns what it found, ready to print.
"""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from math_verify import parse, verify

from benchmarks.answer_kinds import kinds, kinds_lines, slowest, slowest_lines
from benchmarks.answer_rewrites import damages, mutate, rewritings
from tts_study import answers, paths
from tts_study.errors import UserError
from tts_study.problems.files import read_jsonl
from tts_study.strategies.selection import NO_ANSWER


def run_bench(path: Path | None, *, fuzzed: int, seed: int) -> None:
    """Print everything that is measured, on the distinct gold answers of a file.

    Raises:
        UserError: a line of the file has no answer, or there are none.
    """
    path = path or paths.data() / "micro" / "test.jsonl"
    golds = load_golds(path)
    print(f"{len(golds)} distinct gold answers of {path}")
    groups = merged(golds)
    print(f"counted as equal: {len(groups)} groups of them", *(f"  {', '.join(group)}" for group in groups), sep="\n")
    print(*rewritten(golds).lines("equal to their rewritings"), sep="\n")
    print(*damaged(golds).lines("unequal to what only looks like them"), sep="\n", flush=True)
    print(*slowest_lines(slowest(golds)), sep="\n", flush=True)
    print(*speed(golds, problems=500, n=256, seed=seed).lines(), sep="\n", flush=True)
    print(*fuzz(golds, fuzzed, seed=seed).lines(), sep="\n")


def bench_cases(path: Path) -> None:
    """Print how many cases of each kind are judged as by hand, here and by math-verify, and the slowest of them."""
    print(*kinds_lines(kinds(path)), sep="\n", flush=True)
    texts = [text for _, row in read_jsonl(path) for text in (row["answer"], row.get("prediction")) if text]
    print(*slowest_lines(slowest(texts)), sep="\n")


def load_golds(path: Path) -> list[str]:
    """The distinct gold answers of a JSONL file.

    Raises:
        UserError: a line has no answer, or there are none.
    """
    golds: dict[str, None] = {}
    for place, row in read_jsonl(path):
        if not isinstance(row.get("answer"), str):
            raise UserError(f'{place}: a line needs the text "answer"')
        golds[answers.gold(row["answer"])] = None
    if not golds:
        raise UserError(f"{path} contains no answers")
    return list(golds)


@dataclass(frozen=True)
class Changes:
    """Verdicts on changed answers.

    Attributes:
        tried: how many of each kind.
        failures: (kind, answer, changed) where the verdict is wrong.
    """

    tried: Counter[str]
    failures: tuple[tuple[str, str, str], ...]

    def lines(self, what: str) -> list[str]:
        """The rate and every failure."""
        total = self.tried.total()
        right = total - len(self.failures)
        rate = f"{what}: {right} of {total} ({right / max(total, 1):.2%}), {len(self.tried)} kinds of change"
        return [rate, *(f"  {kind}: {answer!r} and {changed!r}" for kind, answer, changed in self.failures)]


def rewritten(golds: Sequence[str]) -> Changes:
    """Is each answer equal to its rewritings?"""
    changed = [(kind, gold, text) for gold in golds for kind, text in rewritings(gold)]
    failures = tuple(each for each in changed if not answers.equivalent(each[1], each[2]))
    return Changes(Counter(kind for kind, _, _ in changed), failures)


def damaged(golds: Sequence[str]) -> Changes:
    """Is each answer unequal to what only looks like it?"""
    changed = [(kind, gold, text) for gold in golds for kind, text in damages(gold)]
    failures = tuple(each for each in changed if answers.equivalent(each[1], each[2]))
    return Changes(Counter(kind for kind, _, _ in changed), failures)


def merged(golds: Sequence[str]) -> list[list[str]]:
    """The groups of distinct gold answers that are equal, for a reader to judge."""
    groups: dict[int, list[str]] = {}
    for gold, number in zip(golds, answers.group(golds), strict=True):
        groups.setdefault(number, []).append(gold)
    return [group for number, group in groups.items() if len(group) > 1 or number == NO_ANSWER]


@dataclass
class Fuzzed:
    """Results for mutated answers.

    Attributes:
        mutants: how many there were.
        distinct: how many different texts among them.
        groups: how many different answers.
        dropped: how many texts were no answer, by reason.
        slowest: the longest that one took, in seconds, and its text.
        broken: what breaks reflexivity, symmetry, transitivity or repeatability; nothing should.
        seconds: the time for all of it.
    """

    mutants: int
    distinct: int = 0
    groups: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def lines(self) -> list[str]:
        """A summary, and everything that is broken."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.most_common())
        return [
            f"fuzz: {self.mutants:,} mutated answers ({self.distinct:,} distinct, {self.groups:,} values) in "
            f"{self.seconds:.0f} s, no crash; {len(self.broken)} break equality",
            f"  no answer: {reasons}",
            f"  slowest: {self.slowest[0]:.1f} s for {self.slowest[1]!r}",
            *(f"  broken: {text}" for text in self.broken),
        ]


def fuzz(golds: Sequence[str], mutants: int, *, seed: int = 0) -> Fuzzed:
    """Read mutated answers, and check that equality stays an equivalence relation that can be repeated."""
    rng, begin = random.Random(seed), time.monotonic()
    texts = list(dict.fromkeys(mutate(rng.choice(golds), rng.choice(golds), rng) for _ in range(mutants)))
    found = Fuzzed(mutants, distinct=len(texts))
    forms: dict[str, str | None] = {}
    for text in texts:
        start = time.monotonic()
        forms[text] = answers.canonical(text)
        found.slowest = max(found.slowest, (time.monotonic() - start, text))
        if forms[text] is None:
            found.dropped[answers.why_unreadable(text) or "unknown"] += 1
    numbers = answers.group(texts)
    found.groups = len(set(numbers) - {NO_ANSWER})
    found.broken = _broken(texts, numbers, rng) + _unrepeated(forms, rng)
    found.seconds = time.monotonic() - begin
    return found


def _broken(texts: Sequence[str], numbers: Sequence[int], rng: random.Random) -> list[str]:
    """Pairs within up to 5,000 groups and as many pairs of any two texts whose equality is not that of their groups."""
    groups: dict[int, list[str]] = {}
    for text, number in zip(texts, numbers, strict=True):
        groups.setdefault(number, []).append(text)
    equal = [group for number, group in groups.items() if number != NO_ANSWER and len(group) > 1]
    rng.shuffle(equal)
    pairs = [(a, b, True) for group in equal[:5000] for a, b in combinations(rng.sample(group, min(3, len(group))), 2)]
    for _ in range(5000):
        i, j = rng.randrange(len(texts)), rng.randrange(len(texts))
        pairs.append((texts[i], texts[j], i == j or numbers[i] == numbers[j] != NO_ANSWER))
    wrong = [(a, b) for a, b, same in pairs if not answers.equivalent(a, b) == answers.equivalent(b, a) == same]
    return [f"{a!r} and {b!r}" for a, b in wrong]


def _unrepeated(forms: dict[str, str | None], rng: random.Random) -> list[str]:
    """Of 2,000 texts those whose form is another one when a new worker is asked, in another order."""
    sample = rng.sample(sorted(forms), min(2000, len(forms)))
    answers.forget()
    return [f"{text!r}, read again" for text in sample if answers.canonical(text) != forms[text]]


def imitate(golds: Sequence[str], problems: int, n: int, *, seed: int = 0) -> list[tuple[str, list[str]]]:
    """`n` answers to each of some problems, as a model might give them.

    A few answers make up most of the votes and a long tail the rest: every problem has its own distribution over the
    gold answer, answers that are nearly it, and answers that are a mutation of it. One in ten is written unusually.
    """
    rng = random.Random(seed)
    made = []
    for _ in range(problems):
        gold = rng.choice(golds)
        near = [text for _, text in damages(gold)]
        odd = [mutate(gold, rng.choice(golds), rng) for _ in range(rng.randrange(40))]
        values = [gold, *rng.sample(near + odd, len(near + odd))]
        weights = [1 / (rank + 1) ** 1.5 for rank in range(len(values))]
        drawn = rng.choices(values, weights, k=n)
        written = {value: [text for _, text in rewritings(value)] for value in set(drawn)}
        made.append((gold, [rng.choice(written[value]) if rng.random() < 0.1 else value for value in drawn]))
    return made


@dataclass(frozen=True)
class Speed:
    """Seconds for grading and grouping all answers, and for math-verify on each pair as estimated from a sample."""

    count: int
    distinct: int
    correct: float
    seconds: float
    again: float
    sample: int
    math_verify: float

    def lines(self) -> list[str]:
        """The times and their ratio."""
        return [
            f"speed: {self.count:,} answers ({self.distinct:,} distinct texts, {self.correct:.0%} correct) graded and "
            f"grouped in {self.seconds:.1f} s, a second time in {self.again:.1f} s",
            f"  math-verify on each pair: {self.math_verify:.0f} s (estimated from {self.sample:,} of them), "
            f"{self.math_verify / self.seconds:.0f} times as long",
        ]


def speed(golds: Sequence[str], problems: int, n: int, *, sample: int = 1000, seed: int = 0) -> Speed:
    """Time grading and grouping of imitated completions, from nothing known, the worker's start included."""
    made = imitate(golds, problems, n, seed=seed)
    answers.forget()
    seconds, correct = _grade_all(made)
    again, _ = _grade_all(made)
    pairs = [(gold, text) for gold, texts in made for text in texts]
    chosen = random.Random(seed).sample(pairs, min(sample, len(pairs)))
    begin = time.process_time()
    for gold, text in chosen:
        verify(parse(f"${gold}$", parsing_timeout=1), parse(f"${text}$", parsing_timeout=1), timeout_seconds=1)
    estimated = (time.process_time() - begin) / len(chosen) * len(pairs)
    distinct = len({text for _, text in pairs})
    return Speed(len(pairs), distinct, correct / len(pairs), seconds, again, len(chosen), estimated)


def _grade_all(made: Sequence[tuple[str, list[str]]]) -> tuple[float, int]:
    begin = time.monotonic()
    correct = 0
    for gold, texts in made:
        number, *numbers = answers.group([gold, *texts])
        correct += sum(each == number for each in numbers)
    return time.monotonic() - begin, correct
