"""The figure of a comparison of bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from rsverify._core.figure import new_figure
from rsverify._core.text import figure_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rsverify.auditing.comparing.result import BoundComparison

# Okabe and Ito's colors: told apart by the color-blind, and in gray by their marks.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("o", "s", "^", "D", "v", "P", "*")
LONGEST_TITLE = 96
LIMIT, CROSS = "limit of any valid bound", "does not cover"


def draw_comparison(found: BoundComparison) -> Figure:
    """Draw the gap of every bound, a line for each distribution."""
    rows = len(found.scenarios)
    figure = new_figure(7.5, max(2.6, 0.42 * rows + 1.5))
    axes = figure.add_subplot()
    relative = all(row.limit is not None and row.limit > 0.0 for row in found.rows)
    low, high = _draw_bounds(axes, found, relative)
    if relative:
        axes.axvline(1.0, color="black", linewidth=1.2, label=LIMIT)
        axes.set_xlabel(f"{found.measure} ÷ the least of any valid bound")
    else:
        axes.set_xlabel(found.measure)
    if high > 8.0 * low > 0.0:
        from matplotlib.ticker import LogLocator, NullLocator

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(np.arange(rows)[::-1], [figure_label(s) for s in found.scenarios])
    axes.tick_params(axis="y", labelsize="small")
    axes.set_ylim(-0.6, rows - 0.4)
    axes.grid(axis="x", alpha=0.3, linewidth=0.5)
    for line in np.arange(rows - 1) + 0.5:
        axes.axhline(line, color="#8a8a8a", linewidth=0.4, alpha=0.5)
    handles, labels = axes.get_legend_handles_labels()
    order = sorted(range(len(labels)), key=lambda i: labels[i] in (LIMIT, CROSS))
    figure.legend(
        [handles[i] for i in order],
        [labels[i] for i in order],
        frameon=False,
        fontsize="small",
        loc="outside lower center",
        ncols=2,
    )
    figure.suptitle(_title(found), fontsize="medium")
    return figure


def _draw_bounds(axes: Axes, found: BoundComparison, relative: bool) -> tuple[float, float]:
    """Draw each bound's marks, and return the least and the largest value."""
    y = np.arange(len(found.scenarios))[::-1]
    seen = [1.0] if relative else []
    crossed = False
    many = len(found.bounds)
    for i, bound in enumerate(found.bounds):
        own = [found.of(s, bound) for s in found.scenarios]
        unit = np.array([row.limit if relative and row.limit else 1.0 for row in own])
        x = np.array([row.gap for row in own]) / unit
        error = np.array([1.96 * row.gap_error for row in own]) / unit
        color, mark = COLORS[i % len(COLORS)], MARKS[i % len(MARKS)]
        place = y + 0.5 * (0.5 - (i + 0.5) / many)  # apart, so that errors can be seen
        usable = np.isfinite(x)
        axes.errorbar(
            x[usable],
            place[usable],
            xerr=np.nan_to_num(error[usable]),
            fmt=mark,
            color=color,
            markersize=5.5,
            elinewidth=1.0,
            label=figure_label(bound),
        )
        wrong = usable & np.array([not row.covers for row in own])
        if wrong.any():
            name = None if crossed else CROSS
            axes.plot(x[wrong], place[wrong], "x", color="#c00000", markersize=11, label=name)
            crossed = True
        seen += [float(v) for v in x[usable]]
    positive = [v for v in seen if v > 0.0 and math.isfinite(v)]
    return (min(positive), max(positive)) if positive else (0.0, 0.0)


def _title(found: BoundComparison) -> str:
    d = found.design
    below = f"{d['estimand']}, n = {d['n']:,}, α = {d['alpha']:g}"
    said = found.conclusion.partition(";")[0].partition(", where")[0].rstrip(".")
    said = said if len(said) <= LONGEST_TITLE else said[: LONGEST_TITLE - 1] + "…"
    return f"{figure_label(said)}\n{below}"
