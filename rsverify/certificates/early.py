"""Certificates from counts that were looked at while they came in.

The question is whether the radius is at least a target; the evidence is anytime-valid, so
sampling stops as soon as there is enough of it. `decide_counts` looks once more at counts so
far and needs no memory of earlier looks.
"""

from __future__ import annotations

import math
import sys
import warnings
from dataclasses import dataclass
from typing import NotRequired, TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    check_integer,
    check_scale,
    share_of_alpha,
)
from rsverify._core.types import DecisionName, MarginName, RadiusName
from rsverify.bounds.margin_decision import Answer, Decision, decide_margin
from rsverify.bounds.margin_sequence import margin_sequence
from rsverify.certificates.abstention import Status
from rsverify.certificates.assumptions import warn_of_level, warn_of_selection
from rsverify.certificates.certificate import ABSTAIN, Certificate, certificate_of_counts
from rsverify.certificates.radius import certified_radius_r1, certified_radius_r2, round_down_digits

__all__ = ["EarlyCertificate", "decide_counts", "decide_looks"]

AT_LEAST_TARGET: DecisionName = "radius >= target"
BELOW_TARGET: DecisionName = "radius < target"
UNDECIDED: DecisionName = "undecided"
_DECISIONS = {
    Answer.AT_LEAST: AT_LEAST_TARGET,
    Answer.BELOW: BELOW_TARGET,
    Answer.UNDECIDED: UNDECIDED,
    Answer.FUTILE: UNDECIDED,
}

DECISION_SHARE = 0.9
"""Share of alpha that the answer about the target may spend; the radius stated has the rest."""
PLANNED_VOTES = 100_000
_LARGEST = sys.float_info.max
# Radii are rounded outward to a few units, which takes all the digits of a float64.
_LEAST_RADIUS = 1e-290
_STEPS = 16


@dataclass(frozen=True, kw_only=True)
class EarlyCertificate(Certificate):
    """A certificate whose sampling may stop at any time, and its answer about a target radius.

    Unpacks as ``prediction, radius`` like any other. ``n`` is the number of votes drawn.

    *Guarantee*: over the votes, however often and whenever they are looked at, the probability
    that any of this is ever stated and wrong is at most `alpha`: `decision` is "radius >=
    target" or "radius < target" and the smoothed classifier's own radius R1 or R2 is on the
    other side (0.9 alpha; for one classifier and input only one of the two errors is
    possible), or `radius` is larger than it (0.1 alpha beyond the target).
    """

    target_radius: float
    """The radius in question, in input units."""
    decision: DecisionName
    """``"radius >= target"``, ``"radius < target"`` or ``"undecided"``."""
    futile: bool
    """Whether it is undecided and unlikely to be decided by the votes planned."""

    @property
    def hopeless(self) -> bool:
        """The name of `futile` in version 0.1."""
        warnings.warn("hopeless is now futile", DeprecationWarning, stacklevel=2)
        return self.futile

    def __str__(self) -> str:
        text = f"{self.decision} {self.target_radius:g} after {self.n} votes"
        if self.futile:
            text += " (more are unlikely to decide)"
        if self.status is not Status.CERTIFIED:
            return f"{text}; abstained ({self.status}): {self.reason}"
        return (
            f"{text}; class {self.prediction} within radius "
            f"{round_down_digits(self.radius, 4)} ({self.radius_kind}, anytime bound, "
            f"alpha={self.alpha:g}, sigma={self.sigma:g})"
        )

    def _answer(self) -> list[tuple[str, str]]:
        later = " (more votes are unlikely to decide)" if self.futile else ""
        asked = (f"is the radius at least {self.target_radius:g}?", f"{self.decision}{later}")
        return [asked, *super()._answer()]

    def _guarantee(self) -> str:
        return (
            f"Answer and radius are wrong with probability at most {self.alpha:g}, whenever the "
            "sampling stopped, if the votes are independent."
        )


def decide_counts(
    counts: npt.ArrayLike,
    *,
    target_radius: float,
    sigma: float,
    alpha: float,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    horizon: int = PLANNED_VOTES,
    futility: float = 0.0,
) -> EarlyCertificate:
    r"""Return what the counts so far say about a target radius, at any time one likes to ask.

    Parameters
    ----------
    counts : array_like of int, shape (m,)
        Votes of m >= 2 classes so far, 1 to 10,000,000 in all.
    target_radius : float
        The radius in question, in input units, positive.
    sigma, alpha, y, radius, lipschitz
        As for `certify_counts`.
    selection : array_like of int, shape (m,), optional
        Votes of a separate sample, as for `certify_counts`. They also sharpen the
        evidence, as `prior` and `weights` of `decide_margin`.
    horizon, futility
        How many votes are planned, and at which probability of a decision by then it is called
        futile: see `decide_margin`.

    Returns
    -------
    EarlyCertificate
        Its `radius` is at least the target where that was decided, and elsewhere the one of
        the anytime lower limit of the margin.

    Raises
    ------
    ValueError, TypeError
        As for `certify_counts`, and if `target_radius` is not positive and finite, or it or
        the radius of a margin of 1 is below 1e-290, if `alpha` is too small to be shared, or
        if `horizon` or `futility` is out of its range.

    Notes
    -----
    *Guarantee*: as `EarlyCertificate`, for independent votes from noise N(0, σ²I) and a class
    fixed independently of them; for any number of calls on growing counts, all other arguments
    being the same at every call and fixed before the first. Each target is a claim of its own.

    Examples
    --------
    >>> from rsverify.certificates.early import decide_counts
    >>> question = {"target_radius": 0.25, "sigma": 0.25, "alpha": 0.001, "y": 0}
    >>> decide_counts([95, 3, 2], **question).decision
    'undecided'
    >>> decide_counts([285, 9, 6], **question).decision
    'radius >= target'
    """
    found = decision_of_counts(
        counts,
        target_radius=target_radius,
        sigma=sigma,
        alpha=alpha,
        y=y,
        selection=selection,
        radius=radius,
        lipschitz=lipschitz,
        horizon=horizon,
        futility=futility,
    )
    warn_of_level(found.alpha)
    if found.selection_counts is not None:
        warn_of_selection(np.array(found.counts), np.array(found.selection_counts))
    return found


def decision_of_counts(
    counts: npt.ArrayLike,
    *,
    target_radius: float,
    sigma: float,
    alpha: float,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    horizon: int = PLANNED_VOTES,
    futility: float = 0.0,
) -> EarlyCertificate:
    """Return what `decide_counts` does, without its warnings: they are said once for many."""
    target = check_target(target_radius)
    # Checks all arguments, picks the class and explains an abstention.
    base = certificate_of_counts(
        counts,
        sigma=sigma,
        alpha=alpha,
        y=y,
        selection=selection,
        bound="bonferroni",
        radius=radius,
        lipschitz=lipschitz,
    )
    look = np.array([base.counts])
    answer = Answer(int(_decide(look, target, base, horizon, futility).verdict))
    spent = share_of_alpha(base.alpha, 1.0 - DECISION_SHARE)
    limits = margin_sequence(look, base.y, spent, split=1.0, **_options(base))
    margin = float(np.max(limits.lower))
    if answer is Answer.AT_LEAST:
        margin = max(margin, target_margins(target, base)[0])
    value = _radius_of(margin, base) if margin > 0 else 0.0
    status, reason = base.status, base.reason
    if margin > 0:
        status, reason = Status.CERTIFIED, ""
    elif status is not Status.RUNNER_UP_AHEAD:
        status = Status.MARGIN_NOT_POSITIVE
        reason = (
            f"after {base.n} votes the margin's anytime lower limit is {margin:.4g}: more votes, "
            "or bound='exact' for one look at a fixed n"
        )
    shared = {name: getattr(base, name) for name in Certificate.__dataclass_fields__}
    return EarlyCertificate(
        **shared
        | {
            "prediction": base.y if margin > 0 else ABSTAIN,
            "radius": value,
            "status": status,
            "reason": reason,
            "bound": "anytime",
            "margin": margin,
        },
        target_radius=target,
        decision=_DECISIONS[answer],
        futile=answer is Answer.FUTILE,
    )


def decide_looks(
    looks: npt.ArrayLike,
    *,
    target_radius: float,
    sigma: float,
    alpha: float,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    horizon: int = PLANNED_VOTES,
    futility: float = 0.0,
) -> Decision:
    """Return the verdict at the first of several looks at which `decide_counts` has one.

    Parameters
    ----------
    looks : array_like of int, shape (T, m)
        Counts so far at each of T >= 1 looks, none of them 0 in all.
    target_radius, sigma, alpha, y, selection, radius, lipschitz, horizon, futility
        As for `decide_counts`.

    Returns
    -------
    Decision
        ``verdict``, 1, -1, 0 or 2 as of `decide_margin`, and ``votes`` at that look, or at
        the last one. One call costs little more than one look.

    Raises
    ------
    ValueError, TypeError
        As for `decide_counts`.
    """
    table = check_integer("looks", looks)
    if table.ndim != 2 or len(table) == 0:
        raise ValueError(f"looks of shape {table.shape} must have shape (T, m) with T >= 1 looks")
    if table.shape[1] < 2:
        raise ValueError(f"looks of shape {table.shape} must hold at least two classes")
    base = certificate_of_counts(
        table[0],
        sigma=sigma,
        alpha=alpha,
        y=y,
        selection=selection,
        bound="bonferroni",
        radius=radius,
        lipschitz=lipschitz,
    )
    return _decide(table, check_target(target_radius), base, horizon, futility)


class TargetQuestion(TypedDict):
    """What is asked of looks at votes: the arguments of `decide_looks`, but the votes."""

    target_radius: float
    sigma: float
    alpha: float
    y: NotRequired[int | None]
    radius: NotRequired[RadiusName]
    lipschitz: NotRequired[float | None]
    horizon: NotRequired[int]
    futility: NotRequired[float]


def first_decision(
    looks: npt.ArrayLike,
    *,
    selection: npt.ArrayLike | None = None,
    **question: Unpack[TargetQuestion],
) -> int | None:
    """Return the number, from 0, of the look at which `decide_looks` has a verdict, or None."""
    found = decide_looks(looks, selection=selection, **question)
    if found.verdict == Answer.UNDECIDED:
        return None
    return int(np.argmax(np.sum(looks, axis=1) == found.votes))


class _AnytimeOptions(TypedDict):
    """Options of `margin_sequence` and `decide_margin`."""

    estimand: MarginName
    weights: FloatArray | None
    prior: tuple[int, ...] | None


def _options(base: Certificate) -> _AnytimeOptions:
    """Return the options of the anytime bounds; a selection sample sharpens them."""
    selected = base.selection_counts
    weights = None if selected is None else weights_of_others(selected)
    return {"estimand": base.estimand, "weights": weights, "prior": selected}


def _decide(
    looks: npt.NDArray[np.int64],
    target: float,
    base: Certificate,
    horizon: int,
    futility: float,
) -> Decision:
    """Return the verdict on the target's margin from counts so far at each look."""
    above, below = target_margins(target, base)
    if base.estimand == "difference" and below >= 1.0:
        # No margin is above 1, and 1 itself cannot be shown.
        beyond = below > 1.0
        return Decision(
            np.int64(Answer.BELOW if beyond else Answer.UNDECIDED), looks[0 if beyond else -1].sum()
        )
    return decide_margin(
        looks,
        base.y,
        # A margin that nothing can reach stands for one beyond all.
        min(above, math.nextafter(1.0, 0.0) if base.estimand == "difference" else _LARGEST),
        share_of_alpha(base.alpha, DECISION_SHARE),
        below=below,
        horizon=horizon,
        futility=futility,
        **_options(base),
    )


def check_target(target_radius: float) -> float:
    """Return `target_radius` as float, or raise where it is not one positive finite number."""
    return check_scale("target_radius", target_radius)


def weights_of_others(selection: npt.ArrayLike) -> FloatArray:
    """Return weights of the other classes: their selection votes, and one vote shared by all."""
    votes = np.asarray(selection, dtype=np.float64)
    return votes + 1.0 / votes.size


def target_margins(target: float, base: Certificate) -> tuple[float, float]:
    """Return a margin of radius at least the target and one of less, 1e-14 apart.

    The first is infinite where nothing can show that it is reached: at a difference of 1 or
    beyond, and where the margin or its radius is beyond the float64 numbers. There, and where
    the radius of a margin of 1 is, the second may be much less, at least 0.
    """
    slope = _radius_of(1.0, base)
    if min(slope, target) < _LEAST_RADIUS:
        raise ValueError(
            f"target_radius={target:g} and the radius {slope:g} of a margin of 1 must both be at "
            f"least {_LEAST_RADIUS:g}: state sigma and the target in another unit"
        )
    above = below = min(target / slope, _LARGEST)
    if base.estimand == "difference" and above > 1.0 - 1e-13:
        return math.inf, below * (1.0 - 1e-14)
    # A few steps make up for rounding; where they do not, a radius has overflowed.
    for _ in range(_STEPS):
        if _radius_of(above, base) >= target:
            break
        above = math.nextafter(above, _LARGEST)
    else:
        above = math.inf
    for _ in range(_STEPS):
        if _radius_of(below, base) < target:
            break
        below = math.nextafter(below, 0.0)
    else:
        below = 0.0
    # Radii are rounded down, so the exact radius of `below` may still reach the target.
    return above, below * (1.0 - 1e-14)


def _radius_of(margin: float, base: Certificate) -> float:
    if base.radius_kind == "R1":
        return float(certified_radius_r1(margin, lipschitz=base.lipschitz, sigma=base.sigma))
    return float(certified_radius_r2(margin, base.sigma))
