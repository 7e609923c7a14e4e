"""50-digit reference implementations of the bounds for one mean, written from their definitions.

Every sum, product and logarithm is evaluated as it stands in the docstring of the bound it
stands for; a capital is a plain product over the whole sample, and each bet is computed anew
from the list of the observations before it. One sample (a list of floats) at a time.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from mpmath import mp, mpf

from rsverify.reference.proportion import clopper_pearson_lower

DIGITS = 50
Sample = Sequence[float]


def _at_50_digits(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        with mp.workdps(DIGITS):
            return function(*args, **options)

    run.__doc__ = function.__doc__
    run.__name__ = function.__name__
    return run


def _mean(x: Sequence[mpf]) -> mpf:
    return mp.fsum(x) / len(x)


def _exact(x: Sample) -> list[mpf]:
    return [mpf(float(value)) for value in x]


def _first(kept: Callable[[mpf], bool]) -> mpf:
    """Return the first of the means 2^-50, 2 * 2^-50, ..., 1 that is kept, as all after it are."""
    steps = 2**50
    found = bisect.bisect_left(range(1, steps), True, key=lambda i: kept(mpf(i) / steps))
    return mpf(found + 1) / steps


@_at_50_digits
def hoeffding_lower(x: Sample, alpha: float) -> mpf:
    """Return mean - sqrt(log(1/alpha)/(2n)), at least 0."""
    return max(mpf(0), _mean(_exact(x)) - mp.sqrt(-mp.log(mpf(alpha)) / (2 * len(x))))


@_at_50_digits
def bernstein_lower(x: Sample, alpha: float, variance: float) -> mpf:
    """Return mean - t, with t the positive root of n t**2 = 2 log(1/alpha) (variance + t/3)."""
    n, log_term = len(x), -mp.log(mpf(alpha))
    roots = mp.polyroots(
        [mpf(n), -2 * log_term / 3, -2 * log_term * mpf(variance)], maxsteps=200, extraprec=200
    )
    return max(mpf(0), _mean(_exact(x)) - max(mp.re(root) for root in roots))


@_at_50_digits
def empirical_bernstein_lower(x: Sample, alpha: float) -> mpf:
    """Return the Maurer-Pontil bound, with the variance as a sum over pairs; 0 at n = 1."""
    n, values, log_term = len(x), _exact(x), mp.log(2 / mpf(alpha))
    if n == 1:
        return mpf(0)
    pairs = mp.fsum((values[i] - values[j]) ** 2 for i in range(n) for j in range(i + 1, n))
    width = mp.sqrt(2 * pairs / (n * (n - 1)) * log_term / n)
    return max(mpf(0), _mean(values) - width - 7 * log_term / (3 * (n - 1)))


@_at_50_digits
def bentkus_lower(x: Sample, alpha: float) -> mpf:
    """Return the p at which e times the binomial tail at the sum's integer part is alpha."""
    total = sum((Fraction(float(value)) for value in x), Fraction(0))
    return clopper_pearson_lower(math.floor(total), len(x), mpf(alpha) / mp.e)


def _predictable_mean(past: Sequence[mpf]) -> mpf:
    return (mpf(1) / 2 + mp.fsum(past)) / (len(past) + 1)


def _predictable_variance(past: Sequence[mpf]) -> mpf:
    squares = [(past[i] - _predictable_mean(past[: i + 1])) ** 2 for i in range(len(past))]
    return (mpf(1) / 4 + mp.fsum(squares)) / (len(past) + 1)


def _plugin_bet(past: Sequence[mpf], log_term: mpf, horizon: int | None) -> mpf:
    t = len(past) + 1
    steps = mpf(horizon) if horizon else t * mp.log(1 + t)
    return mp.sqrt(2 * log_term / (_predictable_variance(past) * steps))


def _running_best(limits: Sequence[mpf]) -> list[mpf]:
    best, path = mpf(0), []
    for limit in limits:
        best = max(best, limit)
        path.append(best)
    return path


def _plugin_bernstein(x: Sample, alpha: float, cap: float, horizon: int | None) -> list[mpf]:
    values, log_term = _exact(x), -mp.log(mpf(alpha))
    bets = [min(_plugin_bet(values[:i], log_term, horizon), mpf(cap)) for i in range(len(values))]
    limits = []
    for t in range(1, len(values) + 1):
        gain = mp.fsum(bets[i] * values[i] for i in range(t))
        price = mp.fsum(
            4
            * (values[i] - _predictable_mean(values[:i])) ** 2
            * (-mp.log(1 - bets[i]) - bets[i])
            / 4
            for i in range(t)
        )
        limits.append((gain - log_term - price) / mp.fsum(bets[:t]))
    return _running_best(limits)


@_at_50_digits
def plugin_bernstein_lower(x: Sample, alpha: float, cap: float = 0.5) -> mpf:
    """Return the plug-in empirical Bernstein bound aimed at n = len(x)."""
    return _plugin_bernstein(x, alpha, cap, len(x))[-1]


@_at_50_digits
def plugin_bernstein_sequence(x: Sample, alpha: float, cap: float = 0.5) -> list[mpf]:
    """Return the running plug-in empirical Bernstein bounds."""
    return _plugin_bernstein(x, alpha, cap, None)


def _plugin_hoeffding(x: Sample, alpha: float, horizon: int | None) -> list[mpf]:
    values, log_term, limits = _exact(x), -mp.log(mpf(alpha)), []
    if horizon:
        bets = [mp.sqrt(8 * log_term / horizon)] * len(values)
    else:
        bets = [
            min(mp.sqrt(8 * log_term / (t * mp.log(1 + t))), mpf(1))
            for t in range(1, len(values) + 1)
        ]
    for t in range(1, len(values) + 1):
        gain = mp.fsum(bets[i] * values[i] for i in range(t))
        price = mp.fsum(bets[i] ** 2 / 8 for i in range(t))
        limits.append((gain - log_term - price) / mp.fsum(bets[:t]))
    return _running_best(limits)


@_at_50_digits
def plugin_hoeffding_lower(x: Sample, alpha: float) -> mpf:
    """Return the plug-in Hoeffding bound aimed at n = len(x)."""
    return _plugin_hoeffding(x, alpha, len(x))[-1]


@_at_50_digits
def plugin_hoeffding_sequence(x: Sample, alpha: float) -> list[mpf]:
    """Return the running plug-in Hoeffding bounds."""
    return _plugin_hoeffding(x, alpha, None)


def _star_starts(n: int) -> list[int]:
    starts, t = [], 0
    while t < n:
        starts.append(t)
        t += min(64, t // 64 + 1, (n - t) // 64 + 1)
    return starts


def _deviation_products(past: Sequence[mpf]) -> list[mpf]:
    """Return (x_i - mean of those before)(x_i - mean with it), whose sum is the spread."""
    means = [mpf(0)] + [_mean(past[: i + 1]) for i in range(len(past))]
    return [(past[i] - means[i]) * (past[i] - means[i + 1]) for i in range(len(past))]


def _star_moments(x: Sequence[mpf]) -> dict[int, tuple[mpf, mpf]]:
    """Return, for each start of a block, the spread and the sum of its squared terms."""
    moments = {}
    for t in _star_starts(len(x)):
        terms = _deviation_products(x[:t])
        moments[t] = mp.fsum(terms), mp.fsum(term**2 for term in terms)
    return moments


def _star_capital(
    x: Sequence[mpf], m: mpf, alpha: mpf, cap: mpf, moments: dict[int, tuple[mpf, mpf]]
) -> list[mpf]:
    """Return the capital after 0, 1, ..., n steps; it stays once it is through 1/alpha."""
    n, log_term = len(x), -mp.log(alpha)
    capital, bet = [mpf(1)], mpf(0)
    for t in range(n):
        if capital[-1] >= 1 / alpha:
            capital.append(capital[-1])
            continue
        if t in moments:
            spread, square = moments[t]
            prior = 10 * log_term / (1 + spread**2 / (square + mpf(10) ** -40)) ** 2
            variance = min((spread + prior * max(m, 1 - m) ** 2) / (t + 1), m * (1 - m))
            bend, past_goal = mpf(3) / 10, mpf(1) / 100
            aim = mp.sqrt(2 * (log_term + past_goal - mp.log(capital[-1])) + bend**2) - bend
            bet = min(aim / mp.sqrt((n - t) * variance), cap / m)
        capital.append(capital[-1] * (1 + bet * (x[t] - m)))
    return capital


def _agrapa_bets(x: Sequence[mpf], log_term: mpf, cap: mpf) -> list[mpf]:
    bets: list[mpf] = []
    reference = mpf(0)
    for t in range(len(x)):
        gap = _predictable_mean(x[:t]) - reference
        bet = mpf(0)
        if gap > 0:
            bet = gap / (_predictable_variance(x[:t]) + gap**2)
            bet = min(bet, cap / reference) if reference > 0 else bet
        bets.append(bet)
        price = mp.fsum(
            (bets[i] * (x[i] - _predictable_mean(x[:i]))) ** 2 / 2 for i in range(t + 1)
        )
        gain = mp.fsum(bets[i] * x[i] for i in range(t + 1))
        if mp.fsum(bets) > 0:
            reference = max(reference, (gain - price - log_term) / mp.fsum(bets))
    return bets


def _simple_capital(x: Sequence[mpf], m: mpf, bets: Sequence[mpf], cap: mpf) -> list[mpf]:
    capital = [mpf(1)]
    for value, bet in zip(x, bets, strict=True):
        capital.append(capital[-1] * (1 + min(bet, cap / m) * (value - m)))
    return capital


def _capital(
    x: Sample, alpha: float, strategy: str, cap: float, horizon: int | None
) -> Callable[[mpf], list[mpf]]:
    values, level = _exact(x), mpf(alpha)
    if strategy == "star":
        moments = _star_moments(values)
        return lambda m: _star_capital(values, m, level, mpf(cap), moments)
    log_term = -mp.log(level)
    if strategy == "plugin":
        bets = [_plugin_bet(values[:t], log_term, horizon) for t in range(len(values))]
    else:
        bets = _agrapa_bets(values, log_term, mpf(cap))
    return lambda m: _simple_capital(values, m, bets, mpf(cap))


@_at_50_digits
def betting_capitals(
    x: Sample, means: Sequence[float], alpha: float, strategy: str, cap: float, horizon: int
) -> list[list[mpf]]:
    """Return, for each candidate mean m > 0, the capital after 0, 1, ..., n steps."""
    capital = _capital(x, alpha, strategy, cap, horizon)
    return [capital(mpf(float(m))) for m in means]


@_at_50_digits
def betting_lower(
    x: Sample, alpha: float, strategy: str = "star", cap: float = 0.99, u: float = 1.0
) -> mpf:
    """Return the end of the rejected means on a grid of 2^-50, the first that is kept."""
    capital = _capital(x, alpha, strategy, cap, len(x))

    def kept(m: mpf) -> bool:
        path = capital(m)
        return not (max(path) >= 1 / mpf(alpha) or path[-1] >= mpf(u) / mpf(alpha))

    return _first(kept)


def _mixture_limit(
    values: Sequence[mpf], alpha: mpf, shares: Sequence[Sequence[mpf]], weights: Sequence[mpf]
) -> mpf:
    """Return the end of the means at which the mixture of all `values` is through 1/alpha."""

    def capital(m: mpf) -> mpf:
        return mp.fsum(
            weight
            * mp.fprod(
                1 - row[j] + row[j] * value / m for row, value in zip(shares, values, strict=True)
            )
            for j, weight in enumerate(weights)
        )

    return _first(lambda m: capital(m) < 1 / alpha) if any(values) else mpf(0)


@_at_50_digits
def betting_sequence(
    x: Sample,
    alpha: float,
    strategy: str,
    shares: Sequence[float] = (),
    weights: Sequence[float] = (1.0,),
) -> list[mpf]:
    """Return the running limits of a mixture of constant shares, or of a predictable strategy.

    `shares` and `weights` describe the mixture; "plugin" and "agrapa" need neither.
    """
    values, level = _exact(x), mpf(alpha)
    if strategy in ("plugin", "agrapa"):
        cap = mpf(1) / 2
        if strategy == "plugin":
            bets = [_plugin_bet(values[:t], -mp.log(level), None) for t in range(len(values))]
        else:
            bets = _agrapa_bets(values, -mp.log(level), cap)
        rows = [[min(bet * _predictable_mean(values[:t]), cap)] for t, bet in enumerate(bets)]
    else:
        rows = [_exact(shares)] * len(values)
    mass = _exact(weights)
    return _running_best(
        [_mixture_limit(values[: t + 1], level, rows[: t + 1], mass) for t in range(len(values))]
    )


@_at_50_digits
def kt_mixture_sequence(x: Sample, alpha: float) -> tuple[list[mpf], list[mpf]]:
    """Return the running lower and upper limits of the Beta-binomial mixture."""
    half, lowers, uppers = mpf(1) / 2, [], []
    for t in range(1, len(x) + 1):
        k = int(sum(x[:t]))
        mixture = mp.beta(k + half, t - k + half) / mp.beta(half, half)

        def kept(p: mpf, k: int = k, t: int = t, mixture: mpf = mixture) -> bool:
            """Return whether p is kept, or on the other side of the estimate."""
            return bool(p * t >= k or mixture * mpf(alpha) < p**k * (1 - p) ** (t - k))

        def kept_above(q: mpf, k: int = k, t: int = t, mixture: mpf = mixture) -> bool:
            p = 1 - q
            return bool(p * t <= k or mixture * mpf(alpha) < p**k * q ** (t - k))

        lowers.append(_first(kept) if k else mpf(0))
        uppers.append(1 - _first(kept_above) if k < t else mpf(1))
    running = _running_best([1 - upper for upper in uppers])
    return _running_best(lowers), [1 - value for value in running]


@_at_50_digits
def clopper_pearson_sequence(x: Sample, alpha: float) -> list[mpf]:
    """Return the running Clopper-Pearson limits on the geometric schedule."""
    limits, look, following = [], 1, 1
    for t in range(1, len(x) + 1):
        limit = mpf(0)
        if t == following:
            level = 5 * mpf(alpha) / ((look + 4) * (look + 5))
            limit = clopper_pearson_lower(int(sum(x[:t])), t, level)
            look, following = look + 1, max(t + 1, t * 11 // 10)
        limits.append(limit)
    return _running_best(limits)
