"""Certificates from counts that were looked at while they came in.

The question is whether the radius is at least a target; the evidence is anytime-valid, so
sampling stops as soon as there is enough of it. `decide_counts` looks once more at counts so
far and needs no memory of earlier looks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_integer, share_of_alpha
from rsverify._core.text import number_text
from rsverify._core.types import DecisionName, FloatLike, RadiusName
from rsverify.bounds.margin_decision import Answer, Decision, decide_margin
from rsverify.certificates.abstention import Status
from rsverify.certificates.anytime import (
    DECISION_SHARE,
    DECISIONS,
    LARGEST,
    PLANNED_VOTES,
    anytime_claim,
    anytime_options,
    check_target,
    margin_stated,
    target_margins,
)
from rsverify.certificates.assumptions import warn_of_level, warn_of_selection
from rsverify.certificates.case import Case, Terms, case_of_counts, terms_given
from rsverify.certificates.certificate import Certificate
from rsverify.certificates.display import certificate_html, votes_of
from rsverify.certificates.parts import Evidence
from rsverify.certificates.several import (
    RadiiCertificate,
    are_several,
    check_targets,
    radii_decided,
    radii_stated,
)
from rsverify.noise import Noise, Norm

__all__ = ["EarlyCertificate", "decide_counts", "decide_looks"]


@dataclass(frozen=True, kw_only=True, repr=False)
class EarlyCertificate(Certificate):
    """A certificate whose sampling may stop at any time, and its answer about a target radius.

    Unpacks as ``prediction, radius`` like any other. ``n`` is the number of votes drawn.

    *Guarantee*: over the votes, however often and whenever they are looked at, the probability
    that any of this is ever stated and wrong is at most `alpha`: `decision` is "radius >=
    target" or "radius < target" and the radius that follows from the smoothed classifier's own
    margin, over the classes that are no `ignored` and no `top_others`, is on the other side (0.9
    alpha; for one classifier and input only one of the two errors is possible), or `radius` is
    larger than it (0.1 alpha beyond the target).
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
        text = f"{self.decision} {number_text(self.target_radius)} after {self.n} votes"
        if self.futile:
            text += " (more are unlikely to decide)"
        if self.status is not Status.CERTIFIED:
            return f"{text}; abstained ({self.status}): {self.reason}"
        return f"{text}; {self._certified(f'anytime bound, alpha={number_text(self.alpha)}')}"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        later = " (more votes are unlikely to decide)" if self.futile else ""
        asked = (
            f"is the radius at least {number_text(self.target_radius)}?",
            f"{self.decision}{later}",
        )
        promised = (
            f"Answer and radius are wrong with probability at most {number_text(self.alpha)}, "
            "whenever the sampling stopped, if the votes are independent."
        )
        return certificate_html(self, [asked, *votes_of(self)], promised)


@overload
def decide_counts(
    counts: npt.ArrayLike,
    *,
    target_radius: FloatLike,
    alpha: float,
    sigma: float | None = ...,
    noise: Noise | None = ...,
    norm: Norm | None = ...,
    dimension: int | None = ...,
    y: int | None = ...,
    selection: npt.ArrayLike | None = ...,
    ignore: Sequence[int] = ...,
    top_k: int = ...,
    radius: RadiusName = ...,
    lipschitz: float | None = ...,
    horizon: int = ...,
    futility: float = ...,
) -> EarlyCertificate: ...
@overload
def decide_counts(
    counts: npt.ArrayLike,
    *,
    target_radius: Sequence[float] | FloatArray,
    alpha: float,
    sigma: float | None = ...,
    noise: Noise | None = ...,
    norm: Norm | None = ...,
    dimension: int | None = ...,
    y: int | None = ...,
    selection: npt.ArrayLike | None = ...,
    ignore: Sequence[int] = ...,
    top_k: int = ...,
    radius: RadiusName = ...,
    lipschitz: float | None = ...,
    horizon: int = ...,
    futility: float = ...,
) -> RadiiCertificate: ...
def decide_counts(
    counts: npt.ArrayLike,
    *,
    target_radius: FloatLike | Sequence[float] | FloatArray,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    horizon: int = PLANNED_VOTES,
    futility: float = 0.0,
) -> EarlyCertificate | RadiiCertificate:
    r"""Return what the counts so far say about a target radius, at any time one likes to ask.

    Parameters
    ----------
    counts : array_like of int, shape (m,)
        Votes of m >= 2 classes so far, 1 to 10,000,000 in all.
    target_radius : float or sequence of float
        The radius in question, in input units, positive; or several, at most 100, which are
        decided at the one alpha. Whole numbers of changes in ℓ0 and edit distance.
    alpha, sigma, noise, norm, dimension, y, ignore, top_k, radius, lipschitz
        As for `certify_counts`.
    selection : array_like of int, shape (m,), optional
        Votes of a separate sample, as for `certify_counts`. They also sharpen the
        evidence, as `prior` and `weights` of `decide_margin`.
    horizon, futility
        How many votes are planned, and at which probability of a decision by then it is called
        futile: see `decide_margin`.

    Returns
    -------
    EarlyCertificate, or RadiiCertificate of several targets
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
    *Guarantee*: as `EarlyCertificate` or `RadiiCertificate`, for independent votes from the noise
    stated and a class fixed independently of them; for any number of calls on growing counts,
    all other arguments being the same at every call and fixed before the first. Calls with other
    targets are claims of their own, each wrong with probability alpha; targets given together are
    wrong with probability alpha in all.

    Examples
    --------
    >>> from rsverify.certificates.early import decide_counts
    >>> question = {"target_radius": 0.25, "sigma": 0.25, "alpha": 0.001, "y": 0}
    >>> decide_counts([95, 3, 2], **question).decision
    'undecided'
    >>> decide_counts([285, 9, 6], **question).decision
    'radius >= target'
    >>> decide_counts([285, 9, 6], **question | {"target_radius": [0.25, 0.45, 0.9]}).decisions
    ('radius >= target', 'undecided', 'radius < target')
    >>> refused = decide_counts([740, 250, 10], **question | {"ignore": [1]})
    >>> refused.decision, refused.ignored
    ('radius >= target', (1,))
    """
    question = target_question(target_radius, horizon, futility)
    terms = terms_given(
        alpha=alpha,
        sigma=sigma,
        noise=noise,
        norm=norm,
        dimension=dimension,
        y=y,
        ignore=ignore,
        top_k=top_k,
        radius=radius,
        lipschitz=lipschitz,
    )
    case = case_of_counts(counts, selection, terms)
    found = decision_stated(case, question)(case.evidence)
    warn_of_level(found.alpha)
    warn_of_selection(case.votes, case.selected)
    return found


class TargetQuestion(NamedTuple):
    """What is asked of looks at votes, checked."""

    targets: tuple[float, ...]
    """In rising order."""
    together: bool
    """Whether they were given as several, which decides the kind of certificate."""
    horizon: int
    futility: float


def target_question(
    target_radius: FloatLike | Sequence[float] | FloatArray, horizon: int, futility: float
) -> TargetQuestion:
    """Return the question of one target or several, or raise where they are none."""
    if are_several(target_radius):
        return TargetQuestion(check_targets(target_radius), True, horizon, futility)
    return TargetQuestion((check_target(target_radius),), False, horizon, futility)


def decision_stated(
    case: Case, question: TargetQuestion
) -> Callable[[Evidence], EarlyCertificate | RadiiCertificate]:
    """Return what votes say about the targets, without warnings: they are said once for many."""
    targets, together, horizon, futility = question
    if together:
        return radii_stated(case, targets, horizon, futility)
    answer = Answer(int(_decide(case.votes[np.newaxis], case, question).verdict))
    margin = margin_stated(case)
    if answer is Answer.AT_LEAST:
        margin = max(margin, target_margins(targets[0], case.threat)[0])
    return partial(
        EarlyCertificate,
        anytime_claim(case, margin),
        target_radius=targets[0],
        decision=DECISIONS[answer],
        futile=answer is Answer.FUTILE,
    )


def decide_looks(
    looks: npt.ArrayLike,
    *,
    target_radius: FloatLike | Sequence[float] | FloatArray,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
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
    target_radius, alpha, sigma, noise, norm, dimension, y, selection, ignore, top_k
        As for `decide_counts`.
    radius, lipschitz, horizon, futility
        As for `decide_counts`.

    Returns
    -------
    Decision
        ``verdict``, 1, -1, 0 or 2 as of `decide_margin`, of several targets one each in rising
        order, and ``votes`` at that look, or at the last one. One call costs little more than
        one look.

    Raises
    ------
    ValueError, TypeError
        As for `decide_counts`.
    """
    question = target_question(target_radius, horizon, futility)
    terms = terms_given(
        alpha=alpha,
        sigma=sigma,
        noise=noise,
        norm=norm,
        dimension=dimension,
        y=y,
        ignore=ignore,
        top_k=top_k,
        radius=radius,
        lipschitz=lipschitz,
    )
    return decision_at_looks(looks, selection, terms, question)


def decision_at_looks(
    looks: npt.ArrayLike, selection: npt.ArrayLike | None, terms: Terms, question: TargetQuestion
) -> Decision:
    """Return what `decide_looks` does, of a question put before."""
    table = check_integer("looks", looks)
    if table.ndim != 2 or len(table) == 0:
        raise ValueError(f"looks of shape {table.shape} must have shape (T, m) with T >= 1 looks")
    if table.shape[1] < 2:
        raise ValueError(f"looks of shape {table.shape} must hold at least two classes")
    return _decide(table, case_of_counts(table[0], selection, terms), question)


def first_decision(
    looks: npt.ArrayLike, selection: npt.ArrayLike | None, terms: Terms, question: TargetQuestion
) -> int | None:
    """Return the number, from 0, of the look at which all targets are decided, or None."""
    found = decision_at_looks(looks, selection, terms, question)
    if (np.asarray(found.verdict) == Answer.UNDECIDED).any():
        return None
    return int(np.argmax(np.sum(looks, axis=1) == found.votes))


def _decide(looks: npt.NDArray[np.int64], case: Case, question: TargetQuestion) -> Decision:
    """Return the verdict on the targets' margins from counts so far at each look."""
    targets, together, horizon, futility = question
    if together:
        return radii_decided(looks, targets, case, horizon, futility)
    above, below = target_margins(targets[0], case.threat)
    of_difference = case.threat.estimand == "difference"
    if of_difference and below >= 1.0:
        # No margin is above 1, and 1 itself cannot be shown.
        beyond = below > 1.0
        return Decision(
            np.int64(Answer.BELOW if beyond else Answer.UNDECIDED), looks[0 if beyond else -1].sum()
        )
    return decide_margin(
        looks,
        case.y,
        # A margin that nothing can reach stands for one beyond all.
        min(above, math.nextafter(1.0, 0.0) if of_difference else LARGEST),
        share_of_alpha(case.terms.level, DECISION_SHARE),
        below=below,
        horizon=horizon,
        futility=futility,
        **anytime_options(case),
    )
