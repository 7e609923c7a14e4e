"""Why a certificate abstains, and what to change.

Abstention is a value, not an error: its kind is a `Status`, its cause and remedy a sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.text import number_text
from rsverify._core.types import VoteBoundName

__all__ = ["Status"]

# The lower limit of the margin of one class, from one row of counts.
MarginOf = Callable[[IntArray, int], float]
# The lower limits of rows of k1 and k2 of n votes, at alpha each.
LimitsOf = Callable[[IntArray, IntArray, IntArray, FloatArray], FloatArray]


class Status(StrEnum):
    """What a certificate says, and if it abstains, the kind of reason."""

    CERTIFIED = "certified"
    RUNNER_UP_AHEAD = "runner-up ahead"
    TOO_FEW_SAMPLES = "too few samples for alpha"
    MARGIN_NOT_POSITIVE = "margin not positive"


class Lead(NamedTuple):
    """The votes of a class and of its runner-up, k1 and k2 of n."""

    y: int
    runner_up: int
    k1: int
    k2: int
    n: int

    def __str__(self) -> str:
        return (
            f"class {self.y} has {self.k1} and class {self.runner_up} has {self.k2} of "
            f"{self.n} votes"
        )

    @property
    def behind(self) -> str:
        """Cause and remedy where the class is not ahead; else empty."""
        if self.k1 > self.k2:
            return ""
        return (
            f"{self}: more samples help only if this is a random fluctuation; a classifier trained "
            "with noise of this sigma, or a smaller sigma, can separate the classes"
        )


def lead_of(votes: IntArray, y: int, left_out: Sequence[int] = ()) -> Lead:
    """Return the votes of a class and of the most voted other one that is not `left_out`."""
    others = np.where(np.isin(np.arange(votes.size), [y, *left_out]), -1, votes)
    other = int(others.argmax())
    return Lead(y, other, int(votes[y]), int(votes[other]), int(votes.sum()))


def why_abstain(
    votes: IntArray,
    y: int,
    alpha: float,
    bound: str,
    margin: float,
    margin_of: MarginOf,
    left_out: Sequence[int] = (),
) -> tuple[Status, str]:
    """Return the kind of abstention and a sentence with its cause and remedy.

    Classes that are `left_out` are no runner-up.
    """
    lead = lead_of(votes, y, left_out)
    if lead.behind:
        return Status.RUNNER_UP_AHEAD, lead.behind
    if bound not in get_args(VoteBoundName):
        return Status.MARGIN_NOT_POSITIVE, (
            f"{lead}: the lower limit of the margin by the bound {bound!r} is {margin:.4g}, not "
            f"positive at alpha={number_text(alpha)}; more samples or a larger alpha may do"
        )

    def limits(k1: IntArray, k2: IntArray, _n: IntArray, _alpha: FloatArray) -> FloatArray:
        rows = np.zeros((k1.size, votes.size), dtype=np.int64)
        rows[:, 0], rows[:, 1] = k1, k2
        return np.array([margin_of(row, 0) for row in rows])

    k1, k2, n = lead.k1, lead.k2, lead.n
    smallest = int(smallest_certifying_n(np.array([alpha]), limits)[0])
    if n < smallest:
        return Status.TOO_FEW_SAMPLES, (
            f"n={n} cannot certify anything at alpha={number_text(alpha)}, not even if all votes "
            f"agree: use n >= {smallest} or a larger alpha"
        )
    if bound == "cohen" and 2 * k1 <= n:
        remedy = "this bound needs more than half of all votes: use bound='exact'"
    else:
        needed = samples_needed(np.array(k1), np.array(k2), np.array(n), np.array(alpha), bound)
        remedy = f"at these vote shares about n={needed:.0f} would do"
    return Status.MARGIN_NOT_POSITIVE, (
        f"{lead}, too little for alpha={number_text(alpha)}: the margin's lower limit is "
        f"{margin:.4g}; {remedy}"
    )


def statuses_of_rows(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    margin: FloatArray,
    bound: str,
    limits: LimitsOf,
) -> npt.NDArray[np.object_]:
    """Return what `why_abstain` says of each row, as text, and of certified ones that they are.

    All arguments have one entry a row; `limits` are those of the bound that gave the margins.
    """
    found = np.full(margin.shape, str(Status.MARGIN_NOT_POSITIVE), dtype=object)
    if bound in get_args(VoteBoundName):
        unsure = (margin <= 0) & (k1 > k2)
        levels, place = np.unique(alpha[unsure], return_inverse=True)
        smallest = np.zeros(margin.shape, dtype=np.int64)
        smallest[unsure] = smallest_certifying_n(levels, limits)[place]
        found[n < smallest] = str(Status.TOO_FEW_SAMPLES)
    found[k1 <= k2] = str(Status.RUNNER_UP_AHEAD)
    found[margin > 0] = str(Status.CERTIFIED)
    return found


def smallest_certifying_n(alpha: FloatArray, limits: LimitsOf) -> IntArray:
    """Return for each alpha the smallest n at which n votes of n have a positive lower limit.

    The limit at n of n votes grows with n. Every bound here reaches it within
    log2(1/alpha) + 2 votes: the all-votes limit of p_1 is alpha^(1/n), or (alpha/2)^(1/n).
    """
    low = np.zeros(alpha.size, dtype=np.int64)
    high = np.ceil(-np.log2(alpha)).astype(np.int64) + 2

    def certifies(n: IntArray) -> npt.NDArray[np.bool_]:
        return np.asarray(limits(n, np.zeros_like(n), n, alpha) > 0)

    # n = low is too small.
    while alpha.size and not (enough := certifies(high)).all():
        low, high = np.where(enough, low, high), np.where(enough, high, 2 * high)
    while (high - low > 1).any():
        middle = (low + high + 1) // 2  # is `high` where the two have met
        enough = certifies(middle)
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def samples_needed(
    k1: IntArray, k2: IntArray, n: IntArray, alpha: FloatArray, bound: str
) -> FloatArray:
    """Return roughly how large n must be for a positive limit at the same vote shares.

    Normal approximation of each bound's standard error, plus the one vote or two that the
    limits of small counts cost; a hint in a message, never part of a guarantee. Infinite where
    no n would do: where the runner-up is not behind, and for Cohen's bound below half of all votes.
    """
    p1, p2 = k1 / n, k2 / n
    lead = p1 - (0.5 if bound == "cohen" else p2)
    with np.errstate(divide="ignore", invalid="ignore"):
        if bound == "cohen":
            needed = ndtri(alpha) ** 2 * p1 * (1 - p1) / lead**2
        elif bound == "bonferroni":
            spread = np.sqrt(p1 * (1 - p1)) + np.sqrt(p2 * (1 - p2))
            needed = ndtri(alpha / 2) ** 2 * spread**2 / lead**2
        else:
            needed = ndtri(alpha) ** 2 * (p1 + p2 - lead**2) / lead**2
        # Two significant digits, upwards: the figure is a rough one. Never below what failed.
        rough = np.maximum(1.1 * needed + 2 / (p1 - p2), n + 1)
        rough = np.where(lead > 0, rough, np.inf)
        step = 10.0 ** np.maximum(np.floor(np.log10(rough)) - 1, 0)
        return np.where(lead > 0, np.ceil(rough / step) * step, np.inf)
