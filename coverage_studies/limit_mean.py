"""How far the bounds of a bounded mean are from the best that any bound can do.

For any lower bound L of a mean, valid at level alpha for samples in [0, 1], and any distribution P
of mean mu, {L > c} is a test of "the mean is at most c" at level alpha, so that

    E[(mu - L)+] >= integral from 0 to mu of 1 - beta(c) dc,

beta(c) the largest power against P, which is at most that of Neyman and Pearson's test of any
single distribution of mean at most c. Two families are tried for each c, and the hardest taken:

- *tilt and atom*: an exponential tilt of P of mean m in [c, mu], and an atom at 0 of probability
  1 - c / m. With m = c the tilt alone, with m = mu the atom alone.
- *projection*: the density 1 / (1 + lambda (x - c)) with respect to P, the closest distribution of
  mean c in Kullback-Leibler divergence; an atom at 0 takes what is missing, if anything.

The distribution of the log-likelihood ratio's sum is by FFT on a grid; the null probability is the
expectation of exp(-sum) under P. The test is randomized and made for each P alone, so no bound need
reach the limit. On samples of one value x a bound that may not randomize is at most x alpha^(1/n);
what that costs is in the results, and it is most of the distance there.

Measured: E[(mu - L)+] of every bound over REPLICATIONS samples, the sample mean as a control
variate. Run as ``python -m coverage_studies.limit_mean``; writes results/limit_mean.json and
docs/figures/limit-mean.png. Four minutes on one core.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta as beta_law

import rsverify
from rsverify.bounds import mean

SEED, NODES, TILTS, GRID = 12, 24, 9, 2**15
REPLICATIONS = {100: 2000, 1000: 400}
CASES = [(n, alpha) for n in (100, 1000) for alpha in (0.05, 0.001)]
RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "limit-mean.png"


def points_of(law: Any) -> tuple[Any, Any]:
    """Return values and probabilities of a continuous distribution: midpoints of 4,000 cells."""
    edges = law.ppf(np.linspace(0, 1, 4001))
    middle = law.ppf((np.arange(4000) + 0.5) / 4000)
    return np.clip(middle, edges[:-1], edges[1:]), np.full(4000, 1 / 4000)


LAWS: dict[str, tuple[Any, Any]] = {
    "uniform": points_of(beta_law(1, 1)),
    "Beta(8, 2)": points_of(beta_law(8, 2)),
    "Beta(1000, 1000)": points_of(beta_law(1000, 1000)),
    "Bernoulli(1/2)": (np.array([0.0, 1.0]), np.array([0.5, 0.5])),
    "Bernoulli(0.99)": (np.array([0.0, 1.0]), np.array([0.01, 0.99])),
    "always 0.9": (np.array([0.9]), np.array([1.0])),
}

BOUNDS: dict[str, Callable[[Any, float], Any]] = {
    "star, with u": lambda x, a: rsverify.betting_lower(x, a, seed=SEED),
    "star": lambda x, a: rsverify.betting_lower(x, a, strategy="star"),
    "plugin betting": lambda x, a: rsverify.betting_lower(x, a, strategy="plugin"),
    "agrapa": lambda x, a: rsverify.betting_lower(x, a, strategy="agrapa"),
    "plugin Bernstein": rsverify.plugin_bernstein_lower,
    "empirical Bernstein": rsverify.empirical_bernstein_lower,
    "plugin Hoeffding": mean.plugin_hoeffding_lower,
    "Bentkus": mean.bentkus_lower,
    "Hoeffding": rsverify.hoeffding_lower,
}


def power(steps: Any, weights: Any, n: int, alpha: float) -> float:
    """Return the power of Neyman and Pearson's test at level alpha.

    `steps` are the log-likelihood ratios of the values, of probabilities `weights` under P.
    """
    low, high = float(steps.min()), float(steps.max())
    middle, second = float(weights @ steps), float(weights @ steps**2)
    if high - low < 1e-13:
        return min(1.0, alpha * np.exp(min(700.0, n * low)))
    deviation = np.sqrt(max(second - middle**2, 0.0) * n)
    span = min(n * (high - low), 18 * deviation + 40 * (high - low))
    cell = max(span, (high - low) * 4) / (GRID / 2)
    places = (steps - low) / cell
    left = np.floor(places).astype(int)
    share = places - left  # to the two grid points beside it, so that the mean stays
    mass = np.bincount(left, weights * (1 - share), GRID) + np.bincount(
        left + 1, weights * share, GRID
    )
    summed = np.maximum(np.fft.irfft(np.fft.rfft(mass) ** n, GRID), 0.0)
    # The FFT's sum is known up to multiples of the grid; it lies within half of it of its mean.
    centre = n * (middle - low) / cell
    at = np.arange(GRID) + GRID * np.round((centre - np.arange(GRID)) / GRID)
    sums = n * low + at * cell
    order = np.argsort(-sums)
    sums, summed = sums[order], summed[order] / summed.sum()
    with np.errstate(over="ignore"):
        null = np.cumsum(summed * np.exp(np.clip(-sums, -745, 700)))
    last = int(np.searchsorted(null, alpha))
    if last >= null.size:
        return 1.0
    before = null[last - 1] if last else 0.0
    part = (alpha - before) / (null[last] - before)
    return float(min(1.0, summed[:last].sum() + part * summed[last]))


def tilted(values: Any, weights: Any, m: float) -> tuple[float, float]:
    """Return the tilt t with mean m, and the logarithm of the mean of exp(t x)."""

    def log_mean(t: float) -> tuple[Any, float]:
        logs = t * values
        top = logs.max()
        part = weights * np.exp(logs - top)
        return part, float(top + np.log(part.sum()))

    def gap(t: float) -> float:
        part, _ = log_mean(t)
        return float(part @ values / part.sum()) - m

    scale = float(np.sqrt(weights @ (values - weights @ values) ** 2)) or 1.0
    low = -1.0 / scale
    while gap(low) > 0 and low > -1e7:
        low *= 2
    t = 0.0 if gap(0.0) <= 0 else brentq(gap, low, 0.0, xtol=1e-13 / scale)
    return t, log_mean(t)[1]


def least_power(values: Any, weights: Any, c: float, n: int, alpha: float) -> float:
    """Return the least power against the null distributions tried."""
    mu = float(weights @ values)
    found = [1.0]
    support = values[weights > 0]
    for m in np.linspace(max(c, support.min() + 1e-9 * mu), mu, TILTS):
        if np.ptp(support) == 0 and m < mu:
            continue
        t, log_mean = tilted(values, weights, m) if m < mu else (0.0, 0.0)
        # Where P itself has the value 0, its probability is that of the tilt and of the atom.
        steps = log_mean - t * values - np.log(c / m)
        zero = values == 0
        if zero.any() and m > c:
            kept = np.exp(t * values[zero] - log_mean) * c / m
            steps = np.where(zero, -np.log(kept + (1 - c / m) / weights[zero]), steps)
        found.append(power(steps, weights, n, alpha))

    def slope(k: float) -> float:
        return float(weights @ ((values - c) / (1 + k * (values - c))))

    largest = (1 - 1e-12) / c
    k = largest if slope(largest) > 0 else brentq(slope, 0.0, largest, xtol=1e-14)
    ratios = np.maximum(1 + k * (values - c), 1e-300)
    if not (values == 0).any() or k < largest:
        found.append(power(np.log(ratios), weights, n, alpha))
    return min(found)


def limit(values: Any, weights: Any, n: int, alpha: float) -> float:
    """Return the limit of the gap."""
    mu = float(weights @ values)
    deviation = float(np.sqrt(weights @ (values - mu) ** 2))
    reach = (6 + np.sqrt(2 * np.log(1 / alpha))) * deviation / np.sqrt(n)
    low = max(1e-9, mu - reach - mu * (1 - alpha ** (1.5 / n)))
    x, part = np.polynomial.legendre.leggauss(NODES)
    cs = low + (mu - low) * (x + 1) / 2
    errors = [1 - least_power(values, weights, float(c), n, alpha) for c in cs]
    return float((mu - low) / 2 * part @ np.array(errors))


def gaps(values: Any, weights: Any, n: int, alpha: float) -> dict[str, list[float]]:
    """Return the mean of (mu - L)+ of each bound, and its standard error."""
    mu = float(weights @ values)
    rng = np.random.default_rng(SEED)
    size = REPLICATIONS[n] if len(values) > 1 else 400
    x = rng.choice(values, (size, n), p=weights)
    noise = x.mean(axis=1) - mu
    found = {}
    for name, bound in BOUNDS.items():
        short = np.maximum(mu - np.asarray(bound(x, alpha)), 0.0)
        if noise.var() > 1e-30:
            short = short - np.cov(short, noise)[0, 1] / noise.var(ddof=1) * noise
        found[name] = [float(short.mean()), float(short.std() / len(short) ** 0.5)]
    return found


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw the gap over the limit, one panel for each n and alpha."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(CASES), figsize=(12, 3.8), sharey=True, layout="constrained")
    styles = {"star, with u": ("o", "#00539c"), "star": ("s", "#4c9bd6"),
              "plugin betting": ("d", "#6aa84f"), "agrapa": ("v", "#a0a0a0"),
              "plugin Bernstein": ("^", "#e0a000"), "empirical Bernstein": ("x", "#c25700"),
              "plugin Hoeffding": ("1", "#b06090"), "Bentkus": (".", "#505050"),
              "Hoeffding": ("+", "#7a0000")}  # fmt: skip
    for axis, (n, alpha) in zip(axes, CASES, strict=True):
        here = [r for r in rows if (r["n"], r["alpha"]) == (n, alpha)]
        for name, (mark, color) in styles.items():
            over = [max(r["gap_over_limit"][name] - 1, 2e-3) for r in here]
            axis.plot(range(len(here)), over, mark, color=color, label=name, markersize=6)
        axis.set_yscale("log")
        axis.set_title(f"n = {n:,}, α = {alpha:g}", fontsize=10)
        axis.set_xticks(range(len(here)), [r["law"] for r in here], rotation=90, fontsize=8)
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("gap to the mean, above the limit")
    axes[0].set_yticks([1e-2, 0.1, 1, 10, 100], ["1 %", "10 %", "100 %", "1,000 %", "10,000 %"])
    axes[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=120, metadata={"Software": None})


def main() -> None:
    """Compute limits and gaps; write them and the figure."""
    rows = []
    for n, alpha in CASES:
        for law, (values, weights) in LAWS.items():
            least = limit(values, weights, n, alpha)
            measured = gaps(values, weights, n, alpha)
            found: dict[str, Any] = {
                "law": law,
                "n": n,
                "alpha": alpha,
                "limit": least,
                "gap_over_limit": {k: g / least for k, (g, _) in measured.items()},
                "standard_error": {k: e / least for k, (_, e) in measured.items()},
                "more_samples": {k: (g / least) ** 2 - 1 for k, (g, _) in measured.items()},
            }
            if len(values) == 1:
                found["not_randomized_over_limit"] = (
                    float(values[0]) * (1 - alpha ** (1 / n)) / least
                )
            rows.append(found)
            shown = {k: round(v, 3) for k, v in found["gap_over_limit"].items()}
            print(law, n, alpha, shown, found.get("not_randomized_over_limit"), flush=True)
    content = {"study": "limit_mean", "version": rsverify.__version__, "seed": SEED, "rows": rows}
    (RESULTS / "limit_mean.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(rows)


if __name__ == "__main__":
    main()
