"""What the figures of an audit show, computed; `rsverify.auditing.plot` draws it."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
from scipy.special import gammaln, xlogy

from rsverify._core.check import FloatArray, check_choice
from rsverify._core.figure import save_figure
from rsverify._core.files import check_free
from rsverify._core.types import FigureName
from rsverify.auditing import plot as plotting
from rsverify.auditing import plot_rows
from rsverify.auditing.conclusion import finding
from rsverify.auditing.counts import CountModel, HypergeometricModel
from rsverify.auditing.design import FIGURES, FLOAT_ERRORS
from rsverify.auditing.estimand import margin_value
from rsverify.auditing.exact.evidence import (
    Futures,
    MarginClaims,
    ModelLimits,
    ProportionLimits,
)
from rsverify.auditing.exact.proportion import miscoverage_at
from rsverify.auditing.report_text import levels_in_words
from rsverify.auditing.simulation.blocks import Replay, block_span, missed
from rsverify.bounds.proportion import clopper_pearson_lower, clopper_pearson_upper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from rsverify.auditing.report import AuditReport, Row

CHOICES: tuple[FigureName, ...] = get_args(FigureName)
TOOTH = 9  # points between two jumps
MOST_TEETH = 1200  # more cannot be told apart on paper
NEAR_TEETH = 9  # on either side of the worst, in the enlarged part
CURVE = 1001  # points of a curve
MOST_CELLS = 4_000_000  # probabilities at once
SIDE = 64  # cells along an edge of the map
SUBPOINTS = 3  # distributions along an edge of a cell
MAP_BUDGET = 2e8  # outcomes summed for a map
REPLAYED, GLANCED = 10_000, 2500  # replications drawn again, of the worst scenario and of others
BAND = 0.05


@FLOAT_ERRORS
def draw(
    report: AuditReport,
    path: str | os.PathLike[str] | None,
    kind: FigureName,
    *,
    force: bool = False,
) -> Figure:
    """Draw a figure of a report into a file: see `AuditReport.plot`."""
    check_choice("kind", kind, CHOICES)
    if path is not None and not str(path).lower().endswith(FIGURES):
        raise ValueError(f"path={str(path)!r} must end in one of {', '.join(FIGURES)}")
    if path is not None:
        check_free(path, force=force)
    possible = figures_of(report)
    if not possible:
        raise ValueError("this report has no figure; its rows say it all: write a table")
    wanted = possible[0] if kind == "auto" else kind
    if wanted not in possible:
        raise ValueError(
            f"kind={kind!r} must be {' or '.join(map(repr, possible))} for this report"
        )
    figure = WAYS[wanted](report)
    if path is not None:
        save_figure(figure, path, force=force)
    return figure


def figures_of(report: AuditReport) -> list[FigureName]:
    """Return the figures that a report can be drawn as, the most telling first."""
    evidence = report.evidence
    if isinstance(evidence, ProportionLimits):
        return ["sawtooth"]
    if isinstance(evidence, MarginClaims):
        return ["map"]
    if isinstance(evidence, ModelLimits) and evidence.model.region[0] < evidence.model.region[1]:
        return ["map" if len(evidence.model.names) == 2 else "curve"]
    if isinstance(evidence, Futures):
        return ["bets"]
    if report.design["kind"] == "betting":
        return ["capital"]
    if report.design["kind"] == "bets":
        return []
    if report.design["kind"] != "coverage":
        return ["scenarios"]
    if report.design.get("method") == "exact":
        return ["claims"]
    if not isinstance(evidence, Replay):
        return ["scenarios"]
    index = report.rows.index(report.worst)
    times = max(part.shape[1] for part in evidence.block(index, 0)[:2])
    return ["time", "zip", "scenarios"] if times > 1 else ["zip", "scenarios"]


def _stated(report: AuditReport, name: Literal["alpha", "tolerance"]) -> float:
    return cast(float, report.design[name])


def _title(report: AuditReport) -> plotting.Title:
    d = report.design
    audited = f"{d['bound']}, {d['estimand']}, n = {d['n']:,}, α = {levels_in_words(report)}"
    return plotting.Title(f"{report.verdict.capitalize()}: {finding(report)}", audited)


def _sawtooth(report: AuditReport) -> Figure:
    limits = report.evidence
    assert isinstance(limits, ProportionLimits), "of its picture"
    both = np.concatenate([limits.lower, limits.upper])
    jumps = np.unique(both[(both > 0.0) & (both < 1.0)])
    worst = float(report.worst.truth)
    shown = jumps[:: 1 + jumps.size // MOST_TEETH]
    place = int(np.searchsorted(jumps, worst))
    near = jumps[max(place - NEAR_TEETH, 0) : place + NEAR_TEETH]
    parts = []
    for cuts in (shown, near) if jumps.size > 4 * NEAR_TEETH else (shown,):
        ends = (0.0, 1.0) if cuts is shown else (float(cuts[0]), float(cuts[-1]))
        if cuts is near and place < NEAR_TEETH:
            ends = (0.0, ends[1])
        if cuts is near and place + NEAR_TEETH > jumps.size:
            ends = (ends[0], 1.0)
        inside = cuts[(cuts > ends[0]) & (cuts < ends[1])]
        edges = np.concatenate([[ends[0]], inside, [ends[1]]])
        teeth = []
        for a, b in itertools.pairwise(edges):
            p = np.linspace(np.nextafter(a, 1.0), np.nextafter(b, 0.0), TOOTH)
            teeth.append(np.column_stack([p, miscoverage_at(*limits, p)]))
        before = miscoverage_at(*limits, np.nextafter(inside, 0.0))
        after = miscoverage_at(*limits, np.nextafter(inside, 1.0))
        at = miscoverage_at(*limits, inside)
        parts.append(plotting.Teeth(teeth, inside, before, at, after))
    return plotting.draw_sawtooth(
        parts, (worst, report.worst.miscoverage), _stated(report, "alpha"), _title(report)
    )


def _map(report: AuditReport) -> Figure:
    if isinstance(report.evidence, ModelLimits):
        return _model(report)
    claims = report.evidence
    assert isinstance(claims, MarginClaims), "of its picture"
    n = claims.table.shape[0] - 1
    outcomes = (n + 1) * (n + 2) / 2
    sub, side = SUBPOINTS, SIDE
    while (side * sub) ** 2 / 2 * outcomes > MAP_BUDGET and side > 16:
        sub, side = (sub - 1, side) if sub > 1 else (sub, side - 4)
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    x3 = n - x1 - x2
    ways = gammaln(n + 1.0) - gammaln(x1 + 1.0) - gammaln(x2 + 1.0) - gammaln(x3 + 1.0)
    claim = claims.table[x1, x2]
    order = np.argsort(-claim, kind="stable")
    x1, x2, x3, ways, claim = x1[order], x2[order], x3[order], ways[order], claim[order]
    values = np.full((side, side), np.nan)
    offsets = (np.arange(sub) + 0.5) / sub
    for i in range(side):
        for j in range(side - i):
            best = -1.0
            for u in offsets:
                for v in offsets:
                    q1, q2 = (i + u) / side, (j + v) / side
                    q3 = 1.0 - q1 - q2
                    if q3 < 0.0:
                        continue
                    truth = margin_value(claims.margin, q1, max(q2, q3) if claims.largest else q2)
                    k = int(np.searchsorted(-claim, -truth, side="left"))
                    logs = xlogy(x1[:k], q1) + xlogy(x2[:k], q2) + xlogy(x3[:k], q3)
                    best = max(best, float(np.exp(ways[:k] + logs).sum()))
            values[j, i] = best if best >= 0.0 else np.nan
    place, worst = None, report.worst.miscoverage
    if report.witness is not None:
        law = report.witness.parameters
        place = float(law["q1"]), float(law["q2"])
        worst = report.witness.probability
    return plotting.draw_map(values, _stated(report, "alpha"), place, worst, _title(report))


def _lolly(rows: list[Row]) -> plotting.Scenarios:
    return plotting.Scenarios(
        [r.scenario for r in rows],
        np.array([r.miscoverage for r in rows]),
        np.array([r.low for r in rows]),
        np.array([r.high for r in rows]),
        [r.verdict for r in rows],
    )


def _replays(report: AuditReport, index: int, enough: int) -> tuple[FloatArray, FloatArray, float]:
    """Return the limits of the first `enough` or more replications again, and the truth.

    Limits are (R, times), as whole blocks.
    """
    replay = report.evidence
    assert isinstance(replay, Replay), "of its picture"
    design, low, high, truth = replay.design, [], [], 0.0
    most = min(enough, report.rows[index].replications)
    for block in itertools.count():
        start, rows = block_span(design.n, design.replications, block)
        if block > 0 and (rows == 0 or start >= most):
            break
        lower, upper, truth = replay.block(index, block)
        low.append(lower)
        high.append(upper)
    return np.concatenate(low), np.concatenate(high), truth


def _claims(report: AuditReport) -> Figure:
    return plotting.draw_claims(
        np.array([r.truth for r in report.rows]),
        _lolly(report.rows),
        _stated(report, "alpha"),
        _stated(report, "tolerance"),
        _title(report),
    )


def _scenarios(report: AuditReport) -> Figure:
    return plot_rows.draw_rows(*_scaled(report), _title(report))


def _scaled(report: AuditReport) -> tuple[plotting.Scenarios, plot_rows.Scale]:
    """Return the rows, the worst first, in a unit that they share."""
    rows = report.ranked
    share = cast(float, report.design.get("tolerance", 0.0))
    allowed = {(r.allowed, r.measure) for r in rows}
    if len(allowed) > 1:  # several levels, or sums and a simulation
        rows = [
            replace(r, **{k: getattr(r, k) / r.allowed for k in ("miscoverage", "low", "high")})
            for r in rows
        ]
        words = "share of what is allowed: " + " or ".join(sorted({r.measure for r in rows}))
        scale = plot_rows.Scale(words, 1.0, "allowed", 1.0 + share)
        return _lolly(rows), scale
    ((most, measure),) = allowed
    exact = measure if not rows[0].replications else "allowed"
    words = f"α = {most:g}" if most < 1.0 else f"{exact if most != 1.0 else 'allowed'}: {most:g}"
    tolerated = most * (1.0 + share) if most < 1.0 else None
    return _lolly(rows), plot_rows.Scale(measure, most, words, tolerated)


def _capital(report: AuditReport) -> Figure:
    scale = plot_rows.Scale("expected capital", 1.0, "initial capital")
    return plot_rows.draw_rows(_lolly(report.ranked), scale, _title(report))


def _bets(report: AuditReport) -> Figure:
    shown = report.evidence
    assert isinstance(shown, Futures), "of its picture"
    fields = shown._asdict()
    del fields["law"]
    return plot_rows.draw_bets(plot_rows.Bets(**fields), _title(report))


def _zip(report: AuditReport) -> Figure:
    worst = report.worst
    lower, upper, truth = _replays(report, report.rows.index(worst), REPLAYED)
    low, high = lower.max(axis=1), upper.min(axis=1)
    wrong = missed(low, high, truth)
    distance = np.maximum(low - truth, truth - high)  # above 0: missed, by so much
    order = np.argsort(distance, kind="stable")
    limits = plot_rows.Ordered(low[order], high[order], wrong[order], truth)
    rows, scale = _scaled(report)
    level = _stated(report, "alpha")
    return plot_rows.draw_zip(rows, scale, limits, worst.scenario, level, _title(report))


def _model(report: AuditReport) -> Figure:
    """Draw the miscoverage over the parameters of a model of counts: along one, or over two."""
    limits = report.evidence
    assert isinstance(limits, ModelLimits), "of its picture"
    model, worst = limits.model, report.worst
    low, high = model.ends
    level = _stated(report, "alpha")
    law = dict(part.split("=") for part in worst.distribution.split(", "))
    place = np.array([float(law[name]) for name in model.names])
    if len(model.names) == 1:
        points = _line(model, low[0], high[0], place[0])
        values = _failing(limits, points[:, None])
        highest = float(place[0]), worst.miscoverage
        axis = model.names[0], _event(report)
        return plotting.draw_curve(points, values, highest, level, axis, _title(report))
    middle = (np.arange(SIDE) + 0.5) / SIDE
    sides = [a + (b - a) * middle for a, b in zip(low, high, strict=True)]
    first, second = np.meshgrid(*sides)
    points = np.column_stack([first.ravel(), second.ravel()])
    values = _failing(limits, points).reshape(first.shape)
    at = float(place[0]), float(place[1]), worst.miscoverage
    names = model.names[0], model.names[1], _event(report)
    box = tuple(map(float, (low[0], high[0], low[1], high[1])))
    return plotting.draw_square(values, cast(plotting.Box, box), at, level, names, _title(report))


def _event(report: AuditReport) -> str:
    measure = report.measure.replace("<= a", f"≤ {_stated(report, 'alpha'):g}")
    return "P(the bound fails to cover)" if measure == "miscoverage" else measure


def _line(model: CountModel, low: float, high: float, worst: float) -> FloatArray:
    """Return parameters along which a curve is drawn, all of them where they are integers."""
    if isinstance(model, HypergeometricModel):
        return np.asarray(model.all_points[:, 0])
    high = min(high, max(4.0 * worst, low + 0.25 * (high - low))) if high > 1.0 else high
    return np.unique(np.append(np.linspace(low, high, CURVE), worst))


def _failing(limits: ModelLimits, points: FloatArray) -> FloatArray:
    """Return the probability of the outcomes that fail at parameters (C, d)."""
    model, found = limits.model, []
    step = max(1, MOST_CELLS // limits.lower.size)
    for part in np.array_split(points, math.ceil(len(points) / step)):
        value = model.value(part)
        truth = value[:, None] if limits.truth is None else limits.truth
        wrong = (limits.lower > truth) | (limits.upper < truth)
        inside = (value >= model.region[0]) & (value <= model.region[1])
        found.append(np.where(inside, (model.probabilities(part) * wrong).sum(axis=1), np.nan))
    return np.concatenate(found)


def _time(report: AuditReport) -> Figure:
    worst = report.rows.index(report.worst)
    curves = [
        _first_misses(*_replays(report, i, REPLAYED if i == worst else GLANCED))
        for i in range(len(report.rows))
    ]
    misses, runs = curves[worst]
    band = (
        np.asarray(clopper_pearson_lower(misses, runs, BAND / 2)),
        np.asarray(clopper_pearson_upper(misses, runs, BAND / 2)),
    )
    return plotting.draw_time(
        [m / r for m, r in curves],
        worst,
        band,
        f"{report.worst.scenario} ({runs:,} replications)",
        _stated(report, "alpha"),
        _title(report),
    )


def _first_misses(lower: FloatArray, upper: FloatArray, truth: float) -> tuple[FloatArray, int]:
    """Return how many replications have failed to cover by each time, and how many there are."""
    wrong = np.logical_or.accumulate(missed(lower, upper, truth), axis=1)
    return wrong.sum(axis=0), len(wrong)


WAYS: dict[FigureName, Callable[[AuditReport], Figure]] = {
    "sawtooth": _sawtooth,
    "map": _map,
    "curve": _model,
    "claims": _claims,
    "zip": _zip,
    "time": _time,
    "scenarios": _scenarios,
    "capital": _capital,
    "bets": _bets,
}
