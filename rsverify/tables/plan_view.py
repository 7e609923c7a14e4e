"""A plan as people read it: a sentence, tables, HTML and a figure."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from rsverify._core import notebook
from rsverify._core.figure import check_figure, finish_figure, new_figure
from rsverify._core.text import duration, figure_label, number_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rsverify.tables.plan import ExpectedShare, Plan

Rows = list[list[str]]
DEVICES = (1, 4, 8)
"""On how many devices times are printed."""
# As of all figures: Okabe and Ito's colors, a dash pattern and a marker each.
_STYLES = {
    "exact": ("#0072B2", "-", "o"),
    "bonferroni": ("#D55E00", "--", "s"),
    "cohen": ("#009E73", ":", "^"),
}
SHORT = 5.0
"""Seconds that are not told apart."""
_NONE = "—"


def time_text(seconds: float) -> str:
    """Return a time as a plan states it."""
    return f"less than {SHORT:.0f} s" if seconds < SHORT else f"about {duration(seconds)}"


def summary(plan: Plan) -> str:
    """Return a plan in a sentence."""
    inputs = "1 input" if plan.inputs == 1 else f"{plan.inputs:,} inputs"
    text = f"{inputs}, {plan.passes:,} forward passes at n={plan.n:,}"
    seconds, early = plan.seconds(), plan.seconds(early=True)
    if seconds is not None and plan.cost is not None:
        text += f": {time_text(seconds)} on {plan.cost.device}"
    if plan.early_passes is not None:
        text += f"; with early decisions about {plan.early_passes:,}"
        if early is not None:
            text += f": {time_text(early)}"
    return text


def needed_rows(plan: Plan) -> tuple[list[str], Rows]:
    """Return headings and rows of the votes needed: a row a radius, a column a bound."""
    bounds = list(dict.fromkeys(v.bound for v in plan.needed))
    rows = []
    for radius, reachable in zip(plan.target_radii, plan.reachable, strict=True):
        own = {v.bound: v for v in plan.needed if v.radius == radius}
        cells = [_NONE if own[b].n is None else f"{own[b].n:,}" for b in bounds]
        rows.append([f"{number_text(radius)}", f"{reachable:.3f}", *cells])
    return ["radius", "reachable", *bounds], rows


def expected_rows(plan: Plan, radius: float) -> tuple[list[str], Rows]:
    """Return headings and rows of the shares certified at a radius, by n and alpha."""
    own = [e for e in plan.expected if e.radius == radius]
    bounds = list(dict.fromkeys(e.bound for e in own))
    keys = sorted({(e.alpha != plan.alpha, e.n, -e.alpha) for e in own})
    rows = []
    for _, n, negative in keys:
        found = {e.bound: e.share for e in own if e.n == n and e.alpha == -negative}
        rows.append([f"{n:,}", f"{number_text(-negative)}", *(f"{found[b]:.3f}" for b in bounds)])
    return ["n", "alpha", *bounds], rows


def cost_rows(plan: Plan) -> tuple[list[str], Rows]:
    """Return headings and rows of what a run costs: a row a way, a column a number of devices."""
    ways: list[tuple[str, float, int | None, bool]] = [
        (f"fixed n = {plan.n:,}", plan.passes_per_input, plan.passes, False)
    ]
    if plan.early is not None:
        ways.append(("early decisions", plan.early.passes, plan.early_passes, True))
    timed = plan.cost is not None
    head = ["run", "per input", "in all"]
    head += [f"{k} device{'s' * (k > 1)}" for k in DEVICES] * timed
    rows = []
    for name, each, total, early in ways:
        times = [plan.seconds(k, early=early) for k in DEVICES] if timed else []
        texts = [_NONE if s is None else duration(s) for s in times]
        rows.append([name, f"{math.ceil(each):,}", f"{total:,}", *texts])
    return head, rows


def notes(plan: Plan) -> list[str]:
    """Return sentences on what the tables mean."""
    found = [
        f"From {plan.source}; {plan.noise}, alpha={number_text(plan.alpha)}.",
        "Reachable: share of the inputs whose radius is at least that, at any number of votes. "
        f"Votes needed certify each of these with probability {number_text(plan.probability)}"
        + (" on average." if plan.inputs > 1 else "."),
    ]
    found += [f"{v.bound} at {number_text(v.radius)}: {v.reason}." for v in plan.needed if v.reason]
    if plan.early is not None:
        decided = ", ".join(f"{d:.3f}" for d in plan.early.decided)
        found.append(
            f"Early decisions save {_percent(plan.saved or 0.0)} % of the forward passes and "
            f"decide {decided} of the inputs; {plan.early.simulated} runs were simulated."
        )
    if plan.cost is not None:
        found.append(
            f"Times are for {plan.cost.device} at {plan.cost.passes_per_second:,.0f} forward "
            "passes per second; several devices share the inputs."
        )
    return found


def _percent(share: float) -> str:
    """Return a share below 1 in percent, never as 100."""
    return f"{math.floor(1000 * share) / 10:.1f}" if share > 0.99 else f"{100 * share:.0f}"


def plan_html(plan: Plan) -> str:
    """Return a plan as a notebook shows it."""
    parts = [notebook.table(f"Plan: {summary(plan)}", *cost_rows(plan))]
    parts.append(
        notebook.table(
            f"Votes that certify with probability {number_text(plan.probability)}",
            *needed_rows(plan),
        )
    )
    parts += [
        notebook.table(f"Expected to be certified within {number_text(r)}", *expected_rows(plan, r))
        for r in plan.target_radii
    ]
    parts.append(notebook.facts("Notes", [], *notes(plan)))
    return "".join(parts)


def plot_plan(
    plan: Plan, path: str | os.PathLike[str] | None = None, *, title: str = "", force: bool = False
) -> Figure:
    """Draw what is expected to be certified against the number of votes, a panel a radius."""
    if path is not None:
        check_figure(path, force=force)
    radii = plan.target_radii
    figure = new_figure(min(3.6 * len(radii) + 1.2, 12.0), 3.8)
    panels = figure.subplots(1, len(radii), sharey=True, squeeze=False)[0]
    for radius, reachable, axes in zip(radii, plan.reachable, panels, strict=True):
        own = [e for e in plan.expected if e.radius == radius and e.alpha == plan.alpha]
        _draw(axes, own, reachable)
        for v in plan.needed:
            if v.radius == radius and v.n is not None and v.probability is not None:
                axes.axvline(v.n, color=_STYLES[v.bound][0], linewidth=0.8, alpha=0.5)
        axes.set_title(f"within {number_text(radius)}", fontsize="medium", loc="left")
        axes.set_xlabel("votes n")
    one = plan.inputs == 1
    panels[0].set_ylabel("probability of certifying" if one else "expected share certified")
    panels[0].legend(frameon=False, fontsize="small", loc="best")
    if title:
        figure.suptitle(figure_label(title), fontsize="medium")
    return finish_figure(figure, path, force=force)


def _draw(axes: Axes, shares: list[ExpectedShare], reachable: float) -> None:
    for bound, (color, dash, marker) in _STYLES.items():
        points = sorted((e.n, e.share) for e in shares if e.bound == bound)
        if points:
            x, y = zip(*points, strict=True)
            axes.plot(x, y, color=color, linestyle=dash, marker=marker, markersize=4, label=bound)
    axes.axhline(reachable, color="0.5", linewidth=0.8)
    axes.annotate(
        "at any n",
        (0.02, reachable),
        xycoords=("axes fraction", "data"),
        va="bottom",
        fontsize="x-small",
        color="0.4",
    )
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.05)
    axes.spines[["top", "right"]].set_visible(False)
