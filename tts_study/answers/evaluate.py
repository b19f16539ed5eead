"""Values of SymPy expressions to 30 digits: the canonical form of what has no exact one."""

import hashlib
from fractions import Fraction

import sympy

DIGITS = 30
GUARD_DIGITS = 20
POINTS = 3
TOLERANCE = Fraction(1, 10**DIGITS)
ZERO = Fraction(1, 10**70)  # what SymPy leaves of a sum that cancels is smaller


def values(expr: sympy.Expr) -> str | None:
    """The values at fixed points, which depend on the variables' names alone; one value for a constant."""
    variables = list(expr.free_symbols)
    points = [{v: _coordinate(str(v), k) for v in variables} for k in range(POINTS if variables else 1)]
    values = [value for point in points if (value := _value(expr.xreplace(point))) is not None]
    if len(values) < len(points):
        return None
    return values[0] if len(set(values)) == 1 else "|".join(values)


def _coordinate(name: str, point: int) -> sympy.Rational:
    """A fixed rational between -3 and 3."""
    digest = hashlib.sha256(f"{name} {point}".encode()).digest()
    return sympy.Rational(int.from_bytes(digest[:4], "big") % 6000 - 3000, 1009)


def _value(number: sympy.Expr) -> str | None:
    real, imaginary = number.evalf(DIGITS + GUARD_DIGITS).as_real_imag()
    if not (real.is_Float or real.is_Rational) or not (imaginary.is_Float or imaginary.is_Rational):
        return None
    size = max(abs(real), abs(imaginary))
    if abs(imaginary) <= size * TOLERANCE:
        return _digits(real)
    if abs(real) <= size * TOLERANCE:
        return f"{_digits(imaginary)}*I"
    return f"{_digits(real)}+{_digits(imaginary)}*I"


def _digits(number: sympy.Number) -> str:
    """A real number to 30 digits, or the simple fraction that it is: cos(pi/3) must be 1/2."""
    if abs(number) < ZERO:
        return "0"
    exact = Fraction(str(sympy.Rational(number)))
    near = exact.limit_denominator(10**6)
    if abs(near - exact) <= abs(exact) * TOLERANCE and abs(exact) < 10**10:
        return str(near)
    return f"~{sympy.Float(number, DIGITS)}"
