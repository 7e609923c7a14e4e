"""Exact coverage of the default margin bounds, by enumeration of all counts.

On the curve g(q) = L the bound misses with P_q(B(X) > L). As a function of L that probability
can only jump at values of B, so the curves just below each value of B are the worst ones.
Nothing is random but the choice of further points; sums are exact up to `ROUNDING`.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.special import gammaln, ndtr, ndtri, xlogy
from support.cases import ALPHAS, DEFAULTS, CountBound, name

from rsverify.reference.curve_maximum import laplace_cdf, laplace_ppf
from rsverify.reference.solver import outcomes

ROUNDING = 1e-12


def curve(limit: float, estimand: str, points: int) -> np.ndarray:
    """Points (q1, q2, q3) of g(q) = limit, both ends included, dense toward them."""
    share = np.sin(np.linspace(0, np.pi / 2, points)) ** 2
    if estimand == "difference":
        u = 0.5 * (1 - abs(limit)) * share
        q1, q2 = u + max(limit, 0.0), u + max(-limit, 0.0)
        return np.stack([q1, q2, np.maximum(1 - q1 - q2, 0)], axis=1)
    cdf, ppf = (laplace_cdf, laplace_ppf) if estimand == "laplace" else (ndtr, ndtri)
    larger = ppf(np.maximum(cdf(abs(limit) / 2) * share, 1e-12))
    u = np.minimum(larger - max(limit, 0.0), -limit / 2)
    q1, q2 = cdf(u + limit), cdf(u)
    return np.stack([q1, q2, np.maximum(1 - q1 - q2, 0)], axis=1)


def probabilities(rows: np.ndarray, q: np.ndarray) -> np.ndarray:
    """P(X = row) at each q, shape (points, rows)."""
    logs = gammaln(rows.sum(axis=1) + 1) - gammaln(rows + 1).sum(axis=1)
    total = logs[None, :] + sum(xlogy(rows[None, :, i], q[:, None, i]) for i in range(q.shape[1]))
    return np.exp(total)


def exact_probability(rows: np.ndarray, q: np.ndarray) -> float:
    """P(X in rows) at one q, from integer coefficients, summed without rounding."""
    n = int(rows[0].sum())
    terms = []
    for row in rows.tolist():
        left, coefficient = n, 1
        for count in row:
            coefficient *= math.comb(left, count)
            left -= count
        terms.append(coefficient * math.prod(float(v) ** k for v, k in zip(q, row, strict=True)))
    return math.fsum(terms)


def levels_below(values: np.ndarray, estimand: str) -> np.ndarray:
    """The margins just below each value of a bound that can miss, and the values themselves."""
    lowest = -1 + 1e-12 if estimand == "difference" else -np.inf
    jumps = np.unique(values[values > lowest])
    return np.concatenate([np.nextafter(jumps, -np.inf), jumps])


def worst_miscoverage(bound: CountBound, n: int, alpha: float, points: int) -> float:
    rows = outcomes(n)
    values = np.asarray(bound.lower(rows[:, 0], rows[:, 1], n, alpha))
    assert not np.isnan(values).any()
    worst = 0.0
    for level in levels_below(values, bound.estimand):
        missed = rows[values > level]
        if missed.size:
            q = curve(float(level), bound.estimand, points)
            tails = probabilities(missed, q).sum(axis=1)
            worst = max(worst, exact_probability(missed, q[int(tails.argmax())]))
    return worst


@pytest.mark.parametrize("bound", DEFAULTS, ids=name)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [1, 2, 3, 5, 9, 14])
def test_coverage_with_three_classes(bound: CountBound, n: int, alpha: float) -> None:
    worst = worst_miscoverage(bound, n, alpha, points=61)
    assert worst <= alpha + ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("bound", DEFAULTS, ids=name)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("n", [23, 40])
def test_coverage_with_three_classes_up_to_40(bound: CountBound, n: int, alpha: float) -> None:
    assert worst_miscoverage(bound, n, alpha, points=201) <= alpha + ROUNDING


@pytest.mark.parametrize("estimand", ["difference", "probit", "laplace"])
def test_exact_bounds_use_up_alpha(estimand: str) -> None:
    """The enumeration can fail: a bound at 1.001 alpha is caught, as the exact one is tight."""
    bound = next(b for b in DEFAULTS if b.exact and b.estimand == estimand)
    assert worst_miscoverage(bound, 9, 0.05 * 1.001, points=401) > 0.05


def compositions(n: int, m: int) -> np.ndarray:
    """All counts of m classes with sum n."""
    bars = itertools.combinations(range(n + m - 1), m - 1)
    return np.array(
        [np.diff([-1, *places, n + m - 1]) - 1 for places in bars],
    )


def split_rest(q: np.ndarray, m: int, rng: np.random.Generator) -> np.ndarray | None:
    """Spread q3 over m - 2 classes, none above q2, at times several level with q2."""
    rest, cap = q[2], q[1]
    if rest > (m - 2) * cap:
        return None
    parts = np.zeros(m - 2)
    if rng.random() < 0.5:  # as many as possible level with the runner-up
        for i in range(m - 2):
            parts[i] = min(cap, rest - parts.sum())
    else:
        parts = rng.dirichlet(np.ones(m - 2)) * rest
        if parts.max() > cap:
            parts = np.full(m - 2, rest / (m - 2))
    return np.concatenate([q[:2], np.maximum(parts, 0)])


@pytest.mark.parametrize("bound", DEFAULTS, ids=name)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("m", "n"), [(4, 6), (4, 11), (5, 7)])
def test_coverage_with_the_runner_up_of_the_same_counts(
    bound: CountBound, m: int, n: int, alpha: float
) -> None:
    """Class 0 is fixed; the runner-up is the largest other count, whichever class that is."""
    rng = np.random.default_rng(m * n)
    rows = compositions(n, m)
    values = np.asarray(bound.lower(rows[:, 0], rows[:, 1:].max(axis=1), n, alpha))
    checked = 0
    for level in levels_below(values, bound.estimand):
        missed = rows[values > level]
        spread = (split_rest(q, m, rng) for q in curve(float(level), bound.estimand, 121))
        points = [p for p in spread if p is not None]
        if not missed.size or not points:
            continue
        q = np.array(points)
        tails = probabilities(missed, q).sum(axis=1)
        assert exact_probability(missed, q[int(tails.argmax())]) <= alpha + ROUNDING
        checked += len(points)
    assert checked > 50


def largest_rival_tails(q: np.ndarray, n: int, caps: np.ndarray) -> np.ndarray:
    """P(every rival has at most caps[X_y] votes) at each q, shape (points,).

    Given X_y = k the rivals are multinomial with n - k votes: n! [z^(n-k)] of the product of
    their exponential series, each cut off after caps[k]. All terms are positive.
    """
    k = np.arange(n + 1)
    series = np.exp(xlogy(k, q[:, :, None]) - gammaln(k + 1))  # (points, classes, n + 1)
    total = np.zeros(len(q))
    for cap in np.unique(caps[caps >= 0]):
        cut = np.where(k <= cap, series, 0.0)
        product = cut[:, 1]
        for rival in range(2, q.shape[1]):
            grown = np.zeros_like(product)
            for votes in range(int(cap) + 1):
                grown[:, votes:] += cut[:, rival, votes, None] * product[:, : n + 1 - votes]
            product = grown
        held = np.flatnonzero(caps == cap)
        total += (series[:, 0, held] * product[:, n - held]).sum(axis=1)
    return total * math.exp(math.lgamma(n + 1))


def test_largest_rival_tails_against_enumeration() -> None:
    rng = np.random.default_rng(0)
    q = rng.dirichlet(np.ones(4), 5)
    rows, caps = compositions(9, 4), rng.integers(-1, 10, 10)
    kept = rows[rows[:, 1:].max(axis=1) <= caps[rows[:, 0]]]
    np.testing.assert_allclose(
        largest_rival_tails(q, 9, caps), probabilities(kept, q).sum(axis=1), rtol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("bound", DEFAULTS, ids=name)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(("m", "n"), [(4, 23), (4, 40), (5, 40)])
def test_coverage_with_the_runner_up_of_the_same_counts_up_to_40(
    bound: CountBound, m: int, n: int, alpha: float
) -> None:
    """As above, at one in four of the jumps; the event is read off (x_y, largest other)."""
    rng = np.random.default_rng(m * n)
    k1, k2 = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    possible = (k1 + k2 <= n) & (k1 + (m - 1) * k2 >= n)
    values = np.full(k1.shape, -np.inf)
    values[possible] = bound.lower(k1[possible], k2[possible], n, alpha)
    lowest = -1 + 1e-12 if bound.estimand == "difference" else -np.inf
    checked = 0
    for jump in np.unique(values[values > lowest])[int(rng.integers(4)) :: 4]:
        # Rows where no count is possible below the level: none is missed.
        caps = np.where(values >= jump, k2, -1).max(axis=1)
        level = float(np.nextafter(jump, -np.inf))
        spread = (split_rest(q, m, rng) for q in curve(level, bound.estimand, 61))
        points = [p for p in spread if p is not None]
        if points:
            assert largest_rival_tails(np.array(points), n, caps).max() <= alpha + ROUNDING
            checked += len(points)
    assert checked > 50
