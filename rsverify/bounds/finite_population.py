"""A share of a finite population, known better and better as its members are drawn at random."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import betaln, gammaln

from rsverify._core.check import FloatArray, IntArray, check_level, check_size, shown
from rsverify.bounds.interval import Interval

__all__ = ["LARGEST_POPULATION", "population_share_interval"]

LARGEST_POPULATION = 10_000_000
"""As many numbers of successes are gone through."""
# Of logarithms of factorials up to ten million: more than they are off by.
_SLACK = 1e-6


def population_share_interval(
    successes: int, drawn: int, population: int, alpha: float
) -> Interval:
    r"""Return a time-uniform confidence interval for the share of successes in a population.

    Parameters
    ----------
    successes : int
        Successes among those drawn, 0 to `drawn`.
    drawn : int
        Members drawn so far, without replacement and in random order, 0 to `population`.
    population : int
        Members in all, 1 to 10,000,000.
    alpha : float
        Two-sided failure probability of the whole sequence of intervals, in (0, 1).

    Returns
    -------
    Interval
        The smallest and largest M/N, N = `population`, among the M that are not rejected: those
        with B(k + 1/2, t - k + 1/2) / B(1/2, 1/2) · C(N, M) / C(N - t, M - k) < 1/alpha, at k
        successes of t drawn. One point where all are drawn.

    Raises
    ------
    ValueError
        If an argument is out of its range.
    TypeError
        If an argument is not a number.

    Notes
    -----
    *Guarantee.* With probability at least 1 - alpha the share is in the intervals after every
    number of draws, so that one may stop at any of them for any reason. It assumes that the order
    is uniformly random and independent of which members are successes; nothing else [1]_.

    *Proof.* With M successes in all, a given sequence of t draws with k successes has probability
    C(N - t, M - k) / C(N, M). The numerator's beta function is the probability of the sequence when
    M is binomial with a share from Beta(1/2, 1/2). So the ratio is a martingale of mean 1 under M,
    and ever reaches 1/alpha with probability at most alpha (Ville).

    References
    ----------
    .. [1] I. Waudby-Smith and A. Ramdas, Confidence sequences for sampling without replacement,
       *NeurIPS* 2020.

    Examples
    --------
    >>> from rsverify.bounds.finite_population import population_share_interval
    >>> lower, upper = population_share_interval(150, 200, 1000, 0.05)
    >>> print(f"{lower:.3f} {upper:.3f}")
    0.648 0.835
    >>> population_share_interval(750, 1000, 1000, 0.05)[:2]
    (np.float64(0.75), np.float64(0.75))
    """
    size = check_size("population", population, 1, LARGEST_POPULATION)
    t = check_size("drawn", drawn, 0, size)
    k = check_size("successes", successes, 0)
    if k > t:
        raise ValueError(f"successes={shown(successes)} must be at most drawn={shown(drawn)}")
    level = check_level(alpha)
    possible = np.arange(k, size - (t - k) + 1)
    kept = possible[log_evidence(k, t, size, possible) < -math.log(level) + _SLACK]
    if not kept.size:  # cannot be: the most probable number has evidence below 1/alpha
        raise ArithmeticError(f"no share of {shown(population)} is left after {t} draws")
    return Interval(np.float64(kept[0] / size), np.float64(kept[-1] / size), np.float64(level))


def log_evidence(k: int, t: int, size: int, possible: IntArray) -> FloatArray:
    """Return the logarithm of the evidence against each possible number of successes in all."""
    mixture = betaln(k + 0.5, t - k + 0.5) - betaln(0.5, 0.5)
    return np.asarray(mixture + _log_choose(size, possible) - _log_choose(size - t, possible - k))


def _log_choose(n: int, k: IntArray) -> FloatArray:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))
