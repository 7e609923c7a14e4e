"""The limit of any valid bound of the mean of numbers in [0, 1].

For any lower bound L of a mean, valid at level alpha for samples in [0, 1], and any distribution P
of mean mu, {L > c} is a test of "the mean is at most c" at level alpha, so that

    E[(mu - L)+] >= integral from 0 to mu of 1 - beta(c) dc,

beta(c) the largest power against P, which is at most that of Neyman and Pearson's test of any
single distribution of mean at most c. Two families are tried for each c, and the hardest taken:

- *tilt and atom*: an exponential tilt of P of mean m in [c, mu], and an atom at 0 of probability
  1 - c / m. With m = c the tilt alone, with m = mu the atom alone.
- *projection*: the density 1 / (1 + lambda (x - c)) with respect to P, the closest distribution of
  mean c in Kullback-Leibler divergence; an atom at 0 takes what is missing, if anything.

The distribution of the log-likelihood ratio's sum is by FFT on a grid; the null probability is the
expectation of exp(-sum) under P.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta as beta_law

from rsverify._core.types import FloatArray, Side
from rsverify.auditing.estimand import Law

GRID = 2**15
NODES, TILTS = 24, 5
CELLS = 2000  # of a continuous distribution


def points_of_law(law: Law) -> tuple[FloatArray, FloatArray]:
    """Return values and probabilities; of a continuous distribution, midpoints of equal cells."""
    if law[0] == "beta":
        own = beta_law(law[1], law[2])
        edges = own.ppf(np.linspace(0.0, 1.0, CELLS + 1))
        middle = own.ppf((np.arange(CELLS) + 0.5) / CELLS)
        return np.clip(middle, edges[:-1], edges[1:]), np.full(CELLS, 1.0 / CELLS)
    return np.asarray(law[1], dtype=np.float64), np.asarray(law[2], dtype=np.float64)


def power(steps: FloatArray, weights: FloatArray, n: int, alpha: float) -> float:
    """Return the power of Neyman and Pearson's test at level alpha.

    `steps` are the log-likelihood ratios of the values, of probabilities `weights` under P.
    """
    low, high = float(steps.min()), float(steps.max())
    middle, second = float(weights @ steps), float(weights @ steps**2)
    if high - low < 1e-13:
        return min(1.0, alpha * float(np.exp(min(700.0, n * low))))
    deviation = np.sqrt(max(second - middle**2, 0.0) * n)
    span = min(n * (high - low), 18 * deviation + 40 * (high - low))
    cell = max(span, (high - low) * 4) / (GRID / 2)
    places = (steps - low) / cell
    left = np.floor(places).astype(int)
    share = places - left  # to the two grid points beside it, so that the mean stays
    mass = np.bincount(left, weights * (1 - share), GRID) + np.bincount(
        left + 1, weights * share, GRID
    )
    summed = np.maximum(np.fft.irfft(np.fft.rfft(mass) ** n, GRID), 0.0)
    # The FFT's sum is known up to multiples of the grid; it lies within half of it of its mean.
    centre = n * (middle - low) / cell
    at = np.arange(GRID) + GRID * np.round((centre - np.arange(GRID)) / GRID)
    sums = n * low + at * cell
    order = np.argsort(-sums)
    sums, summed = sums[order], summed[order] / summed.sum()
    with np.errstate(over="ignore"):
        null = np.cumsum(summed * np.exp(np.clip(-sums, -745, 700)))
    last = int(np.searchsorted(null, alpha))
    if last >= null.size:
        return 1.0
    before = null[last - 1] if last else 0.0
    part = (alpha - before) / (null[last] - before)
    return float(min(1.0, summed[:last].sum() + part * summed[last]))


def tilted(values: FloatArray, weights: FloatArray, m: float) -> tuple[float, float]:
    """Return the tilt t with mean m, and the logarithm of the mean of exp(t x)."""

    def log_mean(t: float) -> tuple[FloatArray, float]:
        logs = t * values
        top = logs.max()
        part = weights * np.exp(logs - top)
        return part, float(top + np.log(part.sum()))

    def gap(t: float) -> float:
        part, _ = log_mean(t)
        return float(part @ values / part.sum()) - m

    scale = float(np.sqrt(weights @ (values - weights @ values) ** 2)) or 1.0
    low = -1.0 / scale
    while gap(low) > 0 and low > -1e7:
        low *= 2
    t = 0.0 if gap(0.0) <= 0 else float(brentq(gap, low, 0.0, xtol=1e-13 / scale))
    return t, log_mean(t)[1]


def least_power(
    values: FloatArray, weights: FloatArray, c: float, n: int, alpha: float, tilts: int = TILTS
) -> float:
    """Return the least power against the null distributions tried."""
    mu = float(weights @ values)
    found = [1.0]
    support = values[weights > 0]
    for m in np.linspace(max(c, support.min() + 1e-9 * mu), mu, tilts):
        if np.ptp(support) == 0 and m < mu:
            continue
        t, log_mean = tilted(values, weights, m) if m < mu else (0.0, 0.0)
        # Where P itself has the value 0, its probability is that of the tilt and of the atom.
        steps = log_mean - t * values - np.log(c / m)
        zero = values == 0
        if zero.any() and m > c:
            kept = np.exp(t * values[zero] - log_mean) * c / m
            steps = np.where(zero, -np.log(kept + (1 - c / m) / weights[zero]), steps)
        found.append(power(steps, weights, n, alpha))

    def slope(k: float) -> float:
        return float(weights @ ((values - c) / (1 + k * (values - c))))

    largest = (1 - 1e-12) / c
    k = largest if slope(largest) > 0 else float(brentq(slope, 0.0, largest, xtol=1e-14))
    ratios = np.maximum(1 + k * (values - c), 1e-300)
    if not (values == 0).any() or k < largest:
        found.append(power(np.log(ratios), weights, n, alpha))
    return min(found)


def lower_limit(
    values: FloatArray,
    weights: FloatArray,
    n: int,
    alpha: float,
    nodes: int = NODES,
    tilts: int = TILTS,
) -> float:
    """Return the least mean gap below the mean of any lower bound."""
    mu = float(weights @ values)
    if mu <= 0.0:
        return 0.0
    deviation = float(np.sqrt(weights @ (values - mu) ** 2))
    reach = (6 + np.sqrt(2 * np.log(1 / alpha))) * deviation / np.sqrt(n)
    low = max(1e-9, mu - reach - mu * (1 - alpha ** (1.5 / n)))
    x, part = np.polynomial.legendre.leggauss(nodes)
    cs = low + (mu - low) * (x + 1) / 2
    errors = [1 - least_power(values, weights, float(c), n, alpha, tilts) for c in cs]
    return float((mu - low) / 2 * part @ np.array(errors))


def mean_limit(law: Law, n: int, alpha: float, side: Side) -> float:
    """Return the least mean gap to the mean, or mean width, of any valid bound."""
    values, weights = points_of_law(law)
    limit = 0.0
    if side != "upper":
        limit += lower_limit(values, weights, n, alpha)
    if side != "lower":
        limit += lower_limit(1.0 - values, weights, n, alpha)
    return limit
