"""50-digit reference implementation of the e-value of vote counts, by a ternary search.

Nothing is shared with `rsverify.kernels.margin.sequence`: the mixture is written with gamma
functions, and the largest likelihood on the curve g(q) = L is searched for without
derivatives; the log-likelihood is concave along it.
"""

from __future__ import annotations

from mpmath import mp, mpf

from rsverify.reference.special import laplace_cdf, laplace_ppf, norm_cdf, norm_ppf

DIGITS = 50


def log_mixture(x1: int, x2: int, x3: int) -> mpf:
    """Return the log of the mean likelihood of the votes over Dirichlet(1/2, 1/2, 1/2)."""
    with mp.workdps(DIGITS):
        half, n = mpf(1) / 2, x1 + x2 + x3
        top = sum(mp.loggamma(x + half) - mp.loggamma(half) for x in (x1, x2, x3))
        return top + mp.loggamma(3 * half) - mp.loggamma(n + 3 * half)


def _log_likelihood(x: tuple[int, int, int], q: tuple[mpf, mpf, mpf]) -> mpf:
    total = mpf(0)
    for count, chance in zip(x, q, strict=True):
        if count and chance <= 0:
            return -mp.inf
        total += count * mp.log(chance) if count else 0
    return total


def _curve(estimand: str, limit: mpf, u: mpf) -> tuple[mpf, mpf, mpf]:
    if estimand == "difference":
        q2 = u if limit >= 0 else u - limit
        q1 = q2 + limit
    else:
        cdf = laplace_cdf if estimand == "laplace" else norm_cdf
        q1, q2 = cdf(limit + u), cdf(u)
        return q1, q2, cdf(-limit - u) - q2
    return q1, q2, 1 - q1 - q2


def log_max_likelihood(x1: int, x2: int, x3: int, limit: mpf, *, estimand: str) -> mpf:
    """Return the log of the largest likelihood over g(q) <= limit, `limit` finite."""
    with mp.workdps(DIGITS):
        limit, x = mpf(limit), (x1, x2, x3)
        shares = tuple(mpf(k) / sum(x) for k in x)
        if estimand == "difference":
            margin = shares[0] - shares[1]
            low, high = mpf(0), (1 - abs(limit)) / 2
        else:
            ppf = laplace_ppf if estimand == "laplace" else norm_ppf
            ends = [-mp.inf if s == 0 else mp.inf if s == 1 else ppf(s) for s in shares[:2]]
            # Both ends infinite happens only where all votes are for one class.
            margin = ends[0] - ends[1] if x1 and x2 else ends[0] if x2 else mp.inf
            margin = -mp.inf if x1 == 0 else margin
            low, high = -abs(limit) - 45, -limit / 2
        if margin <= limit:
            return _log_likelihood(x, shares)

        def value(u: mpf) -> mpf:
            return _log_likelihood(x, _curve(estimand, limit, u))

        best = max(value(low), value(high))
        golden = (mp.sqrt(5) - 1) / 2
        a, b = high - golden * (high - low), low + golden * (high - low)
        f, g = value(a), value(b)
        while high - low > mpf(10) ** -22 * (1 + abs(high)):
            if f < g or (f == g == -mp.inf and b > a and estimand != "difference" and x3 == 0):
                low, a, f = a, b, g
                b = low + golden * (high - low)
                g = value(b)
            else:
                high, b, g = b, a, f
                a = high - golden * (high - low)
                f = value(a)
        return max(best, f, g)


def log_e_at_most(
    k1: int,
    k2: int,
    n: int,
    limit: mpf,
    *,
    estimand: str,
    prior: tuple[int, int, int] = (0, 0, 0),
) -> mpf:
    """Return the log e-value of the counts against a margin of at most `limit`."""
    with mp.workdps(DIGITS):
        x = (k1, k2, n - k1 - k2)
        pooled = [a + b for a, b in zip(x, prior, strict=True)]
        return (
            log_mixture(*pooled)
            - log_mixture(*prior)
            - log_max_likelihood(*x, limit, estimand=estimand)
        )
