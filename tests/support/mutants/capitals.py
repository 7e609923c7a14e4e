"""Wrong capital and bets: (x, m, alpha) -> capital after each observation, or bets."""

import numpy as np

from rsverify.auditing.capital import capital_from_bets

from .mutant import bets, capital


def moments(x):
    """Running mean and variance after each observation, with the usual priors 1/2 and 1/4."""
    t = np.arange(1, x.shape[1] + 1)
    means = (0.5 + np.cumsum(x, axis=1)) / (t + 1)
    variances = (0.25 + np.cumsum((x - means) ** 2, axis=1)) / (t + 1)
    return means, variances


def before(path, start):
    """The path one step earlier: what was known before each observation."""
    return np.c_[np.full(len(path), start), path[:, :-1]]


def plugin(variances, n, alpha, cap):
    return np.minimum(np.sqrt(2 * np.log(1 / alpha) / (n * variances)), cap)


def fair_bets(x, m, alpha):
    return np.minimum(plugin(before(moments(x)[1], 0.25), x.shape[1], alpha, np.inf), 0.5 / m)


def bets_seeing_their_observation(x, m, alpha):
    return np.minimum(plugin(moments(x)[1], x.shape[1], alpha, np.inf), 0.5 / m)


def agrapa_seeing_its_observation(x, m, alpha):
    del alpha
    means, variances = moments(x)
    return np.clip((means - m) / (variances + (means - m) ** 2), 0, 0.5 / m)


def clamped_capital(x, m, alpha):
    bets = plugin(before(moments(x)[1], 0.25), x.shape[1], alpha, np.inf)
    return np.cumprod(np.maximum(1 + bets * (x - m), 1e-3), axis=1)


def two_sided_bets(x, m, alpha):
    """The larger of both sides' capital, without halving them."""
    up = np.cumprod(1 + fair_bets(x, m, alpha) * (x - m), axis=1)
    down = np.cumprod(1 - np.minimum(fair_bets(x, m, alpha), 0.5 / (1 - m)) * (x - m), axis=1)
    return np.maximum(up, down)


def running_maximum(x, m, alpha):
    return np.maximum.accumulate(np.cumprod(1 + fair_bets(x, m, alpha) * (x - m), axis=1), axis=1)


def bernstein_capital(*, peek=False, center="before", variance="observation", scale=4.0):
    """The empirical Bernstein process and its variations; none of the arguments: the fair one."""

    def capital(x, m, alpha):
        means, variances = moments(x)
        bets = plugin(variances if peek else before(variances, 0.25), x.shape[1], alpha, 0.5)
        centers = means if center == "now" else before(means, 0.5)
        price = scale * (x - centers) ** 2
        if variance == "running":
            t = np.arange(1, x.shape[1] + 1)
            own = np.cumsum(x, axis=1) / t
            price = scale * np.maximum(np.cumsum(x**2, axis=1) / t - own**2, 0)
        psi = (-np.log1p(-bets) - bets) / 4
        return np.exp(np.cumsum(bets * (x - m) - price * psi, axis=1))

    return capital


def bernstein_bets(x, m, alpha):
    del m
    return plugin(moments(x)[1], x.shape[1], alpha, 0.5)


def bets_of_their_batch(x, m, alpha):
    """Bets fixed for ten observations at a time, from the variance of those ten."""
    out = np.empty_like(x)
    for start in range(0, x.shape[1], 10):
        batch = x[:, start : start + 10]
        variance = np.maximum(batch.var(axis=1, keepdims=True), 1e-3)
        out[:, start : start + 10] = plugin(variance, x.shape[1], alpha, 0.5 / m)
    return out


def bound_of(process):
    """Return the bound whose capital is `process`: the least mean not rejected, by bisection."""

    def bound(x, alpha):
        low, high = np.full((len(x), 1), 1e-9), np.ones((len(x), 1))
        for _ in range(24):
            m = (low + high) / 2
            rejected = process(x, m, alpha).max(axis=1, keepdims=True) >= 1 / alpha
            low, high = np.where(rejected, m, low), np.where(rejected, high, m)
        return np.where(low > 1e-9, low, 0.0)[:, 0]  # 0 where no mean is rejected

    return bound


REFUTED = [
    capital("peeking bet", "lambda from sigma_t", capital_from_bets(bets_seeing_their_observation)),
    capital(
        "peeking aGRAPA",
        "mean and variance include X_t",
        capital_from_bets(agrapa_seeing_its_observation),
    ),
    capital(
        "batched bets", "a batch's bets from its variance", capital_from_bets(bets_of_their_batch)
    ),
    capital("clamped factor", "factor clamped, bet not truncated", clamped_capital),
    capital("both sides", "the larger capital, neither halved", two_sided_bets),
    capital("running maximum", "the maximum taken for capital", running_maximum),
    bets("peeking bernstein bets", "lambda from sigma_t", bernstein_bets),
    bets("peeking plug-in bets", "lambda from sigma_t", bets_seeing_their_observation),
    capital("centerd now", "deviations from mu_t", bernstein_capital(center="now")),
    capital(
        "running variance",
        "variance of X_1..X_t for deviations",
        bernstein_capital(variance="running"),
    ),
    capital("peeking bernstein capital", "lambda from sigma_t", bernstein_capital(peek=True)),
    capital("no 4", "psi / 4 without the 4 in v", bernstein_capital(scale=1.0)),
]
UNSEEN = []
FAIR_CAPITAL = {
    "plugin": capital_from_bets(fair_bets),
    "bernstein": bernstein_capital(),
}
LOOSE = {
    "a bet that sees sigma_t": capital_from_bets(bets_seeing_their_observation),
    "deviations centerd at mu_t": bernstein_capital(center="now"),
    "a running sample variance": bernstein_capital(variance="running"),
    "a lambda from sigma_t": bernstein_capital(peek=True),
}
"""Four faults whose bounds pass the simulation of coverage."""
