"""Speed and tightness beside other packages: makes ``docs/comparison.md``.

    pip install statsmodels ville && python -m tests.benchmarks.comparison

One process, one run: all numbers of a table come from the same votes and the same machine. Times are
processor time, the least of several, after one call that compiles.
"""

from __future__ import annotations

import importlib.metadata
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import ville
from scipy import stats
from statsmodels.stats.proportion import multinomial_proportions_confint, proportion_confint

import rsverify
from rsverify.bounds.confidence_sequences import plugin_bernstein_sequence

PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"
NAMES = ("rsverify", "scipy", "statsmodels", "ville", "numpy", "numba")
ALPHA = 0.001
VOTES = (
    (600, 50, 350),
    (900, 60, 40),
    (450, 300, 250),
    (60_000, 5_000, 35_000),
    (99_000, 300, 700),
)

HEAD = """# Beside other packages

Made by `python -m tests.benchmarks.comparison`: one process, one core, {machine};
{versions}. Times are the least processor time of several calls.

## What each is for

| | rsverify | statsmodels | scipy | ville | Cohen's `smoothing` |
|---|---|---|---|---|---|
| limit of a proportion, exact | yes, rounded outward | yes | yes | – | by statsmodels |
| limit of a margin of two classes, exact | yes | – (simultaneous intervals, approximate) | – | – | – |
| mean of bounded data, one n | yes | – | bootstrap, approximate | – | – |
| confidence sequences of a mean | yes | – | – | yes | – |
| two-sample and paired problems | – | yes | some | A/B tests | – |
| variances and quantiles over time | – | – | – | yes | – |
| torch sampler, resumed tables | yes | – | – | – | sampler |
| audit of somebody else's bound | yes | – | – | – | – |

Other packages do much that this one does not: models, tests and intervals of every kind
(statsmodels, scipy), sequences for variances, quantiles and A/B tests (ville). Where a bound here is slower, the tables say so.
"""


def least(call: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of a call, in seconds."""
    call()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def shown(seconds: float) -> str:
    """Return a time with its unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def proportions() -> str:
    """Return the comparison of limits of proportions."""
    k, n = np.arange(1, 100_001), 100_000
    ways: list[tuple[str, Callable[[], object]]] = [
        ("`rsverify.clopper_pearson_lower`", lambda: rsverify.clopper_pearson_lower(k, n, ALPHA)),
        (
            "`statsmodels proportion_confint(…, 'beta')`",
            lambda: proportion_confint(k, n, 2 * ALPHA, "beta")[0],
        ),
        ("`scipy.stats.beta.ppf`", lambda: stats.beta.ppf(ALPHA, k, n - k + 1)),
    ]
    ours = np.asarray(ways[0][1]())
    rows = []
    for name, call in ways:
        value = np.asarray(call())
        above = int((value > ours).sum())
        rows.append(
            [
                name,
                shown(least(call, 5) / k.size),
                f"{np.max(np.abs(value / ours - 1)):.1e}",
                f"{above:,}",
            ]
        )
    head = [
        "k = 1 … 100,000 of n = 100,000",
        "a limit",
        "largest relative difference",
        "above ours",
    ]
    return (
        "## A proportion\n\n"
        + table(head, rows)
        + (
            "\nAll three are Clopper and Pearson's limit. Ours is rounded down past its own error, so that it is never above "
            "the exact value; the others round to nearest, and may be above it in the last digits.\n"
        )
    )


def margins() -> str:
    """Return the comparison of limits of the difference of two classes."""
    rows = []
    for k1, k2, rest in VOTES:
        n, votes = k1 + k2 + rest, [k1, k2, rest]
        goodman = multinomial_proportions_confint(votes, 2 * ALPHA, "goodman")
        values = [
            rsverify.exact_margin_lower(k1, k2, n, ALPHA, estimand="difference"),
            rsverify.bonferroni_margin_lower(k1, k2, n, ALPHA, estimand="difference"),
            rsverify.cohen_margin_lower(k1, n, ALPHA, estimand="difference"),
            goodman[0, 0] - goodman[1, 1],
        ]
        rows.append([f"{k1:,}, {k2:,}, {rest:,}", *(f"{value:.5f}" for value in values)])
    k1, k2, n = 60_000, 5_000, 100_000
    times = [
        least(lambda: rsverify.exact_margin_lower(k1, k2, n, ALPHA, estimand="difference"), 7),
        least(
            lambda: rsverify.bonferroni_margin_lower(k1, k2, n, ALPHA, estimand="difference"), 50
        ),
        least(lambda: rsverify.cohen_margin_lower(k1, n, ALPHA, estimand="difference"), 50),
        least(lambda: multinomial_proportions_confint([k1, k2, n - k1 - k2], 2 * ALPHA), 20),
    ]
    rows.append(["time of one, n = 100,000", *map(shown, times)])
    head = ["votes", "exact", "Bonferroni", "Cohen", "statsmodels, Goodman"]
    return (
        f"\n## A margin of two classes, α = {ALPHA}\n\n"
        + table(head, rows)
        + (
            "\nThe lower limit of $p_1 - p_2$; larger is better. Goodman's simultaneous intervals are approximate, and hold for all "
            "classes at once, which is more than is asked. The exact bound is the slowest, and the largest.\n"
        )
    )


def means() -> str:
    """Return the comparison of limits of a mean."""
    rng = np.random.default_rng(0)
    n, alpha = 10_000, 0.05
    makers: dict[str, tuple[float, Callable[[], np.ndarray]]] = {
        "uniform": (0.5, lambda: rng.random(n)),
        "Bernoulli(.99)": (0.99, lambda: (rng.random(n) < 0.99).astype(float)),
        "Beta(1000, 1000)": (0.5, lambda: rng.beta(1000, 1000, n)),
    }
    samples = {name: [make() for _ in range(20)] for name, (_, make) in makers.items()}
    rows, cost = [], {}

    def last(limits: object) -> float:
        return float(np.max(getattr(limits, "lower", limits)))

    ways: dict[str, Callable[[np.ndarray], float]] = {
        "`betting_lower`, one n": lambda x: float(rsverify.betting_lower(x, alpha)),
        "`hoeffding_lower`, one n": lambda x: float(rsverify.hoeffding_lower(x, alpha)),
        "`betting_sequence`": lambda x: last(rsverify.betting_sequence(x, 2 * alpha)),
        "`plugin_bernstein_sequence`": lambda x: last(plugin_bernstein_sequence(x, 2 * alpha)),
        "ville `BettingCS`": lambda x: _ville("BettingCS", x, 2 * alpha),
        "ville `EmpiricalBernsteinCS`": lambda x: _ville("EmpiricalBernsteinCS", x, 2 * alpha),
    }
    for name, way in ways.items():
        gaps = [
            f"{1e3 * np.mean([truth - way(x) for x in samples[kind]]):.2f}"
            for kind, (truth, _) in makers.items()
        ]
        cost[name] = least(lambda way=way: way(samples["uniform"][0]), 3)  # type: ignore[misc]
        rows.append([name, *gaps, shown(cost[name])])
    head = ["10³ × (truth − limit)", *samples, "time"]
    return (
        f"\n## A mean in [0, 1], n = {n:,}, α = {alpha} on the lower side\n\n"
        + table(head, rows)
        + (
            "\nThe mean of 20 samples, the same for all; smaller is better. The first two rows hold at this n only, the others are time-uniform. Two-sided sequences "
            "are given 2α. ville's are one-pass updates that also give all earlier limits, as do the sequences here.\n"
        )
    )


def _ville(name: str, x: np.ndarray, alpha: float) -> float:
    """Return the last lower limit of one of ville's sequences."""
    sequence = getattr(ville, name)(alpha=alpha)
    sequence.update(x)
    return float(sequence.interval()[0])


def main() -> None:
    """Write the page."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in NAMES[1:])
    head = HEAD.format(
        machine=f"Python {platform.python_version()}, {platform.machine()}",
        versions=f"rsverify {rsverify.__version__}, {versions}",
    )
    PAGE.write_text(head + "\n" + proportions() + margins() + means(), encoding="utf-8")


if __name__ == "__main__":
    main()
