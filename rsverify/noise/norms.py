"""How far two inputs are apart: the norms of threats, and their names."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, cast, get_args

from rsverify._core.check import check_number, shown
from rsverify._core.text import number_text

__all__ = ["Lp", "Norm", "NormName", "parse_norm"]

NormName = Literal["l0", "l1", "l2", "linf", "mahalanobis", "edit"]
"""How far two inputs are apart; `Lp` is the norm of any other power.

``"l0"`` counts the entries that differ and ``"edit"`` the insertions, deletions and substitutions
that lead from one sequence to the other; ``"mahalanobis"`` is the ℓ2 norm after each number is
divided by its own standard deviation of the noise.
"""

_LARGEST_POWER = 1e6


class Lp(str):
    """The norm (Σ|δ_i|^p)^(1/p).

    Parameters
    ----------
    p : float
        The power, 1 to 10⁶.

    Raises
    ------
    ValueError
        If `p` is out of range: ``"linf"`` is the limit of large powers.
    TypeError
        If `p` is not a number.

    Notes
    -----
    As text, in tables and on the command line, it is ``lp:POWER``.

    Examples
    --------
    >>> from rsverify.noise import Lp
    >>> print(Lp(4), Lp(4).power)
    lp:4 4.0
    """

    power: float

    def __new__(cls, p: float) -> Lp:
        """Return the norm, or raise where `p` is out of range."""
        power = float(check_number("p", p))
        if not 1.0 <= power <= _LARGEST_POWER:
            raise ValueError(
                f"p={shown(p)} must be between 1 and {_LARGEST_POWER:g}; norm='linf' is its limit"
            )
        norm = super().__new__(cls, f"lp:{number_text(power)}")
        norm.power = power
        return norm

    def __reduce__(self) -> tuple[type[Lp], tuple[float]]:
        # What a pickle holds.
        return Lp, (self.power,)


Norm: TypeAlias = NormName | Lp
"""A norm that has a name, or one of another power."""


def power_of(norm: Norm) -> float:
    """Return the p of an ℓp norm."""
    if isinstance(norm, Lp):
        return norm.power
    return {"l1": 1.0, "l2": 2.0, "linf": math.inf}[norm]


def parse_norm(norm: object) -> Norm:
    """Return a norm from what a user, a table or a command line calls it, or raise.

    Raises
    ------
    ValueError
        If there is no such norm.
    TypeError
        If `norm` is not a string.

    Examples
    --------
    >>> from rsverify.noise import parse_norm
    >>> parse_norm("lp:4").power
    4.0
    """
    if isinstance(norm, Lp):
        return norm
    if not isinstance(norm, str):
        raise TypeError(f"norm={shown(norm)} must be a string or Lp(p)")
    for name in get_args(NormName):
        if norm == name:
            return cast(NormName, name)
    kind, _, power = norm.partition(":")  # as a table or a command line has it
    try:
        if kind == "lp":
            return Lp(float(power))
    except ValueError:
        pass
    raise ValueError(
        f"norm={shown(norm)} must be one of {', '.join(map(repr, get_args(NormName)))} or "
        f"'lp:POWER', POWER from 1 to {_LARGEST_POWER:g}"
    )
