"""The figures of audits, from arrays. matplotlib is imported when one is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rsverify._core.check import FloatArray
from rsverify._core.optional import need
from rsverify._core.text import figure_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colors: told apart by the color-blind, and in gray.
INK, RED, GREY, ORANGE = "#0072B2", "#D55E00", "#8a8a8a", "#E69F00"
VERDICT_COLORS = {"supported": INK, "refuted": RED, "inconclusive": ORANGE}
VERDICT_MARKS = {"supported": "o", "refuted": "X", "inconclusive": "s"}
LONGEST_NAME = 34
FEWEST_DOUBLINGS = 4  # a miscoverage below alpha / 16 is drawn as alpha / 16
_ABOVE: dict[str, Any] = {
    "frameon": False,
    "fontsize": "x-small",
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 1.0),
}
MOST_CAPITAL = 10.0  # more than that is drawn as that
MOST_MARKS = 300  # jumps marked along the axis


class Teeth(NamedTuple):
    """Miscoverage of a proportion's limits: one array (p, miscoverage) between two jumps."""

    pieces: list[FloatArray]
    jumps: FloatArray
    before: FloatArray  # just below each jump
    at: FloatArray
    after: FloatArray


class Scenarios(NamedTuple):
    """The table of a simulation."""

    names: list[str]
    miscoverage: FloatArray
    low: FloatArray
    high: FloatArray
    verdicts: list[str]


class Ordered(NamedTuple):
    """Limits of one scenario in order of their distance from non-coverage, the worst last."""

    lower: FloatArray
    upper: FloatArray
    missed: Any
    truth: float


def _figure(width: float, height: float, title: str) -> Figure:
    need("matplotlib")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=150)
    figure.suptitle(figure_label(title), fontsize="medium")
    return figure


def _level(axes: Axes, alpha: float, **options: Any) -> None:
    axes.axhline(alpha, color=RED, linewidth=1.0, linestyle=(0, (5, 2)), **options)


def draw_sawtooth(
    parts: list[Teeth], worst: tuple[float, float], alpha: float, title: str
) -> Figure:
    """Draw exact miscoverage against p: all of it, and enlarged around the worst p."""
    figure = _figure(7.0, 2.9 * len(parts) + 0.6, title)
    for i, teeth in enumerate(parts):
        axes = figure.add_subplot(len(parts), 1, i + 1)
        line = np.concatenate([np.vstack([t, [[np.nan, np.nan]]]) for t in teeth.pieces])
        axes.plot(line[:, 0], line[:, 1], color=INK, linewidth=1.1 if len(parts) == i + 1 else 0.6)
        few = teeth.jumps.size <= 60
        if few:
            for p, a, b in zip(teeth.jumps, teeth.before, teeth.after, strict=True):
                axes.plot([p, p], [a, b], color=GREY, linewidth=0.6, linestyle=":")
            top = np.maximum(teeth.before, teeth.after)
            axes.plot(teeth.jumps, top, "o", color=INK, markersize=3.2, fillstyle="none")
            axes.plot(
                teeth.jumps,
                teeth.at,
                "o",
                color=INK,
                markersize=3.2,
                label="at a discontinuity of the bound",
            )
            axes.plot(
                [], [], "o", color=INK, markersize=3.2, fillstyle="none", label="just past it"
            )
        elif teeth.jumps.size <= MOST_MARKS:
            axes.plot(
                teeth.jumps,
                np.zeros(teeth.jumps.size),
                "|",
                color=GREY,
                markersize=5,
                markeredgewidth=0.4,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                label="discontinuities of the bound",
            )
        _level(axes, alpha, label=f"α = {alpha:g}")
        axes.plot(
            *worst,
            "v",
            color=RED,
            markersize=6,
            label=f"worst: {worst[1]:.4g} at p = {worst[0]:.4g}",
        )
        height = max(alpha, worst[1])
        axes.set_ylim(0.0, 1.32 * height)
        ends = teeth.pieces[0][0, 0], teeth.pieces[-1][-1, 0]
        axes.set_xlim(*(ends if i else (0.0, 1.0)))
        axes.set_ylabel("P(the bound fails to cover p)")
        axes.legend(frameon=False, loc="upper right", ncols=4, fontsize="x-small")
        axes.grid(alpha=0.25, linewidth=0.5)
    axes.set_xlabel("p")
    return figure


def draw_map(
    values: FloatArray,
    alpha: float,
    witness: tuple[float, float] | None,
    worst: float,
    title: str,
) -> Figure:
    """Draw the largest miscoverage in each cell over (p1, p2), as a share of alpha."""
    from matplotlib.colors import TwoSlopeNorm
    from matplotlib.patches import Polygon

    figure = _figure(6.4, 5.4, title)
    axes = figure.add_subplot()
    # Doublings of alpha: white at alpha, red is too much, blue to spare.
    share = np.log2(np.maximum(values / alpha, 2.0**-FEWEST_DOUBLINGS))
    most = max(1.0, np.ceil(float(np.nanmax(share))))
    norm = TwoSlopeNorm(0.0, vmin=-FEWEST_DOUBLINGS, vmax=most)
    edges = np.linspace(0.0, 1.0, len(values) + 1)
    mesh = axes.pcolormesh(edges, edges, share, cmap="RdBu_r", norm=norm, rasterized=True)
    mesh.set_clip_path(Polygon([[0, 0], [1, 0], [0, 1]], transform=axes.transData))
    bar = figure.colorbar(mesh, ax=axes, label="P(the bound fails to cover the margin) / α")
    ticks = np.arange(-FEWEST_DOUBLINGS, most + 1)
    bar.set_ticks(
        list(ticks), labels=[f"{2**t:g}" if t >= 0 else f"1/{2**-t:g}" for t in ticks.tolist()]
    )
    bar.ax.axhline(0.0, color="black", linewidth=0.8)
    axes.plot([0, 1], [1, 0], color="black", linewidth=0.8)
    axes.plot([0, 0.5], [0, 0.5], color=GREY, linewidth=0.8, linestyle=":")
    axes.annotate("p1 = p2", (0.16, 0.17), color=GREY, fontsize="x-small", rotation=45)
    if witness is not None:
        axes.plot(
            *witness,
            "v",
            color="black",
            markersize=7,
            markerfacecolor=RED if worst > alpha else INK,
            clip_on=False,
            label=f"{'witness' if worst > alpha else 'largest'}: {worst:.4g} "
            f"at ({witness[0]:.4g}, {witness[1]:.4g})",
            linestyle="none",
        )
        axes.legend(frameon=False, loc="upper right", fontsize="small")
    axes.set_xlabel("p1, the class certified")
    axes.set_ylabel("p2, the runner-up")
    axes.set_aspect("equal")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def draw_claims(
    claims: FloatArray, levels: Scenarios, alpha: float, tolerance: float, title: str
) -> Figure:
    """Draw the miscoverage just below each claim of a margin, attained and certified."""
    figure = _figure(7.0, 4.0, title)
    axes = figure.add_subplot()
    for verdict, color in VERDICT_COLORS.items():
        own = np.array([v == verdict for v in levels.verdicts]) & np.isfinite(claims)
        if own.any():
            axes.vlines(claims[own], levels.low[own], levels.high[own], color=color, linewidth=1.4)
            axes.plot(
                claims[own],
                levels.miscoverage[own],
                VERDICT_MARKS[verdict],
                color=color,
                markersize=4.5,
                label=verdict,
            )
    _level(axes, alpha, label=f"α = {alpha:g}")
    axes.axhspan(alpha, alpha * (1.0 + tolerance), color=RED, alpha=0.08, linewidth=0)
    axes.set_ylim(0.0, 1.1 * max(alpha * (1.0 + tolerance), float(levels.high.max())))
    axes.set_xlabel("margin claimed")
    axes.set_ylabel("largest non-coverage just below it: attained to certified")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(**_ABOVE, ncols=4)
    return figure


def draw_capital(laws: Scenarios, title: str) -> Figure:
    """Draw the expected capital under every distribution: fair betting has at most 1."""
    rows = len(laws.names)
    figure = _figure(7.0, max(3.0, 0.17 * rows + 1.2), title)
    axes = figure.add_subplot()
    y = np.arange(rows)[::-1]
    # What is not finite, or far beyond, stands at the edge.
    expected = np.clip(laws.miscoverage, 0.0, MOST_CAPITAL)
    for verdict, color in VERDICT_COLORS.items():
        own = np.array([v == verdict for v in laws.verdicts])
        if own.any():
            axes.plot(
                expected[own],
                y[own],
                VERDICT_MARKS[verdict],
                color=color,
                markersize=4.0,
                label=verdict,
            )
    axes.axvline(1.0, color=RED, linewidth=1.0, linestyle=(0, (5, 2)), label="initial capital")
    axes.set_yticks(y, list(map(figure_label, laws.names)), fontsize="xx-small")
    axes.set_xlim(0.0, max(1.5, 1.05 * float(expected.max())))
    axes.set_ylim(-0.8, rows - 0.2)
    more = f"; {MOST_CAPITAL:g} and more at the edge" if expected.max() >= MOST_CAPITAL else ""
    axes.set_xlabel(f"expected capital{more}")
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)
    axes.legend(**_ABOVE, ncols=4)
    return figure


def draw_zip(
    scenarios: Scenarios,
    limits: Ordered,
    name: str,
    alpha: float,
    tolerance: float,
    title: str,
) -> Figure:
    """Draw every scenario's miscoverage, and the limits of one in order."""
    rows = len(scenarios.names)
    figure = _figure(10.0, max(4.0, 0.24 * rows + 1.4), title)
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1.0])
    _draw_scenarios(left, scenarios, alpha, tolerance)
    _draw_limits(right, limits, alpha)
    right.set_title(f"worst scenario: {_short(name)}", fontsize="small")
    return figure


def _short(name: str) -> str:
    name = figure_label(name)
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _draw_scenarios(axes: Axes, scenarios: Scenarios, alpha: float, tolerance: float) -> None:
    y = np.arange(len(scenarios.names))[::-1]
    for verdict, color in VERDICT_COLORS.items():
        own = np.array([v == verdict for v in scenarios.verdicts])
        if own.any():
            axes.hlines(y[own], scenarios.low[own], scenarios.high[own], color=color, linewidth=1.4)
            axes.plot(
                scenarios.miscoverage[own],
                y[own],
                VERDICT_MARKS[verdict],
                color=color,
                markersize=4.5,
                label=verdict,
            )
    axes.axvline(alpha, color=RED, linewidth=1.0, linestyle=(0, (5, 2)), label=f"α = {alpha:g}")
    most = alpha * (1.0 + tolerance)
    axes.axvspan(alpha, most, color=RED, alpha=0.08, linewidth=0, label="tolerated")
    axes.set_yticks(y, [_short(n) for n in scenarios.names], fontsize="x-small")
    axes.set_xlim(left=0.0)
    axes.set_ylim(-0.8, len(y) - 0.2)
    axes.set_xlabel("miscoverage, with an interval valid at any stopping time (95 %)")
    axes.grid(axis="x", alpha=0.25, linewidth=0.5)
    axes.legend(**_ABOVE, ncols=5)


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
    for wrong, color in ((False, INK), (True, RED)):
        own = limits.missed[first:] == wrong
        axes.hlines(
            centile[first:][own],
            np.clip(low[own], *ends),
            np.clip(high[own], *ends),
            color=color,
            linewidth=max(0.35, min(2.0, 150.0 / max(count - first, 1))),
            alpha=0.55 if not wrong else 0.9,
        )
    axes.axvline(limits.truth, color="black", linewidth=1.0)
    _level_centile = 100.0 * (1.0 - alpha)
    axes.axhline(_level_centile, color=RED, linewidth=1.0, linestyle=(0, (5, 2)))
    axes.annotate(
        f"100 (1 − α) = {_level_centile:g}",
        (ends[0], _level_centile),
        xytext=(3, 3),
        textcoords="offset points",
        fontsize="x-small",
        color=RED,
    )
    axes.set_xlim(*ends)
    axes.set_ylim(100.0 * (1.0 - shown), 100.0)
    axes.set_xlabel(f"the bound; the truth is {limits.truth:.4g} (line)")
    axes.set_ylabel(f"centile of {count:,} replications, non-coverage in red")


def draw_time(
    curves: list[FloatArray],
    worst: int,
    band: tuple[FloatArray, FloatArray],
    name: str,
    alpha: float,
    title: str,
) -> Figure:
    """Draw the share of replications that fail to cover by each time."""
    figure = _figure(7.0, 4.2, title)
    axes = figure.add_subplot()
    t = np.arange(1, curves[worst].size + 1)
    for i, curve in enumerate(curves):
        if i != worst:
            axes.step(
                np.arange(1, curve.size + 1),
                curve,
                where="post",
                color=GREY,
                linewidth=0.7,
                alpha=0.6,
                label="other scenarios" if i == (0 if worst else 1) else None,
            )
    axes.fill_between(t, *band, step="post", color=INK, alpha=0.2, linewidth=0)
    axes.step(
        t,
        curves[worst],
        where="post",
        color=INK,
        linewidth=1.6,
        label=f"{figure_label(name)}, 95 % band",
    )
    _level(axes, alpha, label=f"α = {alpha:g}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(1, max(t[-1], 2))
    axes.set_ylim(0.0, 1.2 * max(alpha, float(band[1].max())))
    axes.set_xlabel("observations")
    axes.set_ylabel("P(not covered at that time or before)")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(**_ABOVE, ncols=3)
    return figure
