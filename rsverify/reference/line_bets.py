"""50-digit reference implementation of the bets on lines: their fairness and their capital.

Nothing is shared with `rsverify.kernels.margin.line_bets`: a bet is judged by what it pays on
average at points of the curve g(q) = L, not by the line that it was made from.
"""

from __future__ import annotations

from collections.abc import Sequence

from mpmath import mp, mpf

from rsverify.reference.special import DIGITS, laplace_cdf, laplace_ppf, norm_cdf, norm_ppf

Numbers = Sequence[mpf]


def curve_point(limit: float, q2: mpf, *, estimand: str) -> tuple[mpf, mpf, mpf]:
    """Return the probabilities q on the curve g(q) = limit with the given q2."""
    with mp.workdps(DIGITS):
        q2, limit = mpf(q2), mpf(limit)
        if estimand == "difference":
            q1 = q2 + limit
        else:
            cdf, ppf = (laplace_cdf, laplace_ppf) if estimand == "laplace" else (norm_cdf, norm_ppf)
            q1 = cdf(limit + ppf(q2)) if q2 > 0 else mpf(0)
        return q1, q2, 1 - q1 - q2


def mean_payment(bet: Numbers, q: Numbers) -> mpf:
    """Return what a bet pays on average, sum of q_i b_i."""
    with mp.workdps(DIGITS):
        return mp.fsum(mpf(float(b)) * mpf(chance) for b, chance in zip(bet, q, strict=True))


def log_capital(
    bets: Sequence[Sequence[Numbers]], weights: Sequence[Numbers], x: Sequence[int]
) -> mpf:
    """Return the log of the least over cells of the mean capital, weights given as logs."""
    with mp.workdps(DIGITS):
        cells = []
        for rows, shares in zip(bets, weights, strict=True):
            capital = mpf(0)
            for row, share in zip(rows, shares, strict=True):
                term = mp.exp(mpf(float(share)))
                for b, votes in zip(row, x, strict=True):
                    term *= (1 + mpf(float(b))) ** int(votes)
                capital += term
            cells.append(mp.log(capital))
        return min(cells)
