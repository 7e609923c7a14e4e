"""A museum of wrong bounds. The auditor must refuse each, by the default budget, in seconds.

Each exhibit is a bound as someone wrote it, with the mistake named, and the audit that shows
it. `EXHIBITS` truly undercover. `UNSEEN` have the same kind of mistake but are loose enough to
cover, or nearly so: the audit does not refuse them, and what it says is recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from scipy.special import betaincinv, ndtri
from scipy.stats import multinomial

from rsverify import bonferroni_margin_lower
from rsverify.audit import Estimand, capital_from_bets
from rsverify.bounds.as_printed import printed_selected_runner_up_lower
from rsverify.bounds.as_printed_soft import (
    printed_empirical_bernstein_lower,
    printed_plugin_bernstein_lower,
    printed_taylor_margin_lower,
)
from rsverify.bounds.betting import betting_lower
from rsverify.bounds.mean import (
    bernstein_lower,
    empirical_bernstein_lower,
    hoeffding_lower,
    plugin_bernstein_lower,
)
from rsverify.probit import taylor_probit


@dataclass(frozen=True)
class Mutant:
    """A wrong bound, what is wrong with it, and the options of the audit that shows it."""

    name: str
    fault: str
    bound: Callable[..., Any] | str
    options: dict[str, Any] = field(default_factory=dict)


# Proportions: counts (R, 2) of hits and misses.


def votes(counts):
    return counts[:, 0].astype(float), counts.sum(axis=1).astype(float)


def clopper_pearson(k, n, alpha):
    inside = betaincinv(np.maximum(k, 1), n - k + 1, alpha)
    return np.where(k > 0, inside, 0.0)


def wald(counts, alpha):
    k, n = votes(counts)
    p = k / n
    return p + ndtri(alpha) * np.sqrt(p * (1 - p) / n)


def wilson(counts, alpha):
    k, n = votes(counts)
    p, z = k / n, -ndtri(alpha)
    spread = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    return (p + z**2 / (2 * n) - spread) / (1 + z**2 / n)


def agresti_coull(counts, alpha):
    k, n = votes(counts)
    z = -ndtri(alpha)
    p = (k + z**2 / 2) / (n + z**2)
    return p - z * np.sqrt(p * (1 - p) / (n + z**2))


def jeffreys(counts, alpha):
    k, n = votes(counts)
    return betaincinv(k + 0.5, n - k + 0.5, alpha)


def strict_tail(counts, alpha):
    k, n = votes(counts)
    return np.where(k < n, betaincinv(k + 1, np.maximum(n - k, 1), alpha), 1.0)


def mid_p(counts, alpha):
    k, n = votes(counts)
    low, high = np.zeros(k.shape), np.ones(k.shape)
    from scipy.stats import binom

    for _ in range(60):
        p = (low + high) / 2
        tail = binom.sf(k, n, p) + 0.5 * binom.pmf(k, n, p)
        low, high = np.where(tail > alpha, low, p), np.where(tail > alpha, p, high)
    return np.where(k > 0, low, 0.0)


def alpha_on_each_side(counts, alpha):
    k, n = votes(counts)
    return clopper_pearson(k, n, alpha), 1 - clopper_pearson(n - k, n, alpha)


def three_digits(counts, alpha):
    k, n = votes(counts)
    return np.round(clopper_pearson(k, n, alpha), 3)


def arcsine(counts, alpha):
    k, n = votes(counts)
    angle = np.arcsin(np.sqrt(k / n)) + ndtri(alpha) / (2 * np.sqrt(n))
    return np.sin(np.maximum(angle, 0)) ** 2


def logit(counts, alpha):
    k, n = votes(counts)
    a, b = k + 0.5, n - k + 0.5
    odds = np.log(a / b) + ndtri(alpha) * np.sqrt(1 / a + 1 / b)
    return 1 / (1 + np.exp(-odds))


def one_vote_less(counts, alpha):
    k, n = votes(counts)
    return clopper_pearson(np.minimum(k, n - 1), np.maximum(n - 1, 1), alpha)


def uniform_prior(counts, alpha):
    k, n = votes(counts)
    return betaincinv(k + 1, n - k + 1, alpha)


# Margins: counts (R, m), column 0 the class certified.


def bonferroni_full_alpha(counts, alpha):
    k, n = votes(counts)
    other = counts[:, 1:].max(axis=1)
    return clopper_pearson(k, n, alpha) - (1 - clopper_pearson(n - other, n, alpha))


def second_class(counts, alpha):
    n = counts.sum(axis=1)
    return bonferroni_margin_lower(counts[:, 0], counts[:, 1], n, alpha, estimand="difference")


def wald_margin(counts, alpha):
    n = counts.sum(axis=1)
    p, q = counts[:, 0] / n, counts[:, 1:].max(axis=1) / n
    return p - q + ndtri(alpha) * np.sqrt(np.maximum(p + q - (p - q) ** 2, 0) / n)


def plug_in_probit(counts, alpha):
    n = counts.sum(axis=1)
    lower = clopper_pearson(counts[:, 0], n, alpha)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(ndtri(lower) - ndtri(counts[:, 1:].max(axis=1) / n), neginf=-np.inf)


def taylor_everywhere(counts, alpha):
    n = counts.sum(axis=1)
    lower = clopper_pearson(counts[:, 0], n, alpha / 2)
    other = counts[:, 1:].max(axis=1)
    upper = np.minimum(1 - clopper_pearson(n - other, n, alpha / 2), 1 - lower)
    return np.asarray(taylor_probit(lower, 3)) - np.asarray(taylor_probit(upper, 3))


@cache
def float_tied_table(n, alpha):
    """Buehler's bound ordered by X1 - X2, the observed value written another way."""
    x = np.array([(a, b) for a in range(n + 1) for b in range(n + 1 - a)])
    keys = x[:, 0] / n - x[:, 1] / n
    table = np.full((n + 1, n + 1), -1.0)
    full = np.column_stack([x, n - x.sum(axis=1)])
    for (a, b), observed in zip(x, (x[:, 0] - x[:, 1]) / n, strict=True):
        low, high = -1.0, 1.0
        for _ in range(30):
            margin = (low + high) / 2
            t = np.linspace(max(0, -margin), (1 - margin) / 2, 24)
            q = np.clip(np.column_stack([t + margin, t, 1 - 2 * t - margin]), 0, 1)
            tail = [multinomial.pmf(full[keys >= observed], n, row).sum() for row in q]
            low, high = (low, margin) if max(tail) > alpha else (margin, high)
        table[a, b] = low
    return table


def float_ties(counts, alpha):
    table = float_tied_table(int(counts[0].sum()), alpha)
    return table[counts[:, 0], counts[:, 1]]


WINNER = Estimand(
    draw=lambda rng, rows, n, p: rng.multinomial(n, p, rows),
    truth=lambda p: max(p),
    scenarios={"ten equal classes": {"p": (0.1,) * 10}, "clear winner": {"p": (0.8, 0.1, 0.1)}},
    space=(0, 1),
    name="probability of the winner",
)


def winner_of_the_same_counts(counts, alpha):
    return clopper_pearson(counts.max(axis=1), counts.sum(axis=1), alpha)


def _selection_and_counts(rng, rows, n, p):
    return np.hstack([rng.multinomial(1, p, rows), rng.multinomial(n, p, rows)])


SELECTED = Estimand(
    draw=_selection_and_counts,
    truth=lambda p: p[0] - max(p[1:]),
    scenarios={"runners-up 0.3 and 0.2": {"p": (0.5, 0.3, 0.2)}},
    space=(-1, 1),
    name="margin, runner-up selected on one vote",
)


def runner_up_from_other_data(data, alpha):
    m = data.shape[1] // 2
    return printed_selected_runner_up_lower(
        data[:, :m], data[:, m:], alpha, y=0, estimand="difference"
    )


# Means: samples (R, n) in [0, 1].


def normal_mean(x, alpha):
    return x.mean(axis=-1) + ndtri(alpha) * x.std(axis=-1, ddof=1) / np.sqrt(x.shape[-1])


def bernstein_of_sample_variance(x, alpha):
    return bernstein_lower(x, alpha, variance=np.minimum(x.var(axis=-1), 0.25))


def bernstein_without_last_term(x, alpha):
    n = x.shape[-1]
    return x.mean(axis=-1) - np.sqrt(2 * x.var(axis=-1, ddof=1) * np.log(2 / alpha) / n)


def hoeffding_half_range(x, alpha):
    return x.mean(axis=-1) - np.sqrt(np.log(1 / alpha) / (8 * x.shape[-1]))


def hoeffding_when_it_looks_best(x, alpha):
    t = np.arange(1, x.shape[-1] + 1)
    path = np.cumsum(x, axis=-1) / t - np.sqrt(np.log(1 / alpha) / (2 * t))
    return path.max(axis=-1)


def clopper_pearson_when_it_looks_best(x, alpha):
    hits = np.cumsum(x > 0.5, axis=-1)
    return clopper_pearson(hits, np.arange(1, x.shape[-1] + 1), alpha).max(axis=-1)


def twice_alpha(x, alpha):
    return betting_lower(x, 2 * alpha)


def sorted_first(x, alpha):
    return betting_lower(-np.sort(-x, axis=-1), alpha, strategy="plugin")


def best_of_permutations(x, alpha):
    rng = np.random.default_rng(0)
    orders = [rng.permutation(x.shape[-1]) for _ in range(20)]
    return np.max([betting_lower(x[..., o], alpha, strategy="plugin") for o in orders], axis=0)


def best_of_bounds(x, alpha):
    bounds = [hoeffding_lower, empirical_bernstein_lower, plugin_bernstein_lower, betting_lower]
    more = [betting_lower(x, alpha, strategy=s) for s in ("plugin", "agrapa")]
    return np.max([*(b(x, alpha) for b in bounds), *more], axis=0)


def without_the_zeros(x, alpha):
    kept = np.where(x > 0, x, np.nan)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(kept, axis=-1) / np.maximum((x > 0).sum(axis=-1), 1)
    return mean - np.sqrt(np.log(1 / alpha) / (2 * x.shape[-1]))


def printed_plugin(x, alpha):
    with np.errstate(all="ignore"):
        return printed_plugin_bernstein_lower(x, alpha)


BERNOULLI = {
    f"Bernoulli({p})": {"law": ("points", (0.0, 1.0), (1 - p, p))} for p in (0.02, 0.3, 0.5, 0.9)
}

SCORES = Estimand(
    # Softmax-like scores of two classes and a rest, far from the linear part of the probit.
    draw=lambda rng, rows, n, p: np.where(
        rng.random((rows, n, 1)) < p, [[[0.99, 0.005, 0.005]]], [[[0.1, 0.21, 0.69]]]
    ),
    truth=lambda p: float(ndtri(0.99 * p + 0.1 * (1 - p)) - ndtri(0.005 * p + 0.21 * (1 - p))),
    scenarios={"half of the scores 0.99": {"p": 0.5}},
    name="probit of mean scores",
)


def taylor_of_scores(scores, alpha):
    return printed_taylor_margin_lower(scores[..., 0], scores[..., 1], alpha)


# Capital: (x, m, alpha) -> capital after each observation.


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


def bernstein_capital(*, peek=False, centre="before", variance="observation", scale=4.0):
    """The empirical Bernstein process and its variations; none of the arguments: the fair one."""

    def capital(x, m, alpha):
        means, variances = moments(x)
        bets = plugin(variances if peek else before(variances, 0.25), x.shape[1], alpha, 0.5)
        centres = means if centre == "now" else before(means, 0.5)
        price = scale * (x - centres) ** 2
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


def exact(name, fault, bound, estimand, n, alpha=0.05, **more):
    return Mutant(name, fault, bound, {"estimand": estimand, "n": n, "alpha": alpha, **more})


def drawn(name, fault, bound, n, alpha=0.05, estimand="mean", **more):
    return Mutant(name, fault, bound, {"estimand": estimand, "n": n, "alpha": alpha, **more})


def capital(name, fault, bound):
    return Mutant(name, fault, bound, {"kind": "betting", "n": 12, "alpha": 0.05})


def bets(name, fault, bound):
    return Mutant(name, fault, bound, {"kind": "bets", "n": 40, "alpha": 0.05})


EXHIBITS = [
    exact("wald", "normal approximation with the estimated variance", wald, "proportion", 1000),
    exact("wilson", "normal approximation", wilson, "proportion", 1000),
    exact("agresti-coull", "normal approximation, votes added", agresti_coull, "proportion", 300),
    exact("jeffreys", "a Bayesian limit taken as a confidence limit", jeffreys, "proportion", 100),
    exact("uniform prior", "Beta(k+1, n-k+1) for Beta(k, n-k+1)", uniform_prior, "proportion", 50),
    exact("strict tail", "> for >=", strict_tail, "proportion", 1000),
    exact("mid-p", "half of the observed outcome", mid_p, "proportion", 60),
    exact(
        "alpha on each side",
        "alpha for alpha/2",
        alpha_on_each_side,
        "proportion",
        100,
        side="two-sided",
    ),
    exact("three digits", "rounded to nearest", three_digits, "proportion", 1000),
    exact("arcsine", "variance-stabilised normal approximation", arcsine, "proportion", 100),
    exact("logit", "normal quantile for the Beta one", logit, "proportion", 100),
    exact("wald, alpha 0.001", "normal approximation", wald, "proportion", 1000, 0.001),
    exact("one vote less", "n - 1 for n", one_vote_less, "proportion", 20),
    exact("second class", "runner-up fixed, another may be it", second_class, "difference", 60),
    exact("wald margin", "normal approximation", wald_margin, "difference", 60),
    exact("estimated runner-up", "no limit for p2", plug_in_probit, "probit", 60),
    exact("taylor everywhere", "polynomial used below 1/2", taylor_everywhere, "probit", 60),
    exact("float ties", "equal outcomes with unequal keys", float_ties, "difference:first", 10),
    exact("printed difference", "> for >= (7)", "printed_margin_lower", "difference", 5),
    exact("printed probit", "> for >= (7)", "printed_margin_lower", "probit", 5),
    exact("printed two-step", "> for >= (7)", "printed_two_step_lower", "probit", 5, 0.1),
    drawn(
        "winner of the same counts",
        "selection without correction",
        winner_of_the_same_counts,
        100,
        estimand=WINNER,
    ),
    drawn(
        "runner-up from other data",
        "3.3: a smaller rival's margin",
        runner_up_from_other_data,
        500,
        estimand=SELECTED,
    ),
    drawn(
        "taylor of scores",
        "5.3: E of a convex function",
        taylor_of_scores,
        1000,
        estimand=SCORES,
        replications=400,
    ),
    drawn("printed plug-in", "(15): bets without a limit", printed_plugin, 50),
    drawn("normal mean", "normal approximation", normal_mean, 50),
    drawn(
        "plugged-in variance",
        "Bernstein with the sample's variance",
        bernstein_of_sample_variance,
        50,
    ),
    drawn(
        "bernstein without last term",
        "variance of the variance left out",
        bernstein_without_last_term,
        50,
    ),
    drawn("half range", "range 1/2 for 1", hoeffding_half_range, 50),
    drawn(
        "hoeffding when it looks best",
        "a fixed-n bound at a chosen n",
        hoeffding_when_it_looks_best,
        200,
    ),
    drawn(
        "clopper-pearson when it looks best",
        "a fixed-n bound at a chosen n",
        clopper_pearson_when_it_looks_best,
        100,
        scenarios=BERNOULLI,
    ),
    drawn("twice alpha", "2 alpha for alpha", twice_alpha, 50, scenarios=BERNOULLI),
    drawn("sorted", "data sorted before betting", sorted_first, 50),
    drawn(
        "best of 20 permutations",
        "order chosen after seeing",
        best_of_permutations,
        40,
        scenarios=BERNOULLI,
    ),
    drawn("without the zeros", "failed rows dropped", without_the_zeros, 50),
    capital("peeking bet", "lambda from sigma_t", capital_from_bets(bets_seeing_their_observation)),
    capital(
        "peeking aGRAPA",
        "mean and variance include X_t",
        capital_from_bets(agrapa_seeing_its_observation),
    ),
    capital("clamped factor", "factor clamped, bet not truncated", clamped_capital),
    capital("both sides", "the larger capital, neither halved", two_sided_bets),
    capital("running maximum", "the maximum taken for capital", running_maximum),
    bets("peeking bernstein bets", "lambda from sigma_t", bernstein_bets),
    bets("peeking plug-in bets", "lambda from sigma_t", bets_seeing_their_observation),
    capital("centred now", "deviations from mu_t", bernstein_capital(centre="now")),
    capital(
        "running variance",
        "variance of X_1..X_t for deviations",
        bernstein_capital(variance="running"),
    ),
    capital("no 4", "psi / 4 without the 4 in v", bernstein_capital(scale=1.0)),
]

UNSEEN = [
    exact("bonferroni at alpha", "alpha for alpha/2", bonferroni_full_alpha, "difference", 60),
    capital(
        "peeking bernstein capital",
        "lambda from sigma_t, with room to spare",
        bernstein_capital(peek=True),
    ),
    drawn(
        "printed empirical bernstein",
        "ln(1/delta) for ln(2/delta): one of two events",
        printed_empirical_bernstein_lower,
        50,
    ),
    drawn(
        "best of bounds",
        "largest of six without correction",
        best_of_bounds,
        40,
        scenarios=BERNOULLI,
    ),
]

FAIR_CAPITAL = {
    "plugin": capital_from_bets(fair_bets),
    "bernstein": bernstein_capital(),
}
