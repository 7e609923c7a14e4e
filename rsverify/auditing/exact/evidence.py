"""What an audit keeps for its figures."""

from __future__ import annotations

from typing import NamedTuple

from rsverify._core.check import FloatArray
from rsverify.auditing.counts import CountModel


class ProportionLimits(NamedTuple):
    """The limits of every count 0..n; infinite on a side that is not claimed."""

    lower: FloatArray
    upper: FloatArray


class ModelLimits(NamedTuple):
    """The limits of every outcome of a model of counts, and the truth where it is one number."""

    model: CountModel
    lower: FloatArray
    upper: FloatArray
    truth: float | None


class MarginClaims(NamedTuple):
    """The claims of every outcome, entry (x1, x2), and the margin that they are about."""

    table: FloatArray
    margin: str
    largest: bool  # over the larger of q2 and q3, not over q2


class Futures(NamedTuple):
    """One sample with two futures, and the bets on both: what a figure is drawn from."""

    t: int  # the first observation that differs, from 1
    m: float
    law: str
    x: FloatArray
    other: FloatArray
    bets: FloatArray
    changed: FloatArray
