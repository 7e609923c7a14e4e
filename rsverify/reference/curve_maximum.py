"""The largest tail of a staircase on a curve g(q) = L, by scipy on a grid that is refined.

An independent second way for `rsverify.kernels.margin.supremum`: the tail is a sum of
incomplete beta functions, the curve is described by an angle (in which a step is a step in the
tail's natural unit), and the maximum is searched for, not enclosed. Both ends of the curve are
points of the grid. Good to some 1e-12 of the tail for n up to a few hundred.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import betainc, ndtr, ndtri, xlogy
from scipy.special import gammaln as log_gamma

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

POINTS_PER_UNIT = 2.0  # grid points for a Fisher length of 1
REFINED_PEAKS = 3
REFINEMENTS = 9
REFINED_POINTS = 9


def laplace_cdf(z: npt.ArrayLike) -> FloatArray:
    """Return the distribution function of the Laplace distribution, in floats."""
    tail = 0.5 * np.exp(-np.abs(z))
    return np.asarray(np.where(np.asarray(z) < 0.0, tail, 1.0 - tail))


def laplace_ppf(p: npt.ArrayLike) -> FloatArray:
    """Return its inverse, in floats."""
    p = np.asarray(p)
    with np.errstate(divide="ignore"):
        tail = np.log(2.0 * np.minimum(p, 1.0 - p))
    return np.asarray(np.where(p < 0.5, tail, -tail))


def curve_points(limit: float, share: FloatArray, estimand: str) -> FloatArray:
    """Return q1, q2, q3 at shares in [0, 1] of the way from the curve's low to its high end.

    The smaller of q1 and q2 is its largest possible value times sin^2 of an angle; at share 1,
    q1 + q2 = 1.
    """
    fraction = np.sin(0.5 * np.pi * share) ** 2
    if estimand == "difference":
        small = 0.5 * (1.0 - abs(limit)) * fraction
        large = small + abs(limit)
        rest = (1.0 - abs(limit)) * np.cos(0.5 * np.pi * share) ** 2
    else:
        # The larger one is Phi(|L| / 2) times sin^2, so that points lie even in it too.
        cdf, ppf = (laplace_cdf, laplace_ppf) if estimand == "laplace" else (ndtr, ndtri)
        large = cdf(0.5 * abs(limit)) * fraction
        with np.errstate(divide="ignore"):
            small = np.minimum(cdf(ppf(large) - abs(limit)), large)
        rest = np.maximum(1.0 - large - small, 0.0)
    rest = np.where(share >= 1.0, 0.0, rest)
    first, second = (large, small) if limit >= 0.0 else (small, large)
    return np.stack([first, second, rest])


def tails(steps: IntArray, q: FloatArray) -> FloatArray:
    """Return P(X1 >= steps[X2]) at each column of q, a sum over X2 of incomplete betas."""
    n = steps.size - 1
    rows = np.flatnonzero(steps <= n - np.arange(n + 1))
    least = np.maximum(steps[rows], 0)[:, None]
    trials = (n - rows)[:, None]
    first, second, rest = q
    others = first + rest
    choose = log_gamma(n + 1) - log_gamma(rows + 1) - log_gamma(n - rows + 1)
    row = np.exp(choose[:, None] + xlogy(rows[:, None], second) + xlogy(trials, others))
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(others > 0.0, first / others, 0.0)
    upper = betainc(np.maximum(least, 1), trials - least + 1, ratio)
    return np.asarray((row * np.where(least > 0, upper, 1.0)).sum(axis=0))


def piece_shares(
    limit: float, estimand: str, least: float, most: float
) -> tuple[float, float] | None:
    """Return the shares of the way between which q1 >= `least` and q2 <= `most`, if any are.

    Found by bisection: both probabilities rise with the share.
    """
    ends = []
    for row, level in ((0, least), (1, most)):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = 0.5 * (low + high)
            inside = curve_points(limit, np.array([middle]), estimand)[row, 0] >= level
            low, high = (low, middle) if inside else (middle, high)
        ends.append((low, high))
    first = 0.0 if least <= 0.0 else ends[0][0]
    last = 1.0 if most >= 1.0 else ends[1][1]
    if curve_points(limit, np.array([1.0]), estimand)[0, 0] < least or first > last:
        return None
    return first, last


def curve_maximum(
    steps: IntArray, limit: float, estimand: str, least: float = 0.0, most: float = 1.0
) -> tuple[float, float]:
    """Return the largest tail found on the curve g(q) = limit, and its share of the way.

    Only the piece with q1 >= `least` and q2 <= `most` is looked at; 0 where there is none.
    """
    n = steps.size - 1
    piece = piece_shares(limit, estimand, least, most)
    if piece is None:
        return 0.0, 1.0
    points = int(np.ceil(POINTS_PER_UNIT * np.pi * np.sqrt(n))) + 8
    share = np.linspace(piece[0], piece[1], points)
    if estimand == "laplace":  # the place of its kink, where the larger probability is 1/2
        kink = np.arcsin(np.sqrt(0.5 / laplace_cdf(0.5 * abs(limit)))) / (0.5 * np.pi)
        share = np.sort(np.append(share, np.clip(kink, *piece)))
    values = tails(steps, curve_points(limit, share, estimand))
    at = int(np.argmax(values))
    best, where = float(values[at]), float(share[at])
    padded = np.concatenate([[-np.inf], values, [-np.inf]])
    peaks = np.flatnonzero((values >= padded[:-2]) & (values >= padded[2:]))
    for i in peaks[np.argsort(-values[peaks])][:REFINED_PEAKS]:
        ends = share[max(i - 1, 0)], share[i], share[min(i + 1, share.size - 1)]
        # There may be a maximum on either side of a kink.
        cells = [ends[:2], ends[1:]] if estimand == "laplace" else [(ends[0], ends[2])]
        for low, high in cells:
            found = _refined(steps, limit, estimand, low, high)
            best, where = max((best, where), found)
    return best, where


def _refined(
    steps: IntArray, limit: float, estimand: str, low: float, high: float
) -> tuple[float, float]:
    """Return the largest tail found between two shares, and its share."""
    best, where = -np.inf, low
    for _ in range(REFINEMENTS):
        inner = np.linspace(low, high, REFINED_POINTS)
        found = tails(steps, curve_points(limit, inner, estimand))
        top = int(np.argmax(found))
        if found[top] > best:
            best, where = float(found[top]), float(inner[top])
        low, high = inner[max(top - 1, 0)], inner[min(top + 1, inner.size - 1)]
    return best, where
