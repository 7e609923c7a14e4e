"""Bounds as one writes them first: one sample at a time, by numpy and scipy.

What the audit's throughput is compared with; the strategies are those that were published.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammaln, ndtr, ndtri, xlogy
from scipy.stats import beta, binom

ALPHA = 0.05
GRID = 64  # points at which a nuisance is tried


def hoeffding(x: Any) -> float:
    return x.mean() - math.sqrt(math.log(1 / ALPHA) / (2 * x.size))


def bernstein(x: Any) -> float:
    """The last number is the variance."""
    x, variance, log_term = x[:-1], x[-1], math.log(1 / ALPHA) / (x.size - 1)
    return x.mean() - log_term / 3 - math.sqrt(log_term**2 / 9 + 2 * variance * log_term)


def empirical_bernstein(x: Any) -> float:
    n, log_term = x.size, math.log(2 / ALPHA)
    spread = math.sqrt(2 * x.var(ddof=1) * log_term / n)
    return x.mean() - spread - 7 * log_term / (3 * (n - 1))


def plugin_variances(x: Any) -> Any:
    """Return the means and variances before each observation, with priors 1/2 and 1/4."""
    t = np.arange(1, x.size + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    spread = 0.25 + np.cumsum((x - means) ** 2)
    return np.r_[0.5, means[:-1]], np.r_[0.25, spread[:-1]] / t


def plugin_bernstein(x: Any, horizon: Any = None, path: bool = False) -> Any:
    means, variances = plugin_variances(x)
    horizon = x.size if horizon is None else horizon
    bets = np.minimum(np.sqrt(2 * math.log(1 / ALPHA) / (horizon * variances)), 0.5)
    price = (x - means) ** 2 * (-np.log1p(-bets) - bets)
    limits = (np.cumsum(bets * x) - math.log(1 / ALPHA) - np.cumsum(price)) / np.cumsum(bets)
    return float(limits.max()) if not path else np.maximum.accumulate(limits)


def plugin_bernstein_path(x: Any) -> Any:
    t = np.arange(1, x.size + 1)
    return plugin_bernstein(x, t * np.log1p(t), path=True)


def bisection(rejects: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(36):
        m = (low + high) / 2
        low, high = (m, high) if rejects(m) else (low, m)
    return low


def betting_plugin(x: Any) -> float:
    goal = math.log(1 / ALPHA)
    bets = np.sqrt(2 * goal / (x.size * plugin_variances(x)[1]))

    def rejects(m: float) -> bool:
        capital = np.cumsum(np.log1p(np.minimum(bets, 0.5 / m) * (x - m)))
        return bool(capital.max() >= goal)

    return bisection(rejects)


def betting_star(x: Any, alpha: float = ALPHA) -> float:
    """STaR-Bets as published: the bet depends on the capital so far, step by step."""
    n, goal = x.size, math.log(1 / alpha)

    def rejects(m: float) -> bool:
        wealth, spread = 0.0, 0.0
        for t in range(n):
            doubt = 10 * goal * n / t**2 if t else math.inf
            v = min(spread / max(t, 1) + doubt, 1.0, m * (1 - m))
            bet = min(math.sqrt(2 * (goal - wealth) / ((n - t) * v)), 0.99 / m)
            wealth += math.log1p(bet * (x[t] - m))
            if wealth >= goal:
                return True
            spread += (x[t] - m) ** 2
        return False

    return bisection(rejects)


def betting_agrapa(x: Any) -> float:
    means, variances = plugin_variances(x)

    def rejects(m: float) -> bool:
        gap = means - m
        bets = np.clip(gap / (variances + gap**2), 0, 0.5 / m)
        return bool(np.cumsum(np.log1p(bets * (x - m))).max() >= math.log(1 / ALPHA))

    return bisection(rejects)


def running(limit: Callable[[Any], float]) -> Callable[[Any], Any]:
    """Return the function that gives the largest limit so far, after each observation."""

    def path(x: Any) -> Any:
        return np.maximum.accumulate([max(limit(x[: t + 1]), 0.0) for t in range(x.size)])

    return path


def plugin_hoeffding_path(x: Any) -> Any:
    t = np.arange(1, x.size + 1)
    bets = np.minimum(np.sqrt(8 * math.log(1 / ALPHA) / (t * np.log1p(t))), 1.0)
    sums = np.cumsum(bets * x) - math.log(1 / ALPHA) - np.cumsum(bets**2) / 8
    return np.maximum.accumulate(sums / np.cumsum(bets))


def plugin_hoeffding(x: Any) -> float:
    bets = np.full(x.size, min(math.sqrt(8 * math.log(1 / ALPHA) / x.size), 1.0))
    sums = np.cumsum(bets * x) - math.log(1 / ALPHA) - np.cumsum(bets**2) / 8
    return float(np.max(sums / np.cumsum(bets)))


def mixture(shares: Any, weights: Any) -> Callable[[Any], float]:
    """Return the bound of a mixture of constant shares of the capital."""

    def limit(x: Any) -> float:
        def rejects(m: float) -> bool:
            logs = np.log1p(shares[:, None] * (x / m - 1)).sum(axis=1)
            return bool(weights @ np.exp(np.minimum(logs, 700)) >= 1 / ALPHA)

        return bisection(rejects)

    return limit


def plugin_size(_means: Any, variances: Any) -> Any:
    t = np.arange(1, variances.size + 1)
    return np.sqrt(2 * math.log(1 / ALPHA) / (t * np.log1p(t) * variances))


def agrapa_size(means: Any, variances: Any) -> Any:
    """The reference mean of the bet is 1/2 here."""
    gap = np.maximum(means - 0.5, 0)
    return gap / (variances + gap**2)


def shares_of_the_mean(x: Any, size: Callable[[Any, Any], Any]) -> float:
    """Return the bound of bets that stake a predictable share, whatever the candidate mean."""
    means, variances = plugin_variances(x)
    shares = np.clip(size(means, variances) * means, 0, 0.5)

    def rejects(m: float) -> bool:
        capital = np.cumsum(np.log1p(shares * (x / m - 1)))
        return bool(capital.max() >= math.log(1 / ALPHA))

    return bisection(rejects)


def beta_mixture_path(x: Any) -> Any:
    """Return the running limits, lower and upper, of the Beta(1/2, 1/2) mixture."""
    out, low, high = np.empty((x.size, 2)), 0.0, 1.0
    for t in range(1, x.size + 1):
        k = x[:t].sum()
        price = gammaln(k + 0.5) + gammaln(t - k + 0.5) - gammaln(t + 1) - math.log(math.pi)

        def excess(p: float, k: float = k, t: int = t, price: float = price) -> float:
            return float(price - xlogy(k, p) - xlogy(t - k, 1 - p) - math.log(1 / ALPHA))

        if k and excess(1e-12) > 0 > excess(k / t):
            low = max(low, brentq(excess, 1e-12, k / t))
        if k < t and excess(1 - 1e-12) > 0 > excess(k / t):
            high = min(high, brentq(excess, k / t, 1 - 1e-12))
        out[t - 1] = low, high
    return out[:, 0], out[:, 1]


def clopper_pearson_path(x: Any) -> Any:
    """Return the running limits at times 1.1 times apart, by a union bound."""
    out, best, look, due = np.zeros(x.size), 0.0, 1, 1
    for t in range(1, x.size + 1):
        if t == due:
            level = ALPHA * 5 / ((look + 4) * (look + 5))
            best = max(best, clopper_pearson(x[:t].sum(), t, level))
            look, due = look + 1, max(t + 1, t * 11 // 10)
        out[t - 1] = best
    return out


def clopper_pearson(k: int, n: int, alpha: float = ALPHA) -> float:
    return float(beta.ppf(alpha, k, n - k + 1)) if k else 0.0


def randomized(row: Any) -> float:
    """Return the p at which P(X > k) + (1 - u) P(X = k) is alpha, of hits, misses and u."""
    k, n, u = int(row[0]), int(row[0] + row[1]), row[2]

    def excess(p: float) -> float:
        return float(binom.sf(k, n, p) + (1 - u) * binom.pmf(k, n, p)) - ALPHA

    return brentq(excess, 0, 1) if excess(0) < 0 < excess(1) else 0.0


def bonferroni(counts: Any, estimand: str) -> float:
    n = counts.sum()
    low = clopper_pearson(counts[0], n, ALPHA / 2)
    high = min(1 - clopper_pearson(n - counts[1], n, ALPHA / 2), 1 - low)
    return low - high if estimand == "difference" else float(ndtri(low) - ndtri(high))


def first_lower(counts: Any) -> float:
    return clopper_pearson(counts[0], counts.sum())


def cohen(counts: Any, estimand: str) -> float:
    low = clopper_pearson(counts[0], counts.sum())
    return 2 * low - 1 if estimand == "difference" else 2 * float(ndtri(low))


def curve(estimand: str, margin: float) -> tuple[Any, Any]:
    """Return laws of that margin, at a grid of the nuisance."""
    share = (np.arange(GRID) + 0.5) / GRID
    if estimand == "difference":
        q2 = max(-margin, 0) + share * (1 - abs(margin)) / 2
        return q2 + margin, q2
    u = -margin / 2 - 8 * share
    return ndtr(u + margin), ndtr(u)


def exact_margin(counts: Any, estimand: str) -> float:
    """Return the Buehler bound by x1 - x2: outcomes, laws on the curve, and bisection."""
    n = int(counts.sum())
    x1, x2 = np.divmod(np.arange((n + 1) ** 2), n + 1)
    keep = (x1 + x2 <= n) & (x1 - x2 >= counts[0] - counts[1])
    x1, x2 = x1[keep], x2[keep]
    ways = gammaln(n + 1) - gammaln(x1 + 1) - gammaln(x2 + 1) - gammaln(n - x1 - x2 + 1)
    low, high = (-1.0, 1.0) if estimand == "difference" else (-12.0, 12.0)
    for _ in range(36):
        margin = (low + high) / 2
        q1, q2 = (q[:, None] for q in curve(estimand, margin))
        logs = ways + xlogy(x1, q1) + xlogy(x2, q2) + xlogy(n - x1 - x2, np.maximum(1 - q1 - q2, 0))
        tail = np.exp(logs).sum(axis=1).max()
        low, high = (margin, high) if tail <= ALPHA else (low, margin)
    return low


def margin_path(path: Any, estimand: str) -> Any:
    """Return the running limit over every rival by Dirichlet-mixture e-values."""
    worst = -1.0 if estimand == "difference" else -12.0
    out = np.full((path.shape[1] - 1, len(path)), worst)
    for j in range(1, path.shape[1]):
        best = worst
        for t, votes in enumerate(path):
            best = max(best, mixture_limit(votes[0], votes[j], votes.sum(), estimand, worst))
            out[j - 1, t] = best
    return out.min(axis=0)


def mixture_limit(a: int, b: int, n: int, estimand: str, worst: float) -> float:
    rest = n - a - b
    top = sum(gammaln(x + 0.5) - gammaln(0.5) for x in (a, b, rest))
    top += gammaln(1.5) - gammaln(n + 1.5)
    plain = (a - b) / n if estimand == "difference" else ndtri(a / n) - ndtri(b / n)
    low, high, tight = worst, min(plain, -worst), {"xatol": 1e-12}
    while high - low > 1e-9:
        margin = (low + high) / 2

        def loss(share: float, margin: float = margin) -> float:
            if estimand == "difference":
                q2 = max(-margin, 0) + share * (1 - abs(margin)) / 2
                q1 = q2 + margin
            else:
                u = -margin / 2 - 8 * share
                q1, q2 = ndtr(u + margin), ndtr(u)
            return -float(xlogy(a, q1) + xlogy(b, q2) + xlogy(rest, max(1 - q1 - q2, 0)))

        fitted = -minimize_scalar(loss, bounds=(0, 1), method="bounded", options=tight).fun
        rejected = top - fitted >= math.log(1 / ALPHA)
        low, high = (margin, high) if rejected else (low, margin)
    return low


def score_margin(scores: Any, estimand: str) -> float:
    """Return the least bound over the rivals: by betting on the mean of (1 + s_y - s_j) / 2.

    The probit margin by Bonferroni: betting bounds of s_y from below and of s_j from above.
    """
    if estimand == "difference":
        rivals = range(1, scores.shape[1])
        return min(2 * betting_star((1 + scores[:, 0] - scores[:, j]) / 2) - 1 for j in rivals)
    low = betting_star(scores[:, 0], ALPHA / 2)
    highs = [1 - betting_star(1 - scores[:, j], ALPHA / 2) for j in range(1, scores.shape[1])]
    return float(ndtri(low) - ndtri(max(highs)))
