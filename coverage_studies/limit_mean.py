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
from scipy.stats import beta as beta_law

import rsverify
from coverage_studies import _limit_figure as limit_figure
from rsverify.auditing.comparing.bounded_mean import lower_limit
from rsverify.bounds import mean

SEED, NODES, TILTS = 12, 24, 9
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
    """Draw the gap over the limit."""
    styles = {"star, with u": ("o", "#00539c"), "star": ("s", "#4c9bd6"),
              "plugin betting": ("d", "#6aa84f"), "agrapa": ("v", "#a0a0a0"),
              "plugin Bernstein": ("^", "#e0a000"), "empirical Bernstein": ("x", "#c25700"),
              "plugin Hoeffding": ("1", "#b06090"), "Bentkus": (".", "#505050"),
              "Hoeffding": ("+", "#7a0000")}  # fmt: skip
    drawn = [limit_figure.Row(r["n"], r["alpha"], r["law"], r["gap_over_limit"]) for r in rows]
    wins = limit_figure.wins(drawn, "star, with u")
    title = f"The betting bound with u is nearest to the limit in {wins}"
    limit_figure.draw(FIGURE, f"{title}\n(gap to the mean, above the limit)", drawn, styles)


def main() -> None:
    """Compute limits and gaps; write them and the figure."""
    rows = []
    for n, alpha in CASES:
        for law, (values, weights) in LAWS.items():
            least = lower_limit(values, weights, n, alpha, NODES, TILTS)
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
