"""What the level of each certificate buys for all certificates of a table together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rsverify._core.check import FloatArray, check_alpha, check_level

__all__ = ["LevelClaims", "level_claims"]

_ROUNDING = 1e-12
"""Of sums and products of up to ten million levels, as a share: more than they are off by."""


@dataclass(frozen=True, kw_only=True)
class LevelClaims:
    """Statements about all certificates of a table, from the level of each.

    *Guarantee*: whatever the inputs, over the noise alone, if each certificate is wrong with
    probability at most its level: at most `expected_wrong` are wrong on average, however they
    depend on each other; all hold at once with probability at least `all_hold`, if their noise is
    independent.
    """

    certificates: int
    """How many, abstentions included."""
    expected_wrong: float
    """At most so many are wrong on average: the sum of their levels."""
    all_hold: float
    """Probability that none is wrong, at least."""
    level_for_all: float
    """The level of each at which all would hold with probability 1 - alpha of the analysis."""


def level_claims(levels: FloatArray, alpha: float) -> LevelClaims:
    """Return what the levels of certificates buy for all of them.

    Parameters
    ----------
    levels : array of float, shape (N,)
        Failure probability of each certificate, in (0, 1).
    alpha : float
        Failure probability of the statement that all hold, for `LevelClaims.level_for_all`.

    Raises
    ------
    ValueError
        If there is no level, or one is out of its range.

    Examples
    --------
    >>> from rsverify.tables.level_claims import level_claims
    >>> found = level_claims([0.001] * 500, 0.05)
    >>> print(f"{found.expected_wrong:.3f} {found.all_hold:.3f} {found.level_for_all:.2g}")
    0.500 0.606 0.0001
    """
    each, level = check_alpha(levels), check_level(alpha)
    if each.ndim != 1 or each.size == 0:
        raise ValueError(f"levels of shape {each.shape} must be of one certificate or more")
    count = each.size
    hold = math.exp(float(np.log1p(-each).sum()))
    return LevelClaims(
        certificates=count,
        expected_wrong=float(each.sum()) * (1 + _ROUNDING),
        all_hold=hold * (1 - _ROUNDING),
        level_for_all=-math.expm1(math.log1p(-level) / count) * (1 - _ROUNDING),
    )
