"""The distributions of three classes at which a margin bound fails to cover most, at large n.

A bound that is not monotone in the counts has its faults where a rule of thumb changes: at
counts of 5, 10 or 30, say. A grid over the simplex that is fine near its edges finds them;
failures to cover are summed over all outcomes where those can be asked, and drawn where they are
too many. What is found joins the scenarios, and is judged by fresh randomness like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import gammaln, xlogy

from rsverify._core.check import FloatArray
from rsverify.auditing.caller import Caller
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import Data, Estimand
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import generator, missed

STREAM = "search over votes"
LARGEST_TABLE = 600_000  # outcomes that are asked one by one
CHUNK = 1 << 15
SPREAD = 5.0  # standard deviations of a count that are summed
FINALISTS = 3
APART = 0.25  # of a standard deviation, at least, between two of them
STEPS = 40
DRAWN = (1000, 4000, 16_000)  # replications a candidate, where outcomes are too many
SURVIVORS = (24, 6)
Law = tuple[float, float, float]


def worst_votes(caller: Caller, estimand: Estimand, design: Design) -> list[Scenario]:
    """Return the distributions at which the bound seems to fail to cover most."""
    n = design.n
    if (n + 1) * (n + 2) // 2 <= LARGEST_TABLE and not (caller.rowwise or caller.alone):
        laws = _summed(caller, estimand, design)
    else:
        laws = _drawn(caller, estimand, design)
    return [Scenario(f"found {i + 1}: {_shown(p)}", {"p": p}) for i, p in enumerate(laws)]


def _shown(p: Law) -> str:
    return "(" + ", ".join(f"{q:.4g}" for q in p) + ")"


def candidates(n: int) -> list[Law]:
    """Return distributions of three classes: fine in the expected counts of the rarer ones."""
    rare = [c / n for c in (0.5, 2, 4, 6, 8, 11, 14, 18, 23, 29, 33, 38, 45, 60, 80, 110, 160)]
    shares = [q for q in (0.0, *rare, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5) if q <= 0.5]
    shares = sorted(set(shares))
    laws = [(1.0 - a - b, a, b) for a in shares for b in shares if a + b < 1.0]
    # The class certified is rare itself, or as likely as the next.
    laws += [(a, 1.0 - a - b, b) for a in rare for b in shares if a + b < 1.0]
    laws += [(a, a, 1.0 - 2.0 * a) for a in rare if a <= 0.5]
    return [law for law in laws if min(law) >= 0.0]


def _summed(caller: Caller, estimand: Estimand, design: Design) -> list[Law]:
    """Return the worst distributions by sums over all outcomes, and over those near them."""
    lower, upper = _tables(caller, design)
    log_fact = gammaln(np.arange(design.n + 1) + 1.0)

    def value(p: Law) -> float:
        return _probability(lower, upper, p, float(estimand.truth(p=p)), log_fact)

    rated = sorted(((value(p), p) for p in candidates(design.n)), reverse=True)
    rng = generator(design.seed, STREAM, 1)
    finalists: list[tuple[float, Law]] = []
    for start in rated:
        if len(finalists) == FINALISTS:
            break
        if all(_apart(start[1], other, design.n) for _, other in finalists):
            finalists.append(_climbed(start, value, design.n, rng))
    return [p for _, p in finalists]


def _apart(one: Law, other: Law, n: int) -> bool:
    """Return whether distributions differ by more than a part of a standard deviation."""
    return any(
        abs(a - b) > APART * math.sqrt(max(b * (1.0 - b), 1.0 / n) / n)
        for a, b in zip(one, other, strict=True)
    )


def _climbed(
    start: tuple[float, Law], value: Callable[[Law], float], n: int, rng: np.random.Generator
) -> tuple[float, Law]:
    """Return the best of random steps from a distribution, ever shorter ones."""
    best, p = start
    for step in range(STEPS):
        width = 0.8 * 0.9**step
        scale = np.sqrt(np.maximum(np.array(p) * (1.0 - np.array(p)), 1.0 / n) / n)
        moved = np.array(p) + width * scale * rng.normal(size=3)
        moved = np.where(np.array(p) == 0.0, 0.0, np.maximum(moved, 0.0))
        moved /= moved.sum()
        q = float(moved[0]), float(moved[1]), float(moved[2])
        here = value(q)
        if here > best:
            best, p = here, q
    return best, p


def _tables(caller: Caller, design: Design) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper limits of every outcome (x1, x2)."""
    n = design.n
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    order = generator(design.seed, STREAM, 0).permutation(x1.size)
    lower, upper = np.full((n + 1, n + 1), -np.inf), np.full((n + 1, n + 1), np.inf)
    for start in range(0, order.size, CHUNK):
        part = order[start : start + CHUNK]
        a, b = x1[part], x2[part]
        limits = caller.limits(np.column_stack([a, b, n - a - b]))
        lower[a, b], upper[a, b] = limits.lower, limits.upper
    return lower, upper


def _probability(
    lower: FloatArray, upper: FloatArray, p: Law, truth: float, log_fact: FloatArray
) -> float:
    """Return P(the limits fail to cover) over the outcomes near their expectation."""
    n = log_fact.size - 1
    ranges = []
    for q in p[:2]:
        reach = SPREAD * math.sqrt(n * q * (1.0 - q)) + 8.0
        ranges.append(np.arange(max(0, int(n * q - reach)), min(n, int(n * q + reach)) + 1))
    a, b = ranges[0][:, None], ranges[1][None, :]
    rest = n - a - b
    inside = rest >= 0
    rest = np.maximum(rest, 0)
    logs = log_fact[n] - log_fact[a] - log_fact[b] - log_fact[rest]
    logs = logs + xlogy(a, p[0]) + xlogy(b, p[1]) + xlogy(rest, p[2])
    fails = missed(lower[a, b], upper[a, b], truth) & inside
    return float(np.exp(logs[fails]).sum())


def _drawn(caller: Caller, estimand: Estimand, design: Design) -> list[Law]:
    """Return the worst distributions by replications, more of them for those that stay."""
    laws = candidates(design.n)
    laws = laws[:: 1 + len(laws) // 150]
    rng = generator(design.seed, STREAM, 2)
    rated = _rated(caller, estimand, design, laws, DRAWN[0], rng)
    for rows, kept in zip(DRAWN[1:], SURVIVORS, strict=True):
        laws = []
        for p in rated[:kept]:
            laws += [p, _neighbor(p, design.n, rng)]
        rated = _rated(caller, estimand, design, laws, rows, rng)
    return rated[:FINALISTS]


def _neighbor(p: Law, n: int, rng: np.random.Generator) -> Law:
    scale = np.sqrt(np.maximum(np.array(p) * (1.0 - np.array(p)), 1.0 / n) / n)
    moved = np.maximum(np.array(p) + scale * rng.normal(size=3), 0.0)
    moved /= moved.sum()
    return float(moved[0]), float(moved[1]), float(moved[2])


def _rated(
    caller: Caller,
    estimand: Estimand,
    design: Design,
    laws: list[Law],
    rows: int,
    rng: np.random.Generator,
) -> list[Law]:
    """Return distributions in order of the failures to cover in `rows` replications, most first."""
    misses = []
    for p in laws:
        data: Data = estimand.draw(rng, rows, design.n, p=p)
        limits = caller.limits(data)
        misses.append(int(missed(limits.lower, limits.upper, estimand.truth(p=p)).sum()))
    return [laws[i] for i in np.argsort(-np.array(misses), kind="stable")]
