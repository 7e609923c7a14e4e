"""Which vote counts stand behind published radii, and at which alpha they were computed.

A Cohen radius is σ·Φ⁻¹(p_L) with p_L the Clopper–Pearson limit of k of n votes, so the
possible radii form a lattice, one point for each k.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray, check_integer
from rsverify.bounds.margin import cohen_margin_lower
from rsverify.certificates.radius import certified_radius_r2

CANDIDATE_ALPHAS = (
    0.1,
    0.05,
    0.025,
    0.02,
    0.01,
    0.005,
    0.0025,
    0.002,
    0.001,
    0.0005,
    0.0002,
    0.0001,
    0.00001,
    0.000001,
)
"""The levels among which the likeliest is sought."""

# What a radius off the lattice costs, against one on it: such a row is all but impossible,
# but a table may hold a few that were edited or computed otherwise.
_MISFIT = 1e-6
# Relative error of a radius as others compute it, with scipy's beta and normal quantiles.
_COMPUTED = 1e-9


def printed_intervals(printed: FloatArray, digits: int | None) -> tuple[FloatArray, FloatArray]:
    """Return the reals that print as each radius, to nearest with `digits` significant digits."""
    exact = [Decimal(repr(float(r))).normalize() for r in printed]
    if any(not r.is_finite() or r <= 0 for r in exact):
        bad = next(r for r in exact if not r.is_finite() or r <= 0)
        raise ValueError(f"radius={bad} of a certified row must be positive and finite")
    shown = max((len(r.as_tuple().digits) for r in exact), default=1)
    if digits is None:
        digits = shown
    if int(check_integer("digits", digits)) < shown:
        raise ValueError(f"digits={digits} must be at least {shown}, the digits of a radius")
    # adjusted() is the exponent of the leading digit. Radii with all their digits differ by the
    # errors of whoever computed them.
    half = np.array([0.5 * 10.0 ** (r.adjusted() - digits + 1) for r in exact])
    half = np.maximum(half, _COMPUTED * printed)
    # Covers the rounding of the evaluation of both ends.
    slack = 1e-6 * half
    return printed - half - slack, printed + half + slack


def cohen_radius(votes: IntArray, n: int, sigma: float, alpha: float) -> FloatArray:
    """Return the radii that Cohen's method gives so many of n votes."""
    margin = cohen_margin_lower(votes, n, alpha, estimand="probit")
    return np.asarray(certified_radius_r2(margin, sigma))


@dataclass(frozen=True)
class LatticeFit:
    """Which vote counts give each radius, and how well all of them fit a lattice."""

    votes: IntArray
    """Smallest vote count whose radius is not below each interval."""
    possible: npt.NDArray[np.bool_]
    """Whether that radius is in the interval."""
    score: float
    """Log-likelihood against radii of any value, a continuum."""


def fit_lattice(
    low: FloatArray, high: FloatArray, n: int, sigma: float, alpha: float
) -> LatticeFit:
    """Return which radii lie on the lattice of (n, sigma, alpha), and how telling that is."""
    first = _smallest_votes(low, n, sigma, alpha)
    beyond = _smallest_votes(np.nextafter(high, np.inf), n, sigma, alpha)
    inside = beyond - first
    possible = (first <= n) & (inside > 0)
    # Of lattice points d apart, an interval of width w holds w/d on average; each one that it
    # does hold makes this lattice d/w times as likely as a continuum.
    upper = np.clip(first, 1, n)
    spacing = cohen_radius(upper, n, sigma, alpha) - cohen_radius(upper - 1, n, sigma, alpha)
    density = np.maximum(inside * spacing / (high - low), _MISFIT)
    score = float(np.log(np.where(possible, density, _MISFIT)).sum())
    return LatticeFit(votes=np.minimum(first, n), possible=possible, score=score)


def _smallest_votes(target: FloatArray, n: int, sigma: float, alpha: float) -> IntArray:
    """Return the smallest number of votes whose radius is at least each positive target.

    Where even n votes do not reach it: n + 1. By bisection, as the radius grows with votes.
    """
    below = np.zeros(target.size, dtype=np.int64)
    enough = np.full(target.size, n + 1, dtype=np.int64)
    while target.size and (enough - below > 1).any():
        middle = (below + enough) // 2
        reaches = cohen_radius(np.minimum(middle, n), n, sigma, alpha) >= target
        reaches |= middle > n
        enough = np.where(reaches, middle, enough)
        below = np.where(reaches, below, middle)
    return enough


def inconsistency(
    printed: FloatArray,
    low: FloatArray,
    high: FloatArray,
    n: int,
    sigma: float,
    stated: float,
    fit: LatticeFit,
) -> str:
    """Return the warning about radii off the lattice of the stated alpha."""
    largest = float(cohen_radius(np.array([n]), n, sigma, stated)[0])
    misfits = printed[~fit.possible]
    message = (
        f"{misfits.size} of {printed.size} radii cannot have come from alpha={stated:g} with "
        f"n={n} and sigma={sigma:g}"
    )
    if misfits.max() > largest:
        message += f" (radius {misfits.max():g} is above {largest:.4g}, that of all votes)"
    else:
        message += f" (radius {misfits.max():g} lies between two neighbouring vote counts)"
    others = {a: fit_lattice(low, high, n, sigma, a) for a in CANDIDATE_ALPHAS if a != stated}
    best = max(others, key=lambda a: others[a].score)
    if others[best].score <= fit.score:
        return message + "; no other alpha tried explains them better, so n or sigma may be wrong"
    explained = int(others[best].possible.sum())
    return (
        message
        + f"; the likeliest alpha is {best:g}, at which {explained} of {printed.size} are possible"
    )
