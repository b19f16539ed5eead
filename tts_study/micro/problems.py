r"""The micro world's maths problems: short chains of exact operations, in four families of five levels.

A worked instance (subject "Arithmetic", level 1)::

    problem   Start with 42, subtract 17, multiply by 3.
    solution  42-17=25

              25*3=75

              \boxed{75}

All four families read the same way: a start value and a list of operations. What differs is the kind of value:
integers ("Arithmetic"), fractions ("Fractions"), linear polynomials ("Polynomials"), or an unknown integer whose
chain has to be undone from its end ("Equations"). The level is the length of the chain, so that a policy that gets a
step right with probability p solves a level of k steps with about p^k.

Fractions and polynomials have several right ways to write the last step (`14/12` or `7/6`, `5x-3` or `-3+5x`), so
that voting and grading need an equivalence of answers and not of strings.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

SUBJECTS = ("Arithmetic", "Equations", "Fractions", "Polynomials")
LEVELS = (1, 2, 3, 4, 5)
MAX_VALUE = 99  # every integer that a solution writes stays within two digits

# operations in a chain, by subject and level
CHAIN_LENGTHS = {
    "Arithmetic": (2, 4, 6, 8, 10),
    "Equations": (2, 3, 5, 7, 9),
    "Fractions": (1, 2, 3, 4, 6),
    "Polynomials": (1, 2, 3, 4, 5),
}
PHRASES = {"+": "add", "-": "subtract", "*": "multiply by"}
INVERSE = {"+": "-", "-": "+", "*": "/"}
DENOMINATORS = (2, 3, 4, 6, 12)
COMMON_DENOMINATOR = 12

Operation = tuple[str, str]  # symbol and operand as written: ("-", "17"), ("+", "2/3"), ("-", "2x-7")


@dataclass(frozen=True)
class MicroProblem:
    """One problem with everything that a solver needs.

    Attributes:
        subject: one of `SUBJECTS`.
        level: 1 (easiest) to 5.
        start: the first value as written; the result of the chain for "Equations".
        operations: the chain, in the order of the text.
    """

    subject: str
    level: int
    start: str
    operations: tuple[Operation, ...]

    @property
    def text(self) -> str:
        """The problem as the policy reads it."""
        chain = ", ".join(f"{PHRASES[symbol]} {operand}" for symbol, operand in self.operations)
        if self.subject == "Equations":
            return f"Start with x, {chain}. The result is {self.start}. Find x."
        return f"Start with {self.start}, {chain}."


def parse_problem(text: str) -> MicroProblem:
    """Read a problem's text back; the inverse of `MicroProblem.text`.

    Raises:
        ValueError: the text is not a micro problem.
    """
    match = re.fullmatch(r"Start with (\S+), (.+?)\.(?: The result is (\d+)\. Find x\.)?", text)
    if match is None:
        raise ValueError(f"not a micro problem: {text[:80]!r}")
    start, chain, result = match.groups()
    symbols = {phrase: symbol for symbol, phrase in PHRASES.items()}
    operations = []
    for part in chain.split(", "):
        phrase, _, operand = part.rpartition(" ")
        if phrase not in symbols:
            raise ValueError(f"not a micro problem: unknown operation {part!r} in {text[:80]!r}")
        operations.append((symbols[phrase], operand))
    if result is not None:
        subject, start = "Equations", result
    else:
        subject = "Polynomials" if "x" in start else "Fractions" if "/" in start else "Arithmetic"
    lengths = CHAIN_LENGTHS[subject]
    fitting = (level for level, length in zip(LEVELS, lengths, strict=True) if length >= len(operations))
    level = next(fitting, LEVELS[-1])
    return MicroProblem(subject, level, start, tuple(operations))


# --- solving -------------------------------------------------------------------------------------------------------


def solutions(problem: MicroProblem) -> list[list[str]]:
    r"""Every accepted way to write the solution, each a list of steps; the first is the one shown as reference.

    All ways share their steps up to the last one or two, where the answer may be written in several forms.
    """
    solve = {"Arithmetic": _solve_arithmetic, "Equations": _solve_equation,
             "Fractions": _solve_fractions, "Polynomials": _solve_polynomials}[problem.subject]
    steps, endings = solve(problem)
    return [steps + ending for ending in endings]


def check_steps(problem: MicroProblem, steps: list[str]) -> list[bool]:
    """The exact step checker: a step is correct if it and all steps before it begin one of the `solutions`.

    Once a step is wrong, every later one is: a solution that contains an error stays wrong (as in PRM800K).
    """
    accepted = solutions(problem)
    return [any(steps[: i + 1] == way[: i + 1] for way in accepted) for i in range(len(steps))]


def _box(answer: str) -> str:
    return rf"\boxed{{{answer}}}"


def _solve_arithmetic(problem: MicroProblem) -> tuple[list[str], list[list[str]]]:
    value, steps = int(problem.start), []
    for symbol, operand in problem.operations:
        result = apply(value, symbol, int(operand))
        steps.append(f"{value}{symbol}{operand}={result}")
        value = result
    return steps, [[_box(str(value))]]


def _solve_equation(problem: MicroProblem) -> tuple[list[str], list[list[str]]]:
    value, steps = int(problem.start), []
    for symbol, operand in reversed(problem.operations):
        result = apply(value, INVERSE[symbol], int(operand))
        steps.append(f"{value}{INVERSE[symbol]}{operand}={result}")
        value = result
    return steps, [[_box(str(value))]]


def apply(value: int, symbol: str, operand: int) -> int:
    """The result of one operation on integers."""
    if symbol == "/":
        return value // operand  # exact by construction
    return {"+": value + operand, "-": value - operand, "*": value * operand}[symbol]


def _solve_fractions(problem: MicroProblem) -> tuple[list[str], list[list[str]]]:
    total = twelfths(problem.start)
    steps = [f"{problem.start}={total}/12"]
    for symbol, operand in problem.operations:
        part = twelfths(operand)
        result = apply(total, symbol, part)
        steps.append(f"{operand}={part}/12, {total}{symbol}{part}={result}")
        total = result
    reduced = str(Fraction(total, COMMON_DENOMINATOR))
    unreduced = f"{total}/12"
    if reduced == unreduced:
        return steps, [[_box(reduced)]]
    return steps, [[f"{unreduced}={reduced}", _box(reduced)], [_box(unreduced)]]


def twelfths(fraction: str) -> int:
    """How many twelfths a fraction is."""
    return int(Fraction(fraction) * COMMON_DENOMINATOR)


def _solve_polynomials(problem: MicroProblem) -> tuple[list[str], list[list[str]]]:
    poly: tuple[int, ...] = _read_linear(problem.start)
    steps: list[str] = []
    written = problem.start
    for symbol, operand in problem.operations:
        if symbol == "*" and operand == "x":
            poly = (*poly, 0)
        elif symbol == "*":
            poly = tuple(c * int(operand) for c in poly)
        else:
            other = _read_linear(operand)
            poly = tuple(apply(a, symbol, b) for a, b in zip(poly, other, strict=True))
        right = operand if symbol == "*" else f"({operand})"
        steps.append(f"({written}){symbol}{right}={write_polynomial(poly)}")
        written = write_polynomial(poly)
    ways = dict.fromkeys((written, write_polynomial(poly, ascending=True)))
    return steps, [[_box(way)] for way in ways]


def _read_linear(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(-?\d*)x([+-]\d+)", text)
    if match is None:
        raise ValueError(f"not a micro problem: {text[:80]!r} is not a linear polynomial")
    slope, intercept = match.groups()
    return int(slope + "1" if slope in ("", "-") else slope), int(intercept)


def write_polynomial(coefficients: tuple[int, ...], ascending: bool = False) -> str:
    """Write a polynomial without zero terms, highest power first: (5, -3, 0) is `5x^2-3x`."""
    degree = len(coefficients) - 1
    terms = []
    for power, c in zip(range(degree, -1, -1), coefficients, strict=True):
        if c:
            variable = "" if power == 0 else "x" if power == 1 else f"x^{power}"
            size = "" if abs(c) == 1 and variable else str(abs(c))
            terms.append(("-" if c < 0 else "+") + size + variable)
    return "".join(reversed(terms) if ascending else terms).removeprefix("+") or "0"
