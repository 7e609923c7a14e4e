"""Small n: the expected limit of the default beside inductive orderings and Bonferroni made exact.

At n up to 50 the outcomes are few, and bounds that are equally good on average differ by a lot at
one outcome. Here every outcome is computed, and the limit's expectation E[max(L, 0)], which is
what a certificate can use, summed over all votes of m classes drawn from q; the runner-up is the
largest other class of the same votes. Measured in percent of the expected gap g - E[max(L, 0)]
of the default: positive is larger limits than the default's, on average.

*Inductive* is Wang's ordering (Statistica Sinica 20 (2010) 1255-1277; Wang and Shan, Biometrics 71
(2015)), ``ordering="inductive"``: outcomes are added one by one, each time the one that keeps
Buehler's limit largest.

Run as ``python -m coverage_studies.small_n``; writes results/small_n.json. Half a minute on
one core.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import gammaln, ndtri, xlogy

import rsverify
from rsverify import Taylor, bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower

SIZES = (20, 30, 50)
ALPHAS = (0.1, 0.05, 0.025, 0.001)
ESTIMANDS = ("difference", "probit")
PROBABILITIES = (
    (0.6, 0.3, 0.1),
    (0.6, 0.2, 0.2),
    (0.8, 0.15, 0.05),
    (0.9, 0.05, 0.05),
    (0.95, 0.04, 0.01),
    (0.6, 0.2, 0.1, 0.1),
    (0.8, 0.1, 0.05, 0.05),
    (0.9, 0.04, 0.03, 0.03),
)
ORDERINGS: dict[str, Any] = {
    "default": "likelihood-ratio",
    "nested": "nested",
    "inductive": "inductive",
    "Bonferroni made exact": "bonferroni",
    "k1 - k2": "difference",
    "Taylor(3)": Taylor(3),
}
SINGLE = ((20, 0.025, 14, 3), (20, 0.1, 10, 5), (50, 0.05, 45, 2), (30, 0.001, 24, 4))
"""n, alpha and outcomes at which other software was seen to have larger limits."""
RESULTS = Path(__file__).parent / "results"


def every_outcome(n: int) -> tuple[Any, Any]:
    """Return the x1 and x2 of all outcomes of n votes."""
    return np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)


def tables(n: int, alpha: float, estimand: Any) -> dict[str, Any]:
    """Return every bound's limits, a table over (x1, x2)."""
    x1, x2 = every_outcome(n)
    found: dict[str, Any] = {}
    limits = {
        name: exact_margin_lower(x1, x2, n, alpha, estimand=estimand, ordering=ordering)
        for name, ordering in ORDERINGS.items()
    }
    limits["Bonferroni"] = bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand)
    limits["Cohen"] = cohen_margin_lower(x1, n, alpha, estimand=estimand)
    for name, values in limits.items():
        found[name] = np.full((n + 1, n + 1), -np.inf)
        found[name][x1, x2] = values
    return found


def votes(n: int, classes: int) -> Any:
    """Return all votes of n for so many classes."""
    grid = np.indices((n + 1,) * (classes - 1)).reshape(classes - 1, -1)
    grid = grid[:, grid.sum(axis=0) <= n]
    return np.vstack([grid, n - grid.sum(axis=0)])


def expectations(n: int, q: Any, limits: dict[str, Any]) -> dict[str, float]:
    """Return E[max(L, 0)] of every bound for votes drawn from q."""
    counts = votes(n, len(q))
    mass = gammaln(n + 1) - gammaln(counts + 1).sum(axis=0)
    mass = np.exp(mass + xlogy(counts, np.array(q)[:, None]).sum(axis=0))
    k1, k2 = counts[0], counts[1:].max(axis=0)
    return {name: float(mass @ np.maximum(t[k1, k2], 0.0)) for name, t in limits.items()}


def main() -> None:
    """Compute every table; write expectations, outcomes below the two, and the single ones."""
    start = time.process_time()
    rows, single = [], []
    for n in SIZES:
        x1, x2 = every_outcome(n)
        for alpha in ALPHAS:
            for estimand in ESTIMANDS:
                limits = tables(n, alpha, estimand)
                two = np.maximum(limits["Cohen"], limits["Bonferroni"])[x1, x2]
                with np.errstate(invalid="ignore"):  # both may be -inf
                    short = {
                        name: np.where(t[x1, x2] >= two, 0.0, two - t[x1, x2])
                        for name, t in limits.items()
                    }
                below = {name: int(np.count_nonzero(s > 1e-9)) for name, s in short.items()}
                gains: dict[str, list[float]] = {name: [] for name in limits}
                for q in PROBABILITIES:
                    g = q[0] - q[1] if estimand == "difference" else ndtri(q[0]) - ndtri(q[1])
                    found = expectations(n, q, limits)
                    for name, value in found.items():
                        gap = float(g) - found["default"]
                        gains[name].append(round(100 * (value - found["default"]) / gap, 2))
                rows.append(
                    {"n": n, "alpha": alpha, "estimand": estimand, "outcomes": x1.size,
                     "larger_than_default_percent_of_gap": gains, "outcomes_below_the_two": below,
                     "largest_shortfall": {name: float(s.max()) for name, s in short.items()}}
                )  # fmt: skip
                means = {name: round(float(np.mean(g)), 2) for name, g in gains.items()}
                print(n, alpha, estimand, means, below, flush=True)
                for size, level, a, b in SINGLE:
                    if (size, level, estimand) == (n, alpha, "difference"):
                        values = {name: round(float(t[a, b]), 4) for name, t in limits.items()}
                        single.append({"n": n, "alpha": alpha, "votes": [a, b], "limits": values})
    content = {
        "study": "small_n",
        "version": rsverify.__version__,
        "probabilities": PROBABILITIES,
        "cpu_seconds": round(time.process_time() - start),
        "rows": rows,
        "single_outcomes": single,
    }
    (RESULTS / "small_n.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
