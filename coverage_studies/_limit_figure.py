"""The figure of how far bounds are above the limit: a panel for each n and alpha."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

COLUMNS = 2
ROOM = 5  # so many labels find room below a panel
TICKS = {1e-4: "0.01 %", 1e-3: "0.1 %", 1e-2: "1 %", 0.1: "10 %", 1.0: "100 %", 10.0: "1,000 %",
         100.0: "10,000 %"}  # fmt: skip


class Row(NamedTuple):
    """One distribution: its panel, its name, and each bound's gap divided by the limit."""

    n: int
    alpha: float
    name: str
    ratios: Mapping[str, float]


def wins(rows: Sequence[Row], name: str) -> str:
    """Return in how many of the rows the gap of one bound is the smallest."""
    best = sum(r.ratios[name] == min(r.ratios.values()) for r in rows)
    return f"{best} of {len(rows)} cases"


def draw(
    path: Path, title: str, rows: Sequence[Row], styles: Mapping[str, tuple[str, str]]
) -> None:
    """Draw the gaps above the limit on a logarithmic scale, for `styles` of (marker, color)."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    cases = list(dict.fromkeys((r.n, r.alpha) for r in rows))
    height = -(-len(cases) // COLUMNS)
    largest = max(sum((r.n, r.alpha) == case for r in rows) for case in cases)
    figure, axes = plt.subplots(
        height,
        COLUMNS,
        figsize=(8, 0.7 + height * (0.6 + 0.22 * largest)),
        sharex=True,
        layout="constrained",
    )
    for axis, case in zip(axes.flat, cases, strict=False):
        here = [r for r in rows if (r.n, r.alpha) == case]
        for name, (mark, color) in styles.items():
            points = [(r.ratios[name] - 1, -y) for y, r in enumerate(here) if name in r.ratios]
            axis.plot(*zip(*points, strict=True), mark, color=color, label=name) if points else None
        axis.set_xscale("log")
        axis.set_title(f"n = {case[0]:,}, α = {case[1]:g}", fontsize=10)
        axis.set_yticks([-y for y in range(len(here))], [r.name for r in here], fontsize=9)
        axis.set_ylim(-len(here) + 0.4, 0.6)
        axis.grid(axis="both", alpha=0.3)
        axis.tick_params(axis="x", labelbottom=True, labelsize=9)
    spare = axes.flat[len(cases) :]
    low, high = axes.flat[0].get_xlim()
    shown = [at for at in TICKS if low <= at <= high]
    shown = shown[:: 1 if len(shown) < ROOM else 2]
    axes.flat[0].set_xticks(shown, [TICKS[at] for at in shown])
    handles = axes.flat[0].get_legend_handles_labels()
    for axis in spare:
        axis.set_axis_off()
        axis.legend(*handles, loc="center", fontsize=9, frameon=False)
    if not len(spare):
        figure.legend(*handles, loc="outside lower center", ncols=4, fontsize=9, frameon=False)
    figure.suptitle(title, fontsize=11)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=140, metadata={"Software": None})
    plt.close(figure)
