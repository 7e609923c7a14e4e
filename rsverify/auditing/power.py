"""The power of an audit: how much miscoverage above alpha it would have found."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from rsverify.auditing.exact.proportion import ROUNDING

if TYPE_CHECKING:
    from rsverify.auditing.report import AuditReport


def smallest_excess(report: AuditReport) -> float:
    """Return the least excess that an audit finds: see `AuditReport.smallest_excess`."""
    alpha = report.design.get("alpha")
    if report.measure != "miscoverage" or not isinstance(alpha, float):
        return math.nan
    exact = (r.high - alpha for r in report.rows if not r.replications)
    # What an exact audit attributes to rounding is no excess.
    least = max((e for e in exact if e > ROUNDING * alpha), default=0.0)
    detectable = report.design.get("detectable")
    if isinstance(detectable, float):
        least = max(least, detectable - alpha)
    return max(least, 0.0)


def power_of(report: AuditReport) -> str:
    """Return what an audit would have found: see `AuditReport.power`."""
    excess = report.smallest_excess
    if math.isnan(excess):
        return f"the power is not known for the {report.measure}"
    simulated = any(r.replications for r in report.rows)
    if excess == 0.0 and not simulated:
        return "every excess over alpha would have been found: the miscoverage was enclosed"
    sure = "with probability at least 95 %" if simulated else "with certainty"
    where = "in a scenario of the table " if simulated else ""
    total = cast(float, report.design["alpha"]) + excess
    return (
        f"a miscoverage of {total:.4g} or more, {excess:.2g} above alpha, {where}would have been "
        f"found {sure}"
    )
