"""How often a smaller alpha gives the larger limit, and what the nested ordering costs.

Three parts, for each n, margin and ordering:

- *pairs*: of random outcomes, the share whose limit at a share of alpha is above the one at alpha,
  and by how much at most. The default has some, the nested ordering none.
- *levels*: the same for all outcomes of small n and a fine grid of alphas, with every level at
  which the nested ordering changes and the float below it.
- *price*: by how much the nested ordering's expected gap, E[(g - max(L, 0))+], is larger than the
  default's, in percent, over the same outcomes drawn from q; and CPU milliseconds of a limit.

Run as ``python -m coverage_studies.nestedness``; writes results/nestedness.json. Two minutes on
one core.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

import rsverify
from rsverify import exact_margin_lower
from rsverify.kernels.margin.nested import LEVELS

SEED = 7
ESTIMANDS = ("difference", "probit")
ORDERINGS = ("likelihood-ratio", "nested")
SIZES = {20: 1000, 100: 600, 1000: 200, 10_000: 60}
"""How many random outcomes, for each n."""
SHARES = (0.99, 0.9, 0.7, 0.5)
ALPHAS = (0.05, 0.001)
ALL_OUTCOMES = (5, 12, 20)
PRICES = {20: 400, 100: 300, 1000: 150, 10_000: 60, 100_000: 16}
PRICE_ALPHAS = (0.05, 0.001, 0.07, 0.0011)
"""The first two are levels of the ordering, the others lie between two."""
PROBABILITIES = ((0.6, 0.05), (0.9, 0.05), (0.6, 0.25))
ROUNDING = 1e-9
RESULTS = Path(__file__).parent / "results"


def limits(x1: Any, x2: Any, n: int, alpha: Any, estimand: Any, ordering: Any) -> Any:
    """Return the limits of outcomes, a row for each alpha."""
    return exact_margin_lower(
        x1, x2, n, np.atleast_1d(alpha)[:, None], estimand=estimand, ordering=ordering
    )


def random_outcomes(n: int, rows: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return outcomes all over the simplex; few votes for the runner-up in a third of them."""
    x1 = rng.integers(1, n + 1, rows)
    x2 = (rng.random(rows) * (n - x1 + 1)).astype(np.int64)
    few = np.minimum(rng.integers(0, 6, rows), n - x1)
    return x1, np.where(rng.random(rows) < 1 / 3, few, x2)


def pairs(n: int, rows: int, estimand: str, ordering: str) -> list[dict[str, Any]]:
    """Return how often, and by how much at most, the smaller alpha of a pair gives more."""
    found = []
    for alpha in ALPHAS:
        x1, x2 = random_outcomes(n, rows, np.random.default_rng(SEED))
        table = limits(x1, x2, n, [alpha, *(s * alpha for s in SHARES)], estimand, ordering)
        for share, row in zip(SHARES, table[1:], strict=True):
            with np.errstate(invalid="ignore"):
                excess = np.where(row == table[0], 0.0, row - table[0])
            found.append(
                {
                    "n": n,
                    "estimand": estimand,
                    "ordering": ordering,
                    "alpha": alpha,
                    "share": share,
                    "outcomes": rows,
                    "larger": float(np.mean(excess > ROUNDING)),
                    "largest": float(excess.max()),
                }
            )
    return found


def every_outcome(n: int, estimand: str, ordering: str) -> dict[str, Any]:
    """Return the largest fall of a limit as alpha grows, over all outcomes."""
    levels = LEVELS[LEVELS >= 1e-4]
    between = np.exp(np.random.default_rng(SEED).uniform(np.log(1e-4), np.log(0.5), 20))
    alphas = np.unique(np.concatenate([levels, np.nextafter(levels[1:], 0.0), between]))
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    table = limits(x1, x2, n, alphas, estimand, ordering)
    before = np.maximum.accumulate(table, axis=0)
    with np.errstate(invalid="ignore"):
        falls = np.where(before == table, 0.0, before - table)
    return {
        "n": n,
        "estimand": estimand,
        "ordering": ordering,
        "alphas": alphas.size,
        "outcomes": x1.size,
        "with_a_fall": float(np.mean((falls > ROUNDING).any(axis=0))),
        "largest_fall": float(falls.max()),
    }


def price(n: int, draws: int, q: tuple[float, float], estimand: str) -> list[dict[str, Any]]:
    """Return the gaps of both orderings on outcomes drawn from q."""
    votes = np.random.default_rng(SEED).multinomial(n, [*q, 1 - sum(q)], draws)
    x1, x2 = votes[:, 0], votes[:, 1]
    margin = q[0] - q[1] if estimand == "difference" else float(ndtri(q[0]) - ndtri(q[1]))
    found = []
    for alpha in PRICE_ALPHAS:
        gaps, spent = [], []
        for ordering in ORDERINGS:
            start = time.process_time()
            row = limits(x1, x2, n, alpha, estimand, ordering)[0]
            spent.append(1e3 * (time.process_time() - start) / draws)
            gaps.append(np.maximum(margin - np.maximum(row, 0.0), 0.0))
        ratio = gaps[1].mean() / gaps[0].mean()
        error = (gaps[1] - ratio * gaps[0]).std() / np.sqrt(draws) / gaps[0].mean()
        found.append(
            {
                "n": n,
                "estimand": estimand,
                "q": list(q),
                "alpha": alpha,
                "draws": draws,
                "larger_gap_percent": round(100 * (ratio - 1), 3),
                "standard_error_percent": round(100 * float(error), 3),
                "milliseconds": [round(s, 3) for s in spent],
            }
        )
    return found


def main() -> None:
    """Run the three parts and write them."""
    for ordering in ORDERINGS:  # compiled before anything is timed
        for estimand in ESTIMANDS:
            limits([6], [2], 10, 0.1, estimand, ordering)
    result: dict[str, Any] = {
        "study": "nestedness",
        "version": rsverify.__version__,
        "seed": SEED,
        "levels": LEVELS[LEVELS >= 1e-3].tolist(),
        "pairs": [],
        "levels_and_outcomes": [],
        "price": [],
    }
    start = time.process_time()
    for estimand in ESTIMANDS:
        for ordering in ORDERINGS:
            for n, rows in SIZES.items():
                result["pairs"] += pairs(n, rows, estimand, ordering)
            for n in ALL_OUTCOMES:
                result["levels_and_outcomes"].append(every_outcome(n, estimand, ordering))
                print(result["levels_and_outcomes"][-1], flush=True)
        for n, draws in PRICES.items():
            for q in PROBABILITIES:
                result["price"] += price(n, draws, q, estimand)
                print(result["price"][-1], flush=True)
    result["cpu_seconds"] = round(time.process_time() - start)
    (RESULTS / "nestedness.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
