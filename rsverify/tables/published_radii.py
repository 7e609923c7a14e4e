"""Which vote counts stand behind published radii, and at which alpha they were computed.

A Cohen radius is σ·Φ⁻¹(p_L) with p_L the Clopper–Pearson limit of k of n votes, so the
possible radii form a lattice, one point for each k. A printed radius is an interval
(`rsverify.tables.printed`); the smallest count in it is the one that certifies least.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray
from rsverify.bounds.margin import cohen_margin_lower
from rsverify.certificates.radius import certified_radius_r2

__all__ = ["Explanation", "LatticeFit", "Misfit", "explain", "find_misfit", "fit_lattice"]

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
"""The levels among which the likeliest is sought, beside half and twice the stated one."""

CANDIDATE_TRIALS = (
    *(100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000),
    *(100_000, 200_000, 500_000, 1_000_000),
)
"""The numbers of votes among which the likeliest is sought where no alpha explains the radii."""

CANDIDATE_SIGMAS = (
    *(0.05, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.75, 0.8),
    *(1.0, 1.25, 1.5, 2.0),
)
"""The noise levels among which the likeliest is sought where no alpha explains the radii."""

# What a radius off the lattice costs, against one on it: such a row is all but impossible,
# but a table may hold a few that were edited or computed otherwise.
_MISFIT = 1e-6
# So many times as wide as an interval, the lattice is likely to have no point in it.
_WIDE = 2.0
# The largest radii lie where the lattice is widest: so many of them tell settings apart.
_TELLING = 400
# A number of votes or a noise level is named where it explains the radii so much better, as
# a log-likelihood, than a continuum does: on a dense lattice any radius is possible.
_CONVINCING = 10.0
# Explanations whose log-likelihoods differ by less are about as good.
_ALIKE = 3.0
# What a largest radius that several rows share adds where it is the one of all votes.
_TOP = 4.0
# So large a share of the rows may have been edited or computed otherwise.
_EDITED = 0.01


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


@dataclass(frozen=True)
class Explanation:
    """Settings at which printed radii are possible."""

    n: int
    sigma: float
    alpha: float
    """Level of the one-sided Clopper–Pearson limit behind each radius."""
    possible: int = 0
    """How many of the radii are possible."""
    remark: str = ""
    """What such an alpha is, where it is a multiple of the stated one."""
    as_likely: tuple[float, ...] = ()
    """Other levels that explain the radii about as well."""


@dataclass(frozen=True)
class Misfit:
    """Why radii cannot have come from the settings stated for them, and what they do fit."""

    message: str
    """Which radii are impossible and why, and the likeliest alpha."""
    impossible: int
    """How many radii no vote count gives."""
    radii: int
    """How many there are."""
    explanation: Explanation | None
    """Settings that explain more of the radii; None where none of those tried does."""


def fit_lattice(
    low: FloatArray, high: FloatArray, n: int, sigma: float, alpha: float
) -> LatticeFit:
    """Return which radii lie on the lattice of (n, sigma, alpha), and how telling that is."""
    # A table repeats its radii: each interval is looked up once.
    pairs, places = np.unique(np.stack([low, high]), axis=1, return_inverse=True)
    first = _smallest_votes(pairs[0], n, sigma, alpha)
    beyond = _smallest_votes(np.nextafter(pairs[1], np.inf), n, sigma, alpha)
    inside = beyond - first
    possible = (first <= n) & (inside > 0)
    # Of lattice points d apart, an interval of width w holds w/d on average; one that it does
    # hold makes this lattice d/w times as likely as a continuum. Where the points are about as
    # dense as the intervals, each holds one or two, which tells nothing.
    upper = np.clip(first, 1, n)
    spacing = cohen_radius(upper, n, sigma, alpha) - cohen_radius(upper - 1, n, sigma, alpha)
    wide = spacing / (pairs[1] - pairs[0])
    each = np.where(possible, np.log(np.where(wide > _WIDE, wide, 1.0)), np.log(_MISFIT))
    places = places.reshape(low.shape)
    return LatticeFit(
        votes=np.minimum(first, n)[places],
        possible=possible[places],
        score=float(each[places].sum()),
    )


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


def least_certifying_votes(n: int, sigma: float, alpha: float) -> int:
    """Return the smallest number of votes with a positive radius, n + 1 where none has one."""
    tiny = np.array([np.finfo(np.float64).smallest_subnormal])
    return int(_smallest_votes(tiny, n, sigma, alpha)[0])


def find_misfit(
    radii: FloatArray,
    low: FloatArray,
    high: FloatArray,
    fit: LatticeFit,
    *,
    n: int,
    sigma: float,
    stated: float,
) -> Misfit | None:
    """Return what is wrong with radii at the stated settings, None where all are possible."""
    if fit.possible.all():
        return None
    largest = float(cohen_radius(np.array([n]), n, sigma, stated)[0])
    worst = float(radii[~fit.possible].max())
    impossible = int((~fit.possible).sum())
    message = (
        f"{impossible} of {radii.size} radii cannot have come from alpha={stated:g} with "
        f"n={n} and sigma={sigma:g}"
    )
    if worst > largest:
        message += f" (radius {worst:g} is above {largest:.4g}, that of all votes)"
    else:
        message += f" (radius {worst:g} lies between two neighboring vote counts)"
    best = explain(low, high, n, sigma, stated)
    return Misfit(f"{message}; {_told(best, radii.size, n, sigma)}", impossible, radii.size, best)


def _told(best: Explanation | None, radii: int, n: int, sigma: float) -> str:
    if best is None:
        return "no other alpha tried explains them better, so n or sigma may be wrong"
    share = f"{best.possible} of {radii} are possible"
    if (best.n, best.sigma) == (n, sigma):
        told = f"the likeliest alpha is {best.alpha:g}{best.remark}, at which {share}"
    else:
        told = (
            f"no other alpha tried explains them as well, so n or sigma may be wrong: {share} at "
            f"n={best.n}, sigma={best.sigma:g} and alpha={best.alpha:g}{best.remark}"
        )
    if best.as_likely:
        told += f" (about as likely: {', '.join(f'{a:g}' for a in best.as_likely)})"
    return told


def explain(
    low: FloatArray, high: FloatArray, n: int, sigma: float, stated: float
) -> Explanation | None:
    """Return the likeliest settings other than those stated, None where none is good.

    Good are settings at which all radii are possible, but for a few that may have been edited.
    """
    intervals, rows = np.unique(np.stack([low, high]), axis=1, return_counts=True)
    telling = intervals[:, -_TELLING:]

    def tried(candidates: Iterable[Explanation]) -> list[tuple[float, Explanation]]:
        return [(_score(telling, int(rows[-1]), c), c) for c in candidates]

    stated_score = _score(telling, int(rows[-1]), Explanation(n, sigma, stated))
    levels = [(s, c) for s, c in tried(_other_levels(n, sigma, stated)) if s > stated_score]
    highest = max((s for s, _ in levels), default=-np.inf)
    likely = [(s, c) for s, c in levels if s > highest - _ALIKE]
    others = tried(_other_settings(n, sigma, stated))
    convincing = max(highest, 0.0) + _CONVINCING
    if others and max(s for s, _ in others) > convincing:
        likely = [max(others, key=lambda pair: pair[0])]
    if not likely:
        return None
    # Two-sided limits first where they are about as likely as anything.
    best = max(likely, key=lambda pair: (pair[1].alpha == stated / 2, pair[0]))[1]
    possible = int(fit_lattice(low, high, best.n, best.sigma, best.alpha).possible.sum())
    if low.size - possible > _EDITED * low.size:
        return None
    alphas = tuple(c.alpha for _, c in likely if c is not best)
    return replace(best, possible=possible, as_likely=alphas)


def _score(telling: FloatArray, rows_of_largest: int, settings: Explanation) -> float:
    """Return the log-likelihood of settings, from the intervals of the largest radii."""
    low, high = telling
    score = fit_lattice(low, high, settings.n, settings.sigma, settings.alpha).score
    # Inputs on which all votes agree are common: a largest radius that several rows share is
    # more likely the largest of the lattice than another point of it.
    top = float(cohen_radius(np.array([settings.n]), settings.n, settings.sigma, settings.alpha)[0])
    is_top = rows_of_largest > 1 and low[-1] <= top <= high[-1]
    return score + (_TOP if is_top else 0.0)


def _other_levels(n: int, sigma: float, stated: float) -> Iterator[Explanation]:
    """Yield the levels to try, a multiple of the stated one before a common one beside it."""
    multiples = {
        stated / 2: f" (two-sided Clopper–Pearson limits at {stated:g})",
        stated * 2: f" (twice {stated:g})",
    }
    multiples = {a: remark for a, remark in multiples.items() if 0 < a < 1}
    for alpha, remark in multiples.items():
        yield Explanation(n, sigma, alpha, remark=remark)
    for alpha in CANDIDATE_ALPHAS:
        if not any(np.isclose(alpha, a, rtol=1e-9) for a in (stated, *multiples)):
            yield Explanation(n, sigma, alpha)


def _other_settings(n: int, sigma: float, stated: float) -> Iterator[Explanation]:
    """Yield other votes and other noise at the stated alpha, and at half of it."""
    half = f" (two-sided Clopper–Pearson limits at {stated:g})"
    for alpha, remark in ((stated, ""), (stated / 2, half)):
        for votes in CANDIDATE_TRIALS:
            if votes != n:
                yield Explanation(votes, sigma, alpha, remark=remark)
        for noise in CANDIDATE_SIGMAS:
            if noise != sigma:
                yield Explanation(n, noise, alpha, remark=remark)
