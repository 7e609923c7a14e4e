"""The distributions whose quantiles make a margin: normal (probit) and Laplace.

The Laplace distribution function is exp(z) / 2 up to 0 and 1 - exp(-z) / 2 above. Like the normal
one it is log-concave and symmetric, which is all that the ordering and the curves rest on; but its
density has a kink at 0, so that a curve g(q) = L is analytic on either side of one place only.
"""

from __future__ import annotations

import math

from rsverify._core.jit import njit
from rsverify.kernels.margin.formulas import LAPLACE, laplace_pair
from rsverify.kernels.special import norm_cdf, norm_pdf, norm_ppf


@njit
def laplace_cdf(z: float) -> float:
    """Return the Laplace distribution function, accurate in its left tail."""
    return 0.5 * math.exp(z) if z <= 0.0 else 1.0 - 0.5 * math.exp(-z)


@njit
def quantile_cdf(estimand: int, z: float) -> float:
    """Return the distribution function of a margin made of quantiles."""
    return laplace_cdf(z) if estimand == LAPLACE else norm_cdf(z)


@njit
def quantile_pdf(estimand: int, z: float) -> float:
    """Return its density."""
    return 0.5 * math.exp(-abs(z)) if estimand == LAPLACE else norm_pdf(z)


@njit
def quantile_ppf(estimand: int, p: float) -> float:
    """Return its inverse."""
    # 1 - p is exact where it is the smaller one.
    return laplace_pair(p, 1.0 - p) if estimand == LAPLACE else norm_ppf(p)


@njit
def curve_kink(estimand: int, limit: float) -> float:
    """Return the nuisance u at which a curve is not analytic; -inf where there is none.

    There one of q1 and q2 is 1/2.
    """
    return -max(limit, 0.0) if estimand == LAPLACE else -math.inf
