"""Certificates that say of several target radii at once whether the radius reaches them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeGuard

import numpy as np

from rsverify._core.check import FloatArray, IntArray, check_positive, share_of_alpha, shown
from rsverify._core.types import DecisionName
from rsverify.bounds.margin_decision import Answer, Decision
from rsverify.bounds.margin_partition import decide_margins
from rsverify.certificates.abstention import Status
from rsverify.certificates.anytime import (
    DECISION_SHARE,
    DECISIONS,
    LARGEST,
    anytime_claim,
    anytime_options,
    margin_stated,
    target_margins,
)
from rsverify.certificates.case import Case
from rsverify.certificates.certificate import Certificate
from rsverify.certificates.parts import Evidence

__all__ = ["RadiiCertificate"]

_APART = 1e-9
MOST_TARGETS = 100
"""So many targets are decided in a time that forward passes outweigh."""


@dataclass(frozen=True, kw_only=True, repr=False)
class RadiiCertificate(Certificate):
    """A certificate whose sampling may stop at any time, and its answers about several radii.

    Unpacks as ``prediction, radius`` like any other. ``n`` is the number of votes drawn.

    *Guarantee*: over the votes, however often and whenever they are looked at, the probability
    that any of this is ever stated and wrong is at most `alpha`: one of the `decisions` is "radius
    >= target" or "radius < target" and the radius that follows from the smoothed classifier's own
    margin, over the classes that are no `ignored` and no `top_others`, is on the other side (0.9
    alpha for all of them together), or `radius` is larger than it (0.1 alpha
    beyond the targets that are reached).
    """

    target_radii: tuple[float, ...]
    """The radii in question, in input units, rising."""
    decisions: tuple[DecisionName, ...]
    """Of each ``"radius >= target"``, ``"radius < target"`` or ``"undecided"``."""
    futile: tuple[bool, ...]
    """Of each whether it is undecided and unlikely to be decided by the votes planned."""

    def __str__(self) -> str:
        pairs = zip(self.target_radii, self.decisions, strict=True)
        text = ", ".join(
            f"undecided at {r:g}" if d == "undecided" else d.replace("target", f"{r:g}")
            for r, d in pairs
        )
        text += f" after {self.n} votes"
        if self.status is not Status.CERTIFIED:
            return f"{text}; abstained ({self.status}): {self.reason}"
        return f"{text}; {self._certified(f'anytime bound, alpha={self.alpha:g}')}"


def are_several(targets: object) -> TypeGuard[Sequence[float] | FloatArray]:
    """Return whether targets were given together, and not as one number."""
    dimensions = getattr(targets, "ndim", None)  # of an array of any package
    if isinstance(dimensions, int):
        return dimensions > 0
    return isinstance(targets, Sequence) and not isinstance(targets, str | bytes)


def check_targets(targets: Sequence[float] | FloatArray) -> tuple[float, ...]:
    """Return target radii in rising order, or raise where they are not different ones."""
    radii = check_positive("target_radius", targets)
    if radii.ndim != 1 or not 1 <= radii.size <= MOST_TARGETS:
        raise ValueError(
            f"target_radius of shape {radii.shape} must be one number or a list of 1 to "
            f"{MOST_TARGETS} of them"
        )
    rising = np.sort(radii)
    if (np.diff(rising) <= _APART * rising[1:]).any():
        raise ValueError(f"target_radius={shown(targets)} must hold numbers that differ")
    return tuple(rising.tolist())


def radii_decided(
    looks: IntArray, targets: tuple[float, ...], case: Case, horizon: int, futility: float
) -> Decision:
    """Return the verdict on each target at the first look at which none is open, or at the last."""
    above, below = np.array([target_margins(r, case.threat) for r in targets]).T
    verdict = np.full(len(targets), int(Answer.UNDECIDED))
    asked = np.ones(len(targets), dtype=bool)
    largest = LARGEST
    if case.threat.estimand == "difference":
        # No margin is above 1, and 1 itself cannot be shown.
        largest = math.nextafter(1.0, 0.0)
        verdict[below > 1.0], asked = Answer.BELOW, below < 1.0
    last = bool((verdict[~asked] == Answer.UNDECIDED).any())
    if not asked.any():
        return Decision(verdict, looks[-1 if last else 0].sum())
    thresholds = np.minimum(above[asked], largest)
    if (np.diff(thresholds) <= 0).any():
        raise ValueError(
            f"target_radius={shown(targets)} must be in a unit in which noise="
            f"{case.threat.noise} is of their size"
        )
    found = decide_margins(
        looks[-1:] if last else looks,
        case.y,
        thresholds,
        share_of_alpha(case.terms.level, DECISION_SHARE),
        below=below[asked],
        horizon=horizon,
        futility=futility,
        **anytime_options(case),
    )
    verdict[asked] = found.verdict
    return Decision(verdict, found.votes)


def radii_stated(
    case: Case, targets: tuple[float, ...], horizon: int, futility: float
) -> Callable[[Evidence], RadiiCertificate]:
    """Return what votes say about the targets."""
    look = case.votes[np.newaxis]
    verdict = np.asarray(radii_decided(look, targets, case, horizon, futility).verdict)
    answers = [Answer(int(v)) for v in verdict]
    margin = margin_stated(case)
    for target, answer in zip(targets, answers, strict=True):
        if answer is Answer.AT_LEAST:
            margin = max(margin, target_margins(target, case.threat)[0])
    return partial(
        RadiiCertificate,
        anytime_claim(case, margin),
        target_radii=targets,
        decisions=tuple(DECISIONS[answer] for answer in answers),
        futile=tuple(answer is Answer.FUTILE for answer in answers),
    )
