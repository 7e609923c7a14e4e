"""Compare every exact limit of one n with an independent maximum over the curve, row by row.

The limit L must be valid, that is, the largest tail found on g(q) = L must be at most alpha
among the q that the votes leave in question (q1 at least and q2 at most a Clopper-Pearson limit of
level `SHARE` alpha); and it must be exact, that is, some such point of g(q) = L + 1e-9 must have a
tail above alpha. Both are seen with `rsverify.reference.curve_maximum`, which shares nothing with
the enclosed supremum of the bound but the set of outcomes.

Run as ``python -m coverage_studies.margin_exactness [N ...]``; n = 150 takes some five minutes.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify import clopper_pearson_lower, clopper_pearson_upper, exact_margin_lower
from rsverify.kernels.margin.buehler import SHARE
from rsverify.kernels.margin.formulas import DIFFERENCE, LAPLACE, PROBIT
from rsverify.kernels.margin.staircase import default_steps
from rsverify.reference.curve_maximum import curve_maximum, curve_points, tails

CODES = {"difference": DIFFERENCE, "probit": PROBIT, "laplace": LAPLACE}
ALPHAS = (0.05, 0.001)
SIZES = (20, 60, 100, 150)
WITHIN = 1e-9  # what the bound promises
ROUNDING = 1e-11  # relative, of the tails of the second way
RESULTS = Path(__file__).parent / "results"


def every_outcome(n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the x1 and x2 of all outcomes of n votes."""
    x1, x2 = (a.ravel().astype(np.int64) for a in np.indices((n + 1, n + 1)))
    inside = x1 + x2 <= n
    return x1[inside], x2[inside]


def compare(
    n: int,
    alpha: float,
    estimand: str,
    x1: npt.NDArray[np.int64],
    x2: npt.NDArray[np.int64],
) -> dict[str, Any]:
    """Return how many limits were compared, and the outcomes that are above or too low."""
    limits = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
    lowest = -1.0 if estimand == "difference" else -np.inf
    steps = np.empty(n + 1, np.int64)
    above, low, worst = [], [], 0.0
    least = np.asarray(clopper_pearson_lower(x1, n, SHARE * alpha))
    most = np.asarray(clopper_pearson_upper(x2, n, SHARE * alpha))
    claims = np.flatnonzero(limits > lowest)
    for i in claims:
        default_steps(CODES[estimand], x1[i], x2[i], n, alpha, steps)
        piece = float(least[i]), float(most[i])
        highest, share = curve_maximum(steps, limits[i], estimand, *piece)
        worst = max(worst, highest / alpha - 1.0)
        if highest > alpha * (1.0 + ROUNDING):
            above.append([int(x1[i]), int(x2[i]), float(limits[i])])
        further = limits[i] + WITHIN
        if tails(steps, curve_points(further, np.array([share]), estimand))[0] <= alpha and (
            curve_maximum(steps, further, estimand, *piece)[0] <= alpha
        ):
            low.append([int(x1[i]), int(x2[i]), float(limits[i])])
    return {
        "n": n,
        "alpha": alpha,
        "estimand": estimand,
        "compared": int(claims.size),
        "negative": int((limits[claims] < 0.0).sum()),
        "above": above,
        "low": low,
        "largest_tail_over_alpha_less_1": worst,
    }


def main(sizes: tuple[int, ...]) -> None:
    """Compare every outcome of every n, alpha and estimand; print and keep the counts."""
    start = time.perf_counter()
    rows = []
    for n in sizes:
        x1, x2 = every_outcome(n)
        for estimand in CODES:
            for alpha in ALPHAS:
                rows.append(compare(n, alpha, estimand, x1, x2))
                print(json.dumps(rows[-1]), flush=True)
    if sizes == SIZES:
        result = {"seconds": round(time.perf_counter() - start), "rows": rows}
        (RESULTS / "margin_exactness.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tuple(map(int, sys.argv[1:])) or SIZES)
