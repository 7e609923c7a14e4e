"""50-digit reference implementations of the bounds for score margins, from their definitions.

The least margin above a line is found from the margin itself: the sign of its derivative in
probit(t), which changes at most once while the margin is positive, brackets the minimum.
Nothing is shared with `rsverify.kernels.margin.tangent`, which inverts a closed form instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mpmath import mp, mpf

from rsverify.reference.special import DIGITS, norm_cdf, norm_ppf

MeanBound = Callable[[Sequence[mpf], mpf], mpf]


def tangent_margin(mean: mpf, slope: mpf, largest: mpf) -> mpf:
    """Return min over t of probit(l + a t) - probit(t), t at most `largest` and 1 - `mean`.

    a = `slope` and l = (1 + a) mean - a. Infinite where t = 0 is all there is.
    """
    with mp.workdps(DIGITS + 10):
        mean, slope = mpf(mean), mpf(slope)
        height = (1 + slope) * mean - slope
        if height <= 0:
            return -mp.inf
        top = min(mpf(largest), 1 - mean)
        if top <= 0:
            return mp.inf

        def ends(z: mpf) -> tuple[mpf, mpf]:
            """Return the margin at probit(t) = z and half the log of its derivative's sign."""
            w = norm_ppf(height + slope * norm_cdf(z))
            return w - z, mp.log(slope) + (w * w - z * z) / 2

        high = norm_ppf(top)
        value, derivative = ends(high)
        if value <= 0 or derivative <= 0:
            return value
        low = min(high, mpf(0)) - 1
        while ends(low)[1] > 0:
            low -= 1
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if ends(middle)[1] <= 0 else (low, middle)
        return ends(high)[0]


def _columns(row: Sequence[float]) -> list[mpf]:
    clipped = [min(max(mpf(float(v)), mpf(0)), mpf(1)) for v in row]
    total = mp.fsum(clipped)
    return [v / total for v in clipped]


def score_margin_lower(
    scores: Sequence[Sequence[float]],
    y: int,
    alpha: float,
    *,
    estimand: str,
    method: str,
    mean_bound: MeanBound,
    slopes: Sequence[float],
    box: float = 0.05,
) -> mpf:
    """Return the bound with all other classes one by one; `slopes` has one entry per other class.

    `mean_bound` is a reference implementation of a bound for one mean: a list of numbers and alpha
    to a number.
    """
    with mp.workdps(DIGITS):
        rows = [_columns(row) for row in scores]
        first = [row[y] for row in rows]
        others = [[row[j] for row in rows] for j in range(len(rows[0])) if j != y]
        level = mpf(alpha)

        def upper(x: Sequence[mpf], share: mpf) -> mpf:
            return 1 - mean_bound([1 - v for v in x], share)

        def margin(p: mpf, q: mpf) -> mpf:
            if estimand == "difference":
                return p - q
            return norm_ppf(p) - norm_ppf(q) if p > 0 else -mp.inf

        if method == "bonferroni":
            p = mean_bound(first, level / 2)
            q = max(upper(x, level / 2) for x in others)
            return margin(p, min(q, 1 - p))
        if method == "coupled":
            others = [[max(column) for column in zip(*others, strict=True)]]
        if method in ("coupled", "union"):
            lines = [[(p - q + 1) / 2 for p, q in zip(first, x, strict=True)] for x in others]
            return min(2 * mean_bound(x, level) - 1 for x in lines)
        share = mpf(box)
        bounds = []
        for x, slope in zip(others, slopes, strict=True):
            a = mpf(float(slope))
            line = [(p + a * (1 - q)) / (1 + a) for p, q in zip(first, x, strict=True)]
            mean = mean_bound(line, (1 - share) * level)
            bounds.append(tangent_margin(mean, a, upper(x, share * level)))
        return min(bounds)
