"""Votes of one input, checked, with what was fixed before they were seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy.typing as npt

from rsverify._core.check import (
    IntArray,
    check_ignored,
    check_integer,
    check_level,
    check_number,
    check_size,
)
from rsverify._core.types import OrderingName, RadiusName
from rsverify.bounds.margin import Taylor
from rsverify.certificates.abstention import Status
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.margins import check_counts, level_of_bound
from rsverify.certificates.parts import Claim, Evidence, evidence_of
from rsverify.certificates.threat import Threat, check_threat, others_first
from rsverify.noise import Noise, Norm


class Terms(NamedTuple):
    """What is fixed before any vote of the estimation sample is seen."""

    threat: Threat
    alpha: float
    """Total failure probability."""
    level: float
    """What of it a bound may spend."""
    noise_excess: float
    """What of it the noise's own error has."""
    y: int | None
    """The class to certify; None where the selection sample chooses it."""
    ignore: Sequence[int]
    """Classes that are no runner-up."""
    top_k: int
    """Among how many most probable classes the class is certified to be."""


def terms_of(
    threat: Threat,
    *,
    alpha: float,
    y: int | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    noise_excess: float | None = None,
) -> Terms:
    """Return the terms, the level checked; the noise's own error is the threat's unless given."""
    total = check_level(alpha)
    excess = threat.noise.excess if noise_excess is None else noise_excess
    return Terms(threat, total, float(level_of_bound(total, excess)), excess, y, ignore, top_k)


def terms_given(
    *,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    y: int | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
) -> Terms:
    """Return the terms of arguments as `certify_counts` has them, or raise."""
    threat = check_threat(
        sigma=sigma,
        noise=noise,
        norm=norm,
        dimension=dimension,
        radius=radius,
        lipschitz=lipschitz,
    )
    return terms_of(threat, alpha=alpha, y=y, ignore=ignore, top_k=top_k)


class Case(NamedTuple):
    """Checked votes of one input under terms."""

    terms: Terms
    votes: IntArray
    """Of the estimation sample, shape (m,)."""
    selected: IntArray | None
    """Of the selection sample, shape (m,)."""
    y: int
    """The class to certify."""
    ignored: tuple[int, ...]
    """Classes that are no runner-up."""
    ahead: tuple[int, ...]
    """Classes that may be ahead of it."""

    @property
    def threat(self) -> Threat:
        """What is claimed against."""
        return self.terms.threat

    @property
    def left_out(self) -> tuple[int, ...]:
        """All other classes that are no runner-up."""
        return (*self.ignored, *self.ahead)

    @property
    def evidence(self) -> Evidence:
        """The votes, of which nothing else is known."""
        return evidence_of(self.votes, self.selected)

    def claim(
        self,
        margin: float,
        status: Status,
        reason: str,
        *,
        bound: str,
        ordering: OrderingName | Taylor | None = None,
    ) -> Claim:
        """Return what is claimed where this is the lower limit of the margin."""
        threat = self.threat
        return Claim(
            prediction=self.y if status is Status.CERTIFIED else ABSTAIN,
            radius=float(threat.radius(margin)),
            status=status,
            reason=reason,
            y=self.y,
            alpha=self.terms.alpha,
            bound=bound,
            ordering=ordering,
            radius_kind=threat.kind,
            estimand=threat.estimand,
            margin=margin,
            sigma=math.nan if threat.sigma is None else threat.sigma,
            lipschitz=threat.lipschitz,
            noise=None if threat.is_plain and not threat.noise.excess else threat.noise,
            norm=threat.norm,
            dimension=threat.dimension,
            ignored=self.ignored,
            top_k=len(self.ahead) + 1,
            top_others=self.ahead,
            noise_excess=self.terms.noise_excess,
        )


def case_of_counts(counts: npt.ArrayLike, selection: npt.ArrayLike | None, terms: Terms) -> Case:
    """Return votes under terms, all checked, or raise."""
    votes = check_counts("counts", counts, ndim=1)
    selected = None if selection is None else check_counts("selection", selection, ndim=1)
    return Case(terms, votes, selected, *_classes(votes, selected, terms))


def _classes(
    votes: IntArray, selected: IntArray | None, terms: Terms
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Return the class to certify, those that are no runner-up, and those that may be ahead."""
    ignored = check_ignored(terms.ignore, votes.size)
    size = check_size("top_k", terms.top_k, 1, votes.size - 1)
    if selected is not None and selected.shape != votes.shape:
        raise ValueError(
            f"selection of shape {selected.shape} must have the shape of counts {votes.shape}"
        )
    label = _certified_class(votes, terms.y, selected, ignored, both=size > 1)
    if label in ignored:
        raise ValueError(f"y={label} must not be one of ignore={ignored}")
    if len(ignored) + size >= votes.size:
        raise ValueError(
            f"ignore={ignored} and top_k={size} must leave a runner-up of the {votes.size} classes"
        )
    return label, ignored, others_first(selected, label, size, ignored)


def _certified_class(
    votes: IntArray,
    y: int | None,
    selection: IntArray | None,
    ignored: tuple[int, ...],
    *,
    both: bool,
) -> int:
    """Return the class to certify, from one of its two sources, or of `both` from y."""
    if y is None and selection is None:
        raise ValueError(
            "y=None and selection=None: one must be given, as the guarantee holds for a class "
            "that is fixed before counts are seen, not for the winner of the same counts"
        )
    if y is None:
        assert selection is not None, "one of the two is given"
        allowed = selection.copy()
        allowed[list(ignored)] = -1
        return int(allowed.argmax())
    if selection is not None and not both:
        raise ValueError(f"y={y} and selection are both given: only one may choose the class")
    label = int(check_number("y", check_integer("y", y)))
    if not 0 <= label < votes.size:
        raise ValueError(f"y={label} must be a class between 0 and {votes.size - 1}")
    return label
