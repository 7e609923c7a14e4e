"""Default distributions of further estimands, and how a distribution is moved to an estimand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rsverify.auditing.counts import CountModel, HypergeometricModel, PoissonModel
from rsverify.auditing.draws import variance_of
from rsverify.auditing.two_counts import PairedModel, TwoBinomials

Law = tuple[Any, ...]
Named = dict[str, Mapping[str, object]]

MEANS = (0.02, 0.5, 1.0, 2.3, 4.6, 7.0, 20.0, 100.0)  # expected counts
SPREAD = 1000  # values of what is nearly without ties
SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)  # of distributions with one estimand


def count_suite(model: CountModel) -> Named:
    """Return distributions of counts, the edges among them."""
    n = model.n
    edge = [1.0 / (2 * n), 1.0 / n, 3.0 / n]
    if isinstance(model, TwoBinomials):
        pairs = [(0.5, 0.5), (0.1, 0.1), (0.9, 0.9), (0.6, 0.4), (0.4, 0.6), (0.9, 0.2), (0.2, 0.9)]
        pairs += [(min(e, 0.9), min(f, 0.9)) for e in edge for f in edge]
        pairs += [(1.0 - min(e, 0.9), 1.0 - min(f, 0.9)) for e in edge for f in edge]
        pairs += [(min(edge[1], 0.9), 0.5), (0.5, min(edge[1], 0.9)), (0.999, 0.5), (0.5, 0.999)]
        return {f"p1 = {a:.4g}, p2 = {b:.4g}": {"p1": a, "p2": b} for a, b in pairs}
    if isinstance(model, PoissonModel):
        return {f"rate = {m / n:.4g}": {"rate": m / n} for m in MEANS}
    if isinstance(model, HypergeometricModel):
        size = model.population
        kept = sorted({0, 1, 2, size // 10, size // 4, size // 2, size - 2, size - 1, size})
        return {f"{k} successes in {size}": {"successes": k} for k in kept if 0 <= k <= size}
    if isinstance(model, PairedModel):
        grid = [(q, s) for q in (*(min(e, 0.9) for e in edge), 0.3, 0.7, 1.0) for s in SHARES[1:-1]]
        points = np.array(grid)
        return {
            f"discordant {q:.4g}, the first {s:.3g} of them": model.parameters(point)
            for (q, s), point in zip(grid, points, strict=True)
        }
    ends = [*(min(e, 0.9) for e in edge), 0.05, 0.3, 0.5, 0.7, 0.95]
    return {f"p = {p:.4g}": {"p": p} for p in sorted({*ends, *(1.0 - e for e in ends)})}


def counts_at(model: CountModel, value: float) -> Named:
    """Return distributions of counts whose estimand is `value`."""
    if isinstance(model, HypergeometricModel) or len(model.names) == 1:
        shares = [0.5]
    else:
        shares = [1e-3, *SHARES, 0.999]
    points = model.at(np.full(len(shares), value), np.array(shares))
    found: Named = {}
    for point in points:
        here = model.parameters(point)
        found[", ".join(f"{k} = {_shown(v)}" for k, v in here.items())] = here
    return found


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return "(" + ", ".join(map(_shown, value)) + ")"
    return f"{value:.6g}"


def real_laws(n: int, level: float) -> dict[str, Law]:
    """Return distributions of real numbers for quantiles: smooth, heavy-tailed, with atoms."""
    laws: dict[str, Law] = {
        "normal": ("norm", 0.0, 1.0),
        "normal, far below 0": ("norm", -100.0, 1.0),
        "normal, far above 0": ("norm", 50.0, 10.0),
        "uniform": ("uniform", 0.0, 1.0),
        "Cauchy": ("cauchy", 0.0, 1.0),
        "exponential": ("expon", 0.0, 1.0),
        "minus exponential": ("gumbel_l", 0.0, 1.0),
        "log-normal": ("lognorm", 2.0),
        "skewed, Beta(0.1, 0.9)": ("beta", 0.1, 0.9),
        "skewed, Beta(5, 0.2)": ("beta", 5.0, 0.2),
        "constant": ("points", (1.0,), (1.0,)),
        "0 or 1, even": ("points", (0.0, 1.0), (0.5, 0.5)),
        "dice": ("points", tuple(map(float, range(1, 7))), (1 / 6,) * 6),
    }
    for share in (0.01, 0.1, 0.25, 0.49, 0.51, 0.75, 0.9, 0.99, 1.0 / (n + 1)):
        laws[f"0, or 1 with {share:.3g}"] = ("points", (0.0, 1.0), (1.0 - share, share))
    # The quantile is where ties are, and all other numbers are different and on one side.
    for sign, side, share in ((1.0, "above", level), (-1.0, "below", 1.0 - level)):
        tied = min(share + 0.01, 0.5 + 0.5 * share)
        laws[f"0 with {tied:.3g}, else {side}"] = (
            "points",
            (0.0, *(sign * k / SPREAD for k in range(1, SPREAD + 1))),
            (tied, *((1.0 - tied) / SPREAD,) * SPREAD),
        )
    return laws


def law_in_words(law: Law) -> str:
    """Return a distribution on [0, 1], of points or beta, so that it can be drawn from again."""
    if law[0] == "beta":
        return f"Beta({law[1]:.4g}, {law[2]:.4g})"
    points = sorted(zip(*law[1:3], strict=True))
    values, shares = ([f"{number:.4g}" for number in part] for part in zip(*points, strict=True))
    if len(values) == 1:
        return f"{values[0]} always"
    return f"{', '.join(values[:-1])} or {values[-1]} with {', '.join(shares)}"


def law_at_mean(law: Law, mean: float) -> Law | None:
    """Return a distribution on [0, 1] like `law` with that mean, None where there is none."""
    if not 0.0 <= mean <= 1.0:
        return None
    if law[0] == "beta":
        size = law[1] + law[2]
        return ("beta", mean * size, (1.0 - mean) * size) if 0.0 < mean < 1.0 else None
    values, weights = np.asarray(law[1], float), np.asarray(law[2], float)
    own = math.fsum(values * weights)
    if own == mean:
        return law
    end = 1.0 if own < mean else 0.0
    share = (mean - own) / (end - own)  # of a point mass at that end
    values, weights = np.append(values, end), np.append(weights * (1.0 - share), share)
    points, place = np.unique(values, return_inverse=True)
    summed = np.bincount(place, weights)
    return ("points", tuple(points.tolist()), tuple((summed / summed.sum()).tolist()))


def law_at_variance(law: Law, variance: float) -> Law | None:
    """Return a distribution on [0, 1] like `law` with that variance, None where there is none."""
    own = variance_of(law)
    if law[0] != "points" or own <= 0.0 or not 0.0 <= variance <= 0.25:
        return None
    scale = math.sqrt(variance / own)
    values = np.asarray(law[1], float) * scale
    values -= values.min()
    if values.max() > 1.0 + 1e-12:
        return None
    return ("points", tuple(np.minimum(values, 1.0).tolist()), law[2])


def votes_at(name: str, value: float) -> dict[str, tuple[float, ...]]:
    """Return class probabilities whose margin over the class of column 1 is `value`."""
    from scipy.optimize import brentq
    from scipy.special import ndtri

    found: dict[str, tuple[float, ...]] = {}
    for third in (0.0, 0.01, 0.1, 0.3, 1.0 / 3.0, 0.6, 0.9):
        both = 1.0 - third
        if name == "difference":
            first = (both + value) / 2.0
        elif abs(value) > 8.0:
            continue
        else:
            low, high = 1e-15 * both, (1.0 - 1e-15) * both

            def off(p: float, both: float = both) -> float:
                return float(ndtri(p) - ndtri(both - p)) - value

            if off(low) * off(high) >= 0.0:
                continue
            first = float(brentq(off, low, high, xtol=1e-16))
        second = both - first
        if min(first, second) >= 0.0 and third <= max(second, 1e-15):
            found[f"three classes {first:.4g}, {second:.4g}, {third:.4g}"] = (first, second, third)
    return found
