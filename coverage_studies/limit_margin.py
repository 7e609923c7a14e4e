"""How far the margin bounds are from the best that any bound can do.

For any lower bound L that is valid at level alpha and any distribution q* of margin g*, {L > c}
is a test of "the margin is at most c" at level alpha, so that

    E[(g* - max(L, 0))+] >= integral from 0 to g* of 1 - beta(c) dc,

beta(c) the largest power of such a test against q*. Two upper bounds of beta(c), so that the
integral stays a lower one:

- *one atom*: the power of Neyman and Pearson's test of a single q of margin c, the least favorable
  one found on the curve. Any q is right, a better one is sharper.
- *linear program*, n = 100: the power of the best test that has level alpha at GRID points of the
  curve, over all outcomes. It is the sharper one, and is here to check the first.

The test may be randomized and is made for each q* alone, so no bound need reach the limit.
Measured beside it: E[(g* - max(L, 0))+] of every margin bound, by a cubic regression of L on
outcomes drawn from q*, whose expectation is summed exactly. In samples, as gaps fall with the
root of n: the square of their ratio.

Run as ``python -m coverage_studies.limit_margin``; writes results/limit_margin.json and
docs/figures/limit-margin.png. Five minutes on one core.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.special import betainc
from scipy.stats import binom

import rsverify
from coverage_studies import _limit_figure as limit_figure
from rsverify.auditing.comparing.margin_of_votes import (
    curve,
    curve_end,
    least_power,
    log_mass,
    margin,
    nodes_below,
    power_by_sorting,
    window,
)

SEED, NODES, GRID, DRAWS = 12, 24, 40, 240
CASES = [
    (n, alpha, q)
    for n, alphas in ((100, (0.05, 0.001)), (1000, (0.05, 0.001)), (100_000, (0.001,)))
    for alpha in alphas
    for q in ((0.6, 0.05), (0.9, 0.05), (0.99, 0.003))
    if n > 100 or q[1] > 0.01
]
ESTIMANDS = ("difference", "probit")
EXACT = {
    "exact": "likelihood-ratio",
    "exact, by k1 - k2": "difference",
    "exact, by Bonferroni": "bonferroni",
    "exact, by Taylor(5)": rsverify.Taylor(5),
}
RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "limit-margin.png"


def power_by_rows(n: int, alpha: float, q: Any) -> Callable[[Any], float]:
    """Return the same for large n, where the likelihood ratio is nearly continuous.

    The rejection region is taken large enough for the null to reach alpha, so that the result
    is an upper bound.
    """

    def tail(p: Any, a1: float, a2: float, k: float) -> float:
        reach = 8 * np.sqrt(n * p[1]) + 25
        j = np.arange(max(0, int(n * p[1] - reach)), int(n * p[1] + reach))
        first = np.ceil((k - a2 * j) / a1)
        inside = (first <= n - j) & (first >= 1)
        s = np.where(inside, first, 1)
        rest = betainc(s, n - j - s + 1, p[0] / (1 - p[1]))
        return float(binom.pmf(j, n, p[1]) @ np.where(inside, rest, first < 1))

    def power(q0: Any) -> float:
        third = np.log((1 - sum(q)) / max(1 - sum(q0), 1e-300))
        a1, a2 = (float(np.log(p / p0) - third) for p, p0 in zip(q, q0, strict=True))
        if a1 <= 0:
            return 1.0
        low, high = (n * (a1 * p[0] + a2 * p[1]) for p in (q0, q))
        low, high = min(low, high), max(low, high)
        high += high - low
        while tail(q0, a1, a2, high) > alpha:
            high += high - low
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if tail(q0, a1, a2, middle) >= alpha else (low, middle)
        return tail(q, a1, a2, low)

    return power


def programmed_power(n: int, alpha: float, q: Any, c: float, estimand: str) -> float:
    """Return the power of the best test of level alpha at GRID points of the curve."""
    x1, x2, mass = window(n, q, 5.0)
    lost = max(0.0, 1 - mass.sum())  # counted as power
    shares = np.sin(np.pi / 2 * np.linspace(1e-3, 1 - 1e-6, GRID)) ** 2
    nulls = [(float(curve(c, s, estimand)), s) for s in curve_end(c, estimand) * shares]
    rows = np.array([np.exp(log_mass(n, x1, x2, q0)) for q0 in nulls])
    found = linprog(-mass, A_ub=rows / alpha, b_ub=np.ones(GRID), bounds=(0, 1), method="highs")
    return float(-found.fun) + lost


def limit(n: int, alpha: float, q: Any, estimand: str) -> tuple[float, list[float], list[float]]:
    """Return the limit of the gap, and the margins and powers that it was integrated from."""
    top = margin(q, estimand)
    power = (power_by_sorting if n <= 1000 else power_by_rows)(n, alpha, q)
    low, cs, weights = nodes_below(n, alpha, q, estimand, NODES)
    powers = [least_power(power, float(c), q, n, estimand) for c in cs]
    return float((top - low) / 2 * weights @ (1 - np.array(powers))), cs.tolist(), powers


def gap(bound: Callable[[Any, Any], Any], n: int, q: Any, estimand: str) -> float:
    """Return E[(g* - max(L, 0))+] of a bound."""
    top = margin(q, estimand)
    x1, x2, mass = window(n, q)
    mass = mass / mass.sum()
    if x1.size <= 3 * DRAWS:
        return float(mass @ np.maximum(top - np.maximum(bound(x1, x2), 0), 0))
    rng = np.random.default_rng(SEED)
    some = rng.choice(x1.size, 8 * DRAWS, p=mass)[:DRAWS]

    def features(i: Any) -> Any:
        a, b = (((v[i] - n * p) / np.sqrt(n * p)) for v, p in ((x1, q[0]), (x2, q[1])))
        return np.stack([a**k * b**m for k in range(4) for m in range(4 - k)], axis=-1)

    values = bound(x1[some], x2[some])
    fit, *_ = np.linalg.lstsq(features(some), values, rcond=None)

    def shortfall(limits: Any) -> Any:
        return np.maximum(top - np.maximum(limits, 0), 0)

    correction = np.mean(shortfall(values) - shortfall(features(some) @ fit))
    everywhere = slice(None)
    return float(mass @ shortfall(features(everywhere) @ fit) + correction)


def bounds_of(n: int, alpha: float, estimand: Any) -> dict[str, Callable[[Any, Any], Any]]:
    """Return the bounds to measure: name to a function of the outcomes."""
    found: dict[str, Callable[[Any, Any], Any]] = {
        "Bonferroni": lambda a, b: rsverify.bonferroni_margin_lower(
            a, b, n, alpha, estimand=estimand
        ),
        "Cohen": lambda a, _: rsverify.cohen_margin_lower(a, n, alpha, estimand=estimand),
    }
    for name, ordering in EXACT.items():
        if n > 1000 and name != "exact":
            continue
        found[name] = lambda a, b, o=ordering: rsverify.exact_margin_lower(
            a, b, n, alpha, estimand=estimand, ordering=o
        )
    return found


def row(n: int, alpha: float, q: Any, estimand: str) -> dict[str, Any]:
    """Return one case: the limit, and every bound's gap over it."""
    least, cs, powers = limit(n, alpha, q, estimand)
    gaps = {name: gap(b, n, q, estimand) for name, b in bounds_of(n, alpha, estimand).items()}
    found: dict[str, Any] = {
        "n": n,
        "alpha": alpha,
        "q": list(q),
        "estimand": estimand,
        "margin": margin(q, estimand),
        "limit": least,
        "gap_over_limit": {name: g / least for name, g in gaps.items()},
        "more_samples": {name: (g / least) ** 2 - 1 for name, g in gaps.items()},
    }
    if n == 100:
        some = range(4, NODES, 7)
        found["power_atom"] = [powers[i] for i in some]
        found["power_program"] = [programmed_power(n, alpha, q, cs[i], estimand) for i in some]
        found["largest_difference"] = max(
            a - p for a, p in zip(found["power_atom"], found["power_program"], strict=True)
        )
    return found


def draw(rows: list[dict[str, Any]]) -> None:
    """Draw the gap over the limit."""
    styles = {"exact": ("o", "#00539c"), "exact, by Bonferroni": ("s", "#4c9bd6"),
              "exact, by Taylor(5)": ("d", "#8fb8d8"), "exact, by k1 - k2": ("v", "#a0a0a0"),
              "Bonferroni": ("^", "#c25700"), "Cohen": ("x", "#7a0000")}  # fmt: skip
    drawn = [
        limit_figure.Row(
            r["n"],
            r["alpha"],
            f"{r['q'][0]:g}, {r['q'][1]:g}, {r['estimand']}",
            r["gap_over_limit"],
        )
        for r in rows
    ]
    title = f"The exact bound is nearest to the limit in {limit_figure.wins(drawn, 'exact')}"
    limit_figure.draw(FIGURE, f"{title}\n(gap to the margin, above the limit)", drawn, styles)


def main() -> None:
    """Compute limits and gaps; write them and the figure."""
    rows = []
    for n, alpha, q in CASES:
        for estimand in ESTIMANDS:
            rows.append(row(n, alpha, q, estimand))
            shown = {k: round(v, 4) for k, v in rows[-1]["gap_over_limit"].items()}
            print(n, alpha, q, estimand, shown, rows[-1].get("largest_difference"), flush=True)
    content = {"study": "limit_margin", "version": rsverify.__version__, "seed": SEED, "rows": rows}
    (RESULTS / "limit_margin.json").write_text(json.dumps(content, indent=1) + "\n")
    draw(rows)


if __name__ == "__main__":
    main()
