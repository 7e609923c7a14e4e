"""Is P_q(S) at most alpha wherever the margin of q is at most c? A proof, or a witness.

S is an upper set, so the supremum over {g(q) <= c} is on the curve g(q) = c (docs/theory.md,
"The supremum lies on a curve"). Both curves are run through by a parameter z in which P_q(S) is an
entire function, so that it can be interpolated and the error be bounded:

    difference   q2 = k sin(z)^2,  q3 = 2 k cos(z)^2,  q1 = c + q2,   k = (1 - c) / 2,
    probit       q2 = Phi(-c/2 - z^2),  q1 = Phi(c/2 - z^2),  q3 = 1 - q1 - q2.

For complex z, |P_q(S)| <= (sum |q_i|)^n, and as the q_i sum to 1, sum |q_i| = 1 + D with
D = sum (|q_i| - Re q_i). So |P_q(S)| <= exp(n D). On a panel [a, b] the interpolant in K Chebyshev
points differs from P_q(S) by at most 4 M rho^-(K-1) / (rho - 1), M the largest modulus on the
Bernstein ellipse rho (Trefethen, Approximation Theory and Approximation Practice, theorem 8.2).
Bounds of D for z = x + iy, with a = c / 2:

*difference*: |sin^2| - Re sin^2 = 2 cos(x)^2 sinh(y)^2, likewise cos^2, and q1 adds no more than q2
does, so D <= 4 k sinh(y)^2.

*probit*: z^2 = w + i v, and |phi(t + is)| = phi(t) exp(s^2/2). From Phi(t + iv) = Phi(t) +
i int_0^v phi(t + is) ds the imaginary part is at most I = |v| phi(t) e and the real part at least
R = Phi(t) - |t| phi(t) e v^2 / 2, e = exp(v^2/2), and |Phi(t + iv)| <= Phi(t) e. So Phi adds at
most I^2 / (2R) where R > 0, and at most Phi(t) e - R always. The same with
q3 = int_{-w}^{w} phi(a + t) dt gives I^2 / (2R). Where w may be near 0, with s = z^2,
q3 = 2 phi(a) s (1 + eps), |eps| <= exp(|s|^2/2) cosh(a |s|) - 1, so that
|q3| - Re q3 <= 2 phi(a) (2 y^2 + 2 |s| |eps|).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, Protocol

from flint import arb, arb_mat, arb_poly, ctx

from rsverify._core.types import MarginName
from rsverify.verification.tails import Ball, Staircase, between, binomial_tail

Point = tuple[Ball, Ball, Ball]
Answer = Literal["at most", "more", "open"]

BITS = 96
NODES = 24
TOLERANCE = 2e-3
"""Share of alpha that the interpolation of a panel may be off at first."""
ELLIPSES = (1.3, 1.5, 1.8, 2.2, 2.7, 3.3, 4.0, 4.8, 5.7, 6.7, 8.0)
HALVINGS = 12


def normal_cdf(t: Ball) -> Ball:
    """Return Phi(t)."""
    return (-t / arb(2).sqrt()).erfc() / 2


def normal_pdf(t: Ball) -> Ball:
    """Return phi(t)."""
    return (-t * t / 2).exp() / (2 * arb.pi()).sqrt()


class Curve(Protocol):
    """The q of margin c, by a parameter from `low` to `high`."""

    low: float
    high: float

    def point(self, z: Ball) -> Point:
        """Return q at the parameter z."""

    def growth(self, low: Ball, high: Ball, y: Ball) -> Ball:
        """Return an upper bound of n D over low <= Re z <= high, |Im z| <= y."""


class DifferenceCurve:
    """The q with q1 - q2 = c > 0, at least from q1 = `least` to q2 = `most`."""

    def __init__(self, n: int, c: Ball, least: float, most: float) -> None:
        self.n, self.c, self.k = n, c, (1 - c) / 2
        ends = [least - float(c.mid()), most]
        low, high = (math.asin(math.sqrt(min(max(e / float(self.k.mid()), 0), 1))) for e in ends)
        # Beyond pi / 2 the curve runs back.
        self.low = _moved_until(low, lambda z: self.point(z)[0] <= least, -1, 0.0)
        self.high = _moved_until(high, lambda z: self.point(z)[1] >= most, 1, 1.5708)

    def point(self, z: Ball) -> Point:
        """Return q at the angle z."""
        q2 = self.k * z.sin() ** 2
        return self.c + q2, q2, 2 * self.k * z.cos() ** 2

    def growth(self, low: Ball, high: Ball, y: Ball) -> Ball:  # noqa: ARG002 - the same everywhere
        """Return an upper bound of n D."""
        return self.n * 4 * self.k * y.sinh() ** 2


def _moved_until(end: float, holds: Callable[[Ball], bool], sign: int, last: float) -> float:
    """Return an end of a curve that was found in floats, moved outward until it is right.

    No further than must be: the tail may rise beyond it. `last` is right, and the furthest.
    """
    step = 1e-15
    while sign * (moved := end + sign * step) < sign * last:
        if holds(arb(moved)):
            return moved
        step *= 4
    return last


class ProbitCurve:
    """The q with probit(q1) - probit(q2) = c > 0, at least from q2 = `most` to q1 = `least`."""

    def __init__(self, n: int, c: Ball, least: float, most: float) -> None:
        self.n, self.a = n, c / 2
        quantile, a = NormalDist().inv_cdf, float(self.a.mid())
        near = -a - quantile(most) if most < 1 else 0.0
        far = a - quantile(least)
        near, far = (math.sqrt(max(s, 0.0)) for s in (near, far))
        self.low = _moved_until(near, lambda z: self.point(z)[1] >= most, -1, 0.0)
        self.high = _moved_until(far, lambda z: self.point(z)[0] <= least, 1, math.inf)

    def point(self, z: Ball) -> Point:
        """Return q at z."""
        s = z * z
        q1, q2 = normal_cdf(self.a - s), normal_cdf(-self.a - s)
        return q1, q2, normal_cdf(s - self.a) - q2

    def growth(self, low: Ball, high: Ball, y: Ball) -> Ball:
        """Return an upper bound of n D."""
        a = self.a
        x = between(low, high)
        largest = low.abs_upper().max(high.abs_upper())
        v, w = 2 * largest * y, x * x - between(arb(0), y * y)
        e = (v * v / 2).exp()
        first = _excess_of_cdf(a - w, v, e)
        second = _excess_of_cdf(-a - w, v, e)
        # The third: near the end of the curve by its series, elsewhere by its derivatives.
        s = largest**2 + y**2
        eps = (s * s / 2).exp() * (a * s).cosh() - 1
        third = 2 * normal_pdf(a) * (2 * y * y + 2 * s * eps)
        up, down = normal_pdf(a + w), normal_pdf(a - w)
        real = normal_cdf(w - a) - normal_cdf(-w - a)
        real = real - v * v / 2 * e * (abs(a + w) * up + abs(a - w) * down)
        if w > 0 and real > 0:
            third = _smaller(third, (v * e * (up + down)) ** 2 / (2 * real))
        return self.n * (first + second + third).upper()


def _excess_of_cdf(t: Ball, v: Ball, e: Ball) -> Ball:
    """Return an upper bound of |Phi(t + iv)| - Re Phi(t + iv), where e = exp(v^2/2)."""
    cdf, pdf = normal_cdf(t), normal_pdf(t)
    lost = abs(t) * pdf * e * v * v / 2
    bound = cdf * (e - 1) + lost
    real = cdf - lost
    return _smaller(bound, (v * pdf * e) ** 2 / (2 * real)) if real > 0 else bound


def _smaller(a: Ball, b: Ball) -> Ball:
    return a.upper().min(b.upper())


@dataclass(frozen=True)
class Finding:
    """What is known of the supremum: it is at most alpha, or more at `witness`, or neither."""

    answer: Answer
    witness: Point | None
    tail: Ball
    """An upper bound of the supremum where proved; the tail at the witness where refuted."""
    tails: int
    """How many tails were summed."""
    at: Ball
    """The parameter of the highest tail seen."""


@functools.cache
def _chebyshev(nodes: int) -> tuple[list[Ball], Any, float]:
    """Return the points, the matrix from values to coefficients of powers, and the Lebesgue bound.

    The interpolant of values of error at most r is off by at most r times the last one.
    """
    with ctx.workprec(4 * BITS):
        angles = [(2 * i + 1) * arb.pi() / (2 * nodes) for i in range(nodes)]
        powers = [arb_poly([1]), arb_poly([0, 1])]
        while len(powers) < nodes:
            powers.append(arb_poly([0, 2]) * powers[-1] - powers[-2])
        matrix = [[arb(0)] * nodes for _ in range(nodes)]
        for j in range(nodes):
            for i, angle in enumerate(angles):
                share = (arb(2) if j else arb(1)) / nodes * (j * angle).cos()
                for k, coefficient in enumerate(powers[j].coeffs()):
                    matrix[k][i] += share * coefficient
        return [angle.cos() for angle in angles], arb_mat(matrix), 2 + math.log(nodes)


class Proof:
    """The search for a proof that the tail of a staircase is at most alpha along a curve."""

    def __init__(self, stairs: Staircase, curve: Curve, alpha: Ball, budget: int) -> None:
        self.stairs, self.curve, self.alpha, self.budget = stairs, curve, alpha, budget
        self.level = float(alpha.mid())
        self.count = 0
        self.highest, self.at = arb(0), arb((curve.low + curve.high) / 2)
        self.bound = arb(0)
        self._last = 0.0

    def tail(self, z: Ball) -> Ball:
        """Return the tail at a parameter, and remember the highest."""
        self.count += 1
        found = self.stairs.tail(*self.curve.point(z), self.level)
        if found.mid() > self.highest.mid():
            self.highest, self.at = found, z
        return found

    def run(self) -> Finding:
        """Return what can be shown."""
        z, end, half, skipped = self.curve.low, self.curve.high, 0.1, False
        half = min(half, (end - z) / 2)
        jump = 0.0
        while z < end:
            if skipped and self._corner(z, min(end, z + jump)):
                z, jump = z + jump, 2 * jump
                continue
            half = self._fit(z, min(2 * half, (end - z) / 2))
            answer = self._panel(z, z + 2 * half, HALVINGS)
            if answer != "at most":
                witness = self.curve.point(self.at) if answer == "more" else None
                return Finding(answer, witness, self.highest, self.count, self.at)
            skipped = self._last < 0.5 * self.level
            z, jump = z + 2 * half, 8 * half
        return Finding("at most", None, self.bound, self.count, self.at)

    def _corner(self, low: float, high: float) -> bool:
        """Return whether the tail is shown small on a stretch at once, as it rises in q1 - q2."""
        one, other = self.curve.point(arb(low)), self.curve.point(arb(high))
        q1 = max(one[0], other[0], key=float)
        q2 = min(one[1], other[1], key=float)
        if not q1 + q2 < 1:
            return False
        self.count += 1
        tail = self.stairs.tail(q1, q2, 1 - q1 - q2, self.level)
        small = bool(tail < self.alpha)
        if small:
            self.bound = self.bound.max(tail.upper())
        return small

    def _error(self, low: float, high: float) -> float:
        """Return how far the interpolant on [low, high] can be off."""
        half, middle = (high - low) / 2, (high + low) / 2
        best = math.inf
        for rho in ELLIPSES:
            wide = arb(half * (rho + 1 / rho) / 2 * (1 + 1e-9))
            tall = arb(half * (rho - 1 / rho) / 2 * (1 + 1e-9))
            growth = self.curve.growth(middle - wide, middle + wide, tall)
            if growth < 500:
                size = 4 * growth.exp() * arb(rho) ** (1 - NODES) / (arb(rho) - 1)
                best = min(best, float(size.upper()) * (1 + 1e-9))
        return best

    def _fit(self, low: float, half: float) -> float:
        """Return about the largest half-width at which a panel is interpolated well."""
        while self._error(low, low + 2 * half) > TOLERANCE * self.level:
            half *= 0.85
        return half

    def _panel(self, low: float, high: float, halvings: int) -> Answer:
        """Return whether the tail is at most alpha on a panel, more at `self.at`, or open."""
        if self.count > self.budget or halvings < 0:
            return "open"
        points, matrix, lebesgue = _chebyshev(NODES)
        half, middle = (arb(high) - low) / 2, (arb(high) + low) / 2
        values = []
        for x in points:
            value = self.tail(middle + half * x)
            if value > self.alpha:
                return "more"
            values.append(value)
        rounding = lebesgue * max(float(v.rad()) for v in values)
        error = arb((self._error(low, high) + rounding) * (1 + 1e-9))
        with ctx.workprec(4 * BITS):
            column = matrix * arb_mat([[v.mid()] for v in values])
            polynomial = arb_poly([column[i, 0] for i in range(NODES)])
            answer, at, upper = self._largest(polynomial, error)
        if answer == "more" and self.tail(middle + half * at) > self.alpha:
            return "more"
        if answer != "at most":
            halves = (low, (low + high) / 2), ((low + high) / 2, high)
            for part in halves:
                found = self._panel(*part, halvings - 1)
                if found != "at most":
                    return found
            return "at most"
        self._last = float(upper)
        self.bound = self.bound.max(upper)
        return "at most"

    def _largest(self, polynomial: Any, error: Ball) -> tuple[Answer, Ball, Ball]:
        """Return whether the interpolant stays below alpha, where it does not, and its bound."""
        stack = [(arb(0), 1.0)]
        bound = arb(0)
        while stack:
            middle, radius = stack.pop()
            value, *rest = polynomial(arb_poly([middle, arb(radius)])).coeffs() or [arb(0)]
            spread = sum((abs(c) for c in rest), arb(0))
            upper = (value + spread + error).upper()
            if upper <= self.alpha:
                bound = bound.max(upper)
            elif value - error > self.alpha:
                return "more", middle, upper
            elif spread < error / 4 or radius < 1e-9:
                return "open", middle, upper
            else:
                stack += [(middle + s * radius / 2, radius / 2) for s in (-1, 1)]
        return "at most", arb(0), bound


def starting_point(stairs: Staircase, alpha: Ball) -> float:
    """Return a q1 below which P(X1 >= first step), and with it every tail, is at most alpha."""
    n, k, level = stairs.n, stairs.steps[0], float(alpha.mid())
    low, high = 0.0, k / n
    for _ in range(30):
        middle = (low + high) / 2
        if middle > 0 and binomial_tail(k, n, arb(middle), 1 - arb(middle), level) < alpha:
            low = middle
        else:
            high = middle
    return low or 1e-300


def curve_of(
    estimand: MarginName, n: int, margin: Ball, least: float = 0.5, most: float = 1.0
) -> Curve:
    """Return the curve of a margin, at least where q1 >= `least` and q2 <= `most`."""
    kind = DifferenceCurve if estimand == "difference" else ProbitCurve
    return kind(n, margin, least, most)


def prove(
    stairs: Staircase,
    estimand: MarginName,
    margin: Ball,
    alpha: Ball,
    budget: int,
    *,
    least: float = 0.0,
    most: float = 1.0,
) -> Finding:
    """Try to show that no q has a tail above `alpha` and a margin of at most `margin` > 0.

    Only q with q1 >= `least` and q2 <= `most` are asked about. From such a q of a lower margin
    moving probability 2->3 and then 3->1 reaches the curve, and leaves both true.
    """
    if stairs.steps[0] == 0 and least == 0:  # it holds (0, 0, n), nearly certain at a margin of 0
        tiny = arb(10) ** -12 / stairs.n
        return Finding("more", (tiny, tiny, 1 - 2 * tiny), arb(1), 0, arb(0))
    curve = curve_of(estimand, stairs.n, margin, max(least, starting_point(stairs, alpha)), most)
    return Proof(stairs, curve, alpha, budget).run()
