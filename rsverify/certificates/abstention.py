"""Why a certificate abstains, and what to change.

Abstention is a value, not an error: its kind is a `Status`, its cause and remedy a sentence.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from typing import get_args

import numpy as np
from scipy.special import ndtri

from rsverify._core.check import IntArray
from rsverify._core.types import VoteBoundName

__all__ = ["Status"]

# The lower limit of the margin of one class, from one row of counts.
MarginOf = Callable[[IntArray, int], float]


class Status(StrEnum):
    """What a certificate says, and if it abstains, the kind of reason."""

    CERTIFIED = "certified"
    RUNNER_UP_AHEAD = "runner-up ahead"
    TOO_FEW_SAMPLES = "too few samples for alpha"
    MARGIN_NOT_POSITIVE = "margin not positive"


def why_abstain(
    votes: IntArray, y: int, alpha: float, bound: str, margin: float, margin_of: MarginOf
) -> tuple[Status, str]:
    """Return the kind of abstention and a sentence with its cause and remedy."""
    n = int(votes.sum())
    others = np.where(np.arange(votes.size) == y, -1, votes)
    other = int(others.argmax())
    k1, k2 = int(votes[y]), int(votes[other])
    lead = f"class {y} has {k1} and class {other} has {k2} of {n} votes"
    if k1 <= k2:
        return Status.RUNNER_UP_AHEAD, (
            f"{lead}: more samples help only if this is a random fluctuation; a classifier trained "
            "with noise of this sigma, or a smaller sigma, can separate the classes"
        )
    if bound not in get_args(VoteBoundName):
        return Status.MARGIN_NOT_POSITIVE, (
            f"{lead}: the lower limit of the margin by the bound {bound!r} is {margin:.4g}, not "
            f"positive at alpha={alpha:g}; more samples or a larger alpha may do"
        )
    smallest = _smallest_certifying_n(votes.size, margin_of)
    if n < smallest:
        return Status.TOO_FEW_SAMPLES, (
            f"n={n} cannot certify anything at alpha={alpha:g}, not even if all votes agree: "
            f"use n >= {smallest} or a larger alpha"
        )
    if bound == "cohen" and 2 * k1 <= n:
        remedy = "this bound needs more than half of all votes: use bound='exact'"
    else:
        needed = _samples_needed(k1, k2, n, alpha, bound)
        remedy = f"at these vote shares about n={needed} would do"
    return Status.MARGIN_NOT_POSITIVE, (
        f"{lead}, too little for alpha={alpha:g}: the margin's lower limit is "
        f"{margin:.4g}; {remedy}"
    )


def _smallest_certifying_n(classes: int, margin_of: MarginOf) -> int:
    """Return the smallest n at which n votes of n have a positive lower limit.

    The limit at n of n votes grows with n. Every bound here reaches it within
    log2(1/alpha) + 2 votes: the all-votes limit of p_1 is alpha^(1/n), or (alpha/2)^(1/n).
    """

    def certifies(n: int) -> bool:
        unanimous = np.zeros(classes, dtype=np.int64)
        unanimous[0] = n
        return margin_of(unanimous, 0) > 0

    low, high = 0, 1  # n = low is too small
    while not certifies(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if certifies(middle) else (middle, high)
    return high


def _samples_needed(k1: int, k2: int, n: int, alpha: float, bound: str) -> int:
    """Return roughly how large n must be for a positive limit at the same vote shares.

    Normal approximation of each bound's standard error, plus the one vote or two that the
    limits of small counts cost; a hint in a message, never part of a guarantee.
    """
    p1, p2 = k1 / n, k2 / n
    if bound == "cohen":
        needed = ndtri(alpha) ** 2 * p1 * (1 - p1) / (p1 - 0.5) ** 2
    elif bound == "bonferroni":
        spread = math.sqrt(p1 * (1 - p1)) + math.sqrt(p2 * (1 - p2))
        needed = ndtri(alpha / 2) ** 2 * spread**2 / (p1 - p2) ** 2
    else:
        needed = ndtri(alpha) ** 2 * (p1 + p2 - (p1 - p2) ** 2) / (p1 - p2) ** 2
    # Two significant digits, upwards: the figure is a rough one. Never below what failed.
    rough = max(1.1 * needed + 2 / (p1 - p2), n + 1)
    step = 10 ** max(math.floor(math.log10(rough)) - 1, 0)
    return int(math.ceil(rough / step) * step)
