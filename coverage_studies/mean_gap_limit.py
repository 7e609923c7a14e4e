"""How small the mean gap E[mu - L] of a lower bound can be, and how small the default's is.

Two limits for n = 1000 and alpha = 0.05, on uniform scores and their exponential tilts; any
bound L that covers for samples in [0, 1] covers for those.

1. *Expected shortfall*, E[(mu - L)+] on uniform scores. Since P(L > m) <= alpha at the tilt
   of mean m, {L > m} is a test of it, and under the uniform law no test has more power than
   Neyman and Pearson's, which rejects for large sums. The limit integrates its error over m < mu.
2. *Mean gap*, E[mu - L], averaged over tilts with a prior on their means m. It counts a bound
   that is too high as a gain, so that alone it has no limit: "1 with probability alpha, else
   0" has a negative gap. For bounds that never exceed the sample mean by more than REACH the
   limit is by weak duality: with multipliers k_m >= 0,

       E[L] <= sum over sums s of p(s) max over l <= s/n + REACH of (l - E[k_m 1(m < l) | s])
               + alpha E[k_m],

   for any predictable, randomized or order-dependent L, because the sum is sufficient for m.

The distribution of the sum is by inversion of its characteristic function. Measured beside
them: the strategies of `betting_lower` on the three laws of the width table that are compared
most, and on the tilts. A gap at n = 1000 on uniform scores has standard deviation 0.009, so a
mean over 100 samples is uncertain by 0.0009; here the known mean of the sample mean is used
as a control variate.

Run as ``python -m coverage_studies.mean_gap_limit``; writes results/mean_gap_limit.json. Some
two minutes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.integrate import simpson
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

import rsverify
from rsverify.bounds.betting import STRATEGIES, betting_lower

SEED, N, ALPHA, REPLICATIONS = 40, 1000, 0.05, 10_000
REACH = 0.05
HALF_WIDTH, MEANS, SUMS = 0.3, 12_001, 601
# The characteristic function of the sum is below 1e-100 beyond, and the step is small
# against 2 pi over the range of the sum that counts.
FREQUENCIES = np.linspace(0.0, 2.4, 6001)[1:]
RESULTS = Path(__file__).parent / "results"


def log_transform(z: Any) -> Any:
    """Return log((exp(z) - 1) / z), the cumulant function of the uniform law."""
    small = np.abs(z) < 1e-3
    safe = np.where(small, 1.0, z)
    return np.where(small, z / 2 + z * z / 24, np.log(np.expm1(safe) / safe))


def tilt_mean(t: float) -> float:
    """Return the mean of the density proportional to exp(t x)."""
    return 0.5 + t / 12 - t**3 / 720 if abs(t) < 1e-2 else -1 / np.expm1(-t) - 1 / t


def tilt_variance(t: float) -> float:
    """Return its variance."""
    return 1 / 12 - t * t / 240 if abs(t) < 1e-2 else 1 / t**2 - 0.25 / np.sinh(t / 2) ** 2


def tilt_of(m: float) -> float:
    """Return the tilt of mean m."""
    return float(brentq(lambda t: tilt_mean(t) - m, -60, 60, xtol=1e-14))


def transform(t: float, s: float) -> Any:
    """Return the characteristic function of the tilted sum less s."""
    logs = log_transform(t + 1j * FREQUENCIES) - log_transform(complex(t))
    return np.exp(N * logs - 1j * FREQUENCIES * s)


def tail(t: float, s: float) -> float:
    """Return P(sum >= s) under the tilt t."""
    values = transform(t, s).imag / FREQUENCIES
    return float(0.5 + FREQUENCIES[0] / np.pi * (values.sum() + 0.5 * (N * tilt_mean(t) - s)))


def density(t: float, s: float) -> float:
    """Return the density of the sum at s under the tilt t."""
    return float(FREQUENCIES[0] / np.pi * (transform(t, s).real.sum() + 0.5))


def shortfall_limit() -> float:
    """Return the limit of E[(mu - L)+] on uniform scores."""
    means = 0.5 - np.linspace(0.0, 0.08, 161)
    errors = []
    for m in means:
        t = tilt_of(m)
        at_level = brentq(lambda s, t=t: tail(t, s) - ALPHA, N * m, N * (m + 0.03), xtol=1e-10)
        errors.append(1.0 - tail(0.0, at_level))
    return float(simpson(errors, x=0.5 - means))


def prior() -> tuple[Any, Any]:
    """Return means of tilts and their weights, a squared sine, so without edges."""
    place = np.linspace(0.0, 1.0, MEANS)[1:-1]
    weights = np.sin(np.pi * place) ** 2
    return 0.5 + HALF_WIDTH * (2 * place - 1), weights / weights.sum()


def gap_limit() -> dict[str, float]:
    """Return the limit of the mean gap over the prior, and that of a z interval beside it."""
    means, weights = prior()
    tilts = np.array([tilt_of(m) for m in means])
    cumulants = N * log_transform(tilts)
    deviation = np.sqrt(np.array([tilt_variance(t) for t in tilts]) / N)
    reach = HALF_WIDTH + 0.04
    sums = N * np.linspace(0.5 - reach, 0.5 + reach, SUMS)
    rows = []
    for s in sums:
        t = tilt_of(s / N)
        logs = np.log(weights) + (tilts - t) * s - (cumulants - N * log_transform(np.array(t)))
        scale = logs.max()
        posterior = np.exp(logs - scale)
        chance = density(t, s) * np.exp(scale) * posterior.sum() * (sums[1] - sums[0])
        # A bound at a mean misses the smaller ones; the multipliers are k times the deviation.
        cost = np.r_[0.0, np.cumsum(posterior * deviation)[:-1]] / posterior.sum()
        last = max(1, int(np.searchsorted(means, s / N + REACH, side="right")))
        rows.append((chance, means[:last], cost[:last]))

    def best_mean(k: float) -> float:
        value = sum(chance * np.max(mean - k * cost) for chance, mean, cost in rows)
        return float(value + k * ALPHA * (weights @ deviation))

    largest = minimize_scalar(best_mean, bounds=(4, 20), method="bounded").fun
    return {
        "limit": float(weights @ means - largest),
        "z": float(norm.isf(ALPHA) * (weights @ deviation)),
    }


def summary(x: Any, mu: Any, lower: Any) -> dict[str, float]:
    """Return what a bound's gaps are like; mean and error with a control variate."""
    noise = x.mean(axis=1) - mu

    def steadied(y: Any) -> Any:
        return y - np.cov(y, noise)[0, 1] / noise.var() * noise

    gap = steadied(mu - lower)
    return {
        "mean_gap": float(gap.mean()),
        "standard_error": float(gap.std() / len(gap) ** 0.5),
        "shortfall": float(steadied(np.maximum(mu - lower, 0)).mean()),
        "miscoverage": float(np.mean(lower > mu)),
        "largest_above_sample_mean": float(np.max(lower - x.mean(axis=1))),
        "deviation_of_one_gap": float((mu - lower).std()),
    }


def tilted(rng: np.random.Generator) -> tuple[Any, Any]:
    """Return samples of tilts drawn from the prior, and their means."""
    means, weights = prior()
    mu = rng.choice(means, REPLICATIONS, p=weights)
    t = np.array([tilt_of(m) for m in mu])[:, None]
    t = np.where(np.abs(t) < 1e-6, 1e-6, t)
    return np.log1p(rng.random((REPLICATIONS, N)) * np.expm1(t)) / t, mu


def main() -> None:
    """Compute the limits, measure the strategies, write both."""
    shape = (REPLICATIONS, N)
    rngs = [np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(i,))) for i in range(4)]
    samples = {
        "uniform": (rngs[0].random(shape), 0.5),
        "Beta(1000, 1000)": (rngs[1].beta(1000, 1000, shape), 0.5),
        "Bernoulli(0.99)": ((rngs[2].random(shape) < 0.99).astype(float), 0.99),
        "tilted uniform, over the prior": tilted(rngs[3]),
    }
    result: dict[str, Any] = {
        "study": "mean_gap_limit",
        "version": rsverify.__version__,
        "seed": SEED,
        "n": N,
        "alpha": ALPHA,
        "replications": REPLICATIONS,
        "shortfall_limit_uniform": shortfall_limit(),
        "z_gap_uniform": float(norm.isf(ALPHA) * np.sqrt(1 / 12 / N)),
        "mean_gap_over_the_prior": gap_limit(),
        "measured": {},
    }
    print(json.dumps(result, indent=1), flush=True)
    for law, (x, mu) in samples.items():
        rows = {s: summary(x, mu, betting_lower(x, ALPHA, strategy=s)) for s in STRATEGIES}
        rows["star, with u"] = summary(x, mu, betting_lower(x, ALPHA, seed=SEED))
        result["measured"][law] = rows
        for name, row in rows.items():
            print(law, name, {k: round(v, 5) for k, v in row.items()}, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "mean_gap_limit.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
