"""The limit of any valid bound of a proportion or a rate, whose best tests are known.

For a lower bound L that is valid at level alpha and a distribution of value g, the event L > c is
a test of "the value is at most c" for every c < g, so that

    E[(g - L)+] >= integral over c < g of 1 - beta(c),

beta(c) the largest power against g of a test of level alpha. Counts whose likelihood ratios rise
have a uniformly most powerful one, by Neyman and Pearson: it rejects for large counts, and at
one count with a probability. The mirror image holds for an upper bound, and for the width of an
interval the sum of both, each at the whole of alpha (J. W. Pratt, Length of confidence intervals,
*Journal of the American Statistical Association* 56 (1961) 549-567).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.stats import binom, poisson, rv_discrete

from rsverify._core.types import FloatArray, Side

STEPS = 4000
REACH = 9.0  # standard deviations beyond which a test of level alpha hardly ever errs


Parameters = tuple[FloatArray | float, ...]
Family = Callable[[FloatArray], Parameters]
"""From values of the estimand to the parameters of the distribution."""


def _errors(
    law: rv_discrete, nulls: Parameters, truth: Parameters, alpha: float, *, lower: bool
) -> FloatArray:
    """Return the probability at the truth that the best test of each null does not reject."""
    if lower:
        k = np.asarray(law.isf(alpha, *nulls))
        size, power = np.asarray(law.sf(k, *nulls)), np.asarray(law.sf(k, *truth))
    else:
        k = np.asarray(law.ppf(alpha, *nulls))
        size, power = np.asarray(law.cdf(k - 1.0, *nulls)), np.asarray(law.cdf(k - 1.0, *truth))
    share = np.clip((alpha - size) / np.asarray(law.pmf(k, *nulls)), 0.0, 1.0)
    return np.asarray(1.0 - power - share * np.asarray(law.pmf(k, *truth)))


def _integral(
    law: rv_discrete, family: Family, value: float, far: float, alpha: float, *, lower: bool
) -> float:
    """Return the integral of the errors over nulls from `far` to `value`, rounded down.

    They rise toward the value, so that each step counts with its smaller end.
    """
    nulls = np.linspace(far, value, STEPS + 1)[:-1]
    errors = _errors(law, family(nulls), family(np.array([value])), alpha, lower=lower)
    return float(np.maximum(errors, 0.0).mean() * abs(value - far))


def proportion_limit(p: float, n: int, alpha: float, side: Side) -> float:
    """Return the least mean gap to p, or mean width, of any bound that is valid for all p."""
    reach = REACH * float(np.sqrt(p * (1.0 - p) / n)) + (20.0 - np.log(alpha)) / n

    def family(q: FloatArray) -> Parameters:
        return float(n), q

    limit = 0.0
    if side != "upper" and p > 0.0:
        limit += _integral(binom, family, p, max(0.0, p - reach), alpha, lower=True)
    if side != "lower" and p < 1.0:
        limit += _integral(binom, family, p, min(1.0, p + reach), alpha, lower=False)
    return limit


def rate_limit(rate: float, n: int, alpha: float, side: Side) -> float:
    """Return the same for a Poisson rate and an exposure of n."""
    reach = REACH * float(np.sqrt(rate / n)) + (20.0 - np.log(alpha)) / n

    def family(q: FloatArray) -> Parameters:
        return (n * q,)

    limit = 0.0
    if side != "upper" and rate > 0.0:
        limit += _integral(poisson, family, rate, max(0.0, rate - reach), alpha, lower=True)
    if side != "lower":
        limit += _integral(poisson, family, rate, rate + 2.0 * reach, alpha, lower=False)
    return limit
