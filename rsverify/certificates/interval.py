"""Certificates with both ends of the radius: sampling stops when it is known within a width."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import check_fraction, check_integer, check_scale, check_single
from rsverify._core.text import complement_text
from rsverify._core.types import RadiusName
from rsverify.bounds.margin_sequence import margin_sequence
from rsverify.certificates.abstention import Status
from rsverify.certificates.anytime import anytime_claim, anytime_options, radius_of
from rsverify.certificates.assumptions import warn_of_level, warn_of_selection
from rsverify.certificates.case import Case, Terms, case_of_counts, terms_given
from rsverify.certificates.certificate import Certificate
from rsverify.certificates.display import certificate_html, limit_text, votes_of
from rsverify.certificates.parts import Evidence
from rsverify.certificates.radius import round_down_digits
from rsverify.certificates.threat import Threat
from rsverify.noise import Noise, Norm

__all__ = ["IntervalCertificate", "radius_interval_counts"]

# A radius is below the exact one by a relative 6e-15 at most.
_ROUNDED = 1.0 + 8e-15
_LARGER = 1.0 + 3e-14  # a whole number is exact for a margin that is larger by this


class Precision(NamedTuple):
    """How well a radius is to be known: one of the two is a number."""

    absolute: float | None = None
    relative: float | None = None


@dataclass(frozen=True, kw_only=True, repr=False)
class IntervalCertificate(Certificate):
    """A certificate whose sampling may stop at any time, with both ends of the radius.

    Unpacks as ``prediction, radius`` like any other. ``n`` is the number of votes drawn.

    *Guarantee*: over the votes, however often and whenever they are looked at, the radius that
    follows from the smoothed classifier's own margin, over the classes that are no `ignored` and
    no `top_others` (0 where that is not positive), lies from `radius` to `radius_upper` at every
    look with probability at least 1 − `alpha`; half of alpha is spent on each side.
    """

    radius_upper: float
    """The upper end of the radius, in input units, rounded up; infinity is possible."""
    margin_upper: float
    """The upper confidence limit of the margin; infinity is possible."""
    precision: float | None
    """The width that was asked for, in input units."""
    relative_precision: float | None
    """The share of the upper end that was asked for."""
    precise: bool
    """Whether the ends are as close as was asked for."""

    def to_dict(self) -> dict[str, object]:
        """Return all fields as JSON types; what is infinite, which JSON lacks, becomes None."""
        fields = super().to_dict()
        for name in ("radius_upper", "margin_upper"):
            value: float = getattr(self, name)
            fields[name] = value if math.isfinite(value) else None
        return fields

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        promised = (
            "The classifier's own radius is between the two ends, whenever one looked, with "
            f"probability at least {complement_text(self.alpha)}, if the votes are independent."
        )
        upper = ("upper end of the radius", limit_text(self.radius_upper, upper=True))
        return certificate_html(self, votes_of(self), promised, [upper])

    def __str__(self) -> str:
        upper = "∞" if math.isinf(self.radius_upper) else f"{self.radius_upper:.4f}"
        ends = f"{round_down_digits(self.radius, 4)} to {upper}"
        if self.noise is not None and self.noise.integer:
            ends = f"{self.radius:.0f} to {self.radius_upper:.0f} changes"
        text = f"radius {ends}{self._in_norm()} after {self.n} votes"
        if self.status is not Status.CERTIFIED:
            return f"{text}; abstained ({self.status}): {self.reason}"
        made = self._made(f"anytime bounds, alpha={self.alpha:g}")
        return f"class {self.prediction}{self._among()}, {text} ({made})".replace(",,", ",")


def radius_interval_counts(
    counts: npt.ArrayLike,
    *,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    precision: float | None = None,
    relative_precision: float | None = None,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
) -> IntervalCertificate:
    r"""Return both ends of the radius that the counts so far leave, at any time one likes to ask.

    Parameters
    ----------
    counts : array_like of int, shape (m,)
        Votes of m >= 2 classes so far, 1 to 10,000,000 in all.
    alpha, sigma, noise, norm, dimension, y, ignore, top_k, radius, lipschitz
        As for `certify_counts`.
    precision : float, optional
        `precise` says whether upper less lower end is at most this, in input units.
    relative_precision : float, optional
        `precise` says whether the lower end is at least 1 less this share of the upper one. In
        (0, 1); one of the two at most is given.
    selection : array_like of int, shape (m,), optional
        Votes of a separate sample, as for `certify_counts`. They also sharpen the
        evidence, as `prior` and `weights` of `margin_sequence`.

    Returns
    -------
    IntervalCertificate

    Raises
    ------
    ValueError, TypeError
        As for `certify_counts`, and if a precision is out of its range or both are given.

    Notes
    -----
    *Guarantee*: as `IntervalCertificate`, for independent votes from the noise stated and a class
    fixed independently of them; for any number of calls on growing counts, all other arguments
    being the same at every call and fixed before the first.

    Examples
    --------
    >>> from rsverify.certificates.interval import radius_interval_counts
    >>> question = {"sigma": 0.25, "alpha": 0.001, "precision": 0.05, "y": 0}
    >>> for counts in ([285, 9, 6], [9500, 300, 200]):
    ...     print(radius_interval_counts(counts, **question))
    class 0, radius 0.2928 to 0.6254 after 300 votes (R2, anytime bounds, alpha=0.001, sigma=0.25)
    class 0, radius 0.4098 to 0.4735 after 10000 votes (R2, anytime bounds, alpha=0.001, sigma=0.25)
    """
    wanted = check_precision(precision, relative_precision)
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
    found = interval_stated(case, wanted)(case.evidence)
    warn_of_level(found.alpha)
    warn_of_selection(case.votes, case.selected)
    return found


def check_precision(precision: object, relative_precision: object) -> Precision:
    """Return a precision, or raise where it is out of its range or there are two."""
    absolute = relative = None
    if precision is not None:
        absolute = check_scale("precision", precision)  # type: ignore[arg-type]
    if relative_precision is not None:
        share = check_fraction("relative_precision", relative_precision)  # type: ignore[arg-type]
        check_single("relative_precision", share)
        relative = float(share)
    if absolute is not None and relative is not None:
        raise ValueError(
            f"precision={absolute:g} must be None where relative_precision={relative:g} is given: "
            "give one of them"
        )
    return Precision(absolute, relative)


def interval_stated(case: Case, wanted: Precision) -> Callable[[Evidence], IntervalCertificate]:
    """Return both ends of the radius from votes, without warnings: they are said once for many."""
    look = case.votes[np.newaxis]
    limits = margin_sequence(look, case.y, case.terms.level, **anytime_options(case))
    lower, upper = float(np.max(limits.lower)), float(np.min(limits.upper))
    claim, top = anytime_claim(case, lower), _radius_upper(upper, case.threat)
    return partial(
        IntervalCertificate,
        claim,
        radius_upper=top,
        margin_upper=upper,
        precision=wanted.absolute,
        relative_precision=wanted.relative,
        precise=_is_precise(claim.radius, top, wanted),
    )


def first_precise(
    looks: npt.ArrayLike, selection: npt.ArrayLike | None, terms: Terms, wanted: Precision
) -> int | None:
    """Return the number, from 0, of the first look at which the radius is known so well."""
    table = check_integer("looks", looks)
    case = case_of_counts(table[0], selection, terms)
    # Each look is one of its own: what it says must follow from its counts alone.
    limits = margin_sequence(
        table[:, np.newaxis], case.y, case.terms.level, **anytime_options(case)
    )
    for t, (lower, upper) in enumerate(
        zip(np.ravel(limits.lower), np.ravel(limits.upper), strict=True)
    ):
        bottom = radius_of(float(lower), case.threat) if lower > 0 else 0.0
        if _is_precise(bottom, _radius_upper(float(upper), case.threat), wanted):
            return t
    return None


def _is_precise(lower: float, upper: float, wanted: Precision) -> bool:
    if wanted.absolute is not None:
        return upper - lower <= wanted.absolute
    if wanted.relative is not None:
        return lower >= (1.0 - wanted.relative) * upper
    return False


def _radius_upper(margin: float, threat: Threat) -> float:
    """Return the radius of a margin, rounded up."""
    if margin <= 0.0:
        return 0.0
    if math.isinf(margin):
        return math.inf
    if threat.noise.integer:
        return radius_of(min(1.0, margin * _LARGER), threat)
    rounded = radius_of(margin, threat)
    return max(math.nextafter(rounded * _ROUNDED, math.inf), sys.float_info.min)
