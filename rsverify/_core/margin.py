"""The margins of a class over its runner-up, with the codes that kernels know them by."""

from __future__ import annotations

from enum import IntEnum
from typing import get_args

from rsverify._core.check import check_choice
from rsverify._core.types import MarginName

__all__ = ["Margin"]


class Margin(IntEnum):
    """A margin: rises with p_1, the certified class, and falls with p_2, its runner-up."""

    DIFFERENCE = 0
    """p_1 − p_2."""
    PROBIT = 1
    """Φ⁻¹(p_1) − Φ⁻¹(p_2)."""

    @classmethod
    def named(cls, name: object, argument: str = "estimand") -> Margin:
        """Return the margin of a name that a user gave as `argument`, or raise."""
        choice: MarginName = check_choice(argument, name, get_args(MarginName))
        return cls[choice.upper()]
