"""The figures of audits, from arrays. matplotlib is imported when one is drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rsverify._core.check import FloatArray
from rsverify._core.figure import new_figure
from rsverify._core.text import figure_label
from rsverify._core.types import AnyArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure

# Okabe and Ito's colors: told apart by the color-blind, and in gray.
INK, RED, GREY, ORANGE = "#0072B2", "#D55E00", "#8a8a8a", "#E69F00"
VERDICT_COLORS = {"supported": INK, "refuted": RED, "inconclusive": ORANGE}
VERDICT_MARKS = {"supported": "o", "refuted": "X", "inconclusive": "s"}
Box = tuple[float, float, float, float]
"""The least and the largest of one parameter, then of another."""
FEW_POINTS = 200  # are drawn as points
FEWEST_DOUBLINGS = 4  # a miscoverage below alpha / 16 is drawn as alpha / 16
CHARACTERS, LINE = 13, 0.17  # of a title: in an inch, and inches
ABOVE: dict[str, Any] = {
    "frameon": False,
    "fontsize": "x-small",
    "loc": "lower center",
    "bbox_to_anchor": (0.5, 1.0),
}
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


class Title(NamedTuple):
    """What a figure found, and of what it is."""

    finding: str
    audited: str


def titled_figure(width: float, height: float, title: Title) -> Figure:
    """Return an empty figure below its finding and what was audited."""
    finding = textwrap.wrap(title.finding, int(width * CHARACTERS))
    audited = textwrap.wrap(title.audited, int(width * CHARACTERS))
    figure = new_figure(width, height + LINE * (len(finding) + len(audited)))
    lines = [figure_label(line) for line in (*finding, *audited)]
    figure.suptitle("\n".join(lines), fontsize="small", x=0.01, ha="left")
    return figure


def verdict_marks(
    axes: Axes, x: AnyArray, y: AnyArray, verdicts: Sequence[str], size: float = 4.5
) -> None:
    """Mark points by their verdicts, each in the legend."""
    for verdict, color in VERDICT_COLORS.items():
        own = np.array([v == verdict for v in verdicts])
        if own.any():
            mark = VERDICT_MARKS[verdict]
            axes.plot(x[own], y[own], mark, color=color, markersize=size, label=verdict)


def _level(axes: Axes, alpha: float, **options: Any) -> None:
    axes.axhline(alpha, color=RED, linewidth=1.0, linestyle=(0, (5, 2)), **options)


def draw_sawtooth(
    parts: list[Teeth], worst: tuple[float, float], alpha: float, title: Title
) -> Figure:
    """Draw exact miscoverage against p: all of it, and enlarged around the worst p."""
    figure = titled_figure(7.0, 2.9 * len(parts) + 0.6, title)
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
    title: Title,
) -> Figure:
    """Draw the largest miscoverage in each cell over (p1, p2), as a share of alpha."""
    from matplotlib.patches import Polygon

    figure = titled_figure(6.4, 5.4, title)
    axes = figure.add_subplot()
    edges = np.linspace(0.0, 1.0, len(values) + 1)
    words = "P(the bound fails to cover the margin) / α"
    mesh = _shares(figure, axes, (edges, edges), values / alpha, words)
    mesh.set_clip_path(Polygon([[0, 0], [1, 0], [0, 1]], transform=axes.transData))
    axes.plot([0, 1], [1, 0], color="black", linewidth=0.8)
    axes.plot([0, 0.5], [0, 0.5], color=GREY, linewidth=0.8, linestyle=":")
    _on_map(axes, "$p_1 = p_2$", (0.31, 0.31), 45)
    # What is left for the other classes: the same along every falling diagonal.
    for third in (0.25, 0.5, 0.75):
        axes.plot([0, 1 - third], [1 - third, 0], color=GREY, linewidth=0.5, alpha=0.7)
        _on_map(axes, f"$p_3 = {third:g}$", (0.8 * (1 - third), 0.2 * (1 - third)), -45)
    _on_map(axes, "$p_3 = 0$", (0.57, 0.47), -45)
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
    axes.set_xlabel("$p_1$, the class certified")
    axes.set_ylabel("$p_2$, the second class; $p_3 = 1 - p_1 - p_2$")
    axes.set_aspect("equal")
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(0.0, 1.0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


def _on_map(axes: Axes, words: str, place: tuple[float, float], angle: float) -> None:
    """Name a line of the map, legible on any of its colors."""
    axes.annotate(
        words,
        place,
        fontsize="x-small",
        rotation=angle,
        ha="center",
        va="center",
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0},
    )


def draw_curve(
    points: FloatArray,
    values: FloatArray,
    worst: tuple[float, float],
    alpha: float,
    names: tuple[str, str],
    title: Title,
) -> Figure:
    """Draw a probability along the parameter of a model of counts."""
    figure = titled_figure(7.0, 3.4, title)
    axes = figure.add_subplot()
    few = len(points) <= FEW_POINTS
    axes.plot(points, values, "." if few else "-", color=INK, linewidth=1.1, label=names[1])
    _level(axes, alpha, label=f"α = {alpha:g}")
    label = f"the worst: {worst[1]:.4g} at {names[0]} = {worst[0]:.4g}"
    axes.plot(*worst, "v", color=RED, markersize=6, label=label)
    axes.set_ylim(0.0, 1.15 * max(alpha, worst[1], float(np.nanmax(values))))
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(**ABOVE, ncols=3)
    return figure


def draw_square(
    values: FloatArray,
    box: Box,
    worst: tuple[float, float, float],
    alpha: float,
    names: tuple[str, str, str],
    title: Title,
) -> Figure:
    """Draw a probability over the two parameters of a model of counts, as a share of alpha."""
    figure = titled_figure(6.4, 5.0, title)
    axes = figure.add_subplot()
    x = np.linspace(box[0], box[1], values.shape[1] + 1)
    y = np.linspace(box[2], box[3], values.shape[0] + 1)
    _shares(figure, axes, (x, y), values / alpha, f"{names[2]} / α")
    at = f"{worst[2]:.4g} at ({worst[0]:.4g}, {worst[1]:.4g})"
    color = RED if worst[2] > alpha else INK
    axes.plot(
        *worst[:2],
        "v",
        color="black",
        markersize=7,
        markerfacecolor=color,
        clip_on=False,
        label=f"the worst: {at}",
        linestyle="none",
    )
    axes.legend(**ABOVE)
    axes.set_facecolor("#e4e4e4")  # outside the null
    axes.set_xlabel(f"{names[0]}")
    axes.set_ylabel(f"{names[1]}{'; gray: outside the null' if np.isnan(values).any() else ''}")
    axes.set_aspect("equal" if box[1] - box[0] == box[3] - box[2] else "auto")
    return figure


def _shares(
    figure: Figure, axes: Axes, edges: tuple[FloatArray, FloatArray], share: FloatArray, words: str
) -> QuadMesh:
    """Draw shares of alpha in cells, with their scale: white at alpha, red above it."""
    from matplotlib.colors import TwoSlopeNorm

    doublings = np.log2(np.maximum(share, 2.0**-FEWEST_DOUBLINGS))
    most = max(1.0, np.ceil(float(np.nanmax(doublings))))
    norm = TwoSlopeNorm(0.0, vmin=-FEWEST_DOUBLINGS, vmax=most)
    mesh = axes.pcolormesh(*edges, doublings, cmap="RdBu_r", norm=norm, rasterized=True)
    bar = figure.colorbar(mesh, ax=axes, label=words)
    ticks = np.arange(-FEWEST_DOUBLINGS, most + 1)
    names = [f"{2**t:g}" if t >= 0 else f"1/{2**-t:g}" for t in ticks.tolist()]
    names[0] = f"≤ {names[0]}"
    bar.set_ticks(list(ticks), labels=names)
    bar.ax.axhline(0.0, color="black", linewidth=0.8)
    return mesh


def draw_claims(
    claims: FloatArray, levels: Scenarios, alpha: float, tolerance: float, title: Title
) -> Figure:
    """Draw the miscoverage just below each claim of a margin, attained and certified."""
    figure = titled_figure(7.0, 4.0, title)
    axes = figure.add_subplot()
    for verdict, color in VERDICT_COLORS.items():
        own = np.array([v == verdict for v in levels.verdicts]) & np.isfinite(claims)
        if own.any():
            axes.vlines(claims[own], levels.low[own], levels.high[own], color=color, linewidth=1.4)
    verdict_marks(axes, claims, levels.miscoverage, levels.verdicts)
    axes.plot([], [], "-", color=GREY, linewidth=1.4, label="attained to certified")
    _level(axes, alpha, label=f"α = {alpha:g}")
    most = alpha * (1.0 + tolerance)
    axes.axhspan(alpha, most, color=RED, alpha=0.08, linewidth=0, label="tolerated")
    axes.set_ylim(0.0, 1.1 * max(most, float(levels.high.max())))
    axes.set_xlabel("margin claimed")
    axes.set_ylabel("largest non-coverage just below the claim")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(**ABOVE, ncols=5)
    return figure


def draw_time(
    curves: list[FloatArray],
    worst: int,
    band: tuple[FloatArray, FloatArray],
    name: str,
    alpha: float,
    title: Title,
) -> Figure:
    """Draw the share of replications that fail to cover by each time."""
    figure = titled_figure(7.0, 4.2, title)
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
    band_label = "95 % band, at each time"
    axes.fill_between(t, *band, step="post", color=INK, alpha=0.2, linewidth=0, label=band_label)
    axes.step(
        t,
        curves[worst],
        where="post",
        color=INK,
        linewidth=1.6,
        label=f"{figure_label(name)}",
    )
    _level(axes, alpha, label=f"α = {alpha:g}")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(1, max(t[-1], 2))
    axes.set_ylim(0.0, 1.2 * max(alpha, float(band[1].max())))
    axes.set_xlabel("observations")
    axes.set_ylabel("P(not covered at that time or before)")
    axes.grid(alpha=0.25, linewidth=0.5)
    axes.legend(**ABOVE, ncols=2)
    return figure
