"""Compare the default exact bound with Cohen's and Bonferroni's at the same level, row by row.

Outcomes are drawn with n even in its logarithm and every edge of the simplex well represented,
alpha from the usual levels and even in its logarithm from 1e-9 to 1/2.
The shortfall is (best - exact) / (estimate - best), best being the larger of the other two; the
estimate is the margin of the counts (difference), and of the counts plus 1/2 each (probit and
laplace, whose margin of the counts themselves is infinite where x2 = 0). The bounds are compared as
they are computed: the exact one carries a search slack of 1e-10, so that a shortfall needs to
exceed `ABSOLUTE` as well to count.

Run as ``python -m coverage_studies.margin_dominance [ROWS] [LARGEST_N]``; a hundred thousand
outcomes up to n = 1e5 take some five minutes.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import laplace

import rsverify
from rsverify import bonferroni_margin_lower, cohen_margin_lower, exact_margin_lower

ALPHAS = (0.5, 0.1, 0.05, 0.01, 0.001, 1e-6)
SMALLEST_ALPHA, LARGEST_ALPHA = 1e-9, 0.5
ESTIMANDS = ("difference", "probit", "laplace")
TOLERANCE = 1e-4
ABSOLUTE = 1e-9
SEED = 20250
BLOCK = 500
RESULTS = Path(__file__).parent / "results"


def draw_outcome(rng: np.random.Generator, largest: int) -> tuple[int, int, int]:
    """Return (n, x1, x2) of a random kind: an edge, next to an edge, or inside."""
    n = min(largest, round(math.exp(rng.uniform(0.0, math.log(largest + 0.5)))))
    x1 = int(rng.integers(0, n + 1))
    kind = rng.integers(9)
    if kind == 0:  # all votes
        return n, n, 0
    if kind == 1:  # x3 = 0
        return n, x1, n - x1
    if kind == 2:
        return n, x1, 0
    if kind == 3:  # x3 of 1, 2, 3
        return n, x1, n - x1 - min(int(rng.integers(1, 4)), n - x1)
    if kind == 4:  # few or no votes for the class
        x1 = int(rng.integers(0, min(3, n) + 1))
        return n, x1, int(rng.integers(0, n - x1 + 1))
    if kind == 5:  # few votes for the runner-up
        return n, x1, min(int(rng.integers(1, 9)), n - x1)
    if kind == 6:  # runner-up ahead or level
        x1 = int(rng.integers(0, n // 2 + 1))
        return n, x1, int(rng.integers(x1, n - x1 + 1))
    if kind == 7:  # few against
        x1 = n - min(int(rng.integers(0, 9)), n)
    return n, x1, int(rng.integers(0, n - x1 + 1))


def draw_block(block: int, rows: int, largest: int, seed: int = SEED) -> dict[str, Any]:
    """Return columns n, x1, x2, alpha of one block; blocks replay alone."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(block,)))
    table = np.array([draw_outcome(rng, largest) for _ in range(rows)], dtype=np.int64)
    anywhere = np.exp(rng.uniform(math.log(SMALLEST_ALPHA), math.log(LARGEST_ALPHA), rows))
    alpha = np.where(rng.random(rows) < 0.5, rng.choice(ALPHAS, size=rows), anywhere)
    return {"n": table[:, 0], "x1": table[:, 1], "x2": table[:, 2], "alpha": alpha}


def shortfalls(rows: dict[str, Any], estimand: str) -> dict[str, Any]:
    """Return the three bounds and the relative shortfall of the exact one, row by row."""
    n, x1, x2, alpha = rows["n"], rows["x1"], rows["x2"], rows["alpha"]
    exact = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
    cohen = cohen_margin_lower(x1, n, alpha, estimand=estimand)
    bonferroni = bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand)
    best = np.maximum(cohen, bonferroni)
    if estimand == "difference":
        estimate = (x1 - x2) / n
    elif estimand == "laplace":
        estimate = laplace.ppf((x1 + 0.5) / (n + 1.5)) - laplace.ppf((x2 + 0.5) / (n + 1.5))
    else:
        estimate = ndtri((x1 + 0.5) / (n + 1.5)) - ndtri((x2 + 0.5) / (n + 1.5))
    with np.errstate(invalid="ignore"):
        gap = np.where(best == exact, 0.0, best - exact)  # both may be -inf
        relative = np.where(gap > ABSOLUTE, gap / np.maximum(estimate - best, 1e-300), 0.0)
    return {
        "exact": exact,
        "cohen": cohen,
        "bonferroni": bonferroni,
        "gap": gap,
        "relative": relative,
    }


def blocks(rows: int, largest: int) -> Iterator[dict[str, Any]]:
    """Yield blocks of outcomes, `rows` in all."""
    for block in range(-(-rows // BLOCK)):
        yield draw_block(block, min(BLOCK, rows - block * BLOCK), largest)


def main(rows: int = 100_000, largest: int = 100_000) -> None:
    """Run the sweep and write the summary and the worst rows."""
    begin = time.perf_counter()
    summary: dict[str, Any] = {
        "study": "margin_dominance",
        "version": rsverify.__version__,
        "seed": SEED,
        "outcomes": rows,
        "largest_n": largest,
        "alphas": ALPHAS,
        "alphas_between": [SMALLEST_ALPHA, LARGEST_ALPHA],
        "tolerance": TOLERANCE,
        "not_counted_below": ABSOLUTE,
    }
    worst: dict[str, list[dict[str, Any]]] = {name: [] for name in ESTIMANDS}
    violations = dict.fromkeys(ESTIMANDS, 0)
    nans = 0
    for done, block in enumerate(blocks(rows, largest)):
        for estimand in ESTIMANDS:
            result = shortfalls(block, estimand)
            nans += int(np.isnan(result["exact"]).sum())
            violations[estimand] += int((result["relative"] > TOLERANCE).sum())
            for i in np.argsort(-result["relative"])[:5]:
                row = {key: value[i].item() for key, value in (block | result).items()}
                worst[estimand].append(row)
            worst[estimand].sort(key=lambda row: -row["relative"])
            del worst[estimand][5:]
        print(f"{(done + 1) * BLOCK} outcomes, {time.perf_counter() - begin:.0f} s, {violations}")
    summary |= {"nan": nans, "violations": violations, "worst": worst}
    summary["seconds"] = round(time.perf_counter() - begin, 1)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"margin_dominance_{largest}.json"
    path.write_text(json.dumps(summary, indent=1, allow_nan=True) + "\n")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
