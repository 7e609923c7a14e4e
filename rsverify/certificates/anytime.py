"""What certificates from growing counts share: evidence, targets as margins, what is stated."""

from __future__ import annotations

import math
import sys
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_scale, share_of_alpha
from rsverify._core.types import DecisionName, MarginName
from rsverify.bounds.margin_decision import Answer
from rsverify.bounds.margin_sequence import margin_sequence
from rsverify.certificates.abstention import Status, lead_of
from rsverify.certificates.case import Case
from rsverify.certificates.parts import Claim
from rsverify.certificates.threat import Threat

DECISION_SHARE = 0.9
"""Share of alpha that the answer about a target may spend; the radius stated has the rest."""
PLANNED_VOTES = 100_000
AT_LEAST_TARGET: DecisionName = "radius >= target"
BELOW_TARGET: DecisionName = "radius < target"
UNDECIDED: DecisionName = "undecided"
DECISIONS = {
    Answer.AT_LEAST: AT_LEAST_TARGET,
    Answer.BELOW: BELOW_TARGET,
    Answer.UNDECIDED: UNDECIDED,
    Answer.FUTILE: UNDECIDED,
}
LARGEST = sys.float_info.max
# Radii are rounded outward to a few units, which takes all the digits of a float64.
_LEAST_RADIUS = 1e-290
_STEPS = 16
_LARGEST_DIFFERENCE = 1.0 - 1e-13
_ROUNDED_UP = 1.0 + 1e-14  # more than a radius is rounded down by


class AnytimeOptions(TypedDict):
    """Options of `margin_sequence` and `decide_margin`."""

    estimand: MarginName
    weights: FloatArray | None
    prior: tuple[int, ...] | None
    ignore: tuple[int, ...]


def anytime_options(case: Case) -> AnytimeOptions:
    """Return the options of the anytime bounds; a selection sample sharpens them."""
    options: AnytimeOptions = {
        "estimand": case.threat.estimand,
        "weights": None,
        "prior": None,
        "ignore": case.left_out,
    }
    if case.selected is not None:
        options["weights"] = weights_of_others(case.selected)
        options["prior"] = tuple(case.selected.tolist())
    return options


def check_target(target_radius: npt.ArrayLike) -> float:
    """Return `target_radius` as float, or raise where it is not one positive finite number."""
    return check_scale("target_radius", target_radius)


def weights_of_others(selection: npt.ArrayLike) -> FloatArray:
    """Return weights of the other classes: their selection votes, and one vote shared by all."""
    votes = np.asarray(selection, dtype=np.float64)
    return votes + 1.0 / votes.size


def target_margins(target: float, threat: Threat) -> tuple[float, float]:
    """Return a margin of radius at least the target and one of less, 1e-14 apart.

    The first is infinite where nothing can show that it is reached: at a difference of 1 or
    beyond, and where the margin or its radius is beyond the float64 numbers. There, and where
    the radius of a margin of 1 is, the second may be much less, at least 0.
    """
    if not threat.is_proportional:
        return _margins_by_search(target, threat)
    slope = radius_of(1.0, threat)
    if min(slope, target) < _LEAST_RADIUS:
        raise ValueError(
            f"target_radius={target:g} and the radius {slope:g} of a margin of 1 must both be at "
            f"least {_LEAST_RADIUS:g}: state {'sigma' if threat.sigma else 'the noise'} and the "
            "target in another unit"
        )
    above = below = min(target / slope, LARGEST)
    if threat.estimand == "difference" and above > _LARGEST_DIFFERENCE:
        return math.inf, below * (1.0 - 1e-14)
    # A few steps make up for rounding; where they do not, a radius has overflowed.
    for _ in range(_STEPS):
        if radius_of(above, threat) >= target:
            break
        above = math.nextafter(above, LARGEST)
    else:
        above = math.inf
    for _ in range(_STEPS):
        if radius_of(below, threat) < target:
            break
        below = math.nextafter(below, 0.0)
    else:
        below = 0.0
    # Radii are rounded down, so the exact radius of `below` may still reach the target.
    return above, below * (1.0 - 1e-14)


def _margins_by_search(target: float, threat: Threat) -> tuple[float, float]:
    """Return `target_margins` where the radius of a difference is not proportional to it.

    A smaller difference by a share loses that share of such a radius at least, or that share of
    what a whole number is rounded down from: they are 0 at 0 and bend upward.
    """
    if threat.noise.integer and not target.is_integer():
        raise ValueError(
            f"target_radius={target:g} must be a whole number for norm={str(threat.norm)!r}"
        )
    low, high = 0.0, 1.0
    if radius_of(high, threat) * (1.0 if threat.noise.integer else _ROUNDED_UP) < target:
        return math.inf, 2.0  # no difference reaches it
    while low < (middle := 0.5 * (low + high)) < high:
        low, high = (low, middle) if radius_of(middle, threat) >= target else (middle, high)
    return (high if high <= _LARGEST_DIFFERENCE else math.inf), low * (1.0 - 3e-14)


def radius_of(margin: float, threat: Threat) -> float:
    """Return the radius of a margin, rounded down."""
    return float(threat.radius(margin))


def margin_stated(case: Case) -> float:
    """Return the lower limit of the margin at the share of alpha that decisions leave."""
    spent = share_of_alpha(case.terms.level, 1.0 - DECISION_SHARE)
    look = case.votes[np.newaxis]
    limits = margin_sequence(look, case.y, spent, split=1.0, **anytime_options(case))
    return float(np.max(limits.lower))


def anytime_claim(case: Case, margin: float) -> Claim:
    """Return what is claimed where the anytime bound gives this margin after these votes."""
    lead = lead_of(case.votes, case.y, case.left_out)
    status, reason = Status.CERTIFIED, ""
    if margin <= 0 and lead.behind:
        status, reason = Status.RUNNER_UP_AHEAD, lead.behind
    elif margin <= 0:
        status = Status.MARGIN_NOT_POSITIVE
        reason = (
            f"after {lead.n} votes the margin's anytime lower limit is {margin:.4g}: more votes, "
            "or bound='exact' for one look at a fixed n"
        )
    return case.claim(margin, status, reason, bound="anytime")
