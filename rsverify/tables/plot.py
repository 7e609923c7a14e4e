"""Every figure that the package draws. matplotlib is imported when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsverify._core.figure import check_figure, finish_figure, new_figure
from rsverify._core.text import complement_text, figure_label
from rsverify.bounds.proportion import clopper_pearson_interval
from rsverify.certificates.certificate import ABSTAIN
from rsverify.tables.input_limits import stopped
from rsverify.tables.reader import average_certified_radius, certified_accuracy
from rsverify.tables.threats import said_of_threats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from rsverify.tables.analysis import Analysis
    from rsverify.tables.comparison import Comparison

__all__ = ["plot_analyses", "plot_certified_accuracy", "plot_comparison"]

# Okabe and Ito's colors, which the color-blind can tell apart; with a dash pattern each,
# so that curves that coincide stay visible, and so does a print in gray.
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
# One more than there are colors, so that no pair of both comes twice among 42 tables.
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
# More than fit side by side as points of the usual size.
_MANY_CLASSES = 50


def plot_certified_accuracy(
    tables: Mapping[str, pd.DataFrame],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    highlight: Collection[str] = (),
    force: bool = False,
) -> Figure:
    """Draw the certified accuracy of one or more tables against the radius, into a file if wanted.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Name in the legend to a table with the columns `correct` and `radius`; at least one,
        of the same inputs.
    path : path-like, optional
        A file for the figure; its ending chooses the format (``.png``, ``.pdf``, ``.svg``). None is
        written where not given.
    title : str, optional
        May have several lines.
    highlight : collection of str, optional
        Names of tables whose curves are drawn over the others, which become broad and pale.
    force : bool
        Replace a file that is there.

    Returns
    -------
    matplotlib.figure.Figure
        The drawn figure.

    Raises
    ------
    ValueError
        If there is no table, a table is empty, or the ending is not known.
    FileExistsError
        If the file exists and `force` is false.

    Notes
    -----
    Certified accuracy is a step function that falls at each certified radius, and is drawn
    as such: no smoothing between the inputs.
    """
    if not tables:
        raise ValueError("tables={} must hold at least one table")
    if path is not None:
        check_figure(path, force=force)
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    for i, (name, table) in enumerate(tables.items()):
        _draw_certified_accuracy(axes, table, _average(name, table), i)
        if name in highlight:
            axes.lines[-1].set(linestyle="-", zorder=3)
        elif highlight:
            axes.lines[-1].set(linewidth=3.2, alpha=0.55)
    _finish_certified_accuracy(axes, list(tables.values()))
    axes.legend(frameon=False, loc="best", fontsize="small")
    if title:
        lines = "\n".join(map(figure_label, title.split("\n")))
        axes.set_title(lines, fontsize="medium", loc="left")
    return finish_figure(figure, path, force=force)


def plot_analyses(
    analyses: Sequence[Analysis],
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    force: bool = False,
) -> Figure:
    """Draw analyzed tables: certified accuracy with its limits, and predictions.

    Parameters
    ----------
    analyses : sequence of Analysis
        At least one. Labels are those of the first.
    path : path-like, optional
        A file for the figure; its ending chooses the format (``.png``, ``.pdf``, ``.svg``). None is
        written where not given.
    title : str, optional
    force : bool
        Replace a file that is there.

    Returns
    -------
    matplotlib.figure.Figure
        The drawn figure.

    Raises
    ------
    ValueError
        If there is no analysis or the ending is not known.
    FileExistsError
        If the file exists and `force` is false.

    Notes
    -----
    *Guarantee*: at any one radius chosen in advance, the band holds the certified accuracy of
    all inputs of that kind with probability at least 1 − alpha of the analysis. That it holds
    it at all radii at once is not claimed.
    """
    if not analyses:
        raise ValueError("analyses=[] must hold at least one analysis")
    if path is not None:
        check_figure(path, force=force)
    # The legend stands below, a line each, so that names of any length fit and hide nothing.
    height = 4.2 + 0.2 * len(analyses)
    figure = new_figure(10.0, height)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for i, a in enumerate(analyses):
        _draw_certified_accuracy(left, a.table, _average(a.name, a.table), i, alpha=a.alpha)
    _finish_certified_accuracy(left, [a.table for a in analyses])
    level = complement_text(analyses[0].alpha, of=100)
    left.set_title(f"pointwise {level} % confidence band", fontsize=9)
    _draw_predictions(right, analyses)
    handles, labels = left.get_legend_handles_labels()
    for i, handle in enumerate(handles):
        handle.set(marker=_marker(i), markevery=[])  # on the right, and in the legend of both
    figure.legend(handles, labels, frameon=False, loc="outside lower left")
    if title:
        figure.suptitle(figure_label(title), fontsize="medium")
    return finish_figure(figure, path, force=force)


def plot_comparison(
    comparison: Comparison,
    path: str | os.PathLike[str] | None = None,
    *,
    title: str = "",
    force: bool = False,
) -> Figure:
    """Draw how much the radii of inputs change from one table to another.

    Parameters
    ----------
    comparison : Comparison
    path, title, force
        As `plot_analyses`.

    Returns
    -------
    matplotlib.figure.Figure
        The drawn figure: the change of every input, in order.

    Raises
    ------
    ValueError
        If the ending is not known.
    FileExistsError
        If the file exists and `force` is false.
    """
    if path is not None:
        check_figure(path, force=force)
    figure = new_figure(6.4, 4.2)
    axes = figure.add_subplot()
    changes = np.sort(comparison.changes)
    share = np.arange(1, changes.size + 1) / changes.size
    axes.step(changes, share, where="post", linewidth=1.6, color=_COLORS[0])
    axes.axvline(0.0, color="0.4", linewidth=0.8)
    axes.axvline(
        comparison.difference.value, color=_COLORS[1], linestyle=_DASHES[1], linewidth=1.2,
        label=f"average {comparison.difference.value:+.4f}",
    )  # fmt: skip
    axes.set_ylim(0.0, 1.02)
    first, second = figure_label(comparison.first), figure_label(comparison.second)
    axes.set_xlabel(f"radius of {second} minus that of {first} (input units)")
    axes.set_ylabel(f"fraction of {comparison.inputs} inputs with at most this change")
    axes.set_title(
        f"{comparison.larger} larger, {comparison.smaller} smaller, {comparison.equal} equal",
        fontsize=9,
    )
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.legend(frameon=False, loc="lower right")
    if title:
        figure.suptitle(figure_label(title), fontsize="medium")
    return finish_figure(figure, path, force=force)


def _average(name: str, table: pd.DataFrame) -> str:
    return f"{figure_label(name)} (average radius {average_certified_radius(table):.4f})"


def _style(i: int) -> dict[str, Any]:
    return {"color": _COLORS[i % len(_COLORS)], "linestyle": _DASHES[i % len(_DASHES)]}


def _marker(i: int) -> str:
    return _MARKERS[i % len(_MARKERS)]


def _draw_certified_accuracy(
    axes: Axes, table: pd.DataFrame, label: str, i: int, alpha: float | None = None
) -> None:
    """Draw the curve of the table number `i`, with `alpha` between its limits."""
    radii = np.unique(np.append(table.loc[table["correct"] == 1, "radius"], 0.0))
    accuracy = certified_accuracy(table, radii)
    # Up to and including each radius the accuracy is that of the radius: a "pre" step.
    x = np.append(radii, radii[-1])
    axes.step(x, np.append(accuracy, 0.0), where="pre", linewidth=1.6, label=label, **_style(i))
    if alpha is not None and not stopped(table):
        counts = np.rint(accuracy * len(table)).astype(np.int64)
        lower, upper = clopper_pearson_interval(counts, len(table), alpha)
        axes.fill_between(
            radii, lower, upper, step="pre", color=_style(i)["color"], alpha=0.15, linewidth=0
        )


def _finish_certified_accuracy(axes: Axes, tables: Sequence[pd.DataFrame]) -> None:
    norms = sorted({n for t in tables for n in said_of_threats(t).get("norm", ("l2",))})
    axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel(
        "ℓ2 radius (input units)" if norms == ["l2"] else f"radius in {', '.join(norms)}"
    )
    axes.set_ylabel("certified accuracy")
    axes.grid(alpha=0.3, linewidth=0.6)


def _draw_predictions(axes: Axes, analyses: Sequence[Analysis]) -> None:
    """Draw which share of the answers each class has, over bars of the labels' shares."""
    from matplotlib.ticker import MaxNLocator

    labels = _class_shares(analyses[0].labels)
    shares = [_class_shares(a.predictions) for a in analyses]
    classes = sorted(set(labels).union(*shares))
    axes.bar(classes, [labels.get(c, 0.0) for c in classes], width=0.9, color="0.85")
    for i, share in enumerate(shares):
        # Side by side within a class, as points of different tables would cover each other.
        offset = 0.7 * ((i + 0.5) / len(shares) - 0.5)
        axes.plot(
            np.array(classes) + offset,
            [share.get(c, 0.0) for c in classes],
            linestyle="none",
            marker=_marker(i),
            markersize=4 if len(classes) <= _MANY_CLASSES else 2,
            color=_style(i)["color"],
        )
    axes.set_title(
        "share of each class among predictions" + (" (bars: labels)" if labels else ""), fontsize=9
    )
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("class")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3, linewidth=0.6, axis="y")
    axes.set_axisbelow(True)


def _class_shares(times: dict[int, int]) -> dict[int, float]:
    """Return the share of each class, abstentions and unknown labels left out."""
    known = {class_: count for class_, count in times.items() if class_ != ABSTAIN}
    total = sum(known.values())
    return {class_: count / total for class_, count in known.items()}
