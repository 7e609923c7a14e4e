"""Every picture that the package draws. matplotlib is imported when one is drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsverify.table import average_certified_radius, certified_accuracy

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind can tell apart; with a dash pattern each,
# so that curves that coincide stay visible, and so does a print in grey.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))


def plot_certified_accuracy(
    tables: Mapping[str, pd.DataFrame],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> Figure:
    """Draw the certified accuracy of one or more tables against the radius, into a file.

    Parameters
    ----------
    tables : mapping of str to DataFrame
        Name in the legend to a table with the columns `correct` and `radius`; at least one,
        of the same inputs.
    path : path-like
        The picture; its ending chooses the format (``.png``, ``.pdf``, ``.svg``).
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        The drawn figure.

    Raises
    ------
    ValueError
        If there is no table, a table is empty, or the ending is not known.

    Notes
    -----
    Certified accuracy is a step function that falls at each certified radius, and is drawn
    as such: no smoothing between the inputs.
    """
    from matplotlib.figure import Figure

    if not tables:
        raise ValueError("tables={} must hold at least one table")
    figure = Figure(figsize=(6.4, 4.2), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    for i, (name, table) in enumerate(tables.items()):
        radii = np.unique(np.append(table.loc[table["correct"] == 1, "radius"], 0.0))
        accuracy = certified_accuracy(table, radii)
        # Up to and including each radius the accuracy is that of the radius: a "pre" step.
        axes.step(
            np.append(radii, radii[-1]),
            np.append(accuracy, 0.0),
            where="pre",
            color=_COLOURS[i % len(_COLOURS)],
            linestyle=_DASHES[i % len(_DASHES)],
            linewidth=1.6,
            label=f"{name} (average radius {average_certified_radius(table):.4f})",
        )
    axes.set_xlim(left=0.0)
    axes.set_ylim(0.0, 1.02)
    axes.set_xlabel("ℓ2 radius (input units)")
    axes.set_ylabel("certified accuracy")
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.legend(frameon=False, loc="lower left")
    if title:
        axes.set_title(title, fontsize="medium")
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return figure
