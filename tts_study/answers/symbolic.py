r"""LaTeX expressions to canonical forms, by math-verify's parser and SymPy. The program that `answers.worker` runs.

An expression is canonical by its value, not by a normal form that some simplification may or may not reach:

- a rational number, polynomial or rational function is brought to lowest terms: exact;
- any other number (surds, pi, logarithms, complex numbers) is its value to 30 digits;
- any other expression with variables is its values at three fixed points (`\cot x` equals `\cos x/\sin x`).

Two different values that agree to 30 digits count as equal; no answer in practice does that.
"""

import gc
import hashlib
import json
import os
import re
import signal
import sys
from fractions import Fraction
from pathlib import Path

import sympy
from latex2sympy2_extended import NormalizationConfig, latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational

from tts_study.answers.evaluate import values
from tts_study.answers.text import polynomial_form

MAX_FORM = 5000  # characters; a longer form is replaced by its hash
MAX_FACTORIAL = 20_000  # a larger one's factorial is a quantity of its own
# the caller has removed boxes and units: math-verify's own list of units holds single letters (5h would become 5)
_NORMAL = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
_CONVERSION = ConversionConfig(lowercase_symbols=False)  # R - r is not 0

_DECIMAL = re.compile(r"(?<![\d.])(?=[\d.]{12})\d+\.\d+(?![\d.])")
_INEQUALITIES = (sympy.Gt, sympy.Lt, sympy.Ge, sympy.Le)


def read(text: str) -> str | None:
    """The canonical form of one LaTeX expression; None where it cannot be read, "" where it has no value (1/0)."""
    parsed = latex2sympy(
        _DECIMAL.sub(_fraction, text), is_real=True, normalization_config=_NORMAL, conversion_config=_CONVERSION
    )
    result = _form(parsed)
    if result is not None and len(result) > MAX_FORM:
        return "hash " + hashlib.sha256(result.encode()).hexdigest()
    return result


def _fraction(decimal: re.Match[str]) -> str:
    """A decimal of many digits as a quotient: the parser's numbers are floats."""
    whole, digits = decimal[0].split(".")
    return rf"(\frac{{{int(whole + digits)}}}{{{10 ** len(digits)}}})"


def _form(parsed: sympy.Basic) -> str | None:
    if isinstance(parsed, Relational | sympy.And) and (interval := _interval(parsed)) is not None:
        return interval
    if isinstance(parsed, sympy.Ne) and (numbers := _all_but_one(parsed)) is not None:
        return numbers
    if isinstance(parsed, Relational):
        return _relation(parsed)
    if isinstance(parsed, sympy.And | sympy.Or):
        forms = [form for part in parsed.args if (form := _form(part)) is not None]
        if "" in forms:
            return ""  # a part that says nothing
        return f"{parsed.func.__name__}({';'.join(sorted(forms))})" if len(forms) == len(parsed.args) else None
    return _expression(_exact(parsed)) if isinstance(parsed, sympy.Expr) else None


def _exact(expr: sympy.Expr) -> sympy.Expr:
    """Evaluate what the parser left unevaluated: decimals are fractions, `i` is imaginary, odd roots are real."""
    decimals = {number: sympy.Rational(str(number)) for number in expr.atoms(sympy.Float)}
    letters: dict[sympy.Basic, sympy.Basic] = {sympy.I: sympy.Symbol("I", real=True)}
    letters |= {symbol: sympy.I for symbol in expr.atoms(sympy.Symbol) if symbol.name == "i"}
    letters |= {called: sympy.Symbol(str(called), real=True) for called in expr.atoms(AppliedUndef)}
    letters |= {
        huge: sympy.Symbol(f"{huge.args[0]}!", real=True) for huge in expr.atoms(sympy.factorial) if _is_huge(huge)
    }
    evaluated = expr.xreplace({**decimals, **letters}).doit()
    return evaluated.replace(_is_odd_root, lambda root: sympy.Pow(-root.base, root.exp) * (-1) ** root.exp.p)


def _is_huge(factorial: sympy.factorial) -> bool:
    return bool(factorial.args[0].is_Integer and factorial.args[0] > MAX_FACTORIAL)


def _is_odd_root(expr: sympy.Basic) -> bool:
    r"""Whether this is a root such as `\sqrt[3]{-8}`, which is -2 at school."""
    is_root = isinstance(expr, sympy.Pow) and expr.exp.is_Rational and expr.exp.q % 2 == 1 < expr.exp.q
    return is_root and bool(expr.base.is_negative)


def _interval(condition: Relational | sympy.And) -> str | None:
    r"""`2 \le x < 5` as the interval `[2;5)`; None unless it is about one variable and linear in it."""
    parts = sympy.And.make_args(condition)
    if len(condition.free_symbols) != 1 or not all(isinstance(part, _INEQUALITIES) for part in parts):
        return None
    (variable,) = condition.free_symbols
    exact = [(type(part), sympy.expand(_exact(part.lhs) - _exact(part.rhs))) for part in parts]
    if not all(side.is_polynomial(variable) and sympy.degree(side, variable) == 1 for _, side in exact):
        return None
    solutions = sympy.Intersection(*(relation(side, 0).as_set() for relation, side in exact))
    if not isinstance(solutions, sympy.Interval):
        return "{}" if solutions is sympy.S.EmptySet else None
    ends = _expression(solutions.start), _expression(solutions.end)
    return f"{'(' if solutions.left_open else '['}{';'.join(map(str, ends))}{')' if solutions.right_open else ']'}"


def _all_but_one(condition: sympy.Ne) -> str | None:
    r"""`x \ne 4` as the numbers that it allows; None unless it is about one variable and linear in it."""
    if len(condition.free_symbols) != 1:
        return None
    (variable,) = condition.free_symbols
    side = sympy.expand(_exact(condition.lhs) - _exact(condition.rhs))
    if not side.is_polynomial(variable) or sympy.degree(side, variable) != 1:
        return None
    hole = _expression(-side.subs(variable, 0) / sympy.diff(side, variable))
    return f"{{{';'.join(sorted((f'(-oo;{hole})', f'({hole};oo)')))}}}"


def _relation(relation: Relational) -> str | None:
    """As `difference (relation) 0`, scaled to lowest terms, `<` rather than `>`: 6 > 2x and x < 3 are the same."""
    left, right = _exact(relation.lhs), _exact(relation.rhs)
    if relation.rel_op in (">", ">="):
        left, right = right, left
    sign = {">": "<", ">=": "<="}.get(relation.rel_op, relation.rel_op)
    difference = sympy.expand(left - right)
    variables = sorted(difference.free_symbols, key=str)
    if not variables:
        return ""  # 1/2 = 2/4 says nothing
    if sign == "==" and (line := _solved(difference)) is not None:
        return line
    if difference.is_polynomial(*variables):
        scale = abs(sympy.Poly(difference, *variables).LC())
        difference = sympy.expand(difference / scale)
        if sign in ("==", "!=") and sympy.Poly(difference, *variables).LC().is_negative:
            difference = -difference
    result = _expression(difference)
    return f"{result} {sign} 0" if result else result


def _solved(difference: sympy.Expr) -> str | None:
    """The form of what y is, of an equation in x and y that states it; a line is the same however it is written."""
    y = next((symbol for symbol in difference.free_symbols if symbol.name == "y"), None)
    if y is None or {symbol.name for symbol in difference.free_symbols} != {"x", "y"}:
        return None
    slope = sympy.diff(difference, y)
    return None if slope.free_symbols or slope.is_zero else _expression(sympy.expand(y - difference / slope))


def _expression(expr: sympy.Expr) -> str | None:
    if expr in (sympy.oo, -sympy.oo):
        return str(expr)
    if expr.has(sympy.zoo, sympy.nan, sympy.oo, -sympy.oo):
        return ""
    return _rational_function(expr) or _rational_function(sympy.expand(expr)) or values(expr)


def _rational_function(expr: sympy.Expr) -> str | None:
    """The exact form of a quotient of polynomials with rational coefficients; None for anything else."""
    for node in sympy.preorder_traversal(expr):
        whole_power = isinstance(node, sympy.Pow) and node.exp.is_Integer
        if not (whole_power or isinstance(node, sympy.Add | sympy.Mul | sympy.Symbol | sympy.Rational)):
            return None
    variables = sorted(expr.free_symbols, key=str)
    top, bottom = (sympy.Poly(part, *variables, sympy.Dummy()) for part in sympy.fraction(sympy.cancel(expr)))
    names = [str(variable) for variable in variables]
    over = _polynomial(bottom, names, bottom.LC())
    result = _polynomial(top, names, bottom.LC())
    return result if over == "1" else f"({result})/({over})"


def _polynomial(poly: sympy.Poly, names: list[str], scale: sympy.Rational) -> str:
    terms = {}
    for exponents, coefficient in poly.terms():
        monomial = tuple((name, exponent) for name, exponent in zip(names, exponents, strict=False) if exponent)
        terms[monomial] = Fraction(str(coefficient / scale))
    return polynomial_form(terms)


# --- the program ---------------------------------------------------------------------------------------------------


def main(memory_mib: int, limit_s: float) -> None:
    """Say which limits hold, then answer each line of standard input (a JSON string) with its form (or null).

    Linux has both limits, macOS has the one of time, Windows has none: the parent then watches over the missing ones.

    Args:
        memory_mib: address space allowed beyond what is in use once everything is imported.
        limit_s: processor time that one line may take; then the SIGPROF that is not handled ends this process.
    """
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    sys.stdout = sys.stderr  # a library's print is no reply
    sys.set_int_max_str_digits(0)  # 2004! has 5,736 digits
    read(r"\frac{\sqrt{2}}{3} + x")  # fills the parser's caches, before the limits count
    gc.freeze()  # collections that looked through the parser's tables, which stay, took a quarter of the time
    gc.set_threshold(200_000)
    timed = hasattr(signal, "setitimer")
    print(json.dumps({"limits": timed and _limit_memory(memory_mib)}), file=replies, flush=True)
    for line in sys.stdin:
        if timed:
            signal.setitimer(signal.ITIMER_PROF, limit_s)
        try:
            reply = {"form": _form_or_none(json.loads(line))}
        except MemoryError:
            reply = {"over": "out of memory"}  # the parent starts another process: this one may be crippled
        if timed:
            signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reply), file=replies, flush=True)


def _form_or_none(text: str) -> str | None:
    try:
        return read(text)
    except MemoryError:
        raise
    except RecursionError:
        return ""  # nested too deeply
    except Exception:  # SymPy fails in many ways on nonsense, and each means that it has no value
        return None


def _limit_memory(memory_mib: int) -> bool:
    """Whether the address space could be limited: on Linux only."""
    pages = Path("/proc/self/statm")
    if not pages.exists():
        return False
    import resource

    limit = int(pages.read_text().split()[0]) * resource.getpagesize() + memory_mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return True


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
