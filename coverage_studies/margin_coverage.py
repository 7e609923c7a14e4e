"""Exact worst-case miscoverage of the default margin bounds, three classes, by enumeration.

On the curve g(q) = L a bound B misses with P_q(B(X) > L), which as a function of L can only jump
at values of B: the curves just below each value are searched on a grid of points. The largest
probability found is a lower value of the supremum, and at most alpha if the bound covers; its
ratio to alpha says how much of alpha is used.

Run as ``python -m coverage_studies.margin_coverage``; nothing is random.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import gammaln, ndtr, ndtri, xlogy

import rsverify
from rsverify import bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower

SIZES = (1, 2, 3, 5, 10, 20, 30, 40)
ALPHAS = (0.05, 0.01, 0.001)
ESTIMANDS = ("difference", "probit")
BOUNDS = ("exact", "bonferroni", "cohen")
POINTS = 121
RESULTS = Path(__file__).parent / "results"


def bound_values(bound: str, rows: Any, n: int, alpha: float, estimand: str) -> Any:
    """Return the bound of every outcome."""
    if bound == "cohen":
        return cohen_margin_lower(rows[:, 0], n, alpha, estimand=estimand)
    function = exact_margin_lower if bound == "exact" else bonferroni_margin_lower
    return function(rows[:, 0], rows[:, 1], n, alpha, estimand=estimand)


def curve(limit: float, estimand: str) -> Any:
    """Return points (q1, q2, q3) of g(q) = limit, even in the square root of the probability."""
    share = np.sin(np.linspace(0, np.pi / 2, POINTS)) ** 2
    if estimand == "difference":
        u = 0.5 * (1 - abs(limit)) * share
        q1, q2 = u + max(limit, 0.0), u + max(-limit, 0.0)
    else:
        larger = ndtri(np.maximum(ndtr(abs(limit) / 2) * share, 1e-12))
        u = np.minimum(larger - max(limit, 0.0), -limit / 2)
        q1, q2 = ndtr(u + limit), ndtr(u)
    return np.stack([q1, q2, np.maximum(1 - q1 - q2, 0)], axis=1)


def worst(bound: str, n: int, alpha: float, estimand: str) -> dict[str, Any]:
    """Return the largest miscoverage found, where, and how many (q, L) were looked at."""
    rows = np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])
    weight = gammaln(n + 1) - gammaln(rows + 1).sum(axis=1)
    values = np.asarray(bound_values(bound, rows, n, alpha, estimand))
    lowest = -1 + 1e-12 if estimand == "difference" else -np.inf
    found: dict[str, Any] = {"miscoverage": 0.0, "q": None, "margin": None}
    curves = np.nextafter(np.unique(values[values > lowest]), -np.inf)
    for level in curves:
        q = curve(float(level), estimand)
        missed = values > level
        logs = weight[missed, None] + sum(xlogy(rows[missed, i, None], q[:, i]) for i in range(3))
        tails = np.exp(logs).sum(axis=0)
        at = int(tails.argmax())
        if tails[at] > found["miscoverage"]:
            found = {"miscoverage": tails[at].item(), "q": q[at].tolist(), "margin": level.item()}
    return found | {"points": POINTS * curves.size}


def main() -> None:
    """Run the grid and write its table."""
    begin = time.perf_counter()
    table = []
    for n in SIZES:
        for alpha in ALPHAS:
            for estimand in ESTIMANDS:
                for bound in BOUNDS:
                    row = {"bound": bound, "estimand": estimand, "n": n, "alpha": alpha}
                    row |= worst(bound, n, alpha, estimand)
                    table.append(row | {"share_of_alpha": row["miscoverage"] / alpha})
        print(f"n={n}, {time.perf_counter() - begin:.0f} s")
    result = {
        "study": "margin_coverage",
        "version": rsverify.__version__,
        "seed": None,
        "largest_share_of_alpha": max(row["share_of_alpha"] for row in table),
        "rows": table,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "margin_coverage.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
