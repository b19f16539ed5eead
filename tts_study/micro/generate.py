"""Draw micro problems at random: balanced, seeded, and split into train, validation and test by their text alone."""

import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from tts_study.micro.problems import (
    CHAIN_LENGTHS,
    DENOMINATORS,
    LEVELS,
    MAX_VALUE,
    SUBJECTS,
    MicroProblem,
    apply,
    twelfths,
    write_polynomial,
)


def random_problem(rng: random.Random, subject: str, level: int) -> MicroProblem:
    """Draw one problem; every value on its way stays small (see `MAX_VALUE`)."""
    length = CHAIN_LENGTHS[subject][level - 1]
    if subject == "Fractions":
        return _random_fractions(rng, level, length)
    if subject == "Polynomials":
        return _random_polynomials(rng, level, length)
    value = start = rng.randint(2, MAX_VALUE)
    operations = []
    for _ in range(length):
        possible = {"+": value < MAX_VALUE, "-": value > 1, "*": 2 <= value <= MAX_VALUE // 2}
        symbol = rng.choice([symbol for symbol, ok in possible.items() if ok])
        top = {"+": MAX_VALUE - value, "-": value - 1, "*": MAX_VALUE // max(value, 1)}[symbol]
        operand = rng.randint(2 if symbol == "*" else 1, min(top, 9 if symbol == "*" else 50))
        operations.append((symbol, str(operand)))
        value = apply(value, symbol, operand)
    shown = value if subject == "Equations" else start
    return MicroProblem(subject, level, str(shown), tuple(operations))


def _random_fraction(rng: random.Random) -> str:
    """A fraction below 2 and never a whole number, so that its text always contains a slash."""
    denominator = rng.choice(DENOMINATORS)
    return str(Fraction(rng.choice([k for k in range(1, 2 * denominator) if k != denominator]), denominator))


def _random_fractions(rng: random.Random, level: int, length: int) -> MicroProblem:
    while True:
        start = _random_fraction(rng)
        total, operations = twelfths(start), []
        for _ in range(length):
            operand = _random_fraction(rng)
            part = twelfths(operand)
            symbol = rng.choice("+-" if part < total else "+")
            operations.append((symbol, operand))
            total = apply(total, symbol, part)
        if total <= MAX_VALUE:
            return MicroProblem("Fractions", level, start, tuple(operations))


def _random_polynomials(rng: random.Random, level: int, length: int) -> MicroProblem:
    while True:
        poly = _random_linear(rng)
        start, operations = write_polynomial(poly), []
        for i in range(length):
            if i == length - 1 and i > 0 and rng.random() < 0.25:
                operations.append(("*", "x"))
                break
            if rng.random() < 0.25 and max(map(abs, poly)) < 15:
                factor = rng.randint(2, 5)
                operations.append(("*", str(factor)))
                poly = tuple(c * factor for c in poly)
                continue
            other, symbol = _random_linear(rng), rng.choice("+-")
            operations.append((symbol, write_polynomial(other)))
            poly = tuple(apply(a, symbol, b) for a, b in zip(poly, other, strict=True))
            if 0 in poly:
                break
        if 0 not in poly and max(map(abs, poly)) <= MAX_VALUE:
            return MicroProblem("Polynomials", level, start, tuple(operations))


def _random_linear(rng: random.Random) -> tuple[int, ...]:
    return tuple(rng.choice((-1, 1)) * rng.randint(1, 9) for _ in range(2))


def split_of(text: str) -> str:
    """The split that a problem belongs to, decided by its text alone: the splits are disjoint by construction."""
    bucket = hashlib.sha256(text.encode()).digest()[0]
    return "test" if bucket < 16 else "validation" if bucket < 32 else "train"


def generate(split: str, seed: int | str) -> Iterator[MicroProblem]:
    """An endless stream of problems of one split; every 20 in a row contain each subject and level once, shuffled.

    Args:
        split: "train", "validation" or "test".
        seed: the stream is a function of split and seed.
    """
    rng = random.Random(f"{split}-{seed}")
    kinds = list(itertools.product(SUBJECTS, LEVELS))
    while True:
        rng.shuffle(kinds)
        for subject, level in kinds:
            while split_of((problem := random_problem(rng, subject, level)).text) != split:
                pass
            yield problem


def distinct(stream: Iterator[MicroProblem], count: int) -> list[MicroProblem]:
    """The first different problems of a stream, equally many of each subject and level.

    Args:
        stream: as `generate` gives it.
        count: how many; a multiple of 20.
    """
    share = count // (len(SUBJECTS) * len(LEVELS))
    chosen: dict[str, MicroProblem] = {}
    taken: Counter[tuple[str, int]] = Counter()
    for problem in stream:
        kind = (problem.subject, problem.level)
        if problem.text not in chosen and taken[kind] < share:
            chosen[problem.text] = problem
            taken[kind] += 1
        if len(chosen) == count:
            break
    return list(chosen.values())
