"""The report of exact coverage along staircases: one row a claim."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rsverify.auditing.caller import Caller
from rsverify.auditing.company import COMPANY
from rsverify.auditing.design import Design, Progress
from rsverify.auditing.estimand import margin_value
from rsverify.auditing.exact.repeats import Answer, Table, first_look, long_look
from rsverify.auditing.exact.staircase import Level, Staircases, audit_staircases, tail_at
from rsverify.auditing.report import AuditReport, Row, with_mixing
from rsverify.auditing.simulation.blocks import generator
from rsverify.auditing.verdict import Verdict, combine

STREAM = "outcomes of staircases"


def staircase_report(
    caller_of: Callable[..., Caller],
    margin: str,
    design: Design,
    steady: bool,
    progress: Progress | None = None,
) -> tuple[AuditReport | None, Answer]:
    """Return the report, None where the bound is random or not monotone; how it answers."""
    n = design.n
    rng = generator(design.seed, STREAM, 0)
    # Rows that differ in every column, so that a bound that mixes or draws is found out.
    outcomes = rng.multinomial(n, rng.dirichlet([1.0] * 3, COMPANY))
    caller = caller_of(data=outcomes)
    if caller.chunk is not None:
        return None, "random"
    found = audit_staircases(caller, n, margin, design.alpha, progress)
    if found is None or not found.levels:
        return None, "same"
    looked: list[str] = []
    if not steady:
        answer, looked = _looked(caller, found, design)
        if answer != "same":
            return None, answer
    rows = [_row(level, i == found.refuted, margin, design) for i, level in enumerate(found.levels)]
    record = design.record(method="exact", evaluated=found.evaluated)
    verdict = combine([r.verdict for r in rows])
    notes = _notes(found) + looked
    report = AuditReport(verdict, rows, found.failures, found.witness, record, notes)
    return with_mixing(report, caller.mixed), "same"


def _looked(caller: Caller, found: Staircases, design: Design) -> tuple[Answer, list[str]]:
    """Return how the bound answers outcomes again, and a note."""
    x = found.outcomes
    outcomes = np.column_stack([x, design.n - x.sum(axis=1)])
    free = np.full(len(x), np.inf)
    table = Table(outcomes, found.claims, free)
    answer, _ = first_look(caller, table, generator(design.seed, STREAM, 1))
    if answer != "same" or found.refuted is not None:
        return answer, []
    certified = max(each.certified for each in found.levels)
    answer, _, note = long_look(caller, table, certified, design)
    return answer, [note]


def _row(level: Level, refuted: bool, margin: str, design: Design) -> Row:
    """Return the report's row of one claim: the largest miscoverage that was found below it."""
    verdict: Verdict = "refuted" if refuted else "inconclusive"
    if not refuted and level.certified <= design.alpha * (1.0 + design.tolerance):
        verdict = "supported"
    name = f"margins just below {level.claim:.6g}, claimed at {level.outcome}"
    q1, q2 = level.q
    seen = min(tail_at(level.steps, q1, q2), level.certified)
    at = f"q1={q1!r}, q2={q2!r}"
    note = f"the largest seen is at {at}; none is above {level.certified:.6g}"
    truth = margin_value(margin, q1, q2)
    return Row(
        name,
        truth,
        seen,
        seen,
        level.certified,
        0,
        0,
        math.nan,
        verdict,
        note,
        distribution=at,
        allowed=design.alpha,
    )


def _notes(found: Staircases) -> list[str]:
    """Return what is certified and what is not, for the report."""
    worst = max((each.certified for each in found.levels), default=0.0)
    return [
        f"exact at these {len(found.levels)} margins: the miscoverage is at most {worst:.6g} for "
        "all trinomial distributions of such a margin; no claim is made for margins between them",
        f"monotone at all {found.evaluated} outcomes evaluated, and taken to be at the others",
    ]
