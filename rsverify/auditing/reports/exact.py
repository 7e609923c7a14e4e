"""The report of exact coverage over all outcomes of a proportion or of three classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import numpy.typing as npt

from rsverify._core.types import MarginName
from rsverify.auditing.caller import MIXED, MIXING, Caller, Failure, Limits, plain_row
from rsverify.auditing.company import COMPANY, rows_of_a_probe
from rsverify.auditing.design import Design, Progress
from rsverify.auditing.estimand import ESTIMANDS, Data, Estimand
from rsverify.auditing.exact import proportion, trinomial
from rsverify.auditing.exact.counts import collapses, model_worst, too_large
from rsverify.auditing.exact.evidence import MarginClaims, ModelLimits, ProportionLimits
from rsverify.auditing.exact.proportion import ROUNDING, Worst
from rsverify.auditing.exact.repeats import Answer, Table, first_look, long_look
from rsverify.auditing.exact.staircase import LARGEST_STAIRCASE_N
from rsverify.auditing.registry import all_outcomes, outcome_table
from rsverify.auditing.report import AuditReport, Row, with_mixing
from rsverify.auditing.reports.gaps import expected_gaps, gap_notes
from rsverify.auditing.reports.staircase import staircase_report
from rsverify.auditing.simulation.blocks import generator
from rsverify.auditing.two_counts import PairedModel
from rsverify.auditing.verdict import Verdict

MARGINS: tuple[str, ...] = get_args(MarginName)
OWN_WAY = ("proportion", *MARGINS)  # estimands whose bounds have an exact audit of their own
CLASSES = 3  # of the distributions that an exact audit of a margin is about
MORE_CLASSES = "does not cover more than three classes: audit them with method='simulation'"
SMALL_EXCESS = 0.05  # of alpha, that rounding in few digits may explain
STREAM = "outcomes"  # the random numbers of their order

CallerOf = Callable[..., Caller]
"""``caller_of(data=...)``: how to call the bound, by rows of data."""


def exact_report(
    caller_of: CallerOf,
    estimand: Estimand,
    design: Design,
    *,
    steady: bool,
    progress: Progress | None,
) -> tuple[AuditReport | None, Answer]:
    """Return the report, None where data or bound do not allow it, and how the bound answers.

    `steady`: the bound is known to be a function of the counts.
    """
    base, _, first = estimand.name.partition(":")
    n, side = design.n, design.side
    if estimand.model is not None and base not in OWN_WAY:
        model = estimand.model(n)
        if too_large(model):
            return None, "same"
        return _of_outcomes(caller_of, model.outcomes, estimand, design, steady)
    if estimand is not ESTIMANDS.get(estimand.name):
        return None, "same"  # a caller's own that has the name of a built-in one
    if first and side == "lower" and n > trinomial.LARGEST_TRINOMIAL_N:
        if n > LARGEST_STAIRCASE_N:
            return None, "same"
        return staircase_report(caller_of, base, design, steady, progress)
    if base == "proportion" and n <= proportion.LARGEST_PROPORTION_N:
        k = np.arange(n + 1)
        outcomes = np.column_stack([k, n - k])
    elif base in MARGINS and n <= trinomial.LARGEST_TRINOMIAL_N and side == "lower":
        outcomes = all_outcomes(n)
    else:
        return None, "same"
    return _of_outcomes(caller_of, outcomes, estimand, design, steady)


def _of_outcomes(
    caller_of: CallerOf,
    outcomes: npt.NDArray[np.int64],
    estimand: Estimand,
    design: Design,
    steady: bool,
) -> tuple[AuditReport | None, Answer]:
    # In random order: a bound that carries something from row to row must not see them sorted.
    rng = generator(design.seed, STREAM, 0)
    order = rng.permutation(len(outcomes))
    caller = caller_of(data=outcomes[np.resize(order, COMPANY)])
    if caller.chunk is not None:
        return None, "random"
    limits = in_their_order(caller.limits(outcomes[order]), order)
    table = Table(outcomes, limits.lower, limits.upper)
    answer: Answer = "same"
    if not steady:
        answer, where = first_look(caller, table, rng)
        if answer in ("random", "shared"):
            return None, answer
        if answer == "mixed":
            limits = _failed(limits, outcomes[where])
            table = Table(outcomes, limits.lower, limits.upper)
    looked: list[str] = []
    modeled = estimand.model is not None and estimand.name.partition(":")[0] not in OWN_WAY
    if modeled and estimand.model is not None and not collapses(estimand.model(design.n), table):
        return None, "same"
    worst, evidence, scope = _worst(table, estimand, design)
    verdict = _verdict(worst, design)
    if verdict == "supported" and not steady:
        answer, where, note = long_look(caller, table, worst.certified, design)
        looked.append(note)
        if answer in ("random", "shared"):
            return None, answer
        if answer == "mixed":
            limits = _failed(limits, outcomes[where])
            table = Table(outcomes, limits.lower, limits.upper)
            worst, evidence, scope = _worst(table, estimand, design)
            verdict = _verdict(worst, design)
    gaps = expected_gaps(table, estimand, design)
    notes = [
        *_notes(worst, scope, table, estimand, design, verdict),
        *looked,
        *_precision(caller, outcomes, worst, design),
        *gap_notes(gaps, design),
    ]
    row = _row(worst, scope, verdict, design.alpha)
    report = AuditReport(
        verdict,
        [row],
        limits.failures,
        worst.witness,
        design.record(method="exact", **({"expected_gaps": gaps} if gaps else {})),
        notes,
        evidence,
    )
    return with_mixing(report, caller.mixed), answer


def _precision(caller: Caller, outcomes: Data, worst: Worst, design: Design) -> list[str]:
    """Return a note where a small excess may be one of limits in less than double precision."""
    if not design.alpha * (1.0 + ROUNDING) < worst.attained <= design.alpha * (1.0 + SMALL_EXCESS):
        return []
    few = outcomes[: rows_of_a_probe(outcomes)]
    try:
        kind = caller.call(few[0] if caller.rowwise else few).dtype
    except Exception:  # the bound's own, and counted
        return []
    if kind.kind != "f" or kind.itemsize >= np.dtype(np.float64).itemsize:
        return []
    return [
        f"the bound returns {kind}, whose rounding lifts a limit by up to "
        f"{np.finfo(str(kind)).eps / 2:.0e} of itself: it may be right in float64"
    ]


def in_their_order(limits: Limits, order: npt.NDArray[np.int64]) -> Limits:
    """Return limits of rows that were asked in that order as the rows stand."""
    back = np.empty_like(order)
    back[order] = np.arange(order.size)
    return limits._replace(
        lower=limits.lower[back], upper=limits.upper[back], last=limits.last[back]
    )


def _failed(limits: Limits, outcome: Data) -> Limits:
    """Return limits of which none holds, as the others of a batch change them."""
    miss = np.full_like(limits.lower, np.inf)
    failure = Failure(MIXED, MIXING, plain_row(outcome), len(miss))
    return Limits(miss, -miss, miss, [*limits.failures, failure])


def _worst(
    table: Table, estimand: Estimand, design: Design
) -> tuple[Worst, ProportionLimits | MarginClaims | ModelLimits, str]:
    """Return the worst case, what figures are drawn from, and what it is about."""
    base, _, first = estimand.name.partition(":")
    if estimand.model is not None and base not in OWN_WAY:
        model = estimand.model(design.n)
        worst = model_worst(model, table, estimand, design)
        kept = model.groups if isinstance(model, PairedModel) else slice(None)
        limits = ModelLimits(model, table.lower[kept], table.upper[kept], model.fixed)
        return worst, limits, model.scope
    if base == "proportion":
        worst = proportion.proportion_worst(table.lower, table.upper, design.alpha)
        return worst, ProportionLimits(table.lower, table.upper), "every p"
    claims = outcome_table(table.lower, design.n)
    worst = trinomial.margin_worst(claims, base, not first, design.alpha)
    scope = "all trinomial distributions" if first else "all distributions of three classes"
    return worst, MarginClaims(claims, base, not first), scope


def _verdict(worst: Worst, design: Design) -> Verdict:
    if worst.witness.probability > design.alpha * (1.0 + ROUNDING):
        return "refuted"
    within = worst.certified <= design.alpha * (1.0 + design.tolerance)
    return "supported" if within else "inconclusive"


def _row(worst: Worst, scope: str, verdict: Verdict, allowed: float) -> Row:
    at = ", ".join(f"{k}={v}" for k, v in worst.place.parameters.items())
    note = f"the largest seen is at {at}; none is above {worst.certified:.6g}"
    if not worst.monotone:
        note += "; the bound is not monotone in the counts"
    return Row(
        f"worst case over {scope}",
        worst.place.truth,
        worst.attained,
        worst.attained,
        worst.certified,
        0,
        0,
        math.nan,
        verdict,
        note,
        distribution=at,
        allowed=allowed,
    )


def _notes(
    worst: Worst, scope: str, table: Table, estimand: Estimand, design: Design, verdict: Verdict
) -> list[str]:
    notes = [
        f"exact: the miscoverage is at most {worst.certified:.6g} for {scope}",
        f"an excess of less than {ROUNDING:g} of alpha is attributed to rounding",
    ]
    if estimand.name not in MARGINS:
        return notes
    if verdict == "refuted" and worst.exchanged:
        first = trinomial.margin_worst(
            outcome_table(table.lower, design.n), estimand.name, False, design.alpha
        )
        if first.certified <= design.alpha * (1.0 + design.tolerance):
            notes.append(
                f"estimand='{estimand.name}:first' fits: over the class of column 1 only, the "
                f"miscoverage is at most {first.certified:.6g}"
            )
    return [*notes, MORE_CLASSES]
