"""The figures of an audit's rows: scenarios in order, the limits of one, bets on two futures."""

from __future__ import annotations

import math
import textwrap
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify._core.text import figure_label
from rsverify.auditing.plot import (
    ABOVE,
    GREY,
    INK,
    RED,
    VERDICT_COLORS,
    Scenarios,
    Title,
    titled_figure,
    verdict_marks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME_WIDTH = 60  # characters on a line of a scenario's name
MOST_ROWS = 16  # the worst; the table of the report has all
MOST_SHARE = 10.0  # of what is allowed: more stands at the edge
DASHED = (0, (5, 2))


class Ordered(NamedTuple):
    """Limits of one scenario in order of their distance from non-coverage, the worst last."""

    lower: FloatArray
    upper: FloatArray
    missed: npt.NDArray[np.bool_]
    truth: float


class Scale(NamedTuple):
    """What rows are measured by: in words, what is allowed, and what is tolerated."""

    words: str
    allowed: float
    allowed_words: str
    tolerated: float | None = None


class Bets(NamedTuple):
    """Bets on two samples that are the same before observation `t`."""

    t: int
    m: float
    x: FloatArray
    other: FloatArray
    bets: FloatArray
    changed: FloatArray


def draw_rows(rows: Scenarios, scale: Scale, title: Title) -> Figure:
    """Draw every row beside what it is allowed, the worst on top."""
    figure = titled_figure(7.5, max(2.2, _height(rows) + 1.0), title)
    draw_scenarios(figure.add_subplot(), rows, scale)
    return figure


def draw_zip(
    rows: Scenarios, scale: Scale, limits: Ordered, name: str, alpha: float, title: Title
) -> Figure:
    """Draw every scenario's miscoverage, and the limits of one in order."""
    figure = titled_figure(10.0, max(3.6, _height(rows) + 1.2), title)
    left, right = figure.subplots(1, 2, width_ratios=[1.15, 1.0])
    draw_scenarios(left, rows, scale)
    _draw_limits(right, limits, alpha)
    right.set_title(_broken(f"the worst: {name}"), fontsize="small", pad=34)
    return figure


def _height(rows: Scenarios) -> float:
    """Return the inches that the rows need, by the lines of their names."""
    names = rows.names[:MOST_ROWS]
    lines = max((len(textwrap.wrap(name, NAME_WIDTH)) for name in names), default=1)
    return (0.11 + 0.13 * lines) * len(names)


def _broken(name: str) -> str:
    return "\n".join(map(figure_label, textwrap.wrap(name, NAME_WIDTH) or [""]))


def draw_scenarios(axes: Axes, rows: Scenarios, scale: Scale) -> None:
    """Draw rows that are in order, the first on top, with their intervals."""
    count = min(len(rows.names), MOST_ROWS)
    y = np.arange(count)[::-1].astype(float)
    edge = MOST_SHARE * scale.allowed if scale.allowed > 0 else math.inf
    edge = max(edge, 1.0) if scale.tolerated is not None and scale.allowed < 1 else edge
    value, low, high = (
        np.clip(np.nan_to_num(each[:count], nan=edge, posinf=edge), 0.0, edge)
        for each in (rows.miscoverage, rows.low, rows.high)
    )
    for verdict, color in VERDICT_COLORS.items():
        own = np.array([v == verdict for v in rows.verdicts[:count]])
        if own.any():
            axes.hlines(y[own], low[own], high[own], color=color, linewidth=1.4)
    verdict_marks(axes, value, y, rows.verdicts[:count])
    if (high > low).any():
        axes.plot([], [], "-", color=GREY, linewidth=1.4, label="95 % interval, at any time")
    axes.axvline(
        scale.allowed, color=RED, linewidth=1.0, linestyle=DASHED, label=scale.allowed_words
    )
    if scale.tolerated is not None:
        axes.axvspan(
            scale.allowed, scale.tolerated, color=RED, alpha=0.1, linewidth=0, label="tolerated"
        )
    axes.set_yticks(y, [_broken(n) for n in rows.names[:count]], fontsize="x-small")
    axes.set_xlim(0.0, 1.06 * max(float(high.max()), 1.5 * scale.allowed, 1e-12))
    left = len(rows.names) - count
    below = f" (not shown: {left} that rank lower)" if left else ""
    axes.set_ylim(-0.8, count - 0.2)
    cut = f"; {edge:g} and more at the edge" if (rows.miscoverage >= edge).any() else ""
    cut = "" if edge == 1.0 else cut
    words = textwrap.wrap(scale.words + cut + below, 75)
    axes.set_xlabel("\n".join(map(figure_label, words)), fontsize="small")
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)
    axes.legend(**ABOVE, ncols=3)


def _draw_limits(axes: Axes, limits: Ordered, alpha: float) -> None:
    """Draw limits by their centile, those that fail to cover on top, above 1 - alpha."""
    count = limits.lower.size
    share = float(limits.missed.mean())
    shown = min(1.0, max(4.0 * alpha, 2.5 * share, 30.0 / count))
    first = int((1.0 - shown) * count)
    centile = (np.arange(count) + 0.5) / count * 100.0
    low, high = limits.lower[first:], limits.upper[first:]
    finite = np.concatenate([low[np.isfinite(low)], high[np.isfinite(high)], [limits.truth]])
    finite = finite[np.isfinite(finite)]
    room = 0.06 * (np.ptp(finite) or 1.0)
    ends = finite.min() - room, finite.max() + room
    for wrong, color, words in ((False, INK, "covers"), (True, RED, "fails to cover")):
        own = limits.missed[first:] == wrong
        if not own.any():
            continue
        axes.hlines(
            centile[first:][own],
            np.clip(low[own], *ends),
            np.clip(high[own], *ends),
            color=color,
            linewidth=max(0.35, min(2.0, 150.0 / max(count - first, 1))),
            alpha=0.9 if wrong else 0.55,
            rasterized=True,
        )
        axes.plot([], [], "-", color=color, linewidth=2.0, label=words)
    truth = f"truth {limits.truth:.4g}"
    axes.axvline(limits.truth, color="black", linewidth=1.0, label=truth)
    level = 100.0 * (1.0 - alpha)
    words = f"100 (1 − α) = {level:g}"
    axes.axhline(level, color=RED, linewidth=1.0, linestyle=DASHED, label=words)
    axes.set_xlim(*ends)
    axes.set_ylim(100.0 * (1.0 - shown), 100.0)
    axes.set_xlabel("values from the limit on, or between the limits", fontsize="small")
    axes.set_ylabel(f"centile of {count:,} samples")
    axes.legend(**ABOVE, ncols=2)


def draw_bets(bets: Bets, title: Title) -> Figure:
    """Draw two samples with one past, and the bets on each of their observations."""
    figure = titled_figure(7.0, 4.4, title)
    above, below = figure.subplots(2, 1, sharex=True)
    first = max(0, bets.t - 12)
    shown = slice(first, min(len(bets.x), bets.t + 12))
    time = np.arange(1, len(bets.x) + 1)[shown]
    pairs = ((above, bets.x, bets.other, "o"), (below, bets.bets, bets.changed, "s"))
    for axes, one, other, mark in pairs:
        axes.plot(time, one[shown], f"{mark}-", color=INK, markersize=4.5, linewidth=0.8)
        axes.plot(
            time, other[shown], "x--", color=RED, markersize=5.5, linewidth=0.8, markeredgewidth=1.3
        )
        axes.axvspan(time[0] - 0.5, bets.t - 0.5, color=GREY, alpha=0.12, linewidth=0)
        axes.grid(alpha=0.25, linewidth=0.5)
    above.axhline(bets.m, color="black", linewidth=0.8, linestyle=":")
    above.plot([], [], "o-", color=INK, label="a sample, and the bets on it")
    above.plot([], [], "x--", color=RED, label="another future")
    above.plot([], [], ":", color="black", label=f"mean bet against: {bets.m:.4g}")
    past = above.axvspan(time[0] - 0.5, time[0] - 0.5, color=GREY, alpha=0.12)
    past.set_label("the same in both")
    above.set_ylabel("observation")
    below.set_ylabel("bet")
    below.set_xlabel(f"time; bets up to {bets.t} must be the same, {bets.t} included")
    below.axvline(bets.t + 0.5, color="black", linewidth=1.0, linestyle=DASHED)
    wrong = np.flatnonzero(bets.bets[: bets.t] != bets.changed[: bets.t])
    wrong = wrong[wrong >= first]
    if wrong.size:
        at = int(wrong[0])
        below.plot(
            [at + 1, at + 1],
            [bets.bets[at], bets.changed[at]],
            color="black",
            linewidth=1.6,
            label="differs before its time",
        )
        below.legend(frameon=False, fontsize="x-small", loc="best")
    below.xaxis.get_major_locator().set_params(integer=True)
    above.set_xlim(time[0] - 0.5, time[-1] + 0.5)
    above.legend(**ABOVE, ncols=4)
    return figure
