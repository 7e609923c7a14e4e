"""Falls of the exact bound when the class gains a vote, at a fixed n and from n votes to n + 1.

At a fixed n there is none, by theory: the outcome sets are nested. What is seen is how far the
computed limits keep to that, at every outcome of some n and at random ones beyond.

From n votes to n + 1, the added one for the class, the orderings differ, and nothing nests them:
the study finds the largest fall. Random outcomes have n and the counts even in their logarithms.

Run as ``python coverage_studies/margin_monotonicity.py [RANDOM_ROWS]``; it takes some ten minutes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify import exact_margin_lower

Counts = npt.NDArray[np.int64]

ESTIMANDS = ("difference", "probit")
ALPHAS = (0.05, 0.001)
SIZES = (5, 20, 60, 100, 150)
GROWING = (*range(1, 41), 60, 100)  # every outcome of n and of n + 1 is compared
LARGEST = 10_000
SEED = 9
RESULTS = Path(__file__).parent / "results"


def table(n: int, alpha: float, estimand: str) -> npt.NDArray[np.float64]:
    """Return limits[x1, x2] of all outcomes of n votes, NaN where there is no such outcome."""
    limits = np.full((n + 1, n + 1), np.nan)
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    limits[x1, x2] = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
    return limits


def largest_fall(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> float:
    """Return the largest before - after, 0 where none falls; infinite limits count as equal."""
    with np.errstate(invalid="ignore"):
        fall = np.where(before == after, 0.0, before - after)
    return float(np.nanmax(fall, initial=0.0))


def fall_at_fixed_n(limits: npt.NDArray[np.float64]) -> float:
    """Return the largest fall over all moves of one vote in favor of the class."""
    return max(
        largest_fall(limits[:-1], limits[1:]),  # a vote for others goes to the class
        largest_fall(limits[:, 1:], limits[:, :-1]),  # the runner-up's goes to others
        largest_fall(limits[:-1, 1:], limits[1:, :-1]),  # the runner-up's goes to the class
    )


def random_outcomes(rows: int, seed: int = SEED) -> tuple[Counts, Counts, Counts]:
    """Return n, x1 and x2 with n up to `LARGEST` and every edge well represented."""
    rng = np.random.default_rng(seed)

    def part(of: Counts) -> Counts:
        small = np.expm1(rng.uniform(0.0, np.log1p(of))).astype(np.int64)
        return np.where(rng.random(rows) < 0.5, small, of - small)

    n = np.expm1(rng.uniform(np.log(2.0), np.log1p(LARGEST), rows)).astype(np.int64)
    x1 = part(n)
    return n, x1, part(n - x1)


def random_falls(rows: int, alpha: float, estimand: str, seed: int = SEED) -> dict[str, Any]:
    """Return the largest falls of random outcomes: at fixed n, and from n to n + 1."""
    n, x1, x2 = random_outcomes(rows, seed)
    limits = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
    inside = x1 + x2 < n
    more = exact_margin_lower(x1[inside] + 1, x2[inside], n[inside], alpha, estimand=estimand)
    fewer = exact_margin_lower(x1, np.maximum(x2 - 1, 0), n, alpha, estimand=estimand)
    grown = exact_margin_lower(x1 + 1, x2, n + 1, alpha, estimand=estimand)
    with np.errstate(invalid="ignore"):
        fall = np.where(limits == grown, 0.0, limits - grown)
    worst = int(np.nanargmax(fall))
    return {
        "fixed_n": max(largest_fall(limits[inside], more), largest_fall(limits, fewer)),
        "one_more_vote": max(0.0, float(fall[worst])),
        "at": [int(n[worst]), int(x1[worst]), int(x2[worst])],
        "share_falling": float((fall > 1e-9).mean()),
        "largest_beyond_n_100": largest_fall(limits[n > 100], grown[n > 100]),
        "largest_beyond_n_1000": largest_fall(limits[n > 1000], grown[n > 1000]),
    }


def growing_fall(alpha: float, estimand: str) -> dict[str, Any]:
    """Return the largest fall from n to n + 1 over every outcome of `GROWING`, by n."""
    falls = {}
    for n in GROWING:
        here, next_one = table(n, alpha, estimand), table(n + 1, alpha, estimand)
        falls[n] = largest_fall(here, next_one[1:, :-1])
    worst = max(falls, key=lambda n: falls[n])
    return {"largest": falls[worst], "at_n": worst, "by_n": falls}


def main(rows: int = 20_000) -> None:
    """Measure all falls; print and keep them."""
    start = time.perf_counter()
    results = []
    for estimand in ESTIMANDS:
        for alpha in ALPHAS:
            result = {
                "estimand": estimand,
                "alpha": alpha,
                "fixed_n": {n: fall_at_fixed_n(table(n, alpha, estimand)) for n in SIZES},
                "one_more_vote": growing_fall(alpha, estimand),
                "random": random_falls(rows, alpha, estimand),
            }
            print(json.dumps(result), flush=True)
            results.append(result)
    summary = {
        "random_rows": rows,
        "largest_n": LARGEST,
        "seconds": round(time.perf_counter() - start),
        "results": results,
    }
    (RESULTS / "margin_monotonicity.json").write_text(json.dumps(summary, indent=1) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
