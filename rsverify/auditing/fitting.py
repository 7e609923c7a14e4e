"""Which estimand a bound seems to be a bound of, where it does not take the one asked for."""

from __future__ import annotations

import numpy as np

from rsverify._core.types import Side
from rsverify.auditing.caller import Bound, Caller
from rsverify.auditing.company import PROBE_ROWS
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import ESTIMANDS, Data, Estimand
from rsverify.auditing.scenario import Scenario, default_scenarios
from rsverify.auditing.simulation.blocks import generator

STREAM = "other estimands"
ROWS = 40  # of each scenario that is tried
SCENARIOS = 6
CANDIDATES = (
    *("mean", "proportion", "difference", "probit", "laplace", "binary-mean"),
    *("score-difference", "score-probit", "path-difference", "path-probit"),
    "path-laplace",
)
MOST_MISSES = 0.5
LARGEST_N = 100_000


def probe(
    estimand: Estimand, design: Design, suite: list[Scenario], rows: int, stream: str
) -> Data:
    """Return rows of several scenarios in random order, all of the shape of the first's."""
    rows = max(PROBE_ROWS + 1, min(rows, (1 << 21) // max(design.n, 1)))
    rng = generator(design.seed, stream, 0)
    each = -(-rows // len(suite)) + 1
    parts = [estimand.draw(rng, each, design.n, **s.parameters) for s in suite[:rows]]
    alike = [part for part in parts if part.shape[1:] == parts[0].shape[1:]]
    if len(alike) < len(parts):
        each = -(-rows // len(alike))
        same = [
            s for s, part in zip(suite, parts, strict=False) if part.shape[1:] == parts[0].shape[1:]
        ]
        alike = [estimand.draw(rng, each, design.n, **s.parameters) for s in same]
    data = np.concatenate(alike)
    return data[rng.permutation(len(data))][:rows]


def fitting_estimand(bound: Bound, side: Side, design: Design, asked: Estimand) -> str | None:
    """Return the name of a built-in estimand whose data the bound takes, and mostly covers."""
    if design.n > LARGEST_N or ESTIMANDS.get(asked.name) is not asked:
        return None
    for name in CANDIDATES:
        if name != asked.name and _takes(bound, side, design, ESTIMANDS[name]):
            return name
    return None


def _takes(bound: Bound, side: Side, design: Design, estimand: Estimand) -> bool:
    """Return whether a bound returns limits on all of an estimand's data, and mostly covers."""
    caller = Caller(bound, design.alpha, side, estimand.space, sequential=estimand.sequential)
    rng = generator(design.seed, STREAM, 0)
    suite = default_scenarios(estimand, design.n, design.alpha, side)
    misses, total = 0, 0
    for scenario in suite[:: max(1, len(suite) // SCENARIOS)]:
        rows = max(2, min(ROWS, (1 << 18) // design.n))
        data = estimand.draw(rng, rows, design.n, **scenario.parameters)
        if caller.fits(data) is None:
            return False
        limits = caller.limits(data)
        if limits.failures:
            return False
        truth = estimand.truth(**scenario.parameters)
        misses += int(((limits.lower > truth) | (limits.upper < truth)).sum())
        total += rows
    return misses < MOST_MISSES * total
