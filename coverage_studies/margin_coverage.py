"""Exact worst-case miscoverage of the default margin bounds, by enumeration.

With three classes, of which the runner-up is named beforehand: every outcome is summed. With three
to five classes and the runner-up of the same counts, as certificates have it: the exact bound
misses where `B(X_1, max_j X_j)` is above the margin to the likeliest rival, and the distribution of
`(X_1, max_j X_j)` is summed from products of truncated exponential series, one a rival.

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
import numpy.typing as npt
from numba import njit
from scipy.special import gammaln, ndtr, ndtri, xlogy

import rsverify
from rsverify import bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower

SIZES = range(1, 41)
BESIDE = (1, 2, 3, 5, 10, 20, 30, 40)  # the other bounds, for comparison
CLASSES = (3, 4, 5)
ALPHAS = (0.05, 0.01, 0.001)
ESTIMANDS = ("difference", "probit")
BOUNDS = ("exact", "bonferroni", "cohen")
POINTS = 121
POINTS_OF_MAXIMA = 41
RESULTS = Path(__file__).parent / "results"


def bound_values(bound: str, rows: Any, n: int, alpha: float, estimand: str) -> Any:
    """Return the bound of every outcome."""
    if bound == "cohen":
        return cohen_margin_lower(rows[:, 0], n, alpha, estimand=estimand)
    function = exact_margin_lower if bound == "exact" else bonferroni_margin_lower
    return function(rows[:, 0], rows[:, 1], n, alpha, estimand=estimand)


def curve(limit: float, estimand: str, points: int = POINTS) -> Any:
    """Return points (q1, q2, q3) of g(q) = limit, even in the square root of the probability."""
    share = np.sin(np.linspace(0, np.pi / 2, points)) ** 2
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


def rivals(q: Any, m: int) -> Any:
    """Return the rivals' probabilities: the largest, and the rest split evenly, then unevenly."""
    inside = q[:, 2] <= (m - 2) * q[:, 1]
    largest, rest = q[inside, 1], q[inside, 2]
    even = np.repeat(rest[:, None] / (m - 2), m - 2, axis=1)
    left, parts = rest, []
    for _ in range(m - 2):
        parts.append(np.minimum(left, largest))
        left = left - parts[-1]
    split = np.concatenate([even, np.stack(parts, axis=1)])
    both = np.concatenate([largest, largest])[:, None]
    return np.concatenate([q[inside, 0]] * 2), np.concatenate([both, split], axis=1)


@njit(cache=False)
def missed_with_maxima(
    n: int, most: npt.NDArray[np.int64], q1: npt.NDArray[np.float64], r: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the sums over a of P(X_1 = a, every rival has at most most[a] votes), by points."""
    tails = np.zeros(q1.size)
    factorial = np.ones(n + 1)
    for k in range(1, n + 1):
        factorial[k] = factorial[k - 1] * k
    for i in range(q1.size):
        series, previous = np.zeros(n + 1), -1
        for a in range(n + 1):
            b = most[a]
            if b < 0:
                continue
            if b != previous:
                previous = b
                series[:] = 0.0
                series[0] = 1.0
                for j in range(r.shape[1]):
                    product = np.zeros(n + 1)
                    term = 1.0
                    for x in range(min(b, n) + 1):
                        for t in range(n + 1 - x):
                            product[t + x] += term * series[t]
                        term *= r[i, j] / (x + 1)
                    series[:] = product
            tails[i] += factorial[n] / factorial[a] * q1[i] ** a * series[n - a]
    return tails


def worst_with_maxima(m: int, n: int, alpha: float, estimand: str) -> dict[str, Any]:
    """Return the largest miscoverage found where the runner-up is that of the same counts."""
    x1, x2 = (a.ravel() for a in np.indices((n + 1, n + 1)))
    inside = x1 + x2 <= n
    limits = np.full((n + 1, n + 1), -np.inf)
    limits[x1[inside], x2[inside]] = exact_margin_lower(
        x1[inside], x2[inside], n, alpha, estimand=estimand
    )
    lowest = -1 + 1e-12 if estimand == "difference" else -np.inf
    possible = limits[limits > lowest]
    found: dict[str, Any] = {"miscoverage": 0.0, "q": None, "margin": None}
    for level in np.nextafter(np.unique(possible), -np.inf):
        above = limits > level
        # Limits are within 1e-9 of the exact ones, so that one that ought to be above can be a
        # trifle below its neighbor's: it is counted as missed, which can only be too much.
        most = np.where(above.any(axis=1), n - above[:, ::-1].argmax(axis=1), -1)
        q1, r = rivals(curve(float(level), estimand, POINTS_OF_MAXIMA), m)
        if not q1.size:
            continue
        tails = missed_with_maxima(n, most, q1, r)
        at = int(tails.argmax())
        if tails[at] > found["miscoverage"]:
            found = {
                "miscoverage": tails[at].item(),
                "q": [q1[at].item(), *r[at].tolist()],
                "margin": level.item(),
            }
    return found


def main() -> None:
    """Run the grid and write its table."""
    begin = time.perf_counter()
    table = []
    for n in SIZES:
        for alpha in ALPHAS:
            for estimand in ESTIMANDS:
                asked = {"estimand": estimand, "n": n, "alpha": alpha}
                for bound in BOUNDS if n in BESIDE else BOUNDS[:1]:
                    row = {"bound": bound, "classes": 3, "runner_up": "named"} | asked
                    table.append(row | worst(bound, n, alpha, estimand))
                for m in CLASSES:
                    row = {"bound": "exact", "classes": m, "runner_up": "of the counts"} | asked
                    table.append(row | worst_with_maxima(m, n, alpha, estimand))
        print(f"n={n}, {time.perf_counter() - begin:.0f} s")
    for row in table:
        row["share_of_alpha"] = row["miscoverage"] / row["alpha"]
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
