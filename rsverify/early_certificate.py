"""Certificates from counts that were looked at while they came in.

The question is whether the radius is at least a target; the evidence is anytime-valid, so
sampling stops as soon as there is enough of it. `decide_counts` looks once more at counts so
far and needs no memory of earlier looks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from rsverify._check import FloatArray, IntArray, check_positive
from rsverify.abstention import Status
from rsverify.bounds.anytime_counts import AT_LEAST, BELOW, decide_margin, margin_sequence
from rsverify.bounds.anytime_counts import UNDECIDED as UNDECIDED_MARGIN
from rsverify.certificate import ABSTAIN, Certificate, certify_counts
from rsverify.radius import certified_radius_r1, certified_radius_r2, round_down_digits

AT_LEAST_TARGET = "radius >= target"
BELOW_TARGET = "radius < target"
UNDECIDED = "undecided"


class Options(TypedDict):
    """What the anytime bounds take beside counts, class, threshold and level."""

    estimand: str
    weights: FloatArray | None
    prior: tuple[int, ...] | None


@dataclass(frozen=True, kw_only=True)
class EarlyCertificate(Certificate):
    """A certificate whose sampling may stop at any time, and its answer about a target radius.

    Unpacks as ``prediction, radius`` like any other. ``n`` is the number of votes drawn.

    *Guarantee*: over the votes, however often and whenever they are looked at, the chance
    that `decision` is ever "radius >= target", or `radius` is ever stated, while the
    smoothed classifier's own radius R1 or R2 is less, is at most `alpha`. The chance of
    "radius < target" while it is at least the target is at most `alpha` too. For one
    classifier and input only one of the two errors about the target is possible.
    """

    target_radius: float
    """The radius in question, in input units."""
    decision: str
    """``"radius >= target"``, ``"radius < target"`` or ``"undecided"``."""

    def __str__(self) -> str:
        text = f"{self.decision} {self.target_radius:g} after {self.n} votes"
        if self.status is not Status.CERTIFIED:
            return f"{text}; abstained ({self.status}): {self.reason}"
        return (
            f"{text}; class {self.prediction} within radius "
            f"{round_down_digits(self.radius, 4)} ({self.radius_kind}, anytime bound, "
            f"alpha={self.alpha:g}, sigma={self.sigma:g})"
        )


def decide_counts(
    counts: npt.ArrayLike,
    *,
    target_radius: float,
    sigma: float,
    alpha: float,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    radius: str = "R2",
    lipschitz: float | None = None,
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
        evidence, as `prior` and `weights` of `margin_sequence`.

    Returns
    -------
    EarlyCertificate
        Its `radius` is from the anytime lower limit of the margin at these counts.

    Raises
    ------
    ValueError, TypeError
        As for `certify_counts`, and if `target_radius` is not positive and finite.

    Notes
    -----
    *Guarantee*: as `EarlyCertificate`, for independent votes from noise N(0, σ²I) and a class
    fixed independently of them; for any number of calls on growing counts.

    Examples
    --------
    >>> from rsverify.early_certificate import decide_counts
    >>> question = {"target_radius": 0.25, "sigma": 0.25, "alpha": 0.001, "y": 0}
    >>> decide_counts([95, 3, 2], **question).decision
    'undecided'
    >>> decide_counts([285, 9, 6], **question).decision
    'radius >= target'
    """
    target = check_target(target_radius)
    # Checks all arguments, picks the class and explains an abstention.
    base = certify_counts(
        counts,
        sigma=sigma,
        alpha=alpha,
        y=y,
        selection=selection,
        bound="bonferroni",
        radius=radius,
        lipschitz=lipschitz,
    )
    options = _options(base)
    path = np.array([base.counts])
    limits = margin_sequence(path, base.y, base.alpha, **options)
    margin = float(np.max(limits.lower))
    above, below = target_margins(target, base)
    decision = UNDECIDED
    if _verdicts(path, above, base, options) == AT_LEAST:
        decision, margin = AT_LEAST_TARGET, max(margin, above)
    elif _verdicts(path, below, base, options) == BELOW:
        decision = BELOW_TARGET
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
        decision=decision,
    )


def check_target(target_radius: float) -> float:
    """Return `target_radius` as float, or raise where it is not one positive finite number."""
    target = check_positive("target_radius", target_radius)
    if target.ndim:
        raise ValueError(f"target_radius of shape {target.shape} must be a single number")
    return float(target)


def rival_weights(selection: npt.ArrayLike) -> FloatArray:
    """Return weights of the rivals: their selection votes, and one vote shared by all."""
    votes = np.asarray(selection, dtype=np.float64)
    return votes + 1.0 / votes.size


def target_margins(target: float, base: Certificate) -> tuple[float, float]:
    """Return a margin of radius at least the target and one of less, 1e-14 apart."""
    slope = _radius_of(1.0, base)
    above = below = target / slope
    if base.estimand == "difference" and above > 1.0 - 1e-13:
        # At a margin of 1 or beyond: nothing can show that it is reached.
        return math.inf, below * (1.0 - 1e-14)
    while _radius_of(above, base) < target:
        above = math.nextafter(above, math.inf)
    while _radius_of(below, base) >= target:
        below = math.nextafter(below, -math.inf)
    # Radii are rounded down, so the exact radius of `below` may still reach the target.
    return above, below * (1.0 - 1e-14)


def first_decision(
    looks: npt.ArrayLike,
    *,
    target_radius: float,
    sigma: float,
    alpha: float,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    radius: str = "R2",
    lipschitz: float | None = None,
) -> int | None:
    """Return the number of the first of several looks at which `decide_counts` decides.

    Parameters
    ----------
    looks : array_like of int, shape (T, m)
        Counts at each of T >= 1 looks.
    target_radius, sigma, alpha, y, selection, radius, lipschitz
        As for `decide_counts`.

    Returns
    -------
    int or None
        From 0; None where none of them decides. One call costs little more than one look.
    """
    table = np.asarray(looks)
    base = certify_counts(
        table[0],
        sigma=sigma,
        alpha=alpha,
        y=y,
        selection=selection,
        bound="bonferroni",
        radius=radius,
        lipschitz=lipschitz,
    )
    options = _options(base)
    above, below = target_margins(target_radius, base)
    paths = table[:, np.newaxis, :]  # each look on its own, as `decide_counts` takes it
    decided = (_verdicts(paths, above, base, options) == AT_LEAST) | (
        _verdicts(paths, below, base, options) == BELOW
    )
    return int(decided.argmax()) if decided.any() else None


def _options(base: Certificate) -> Options:
    """Return the options of the anytime bounds; a selection sample sharpens them."""
    selected = base.selection_counts
    weights = None if selected is None else rival_weights(selected)
    return {"estimand": base.estimand, "weights": weights, "prior": selected}


def _verdicts(paths: IntArray, margin: float, base: Certificate, options: Options) -> IntArray:
    """Return the verdict on `margin` of each path, shape (..., T, m), in the shape (...)."""
    if base.estimand == "difference" and margin >= 1.0:
        known = BELOW if 1.0 < margin < math.inf else UNDECIDED_MARGIN
        return np.full(paths.shape[:-2], known, dtype=np.int64)
    return np.asarray(decide_margin(paths, base.y, margin, base.alpha, **options).verdict)


def _radius_of(margin: float, base: Certificate) -> float:
    if base.radius_kind == "R1":
        return float(certified_radius_r1(margin, lipschitz=base.lipschitz, sigma=base.sigma))
    return float(certified_radius_r2(margin, base.sigma))
