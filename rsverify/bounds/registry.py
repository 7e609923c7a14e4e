"""Every valid bound of the package, by name.

The one list: audits by name, bounds of margins of scores, tests and studies read it. A family
names its bounds at the end of its file; `tests/unit/bounds/test_registry.py` says what else a
bound needs.
"""

from __future__ import annotations

from rsverify._core.types import DataKind, EstimandName, Side
from rsverify.bounds import (
    betting,
    confidence_sequences,
    margin,
    margin_sequence,
    mean,
    proportion,
    score_margin,
    two_proportions,
)
from rsverify.bounds.bound import Bound

_FAMILIES = (
    proportion,
    mean,
    betting,
    confidence_sequences,
    margin,
    margin_sequence,
    score_margin,
    two_proportions,
)
BOUNDS: dict[str, Bound] = {bound.name: bound for family in _FAMILIES for bound in family.BOUNDS}
"""Name -> bound."""


def bounds_of(
    estimand: EstimandName | None = None,
    *,
    side: Side | None = None,
    data: DataKind | None = None,
    time_uniform: bool | None = None,
) -> dict[str, Bound]:
    """Return the bounds of that estimand, side and kind of data, by name; None is any."""
    return {
        name: bound
        for name, bound in BOUNDS.items()
        if (estimand is None or estimand in bound.estimands)
        and (side is None or side == bound.side)
        and (data is None or data == bound.data)
        and (time_uniform is None or time_uniform == bound.time_uniform)
    }
