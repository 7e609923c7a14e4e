"""Exact limits for two proportions: against rational arithmetic, enumerated, beside R's packages.

Run as ``python -m coverage_studies.two_proportions PART [PART ...]``; each part is added to
results/two_proportions.json.

``exactness``, ``exactness-0.001``
    Every table of up to 12 a side: that the supremum at each limit is at most its level, and that
    it is above just beyond, are decided in rational arithmetic (`rsverify.reference`). The set of
    outcomes is found by bisection in numpy, which shares nothing with the kernels.
``coverage``
    Non-coverage enumerated for every n up to 30, just below each limit, on a grid of the curve.
``dominance``
    The limits against Bonferroni's, every table of up to 30 a side.
``others``
    Values and times of R's exact2x2 and Exact, where ``Rscript`` finds them (R_LIBS).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, xlogy
from scipy.stats import binom, norm

from rsverify import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    two_proportion_interval,
    two_proportion_lower,
    two_proportion_upper,
)
from rsverify.reference.two_proportions import MOVED, TIE, local_piece, witness_above

FloatArray = npt.NDArray[np.float64]
ESTIMANDS = ("difference", "ratio", "odds-ratio")
LARGEST_TABLE = 12
LARGEST_ENUMERATED = 30
WITHIN = 1e-9  # what the limits promise: absolute for the difference, relative for ratios
RESULTS = Path(__file__).parent / "results" / "two_proportions.json"
# Published intervals at 95 % from two one-sided tests ordered by a score, for (x1, n1, x2, n2).
# What SAS 9.4 and StatXact 11 print is in inst/slowTests of exact2x2 1.7.0, test_SAS.R,
# test_StatXact.R and test_OddsRatioScore.R (https://cran.r-project.org/package=exact2x2), with the
# samples the other way round; so is the last one, of A. Agresti and Y. Min, Biostatistics 3 (2002)
# 379-386, p. 381.
PUBLISHED: list[tuple[tuple[int, int, int, int], str, tuple[float, float], str]] = [
    ((24, 61, 10, 35), "difference", (-0.0992, 0.2949), "SAS 9.4"),
    ((24, 61, 10, 35), "ratio", (0.7663, 3.0005), "SAS 9.4"),
    ((9, 11, 4, 12), "difference", (0.0616, 0.7968), "SAS 9.4"),
    ((9, 11, 4, 12), "ratio", (1.0964, 10.8647), "SAS 9.4"),
    ((6, 13, 2, 7), "difference", (-0.3108, 0.5787), "StatXact 11"),
    ((13, 13, 0, 7), "difference", (0.5904, 1.0), "StatXact 11"),
    ((11, 13, 2, 7), "ratio", (1.078, 29.1), "StatXact 11"),
    ((7, 12, 2, 12), "odds-ratio", (1.040, 103.0), "StatXact 11"),
    ((2, 26, 1, 26), "odds-ratio", (0.10, 127.2), "Agresti and Min 2002"),
]


# -------------------------------------------------------------------------- the ordering


def point(estimand: str, c: FloatArray, u: FloatArray) -> tuple[FloatArray, ...]:
    """Return p1, 1 - p1, p2 and 1 - p2 on g = c; u is p2, or its logit for the odds ratio."""
    if estimand == "odds-ratio":
        v = u + np.log(c)
        return expit(v), expit(-v), expit(u), expit(-u)
    p1 = np.clip(u + c if estimand == "difference" else u * c, 0.0, 1.0)
    return p1, 1.0 - p1, u, 1.0 - u


def roots(
    w1: FloatArray, n1: int, w2: FloatArray, n2: int, c: FloatArray, estimand: str
) -> FloatArray:
    """Return signed roots of likelihood ratios at g = c; the nuisance is found by bisection."""
    low, high = np.zeros_like(c), np.ones_like(c)
    if estimand == "difference":
        low, high = np.maximum(0.0, -c), np.minimum(1.0, 1.0 - c)
    elif estimand == "ratio":
        high = np.minimum(1.0, 1.0 / c)
    else:
        low, high = np.full_like(c, -100.0), np.full_like(c, 100.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(60):
            u = 0.5 * (low + high)
            p1, q1, p2, q2 = point(estimand, c, u)
            score = (w2 - n2 * p2) + (w1 - n1 * p1)
            if estimand != "odds-ratio":
                along = 1.0 if estimand == "difference" else c
                score = w2 / p2 - (n2 - w2) / q2 + along * (w1 / p1 - (n1 - w1) / q1)
            low, high = np.where(score > 0.0, u, low), np.where(score > 0.0, high, u)
        p1, q1, p2, q2 = point(estimand, c, u)
        deviance = sum(
            xlogy(w, w / n) - xlogy(w, p) + xlogy(n - w, (n - w) / n) - xlogy(n - w, q)
            for w, n, p, q in ((w1, n1, p1, q1), (w2, n2, p2, q2))
        )
    size = np.sqrt(2.0 * np.maximum(deviance, 0.0))
    return np.where(w1 - n1 * p1 >= w2 - n2 * p2, size, -size)


class Ordering:
    """The default ordering of all outcomes of two samples, and its sets."""

    def __init__(self, n1: int, n2: int, alpha: float, estimand: str) -> None:
        """Find T of every outcome, the likelihood-ratio limit by bisection."""
        self.n1, self.n2, self.estimand = n1, n2, estimand
        x1, x2 = np.indices((n1 + 1, n2 + 1))
        self.silent = (x1 == 0) | ((x2 == n2) & (estimand != "ratio"))
        self.w1, self.w2 = np.maximum(x1 - float(MOVED), 0.1), np.minimum(x2 + float(MOVED), n2)
        self.z = max(0.1, norm.isf(alpha))
        with np.errstate(divide="ignore"):
            self.others = bonferroni_limits(n1, n2, alpha, estimand)
            if estimand == "difference":
                first = np.asarray(clopper_pearson_lower(x1, n1, alpha)) - 1.0
                self.others = np.maximum(self.others, first)
                self.others = np.maximum(self.others, -clopper_pearson_upper(x2, n2, alpha))
                low, high = np.full(x1.shape, -1.0), self.w1 / n1 - self.w2 / n2
            else:
                self.others = np.log(self.others)
                part = np.log if estimand == "ratio" else logit
                high = part(self.w1 / n1) - part(self.w2 / n2)
                high = np.where(self.silent, 0.0, high)
                low = high - 60.0
        for _ in range(70):
            c = 0.5 * (low + high)
            above = self._roots(c) >= self.z
            low, high = np.where(above, c, low), np.where(above, high, c)
        self.keys = np.maximum(np.where(self.silent, -np.inf, low), self.others)
        self.lowest = self.keys <= (-1.0 if estimand == "difference" else -np.inf)

    def _roots(self, c: FloatArray) -> FloatArray:
        g = c if self.estimand == "difference" else np.exp(c)
        return roots(self.w1, self.n1, self.w2, self.n2, g, self.estimand)

    def steps(self, x1: int, x2: int) -> list[int]:
        """Return the smallest x1 of each row of {T >= T(x)}."""
        t = self.keys[x1, x2]
        inside = ~self.silent & (self._roots(np.full_like(self.w1, t)) >= self.z - TIE)
        inside |= self.others >= t - TIE * (1.0 + abs(t))
        if (np.diff(inside.astype(int), axis=0) < 0).any():
            raise ArithmeticError("the ordering is not monotone")
        return [int(k) for k in self.n1 + 1 - inside.sum(axis=0)]


# ------------------------------------------------------------------------------- parts


def exactness(largest: int = LARGEST_TABLE, alphas: tuple[float, ...] = (0.05,)) -> Any:
    """Decide in rational arithmetic, for every table, whether the limits are valid and exact."""
    piece = cache(local_piece)
    rows = []
    for alpha in alphas:
        for estimand in ESTIMANDS:
            row: dict[str, Any] = {"alpha": alpha, "estimand": estimand, "tables": 0}
            row |= {"claims": 0, "floor": 0, "held_back": 0, "above": [], "low": [], "unequal": []}
            for n1 in range(1, largest + 1):
                for n2 in range(1, largest + 1):
                    check_size(n1, n2, alpha, estimand, piece, row)
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def check_size(
    n1: int, n2: int, alpha: float, estimand: str, piece: Callable[..., Any], row: dict[str, Any]
) -> None:
    """Add to `row` what is found about the tables of two sizes."""
    ordering = Ordering(n1, n2, alpha, estimand)
    x1, x2 = np.indices((n1 + 1, n2 + 1))
    limits = two_proportion_lower(x1, n1, x2, n2, alpha, estimand=estimand)
    swapped = two_proportion_upper(x2, n2, x1, n1, alpha, estimand=estimand)
    floors = bonferroni_limits(n1, n2, alpha, estimand)
    with np.errstate(divide="ignore"):
        mirror = -swapped if estimand == "difference" else 1.0 / swapped
    for i, j in np.ndindex(limits.shape):
        at = (i, n1, j, n2)
        limit, floor = float(limits[i, j]), float(floors[i, j])
        row["tables"] += 1
        if abs(mirror[i, j] - limit) > 1e-15 * max(1.0, limit):
            row["unequal"].append(at)
        if limit == (-1.0 if estimand == "difference" else 0.0):
            if not ordering.lowest[i, j]:
                row["low"].append(at)
            continue
        row["claims"] += 1
        least, most, level = piece(i, n1, j, n2, Fraction(alpha), "likelihood-ratio")
        asked = (level, estimand, least, most)
        steps = ordering.steps(i, j)
        is_floor = abs(limit - floor) <= 1e-14 * max(1.0, floor)
        row["floor"] += is_floor
        if not is_floor and not holds_up_to(limit, floor, steps, floors, n1, asked):
            row["above"].append(at)
        beyond = limit + WITHIN if estimand == "difference" else limit * (1.0 + WITHIN)
        if witness_above(steps, n1, Fraction(beyond), *asked) is None:
            row["held_back"] += 1  # by the union with Bonferroni's set
            # Its probability rises with c and falls where c passes an outcome's Bonferroni limit.
            peaks = [*floors[(limit < floors) & (floors <= beyond)].tolist(), beyond]
            if all(
                witness_above(union(steps, floors, c), n1, Fraction(c), *asked) is None
                for c in peaks
            ):
                row["low"].append(at)


def union(steps: list[int], floors: FloatArray, c: float) -> list[int]:
    """Return the steps with the outcomes whose Bonferroni limit is at least c."""
    above = (floors < c).sum(axis=0)
    return [min(step, int(k)) for step, k in zip(steps, above, strict=True)]


def holds_up_to(
    limit: float, floor: float, steps: list[int], floors: FloatArray, n1: int, asked: Any
) -> bool:
    """Decide whether S, or a Bonferroni limit above c, has the level for all c from the floor."""
    if witness_above(steps, n1, Fraction(limit), *asked) is not None:
        return False
    parts = [(floor, limit)]
    while parts:
        low, high = parts.pop()
        wider = union(steps, floors, low)
        if wider == steps or witness_above(wider, n1, Fraction(high), *asked) is None:
            continue
        if high - low < 1e-9 * max(1.0, abs(high)):
            return False
        middle = 0.5 * (low + high)
        parts += [(low, middle), (middle, high)]
    return True


def non_coverage(n1: int, n2: int, alpha: float, estimand: str, points: int = 600) -> float:
    """Return the largest probability of a limit above the estimand found, over `alpha`.

    Just below each limit the outcomes that fail are those with at least that limit; along the curve
    their probability is evaluated on a grid with both ends.
    """
    x1, x2 = np.indices((n1 + 1, n2 + 1))
    limits = np.asarray(two_proportion_lower(x1, n1, x2, n2, alpha, estimand=estimand))
    share = np.sin(np.linspace(0.0, 0.5 * np.pi, points)) ** 2
    worst = 0.0
    for value in np.unique(limits):
        c = value - 1e-12 if estimand == "difference" else value * (1.0 - 1e-12)
        if c <= (-1.0 if estimand == "difference" else 0.0):
            continue
        low, high = 0.0, min(1.0, 1.0 / c) if estimand == "ratio" else 1.0
        if estimand == "difference":
            low, high = max(0.0, -c), min(1.0, 1.0 - c)
        u = low + (high - low) * share
        if estimand == "odds-ratio":
            u = np.linspace(-20.0, 20.0, points)
        p1, _, p2, _ = point(estimand, np.asarray(c), u)
        one = binom.pmf(np.arange(n1 + 1), n1, p1[:, None])
        two = binom.pmf(np.arange(n2 + 1), n2, p2[:, None])
        fails = (limits >= value).astype(float)
        worst = max(worst, float(np.einsum("ki,ij,kj->k", one, fails, two, optimize=True).max()))
    return worst / alpha


def coverage(largest: int = LARGEST_ENUMERATED, alpha: float = 0.05) -> Any:
    """Enumerate the non-coverage for samples of n and n, and for some unequal ones."""
    sizes = [(n, n) for n in range(1, largest + 1)]
    sizes += [(n, largest) for n in (1, 3, 10)] + [(largest, n) for n in (1, 3, 10)]
    rows = []
    for estimand in ESTIMANDS:
        shares = [non_coverage(n1, n2, alpha, estimand, points=300) for n1, n2 in sizes]
        rows.append({"alpha": alpha, "estimand": estimand, "sizes": sizes})
        rows[-1] |= {"largest_over_alpha": max(shares), "smallest_over_alpha": min(shares)}
        print(json.dumps(rows[-1]), flush=True)
    return rows


def bonferroni_limits(n1: int, n2: int, alpha: float, estimand: str) -> FloatArray:
    """Return g of Clopper-Pearson limits at alpha / 2 each for every table."""
    lower = np.asarray(clopper_pearson_lower(np.arange(n1 + 1), n1, 0.5 * alpha))[:, None]
    upper = np.asarray(clopper_pearson_upper(np.arange(n2 + 1), n2, 0.5 * alpha))[None, :]
    if estimand == "difference":
        return np.asarray(lower - upper)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = lower / upper
        return np.asarray(ratio if estimand == "ratio" else ratio * (1 - upper) / (1 - lower))


def dominance(
    largest: int = LARGEST_ENUMERATED, alphas: tuple[float, ...] = (0.5, 0.05, 0.025, 0.001)
) -> Any:
    """Count the tables at which a limit is below Bonferroni's by more than it gives away."""
    rows = []
    for alpha in alphas:
        for estimand in ESTIMANDS:
            below, tables, least = [], 0, np.inf
            for n1 in range(1, largest + 1):
                for n2 in range(1, largest + 1):
                    x1, x2 = np.indices((n1 + 1, n2 + 1))
                    limits = two_proportion_lower(x1, n1, x2, n2, alpha, estimand=estimand)
                    floor = bonferroni_limits(n1, n2, alpha, estimand)
                    slack = WITHIN * (1.0 if estimand == "difference" else floor)
                    gap = limits - floor
                    tables += gap.size
                    least = min(
                        least,
                        float(
                            gap[floor > (-1.0 if estimand == "difference" else 0.0)].min(
                                initial=np.inf
                            )
                        ),
                    )
                    below += [(int(i), n1, int(j), n2) for i, j in np.argwhere(gap < -slack)]
            rows.append({"alpha": alpha, "estimand": estimand, "tables": tables})
            rows[-1] |= {"below": below, "least_gain": least}
            print(json.dumps(rows[-1]), flush=True)
    return rows


R_CODE = """
suppressMessages(library(exact2x2)); has <- suppressWarnings(require(Exact, quietly=TRUE))
cat("version exact2x2", as.character(packageVersion("exact2x2")), "\\n")
if (has) cat("version Exact", as.character(packageVersion("Exact")), "\\n")
for (line in readLines(file("stdin"))) {
  v <- strsplit(line, " ")[[1]]; x <- as.integer(v[1:4]); p <- v[5]
  t <- system.time(o <- uncondExact2x2(x[3], x[4], x[1], x[2], parmtype=p, method="score",
    conf.int=TRUE))[["user.self"]]
  cat(v, "exact2x2", sprintf("%.9g", o$conf.int), t, "\\n")
  if (has && p == "difference" && x[2] + x[4] <= 25 && x[2] > x[1] && x[3] > 0) {
    m <- matrix(c(x[1], x[2]-x[1], x[3], x[4]-x[3]), 2, byrow=TRUE)
    t <- system.time(o <- try(exact.test(m, method="z-pooled", model="Binomial", to.plot=FALSE,
      conf.int=TRUE), silent=TRUE))[["user.self"]]
    if (!inherits(o, "try-error")) cat(v, "Exact", sprintf("%.9g", o$conf.int), t, "\\n")
  }
}
"""


def r_rows(cases: list[tuple[tuple[int, int, int, int], str]]) -> tuple[dict[str, str], list[Any]]:
    """Return versions and intervals of R's packages at 95 %."""
    if shutil.which("Rscript") is None:
        raise SystemExit("Rscript is missing: install R, and exact2x2 and Exact where R_LIBS says")
    lines = [f"{' '.join(map(str, table))} {name.replace('-', '')}" for table, name in cases]
    run = subprocess.run(
        ["Rscript", "-e", R_CODE], input="\n".join(lines), text=True, capture_output=True,
        check=True, env=os.environ,
    )  # fmt: skip
    versions, rows = {}, []
    for line in run.stdout.splitlines():
        v = line.split()
        if v[0] == "version":
            versions[v[1]] = v[2]
        else:
            name = "odds-ratio" if v[4] == "oddsratio" else v[4]
            rows.append((tuple(map(int, v[:4])), name, v[5], *map(float, v[6:9])))
    return versions, rows


def own_row(table: tuple[int, int, int, int], estimand: str) -> dict[str, Any]:
    """Return the package's interval at 95 % and the time of one."""
    two_proportion_interval(*table, 0.05, estimand=estimand)
    start, runs = time.process_time(), 20
    for _ in range(runs):
        lower, upper = two_proportion_interval(*table, 0.05, estimand=estimand)
    seconds = (time.process_time() - start) / runs
    return {"lower": float(lower), "upper": float(upper), "cpu_seconds": round(seconds, 6)}


def others(widths_at: int = 0) -> Any:
    """Compare values, times and widths with R's packages, and values with published ones."""
    timed = [(table, e) for table in ((18, 30, 9, 30),) for e in ESTIMANDS]
    cases = [(table, estimand) for table, estimand, *_ in PUBLISHED] + timed
    published = {(t, e): (list(limits), source) for t, e, limits, source in PUBLISHED}
    versions, found = r_rows(cases)
    rows = []
    for table, estimand in cases:
        row: dict[str, Any] = {"table": table, "estimand": estimand}
        row["rsverify"] = own_row(table, estimand)
        for t, e, package, lower, upper, seconds in found:
            if (t, e) == (table, estimand):
                row[package] = {"lower": lower, "upper": upper, "cpu_seconds": seconds}
        if (table, estimand) in published:
            row["published"] = published[table, estimand]
        rows.append(row)
    large = {str(n): {e: own_row((int(0.6 * n), n, n // 2, n), e) for e in ESTIMANDS}
             for n in (30, 1000, 10_000, 100_000)}  # fmt: skip
    found_widths = widths(widths_at) if widths_at else None
    return {"versions": versions, "rows": rows, "larger": large, "widths": found_widths}


def widths(n: int) -> Any:
    """Compare mean widths over every table of n a side: ours, exact2x2's, Bonferroni's."""
    tables = [(i, n, j, n) for i in range(n + 1) for j in range(n + 1)]
    out: dict[str, Any] = {"n": n}
    _, found = r_rows([(t, "difference") for t in tables])
    for package in ("exact2x2", "Exact"):
        ends = {t: (lo, hi) for t, _, p, lo, hi, _ in found if p == package}
        if len(ends) == len(tables):
            theirs = np.array([ends[t] for t in tables])
            out[package] = float(np.diff(theirs, axis=1).mean())
    ours = np.array([two_proportion_interval(*t, 0.05)[:2] for t in tables])
    out["rsverify"] = float(np.diff(ours, axis=1).mean())
    floor = bonferroni_limits(n, n, 0.025, "difference")
    out["Bonferroni"] = float((-floor.T - floor).mean())
    return out


PARTS: dict[str, Callable[[], Any]] = {
    "exactness": exactness,
    "exactness-0.001": partial(exactness, alphas=(0.001,)),
    "coverage": coverage,
    "dominance": dominance,
    "others": others,
}


def main() -> None:
    """Run the parts named and add them to the results."""
    for name in sys.argv[1:] or list(PARTS):
        start = time.process_time()
        found = PARTS[name]()
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        kept[name] = {"cpu_seconds": round(time.process_time() - start), "found": found}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
