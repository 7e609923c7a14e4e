"""The margins of a class over its runner-up, with the codes that kernels know them by."""

from __future__ import annotations

from enum import IntEnum
from typing import get_args

from rsverify._core.check import check_choice
from rsverify._core.types import MarginName, ScoreMarginName

__all__ = ["Margin"]


class Margin(IntEnum):
    """A margin: rises with p_1, the certified class, and falls with p_2, its runner-up."""

    DIFFERENCE = 0
    """p_1 − p_2."""
    PROBIT = 1
    """Φ⁻¹(p_1) − Φ⁻¹(p_2)."""
    LAPLACE = 2
    """Q(p_1) − Q(p_2), Q(p) = log 2p up to ½ and −log 2(1 − p) above: Laplace quantiles."""

    @property
    def text(self) -> str:
        """How a person writes it."""
        return ("p1 − p2", "Φ⁻¹(p1) − Φ⁻¹(p2)", "Q(p1) − Q(p2)")[self]

    @classmethod
    def named(cls, name: object, argument: str = "estimand") -> Margin:
        """Return the margin of a name that a user gave as `argument`, or raise."""
        choice: MarginName = check_choice(argument, name, get_args(MarginName))
        return cls[choice.upper()]

    @classmethod
    def of_scores(cls, name: object, argument: str = "estimand") -> Margin:
        """Return one of the margins that there are bounds of for mean scores, or raise."""
        choice: ScoreMarginName = check_choice(argument, name, get_args(ScoreMarginName))
        return cls[choice.upper()]
