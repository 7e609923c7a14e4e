"""Certified accuracy as papers print it: rows of sigma and bound, columns of radii."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rsverify.tables.analysis import Analysis
from rsverify.tables.formatting import RADIUS_DECIMALS, values_text

__all__ = ["paper_table"]

_ABOUT = ("noise", "norm", "ignored", "top_k")
"""What else decides what is certified; of Gaussian noise and ℓ2 tables do not say it."""


def paper_table(analyses: Sequence[Analysis]) -> pd.DataFrame:
    """Return certified accuracy as papers print it: rows of sigma and bound, columns of radii.

    Parameters
    ----------
    analyses : sequence of Analysis
        At least one, all at the same radii.

    Returns
    -------
    DataFrame of str
        Certified accuracy in percent, rounded to nearest, and the average certified radius, sorted
        by sigma, which is the index. With a column of names where sigma and bound do not tell rows
        apart, and columns of noise, norm, ignored classes and top_k where a table states them.

    Raises
    ------
    ValueError
        If there is no analysis, or they are at different radii.

    Examples
    --------
    >>> from rsverify import analyze, certify_table
    >>> from rsverify.tables.formatting import to_markdown
    >>> from rsverify.tables.paper_table import paper_table
    >>> rows = [analyze(certify_table([[900, 100], [990, 10]], sigma=s, alpha=0.001, y=0, label=0,
    ...                               bound="cohen"), name=str(s), radii=[0, 0.25, 0.5])
    ...         for s in (0.25, 0.5)]
    >>> print(to_markdown(paper_table(rows)), end="")
    | sigma | bound | 0 | 0.25 | 0.5 | average radius |
    |:--|--:|--:|--:|--:|--:|
    | 0.25 | cohen | 100.0 | 100.0 | 0.0 | 0.3866 |
    | 0.5 | cohen | 100.0 | 100.0 | 100.0 | 0.7731 |
    """
    if not analyses or len({a.radii for a in analyses}) > 1:
        raise ValueError(f"radii={[a.radii for a in analyses]} must be the same for all tables")
    ordered = sorted(analyses, key=lambda a: [_sortable(v) for v in a.settings.get("sigma", ())])
    about = [c for c in _ABOUT if any(c in a.settings for a in ordered)]
    columns = ["sigma", "bound", *about]
    keys = [tuple(values_text(a.settings.get(c, ())) for c in columns) for a in ordered]
    rows = [
        dict(zip(columns, key, strict=True))
        | ({} if len(set(keys)) == len(keys) else {"table": a.name})
        | {np.format_float_positional(r, trim="-"): f"{100 * e.value:.1f}" for r, e in a.at_radii()}
        | {"average radius": f"{a.average_radius.value:.{RADIUS_DECIMALS}f}"}
        for key, a in zip(keys, ordered, strict=True)
    ]
    return pd.DataFrame(rows, dtype=object).set_index("sigma")


def _sortable(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
