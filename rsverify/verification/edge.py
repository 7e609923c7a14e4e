"""The default bound where all votes are for two classes, x1 + x2 = n: a proof at Cohen's limit.

There the tail of S = {T >= T(x)} is highest at the end q3 = 0 of the curve, where it is the
binomial P(X1 >= x1), and at Cohen's limit that is alpha itself. Nothing is left to pay for the q
that the two limits exclude, each at level gamma = `LOCAL` alpha. What they cost must be shown to
vanish there.

**What is proved.** Let U_q be the outcomes that exclude q, {X1 >= k} or {X2 <= k'}, two events of
probability at most gamma each. The test that rejects q on U_q, and elsewhere by the ordering where
P_q({T >= T(x)} or U_q) <= alpha, has level alpha: what it rejects is the largest such set, united
with U_q. So the bound reaches c at x if

    P_q(S or U_q) <= alpha  for all q with g(q) <= c that x does not exclude.                (*)

Where P_q(S) is above alpha at such a q, the bound does not, and this alone refutes.

**The cost.** P(S or U_q) - P(S) is at most 2 gamma. At x3 = 0 both sets are {X1 >= something}; S
begins at x1 there, which is checked, and U_q, which does not hold x, later. So only outcomes of
U_q with X3 >= 1 are added. One of the n votes is then the third class's, and the others make the
event: P(X1 >= k, X3 >= 1) <= n q3 P(Bin(n-1, q1) >= k) <= n q3 gamma, and P(X2 <= k', X3 >= 1) <=
n q3 P(Bin(n-1, q2) <= k') <= n q3 gamma / (1 - q2). Where g(q) >= 0, q2 <= 1/2, so that the cost
is at most min(2, 4 n q3) gamma, which depends on q3 alone.

**The q of (*).** If g(q) <= c/2, the cost is at most 2 gamma, and P(S) <= alpha - 2 gamma is proved
for the margin c/2 (`supremum.prove`). If c/2 < g(q) <= c, then moving probability 2->1 keeps q3 and
with it that bound of the cost, P(S) grows, and it ends on the curve g = c; or at q2 = 0 below it,
whence 3->1 leads to the curve's end q2 = 0, where the cost counts as 2 gamma. On the curve, outside
a last panel next to q3 = 0, P(S) <= alpha - 2 gamma is proved; the end q2 = 0 is outside.

**The last panel.** Let q run along the curve to q3 = 0: dq1, dq2 > 0, and dq1 >= dq2, as they are
equal for the difference and dq1/dq2 = phi(c/2 - s) / phi(c/2 + s) >= 1 for the probit margin
(s >= 0, c > 0). With Y of n - 1 votes and P_i = P(Y and a vote for class i are in S), so that
P_1 >= P_3 >= P_2,

    dP(S) = n (dq1 (P_1 - P_3) - dq2 (P_3 - P_2)) >= n dq1 (P_1 - 2 P_3 + P_2),

and 4 n gamma q3 falls by 4 n gamma (dq1 + dq2) <= 8 n gamma dq1. So where P_1 - 2 P_3 + P_2 >=
8 gamma, tail and cost together rise to the end, where they are P(X1 >= x1), and that is compared
with alpha. The three events are upper sets, so their probabilities on the panel lie between those
at (smallest q1, largest q2) and at (largest q1, smallest q2).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from flint import arb

from rsverify._core.types import MarginName
from rsverify.verification.supremum import (
    Curve,
    Finding,
    Point,
    Proof,
    curve_of,
    normal_cdf,
    prove,
    starting_point,
)
from rsverify.verification.tails import Ball, Staircase, binomial_tail

FIRST_REST = 0.1
"""n q3 where the first last panel that is tried begins."""
PANELS = 40
"""How many lengths are tried, each half the one before."""


def end_of_curve(estimand: MarginName, margin: Ball) -> Point:
    """Return the q of a margin with q3 = 0."""
    if estimand == "difference":
        return (1 + margin) / 2, (1 - margin) / 2, arb(0)
    return normal_cdf(margin / 2), normal_cdf(-margin / 2), arb(0)


def prove_at_the_edge(
    stairs: Staircase,
    place: tuple[int, int],
    estimand: MarginName,
    margin: Ball,
    levels: tuple[Ball, Ball],
    budget: int,
    region: tuple[float, float],
) -> Finding | None:
    """Try to show (*) of the module's text for a margin c > 0; return None if it is not shown.

    Parameters
    ----------
    stairs : Staircase
        {T >= T(x)}, or a larger upper set.
    place : (int, int)
        x1 and x2, which add up to n.
    estimand : {"difference", "probit"}
        What the margin is one of.
    margin : arb
        c.
    levels : (arb, arb)
        alpha, and gamma.
    budget : int
        How many probabilities may be summed.
    region : (float, float)
        The smallest q1 and the largest q2 that x does not exclude, rounded outward.
    """
    (x1, x2), n, (alpha, gamma) = place, stairs.n, levels
    least, most = region
    if x1 + x2 != n or not stairs.holds(x1, x2) or stairs.holds(x1 - 1, x2 + 1):
        return None
    p, rest, _ = end_of_curve(estimand, margin)
    highest = binomial_tail(x1, n, p, rest, float(alpha.mid()))
    if not highest <= alpha:
        return None
    local = alpha - 2 * gamma
    curve = curve_of(estimand, n, margin, max(least, starting_point(stairs, local)), most)
    start = _last_panel(stairs, curve, estimand, (p, rest), gamma, float(alpha.mid()))
    if start is None:
        return None
    half = prove(stairs, estimand, margin / 2, local, budget, least=least, most=most)
    if half.answer != "at most":
        return None
    if estimand == "difference":
        curve.high = min(curve.high, start)
    else:
        curve.low = max(curve.low, start)
    found = Proof(stairs, curve, local, budget).run()
    if found.answer != "at most":
        return None
    tails = half.tails + found.tails
    return Finding("at most", None, found.tail.max(half.tail).max(highest), tails, found.at)


def _last_panel(
    stairs: Staircase,
    curve: Curve,
    estimand: MarginName,
    end: tuple[Ball, Ball],
    gamma: Ball,
    level: float,
) -> float | None:
    """Return where a last panel begins on which tail and cost rise to q3 = 0, if there is one."""
    n, steps = stairs.n, list(stairs.steps)
    first = _fewer_votes(n, [max(0, s - 1) for s in steps])
    second, third = _fewer_votes(n, steps[1:]), _fewer_votes(n, steps)
    outer, inner = (curve.low, math.pi / 2) if estimand == "difference" else (curve.high, 0.0)
    share = 1.0
    for _ in range(PANELS):
        # Near the end q3 is of the order of the squared distance from it.
        share /= 2
        z = inner + (outer - inner) * share
        q1, q2, q3 = curve.point(arb(z))
        if not (q3 > 0 and n * q3 < FIRST_REST):
            continue
        low = q1.lower(), end[1].upper()
        high = end[0].upper(), q2.lower()
        if not (low[0] + low[1] < 1 and high[0] + high[1] < 1):
            continue

        def tail(part: Staircase | None, q: tuple[Ball, Ball]) -> Ball:
            return arb(0) if part is None else part.tail(*q, 1 - q[0] - q[1], level)

        if tail(first, low) + tail(second, low) - 2 * tail(third, high) >= 8 * gamma:
            return z
    return None


def _fewer_votes(n: int, steps: Sequence[int]) -> Staircase | None:
    """Return a staircase of n - 1 votes, of those rows that are not empty; None if all are."""
    rows = [s for x2, s in enumerate(steps) if s <= n - 1 - x2]
    return Staircase(n - 1, rows) if rows and n > 1 else None
