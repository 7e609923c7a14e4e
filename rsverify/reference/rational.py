"""The exact bound of p_1 − p_2 ordered by X_1 − X_2, certified in rational arithmetic.

For a rational L the tail along the curve q = (s + L, s, 1 − L − 2s) is a polynomial in s of
degree n. In the Bernstein basis of an interval it is bounded by its coefficients, whose first
and last are values of the polynomial; halving the interval (de Casteljau) brings coefficients
and values together quadratically. All arithmetic is in integers over one common denominator,
so both answers are theorems about the given L and alpha: "every tail is at most alpha" and
"this rational point has a tail above alpha".
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import comb, lcm

_MAX_DEPTH = 60


def _multiply(a: list[int], b: list[int]) -> list[int]:
    """Return the product of two polynomials given by their coefficients."""
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return out


def _times_form(a: list[int], form: tuple[int, int]) -> list[int]:
    """Return a homogeneous polynomial in (1−u, u) times the linear form (at u=0, at u=1)."""
    return _multiply(a, [form[0], form[1]])


def _powers(form: tuple[int, int], n: int) -> list[list[int]]:
    """Return the powers 0 to n of a linear form."""
    out = [[1]]
    for _ in range(n):
        out.append(_times_form(out[-1], form))
    return out


def _tail_coefficients(
    n: int, t: int, forms: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
) -> list[int]:
    """Return the coefficients of u^j (1−u)^(n−j) of P(X_1 − X_2 ≥ t) along the segment.

    `forms` are q_1, q_2, q_3 at the segment's two ends, over a common denominator D; the
    result is over D^n.
    """
    first, second, third = (_powers(form, n) for form in forms)
    total = [0] * (n + 1)
    for x2 in range(n + 1):
        m = n - x2  # votes left for classes 1 and 3
        inner = [0] * (m + 1)
        for x1 in range(max(0, t + x2), m + 1):
            product = _multiply(first[x1], third[m - x1])
            for j, value in enumerate(product):
                inner[j] += comb(m, x1) * value
        for j, value in enumerate(_multiply(second[x2], inner)):
            total[j] += comb(n, x2) * value
    return total


def _halve(b: list[int]) -> tuple[list[int], list[int]]:
    """Return Bernstein coefficients on both halves, multiplied by 2^degree (de Casteljau)."""
    n = len(b) - 1
    left, right = [b[0] << n], [b[-1] << n]
    row = b
    for k in range(1, n + 1):
        row = [x + y for x, y in pairwise(row)]  # times 2^k
        left.append(row[0] << (n - k))
        right.append(row[-1] << (n - k))
    return left, right[::-1]


def witness_above(n: int, t: int, level: Fraction, alpha: Fraction) -> Fraction | None:
    """Decide exactly whether some tail on the curve of `level` is above `alpha`.

    Parameters
    ----------
    n, t : int
        Number of trials and the observed x_1 − x_2; the tail is P(X_1 − X_2 ≥ t).
    level, alpha : Fraction
        L in [−1, 1] and the level of the test.

    Returns
    -------
    Fraction or None
        A value s with P(X_1 − X_2 ≥ t) > alpha at q = (s + L, s, 1 − L − 2s); None is a proof
        that there is no such s.

    Raises
    ------
    ArithmeticError
        If the supremum is within 4^-60 of alpha, too close to decide.
    """
    low, high = max(Fraction(0), -level), (1 - level) / 2
    ends = [
        (low + level, high + level),
        (low, high),
        (1 - level - 2 * low, 1 - level - 2 * high),
    ]
    scale = 2 * level.denominator  # a common denominator of all six ends
    forms = tuple((int(a * scale), int(b * scale)) for a, b in ends)
    plain = _tail_coefficients(n, t, (forms[0], forms[1], forms[2]))
    # plain[j] / C(n, j) are the Bernstein coefficients; the lcm keeps them integers.
    common = lcm(*(comb(n, j) for j in range(n + 1)))
    bernstein = [value * (common // comb(n, j)) for j, value in enumerate(plain)]
    # Compare with alpha·scale^n·common, in integers.
    target = alpha.numerator * scale**n * common
    bernstein = [value * alpha.denominator for value in bernstein]

    stack = [(bernstein, target, Fraction(0), Fraction(1), 0)]
    while stack:
        b, bar, start, end, depth = stack.pop()
        for value, at in ((b[0], start), (b[-1], end)):
            if value > bar:
                return low + at * (high - low)
        if max(b) <= bar:
            continue
        if depth == _MAX_DEPTH:
            raise ArithmeticError(f"the supremum at L={level} is too close to alpha={alpha}")
        left, right = _halve(b)
        middle = (start + end) / 2
        stack.append((left, bar << n, start, middle, depth + 1))
        stack.append((right, bar << n, middle, end, depth + 1))
    return None


def difference_bracket(
    n: int, t: int, alpha: Fraction, *, width: Fraction = Fraction(1, 2**31)
) -> tuple[Fraction, Fraction]:
    """Enclose the exact lower bound of p_1 − p_2 ordered by X_1 − X_2, in exact arithmetic.

    Parameters
    ----------
    n, t : int
        Number of trials and the observed x_1 − x_2.
    alpha : Fraction
        Failure probability of the bound, in (0, 1). ``Fraction(0.05)`` is the double 0.05.
    width : Fraction
        Bisection stops at this width; the default is below 1e-9.

    Returns
    -------
    lower, upper : Fraction
        Every tail on the curve of `lower` is at most alpha; some tail on the curve of `upper`
        is above it. As the supremum grows with L, θ_L lies between. Both are −1 at t = −n,
        where every outcome is in the tail.
    """
    if t == -n:
        return Fraction(-1), Fraction(-1)
    lower, upper = Fraction(-1), Fraction(1)
    while upper - lower > width:
        middle = (lower + upper) / 2
        if witness_above(n, t, middle, alpha) is None:
            lower = middle
        else:
            upper = middle
    return lower, upper
