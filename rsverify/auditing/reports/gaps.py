"""Expected gaps to the truth, of bounds whose limits are known for every outcome."""

from __future__ import annotations

import math

import numpy as np

from rsverify.auditing.comparing.outcomes import floor_of, gaps, probabilities
from rsverify.auditing.comparing.suites import comparison_suite
from rsverify.auditing.counts import EVERYWHERE
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import ESTIMANDS, Estimand
from rsverify.auditing.exact.repeats import Table

TOLD = 4  # distributions, at most


def expected_gaps(table: Table, estimand: Estimand, design: Design) -> dict[str, float]:
    """Return the mean gap (of intervals, the mean width) at a few ordinary distributions.

    Nothing for what is no bound of an estimand, as a p-value over a null.
    """
    built_in = ESTIMANDS.get(estimand.name) is estimand
    model = None if estimand.model is None else estimand.model(design.n)
    if not built_in and (model is None or model.region != EVERYWHERE or model.fixed is not None):
        return {}
    found: dict[str, float] = {}
    counts = table.outcomes.astype(np.int64)
    suite = comparison_suite(estimand, design.n, design.alpha, design.side)
    for scenario in suite[:: -(-len(suite) // TOLD)]:
        p = probabilities(estimand, design.n, counts, scenario.parameters)
        truth = float(estimand.truth(**scenario.parameters))
        if p is None or not math.isfinite(truth):
            continue
        failed = (table.lower == np.inf) | (table.upper == -np.inf)
        ends = floor_of(estimand, design.side)
        each = gaps(table.lower, table.upper, truth, design.side, ends)
        seen = (p > 0.0) & ~failed
        if seen.any():
            found[scenario.name] = float(p[seen] @ each[seen] / p[seen].sum())
    return found


def gap_notes(found: dict[str, float], design: Design) -> list[str]:
    """Return the line that tells them."""
    if not found:
        return []
    what = "width" if design.side == "two-sided" else "gap to the truth"
    told = "; ".join(f"{value:.4g} at {name}" for name, value in found.items())
    return [f"expected {what}, summed over all outcomes: {told}"]
