"""The report of a simulation: one row a scenario."""

from __future__ import annotations

import math

from rsverify.auditing.caller import merge_failures
from rsverify.auditing.design import Record
from rsverify.auditing.report import AuditReport, Row
from rsverify.auditing.simulation.blocks import Replay
from rsverify.auditing.simulation.tally import Tally
from rsverify.auditing.verdict import (
    combine,
    detectable,
    miscoverage_error,
    miscoverage_interval,
    runs_to_settle,
)


def simulation_report(tallies: list[Tally], replay: Replay, record: Record) -> AuditReport:
    """Return the report of a simulation."""
    design, suite = replay.design, replay.scenarios
    settings = (design.alpha, design.tolerance, design.false_alarm, len(suite))
    rows = []
    for scenario, tally in zip(suite, tallies, strict=True):
        low, high = miscoverage_interval(tally.misses, tally.runs)
        note = ""
        if tally.verdict == "inconclusive":
            wanted = runs_to_settle(tally.misses, tally.runs, *settings)
            note = (
                f"about {_rounded_up(wanted):,} replications in all would decide it if the true "
                "non-coverage equals the estimate"
                if wanted
                else "no number of replications decides a non-coverage like this one"
            )
        gap, error = tally.gap
        rows.append(
            Row(
                scenario.name,
                float(replay.estimand.truth(**scenario.parameters)),
                tally.misses / tally.runs,
                low,
                high,
                tally.runs,
                tally.misses,
                gap,
                tally.verdict,
                note,
                miscoverage_error(tally.misses, tally.runs),
                error,
                allowed=design.alpha,
            )
        )
    smallest = detectable(design.replications, *settings)
    notes = [
        f"false alarms: at most {design.false_alarm:g} over all {len(suite)} scenarios; "
        f"a miscoverage of {smallest:.4g} or more is refuted with probability at least 95 %",
        "simulation: no claim is made for distributions outside the table",
    ]
    failures = merge_failures([f for t in tallies for f in t.failures])
    verdict = combine([r.verdict for r in rows])
    record = {**record, "detectable": smallest}
    return AuditReport(verdict, rows, failures, None, record, notes, replay)


def _rounded_up(number: int) -> int:
    """Return `number` with two digits, never less than it is."""
    unit: int = 10 ** max(len(str(number)) - 2, 0)
    return math.ceil(number / unit) * unit
