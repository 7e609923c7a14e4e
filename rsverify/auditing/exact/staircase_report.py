"""The report of exact coverage along staircases: one row a claim."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rsverify.auditing.caller import PROBE_ROWS, Caller
from rsverify.auditing.exact.staircase import Level, Staircases, audit_staircases
from rsverify.auditing.report import AuditReport, Row
from rsverify.auditing.simulation.blocks import Design, Progress
from rsverify.auditing.verdict import Verdict, combine


def staircase_report(
    caller_of: Callable[..., Caller],
    margin: str,
    design: Design,
    described: dict[str, Any],
    progress: Progress | None = None,
) -> AuditReport | None:
    """Return the report, None where the bound is random or not monotone."""
    n = design.n
    # Rows that differ in every column, so that a bound that mixes or draws is found out.
    part = np.arange(1, PROBE_ROWS + 1) * (n // (3 * PROBE_ROWS + 3))
    outcomes = np.column_stack([n - 2 * part, part, part])
    caller = caller_of(data=outcomes)
    once, twice = caller.limits(outcomes), caller.limits(outcomes)
    if not np.array_equal(once.lower, twice.lower):
        return None
    found = audit_staircases(caller, n, margin, design.alpha, progress)
    if found is None or not found.levels:
        return None
    rows = [
        _row(level, i == found.refuted, design.alpha, design.tolerance)
        for i, level in enumerate(found.levels)
    ]
    described |= {"method": "exact", "evaluated": found.evaluated}
    verdict = combine([r.verdict for r in rows])
    notes = _notes(found)
    return AuditReport(verdict, rows, found.failures, found.witness, described, notes)


def _row(level: Level, refuted: bool, alpha: float, tolerance: float) -> Row:
    """Return the report's row of one claim."""
    verdict: Verdict = "refuted" if refuted else "inconclusive"
    if not refuted and level.certified <= alpha * (1.0 + tolerance):
        verdict = "supported"
    name = f"margins just below {level.claim:.6g}, claimed at {level.outcome}"
    seen = level.attained
    return Row(name, level.claim, seen, seen, level.certified, 0, 0, math.nan, verdict)


def _notes(found: Staircases) -> list[str]:
    """Return what is certified and what is not, for the report."""
    worst = max((each.certified for each in found.levels), default=0.0)
    return [
        f"exact at these {len(found.levels)} margins: the miscoverage is at most {worst:.6g} for "
        "all trinomial laws of such a margin; margins between them are not spoken of",
        f"monotone at all {found.evaluated} outcomes evaluated, and taken to be at the others",
    ]
