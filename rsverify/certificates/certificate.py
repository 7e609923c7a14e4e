"""From vote counts to a certificate: a class and a radius, or an abstention with its reason.

The class is fixed before the counts are seen; the runner-up is read off the counts. Every
bound B(x_1, x_2) used here is nonincreasing in the runner-up's votes x_2, and the most
voted other class has at least as many votes as the truly most probable other class, so
B(x_y, max of the others) is at most the bound at the true runner-up and holds with the same
confidence, with no correction for the number of classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import get_args

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_broadcast,
    check_choice,
    check_integer,
    check_level,
    check_number,
    check_real,
    check_size,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.types import MarginName, OrderingName, RadiusName, VoteBoundName
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import (
    Taylor,
    bonferroni_margin_lower,
    cohen_margin_lower,
    exact_margin_lower,
)
from rsverify.certificates.abstention import Status, why_abstain
from rsverify.certificates.assumptions import warn_of_level, warn_of_selection
from rsverify.certificates.display import certificate_html, guarantee_of, votes_of
from rsverify.certificates.radius import ESTIMANDS, round_down_digits
from rsverify.certificates.threat import check_ignored, check_threat, others_first
from rsverify.noise import Noise, Norm

__all__ = ["ABSTAIN", "Certificate", "certify_counts", "margin_lower_bounds"]

ABSTAIN = -1
"""The prediction of a certificate that certifies nothing."""

BOUNDS: tuple[VoteBoundName, ...] = get_args(VoteBoundName)
DEFAULT_ORDERING: OrderingName = "likelihood-ratio"


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certified prediction, or an abstention, with everything that produced it.

    Unpacks as ``prediction, radius``. Two certificates are equal if all but `seconds` agree.

    *Guarantee*: over the random draw of `counts`, the probability that the certificate
    states a radius within which the smoothed classifier does not always predict
    `prediction` is at most `alpha`. It assumes independent votes and a class `y` that was
    fixed before `counts` were drawn.
    """

    prediction: int
    """The certified class, or `ABSTAIN` (−1)."""
    radius: float
    """Certified ℓ2 radius in input units, rounded down; 0 on abstention."""
    status: Status
    """Whether it certifies, or which kind of reason it has to abstain."""
    reason: str
    """On abstention: the cause and what to change; else empty."""
    y: int
    """The class that was put to the test."""
    counts: tuple[int, ...]
    """Votes of the estimation sample, one number a class."""
    selection_counts: tuple[int, ...] | None
    """Votes of the selection sample that chose `y`; None where `y` was given."""
    n: int
    """Size of the estimation sample."""
    n0: int
    """Size of the selection sample; 0 where `y` was given."""
    alpha: float
    """Total failure probability."""
    bound: str
    """``"exact"``, ``"bonferroni"``, ``"cohen"``, or the name of a caller's bound."""
    ordering: OrderingName | Taylor | None
    """Ordering of the exact bound; None for the others."""
    radius_kind: RadiusName
    """``"R1"`` or ``"R2"``."""
    estimand: MarginName
    """What `margin` bounds: ``"difference"``, ``"probit"`` or ``"laplace"``."""
    margin: float
    """The lower confidence limit of the margin; −∞ is possible."""
    sigma: float
    """Standard deviation of Gaussian noise in input units; NaN for other noise."""
    lipschitz: float | None
    """The Lipschitz constant given for R1, if any."""
    noise: Noise | None = None
    """The noise of the votes, where it is not N(0, sigma²) or the norm is not ℓ2; else None."""
    norm: Norm = "l2"
    """In which `radius` is measured."""
    dimension: int | None = None
    """How many numbers each input has, where the norm needs it."""
    ignored: tuple[int, ...] = ()
    """Classes that were no runner-up, fixed beforehand."""
    top_k: int = 1
    """`prediction` is certified to be among so many most probable classes."""
    top_others: tuple[int, ...] = ()
    """The top_k − 1 classes, chosen by the selection sample, that may be ahead of it."""
    noise_excess: float = 0.0
    """What the noise's own error adds to the failure probability: it is part of `alpha`, and
    the bound had the rest. 0 but for discrete noise."""
    seed: int | tuple[int, ...] | None = None
    """What the noise was drawn from; None where the counts were given."""
    seconds: float | None = field(default=None, compare=False)
    """Time taken by sampling and bounding; None where the counts were given."""
    probed: str = field(default="", compare=False)
    """What was checked of the model before its votes counted; empty where the counts were given,
    as nothing is then known of the model."""

    def __iter__(self) -> Iterator[int | float]:
        return iter((self.prediction, self.radius))

    def __str__(self) -> str:
        if self.status is not Status.CERTIFIED:
            return f"abstained ({self.status}): {self.reason}"
        made = f"{self.bound} bound, {self.counts[self.y]} of {self.n} votes, alpha={self.alpha:g}"
        if self.noise is None:
            where = (
                f"within radius {round_down_digits(self.radius, 4)} ({self.radius_kind}, {made}, "
            )
            return f"class {self.prediction}{self._among()} {where}sigma={self.sigma:g})"
        where = f"within {round_down_digits(self.radius, 4)} in {self.norm}"
        if self.noise.integer:
            where = f"for up to {self.radius:.0f} changes in {self.norm}"
        return f"class {self.prediction}{self._among()} {where} ({made}, {self.noise})"

    def _among(self) -> str:
        """Return what is certified of the class, where that is not that it is ahead of all."""
        text = f" among the {self.top_k} most probable" if self.top_k > 1 else ""
        if self.ignored:
            text += f", class {', '.join(map(str, self.ignored))} ignored,"
        return text

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return certificate_html(self, votes_of(self), guarantee_of(self))

    def to_dict(self) -> dict[str, object]:
        """Return all fields as JSON types; what is not finite, which JSON lacks, becomes None."""
        fields: dict[str, object] = asdict(self)
        fields["status"] = str(self.status)
        for name in ("margin", "sigma"):
            fields[name] = fields[name] if math.isfinite(getattr(self, name)) else None
        fields["noise"] = None if self.noise is None else str(self.noise)
        fields["norm"] = str(self.norm)
        for name in ("counts", "selection_counts", "seed", "ignored", "top_others"):
            if isinstance(value := fields[name], tuple):
                fields[name] = list(value)
        return fields


def level_of_bound(alpha: npt.ArrayLike, noise_excess: npt.ArrayLike) -> FloatArray:
    """Return what total levels leave to a bound once the noise's own error is paid for.

    Rounded down where anything is paid.

    Raises
    ------
    ValueError
        If alpha is outside (0, 1), or not more than twice the excess.
    """
    level = check_alpha(alpha)
    excess = check_real("noise_excess", noise_excess)
    bad = ~((excess >= 0) & (excess < 1))
    if bad.any():
        raise ValueError(f"noise_excess={excess[bad].flat[0]} must be in [0, 1)")
    check_broadcast(alpha=level, noise_excess=excess)
    small = level <= 2 * excess
    if small.any():
        level, excess = np.broadcast_arrays(level, excess)
        raise ValueError(
            f"alpha={level[small][0]} must be more than {2 * excess[small][0]:g}: the noise itself "
            f"is exact within noise_excess={excess[small][0]:g} only"
        )
    left: FloatArray = np.where(excess > 0, np.nextafter(level - excess, 0.0), level)
    return left


def margin_lower_bounds(
    counts: npt.ArrayLike,
    y: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: MarginName,
    bound: VoteBoundName | Bound = "exact",
    ordering: OrderingName | Taylor | None = None,
    ignore: Sequence[int] = (),
) -> FloatArray | float:
    r"""Return lower confidence limits for the margin of class y, one per row of counts.

    The runner-up is the most voted other class of the same row.

    Parameters
    ----------
    counts : array_like of int, shape (..., m)
        Votes of m ≥ 2 classes; a row's sum is its n, at least 1.
    y : array_like of int
        The class of each row, 0 to m − 1, fixed before the counts were seen. Broadcasts
        with the shape (...).
    alpha : array_like of float
        Failure probability of each row, in (0, 1). Broadcasts likewise.
    estimand : {"difference", "probit", "laplace"}
        p_1 − p_2, Φ⁻¹(p_1) − Φ⁻¹(p_2), or that with the quantiles of the Laplace distribution; p_1
        is the probability of class y and p_2 the largest of the others.
    bound : {"exact", "bonferroni", "cohen"}
        See `exact_margin_lower`, `bonferroni_margin_lower`, `cohen_margin_lower`.
    ordering : str, optional
        Ordering of the exact bound, ``"likelihood-ratio"`` where not given.
    ignore : sequence of int
        Classes that are no runner-up, fixed before the counts were seen; their votes count in n.

    Returns
    -------
    ndarray of float64, or a float for one row
        Of the shape (...) broadcast with `y` and `alpha`; −∞ is possible but for "difference".

    Raises
    ------
    ValueError
        If a count is negative or not an integer, a row is empty, y is out of range, alpha is
        outside (0, 1), or an option is unknown or given to a bound that has none.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    *Guarantee*: each limit is at most the true margin with probability at least 1 − alpha,
    for independent votes, whatever m and whichever class is the true runner-up.

    Examples
    --------
    >>> from rsverify.certificates.certificate import margin_lower_bounds
    >>> counts = [[600, 50, 350], [50, 900, 50]]
    >>> margin_lower_bounds(counts, [0, 1], 0.001, estimand="difference", bound="cohen").round(5)
    array([0.10215, 0.73493])
    """
    votes = _check_counts("counts", counts)
    classes = check_integer("y", y)
    bad = (classes < 0) | (classes >= votes.shape[-1])
    if bad.any():
        raise ValueError(
            f"y={classes[bad].flat[0]} must be a class between 0 and {votes.shape[-1] - 1}"
        )
    level = check_alpha(alpha)
    Margin.named(estimand)
    if not isinstance(bound, Bound):
        check_choice("bound", bound, BOUNDS)
    if bound != "exact" and ordering is not None:
        raise ValueError(
            f"ordering={shown(ordering)} must be None for bound={name_of(bound)!r}: it has none"
        )

    n = votes.sum(axis=-1)
    try:
        classes, n = np.broadcast_arrays(classes, n)
    except ValueError:
        raise ValueError(
            f"y of shape {classes.shape} must broadcast with counts of shape {votes.shape}"
        ) from None
    votes = np.broadcast_to(votes, (*n.shape, votes.shape[-1]))
    is_y = np.arange(votes.shape[-1]) == classes[..., np.newaxis]
    k1 = np.where(is_y, votes, 0).sum(axis=-1)
    no_runner_up = is_y | np.isin(
        np.arange(votes.shape[-1]), check_ignored(ignore, votes.shape[-1])
    )
    if no_runner_up.all(axis=-1).any():
        raise ValueError(f"ignore={shown(ignore)} must leave a runner-up beside class y")
    k2 = np.where(no_runner_up, 0, votes).max(axis=-1)
    return limits_of_votes(k1, k2, n, level, estimand=estimand, bound=bound, ordering=ordering)


def limits_of_votes(
    k1: IntArray,
    k2: IntArray,
    n: IntArray,
    alpha: FloatArray,
    *,
    estimand: MarginName,
    bound: VoteBoundName | Bound,
    ordering: OrderingName | Taylor | None,
) -> FloatArray | float:
    """Return the limits of `margin_lower_bounds`, from checked votes of y and its runner-up."""
    if isinstance(bound, Bound):
        return _own_limits(bound, estimand, k1, k2, n, alpha)
    if bound == "cohen":
        return cohen_margin_lower(k1, n, alpha, estimand=estimand)
    if bound == "bonferroni":
        return bonferroni_margin_lower(k1, k2, n, alpha, estimand=estimand)
    return exact_margin_lower(
        k1,
        k2,
        n,
        alpha,
        estimand=estimand,
        ordering=DEFAULT_ORDERING if ordering is None else ordering,
    )


def name_of(bound: VoteBoundName | Bound) -> str:
    """Return what a certificate calls the bound."""
    return bound.name if isinstance(bound, Bound) else bound


def _own_limits(
    bound: Bound, estimand: MarginName, k1: IntArray, k2: IntArray, n: IntArray, alpha: FloatArray
) -> FloatArray:
    """Return the limits of a caller's bound, or raise where it is none of this margin."""
    if bound.data != "votes" or bound.side != "lower" or bound.time_uniform:
        raise ValueError(
            f"bound={bound.name!r} must have data='votes', side='lower' and time_uniform=False, "
            f"not {bound.data!r}, {bound.side!r} and {bound.time_uniform}"
        )
    if estimand not in bound.estimands:
        radius = next(kind for kind, needed in ESTIMANDS.items() if needed == estimand)
        raise ValueError(
            f"bound={bound.name!r} bounds {' and '.join(bound.estimands)}: radius={radius!r} "
            f"needs {estimand!r}"
        )
    shape = np.broadcast_shapes(k1.shape, alpha.shape)
    limits = np.asarray(bound.limits_of(estimand)(k1, k2, n, alpha), dtype=np.float64)
    if limits.shape not in ((), shape) or np.isnan(limits).any():
        raise ValueError(
            f"bound={bound.name!r} must return limits of shape {shape} without NaN, got shape "
            f"{limits.shape}"
        )
    return np.broadcast_to(limits, shape).copy()


def certify_counts(
    counts: npt.ArrayLike,
    *,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    bound: VoteBoundName | Bound = "exact",
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    ordering: OrderingName | Taylor | None = None,
) -> Certificate:
    r"""Return the certificate that vote counts of a classifier under noise support.

    Parameters
    ----------
    counts : array_like of int, shape (m,)
        Votes of m ≥ 2 classes in the estimation sample, at least one in all.
    alpha : float
        Total failure probability, in (0, 1).
    sigma : float, optional
        Standard deviation of Gaussian noise in input units, positive: short for
        ``noise=Gaussian(sigma)``. Exactly one of the two must be given.
    noise : Noise, optional
        The noise under which the votes were cast, of `rsverify.noise`.
    norm : str or Lp, optional
        How an attack is measured, by default as the noise is made for: ``"l2"`` for Gaussian
        noise. `rsverify.noise` lists the norms of each noise.
    dimension : int, optional
        How many numbers each input has, for norms that need it.
    y : int, optional
        The class to certify, 0 to m − 1, fixed without looking at `counts`.
    selection : array_like of int, shape (m,), optional
        Votes of a separate sample, whose winner (of classes that are not ignored; of tied ones
        the lowest) is the class to certify. Exactly one of `y` and `selection` must be given, but
        that both may be where `top_k` is more than 1.
    ignore : sequence of int
        Classes fixed beforehand that are no runner-up, as *unknown* or *refused* may be: what is
        certified is the answer among the others. Their votes count in n.
    top_k : int
        Certify that the class stays among so many most probable ones. The top_k − 1 other classes
        with the most votes of `selection` may be ahead of it; alpha need not be shared.
    bound : {"exact", "bonferroni", "cohen"} or Bound
        The confidence bound on the margin; or a custom one as a `Bound` of votes, whose limits
        must not rise with k2.
    radius : {"R2", "R1"}
        R2 = σ/2 · (Φ⁻¹(p_1) − Φ⁻¹(p_2)), or R1 = (p_1 − p_2)/(√2 · L), never larger than R2
        where L is the smoothing's own constant.
    lipschitz : float, optional
        For R1: ℓ2 Lipschitz constant of the map from the input to the vote probabilities
        (p_1, …, p_m), used if better than the smoothing's own. The constant of a network's
        scores is not one: votes jump where scores do not.
    ordering : str, optional
        Ordering of the exact bound, ``"likelihood-ratio"`` where not given.

    Returns
    -------
    Certificate
        With ``prediction == ABSTAIN`` and radius 0 where nothing can be certified; its
        `reason` says why and what to change.

    Raises
    ------
    ValueError
        If neither or both of `y` and `selection` are given, if `counts` or `selection` are
        not m ≥ 2 nonnegative integers with a positive sum, or if an option is out of range.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    *Guarantee*: with probability at least 1 − alpha over the estimation sample, if the
    certificate does not abstain then the smoothed classifier predicts `prediction` at every
    point closer than `radius` to the input, in `norm` [1]_; with radii of whole numbers, at every
    one at most that far. It assumes, and of counts alone nothing
    but the last two can be checked:

    1. The votes are of one base classifier, which answers the same for the same noisy input,
       whatever else is in its batch. *Not checked here*: `SmoothedClassifier` probes it, see
       `rsverify.smoothing.probing.probe`.
    2. The noise of each vote is N(0, σ²I), or `noise`, added to the input in the units of `sigma`
       and of the radius, before any preprocessing. *Not checkable*: counts do not tell their noise.
       Noise in floating point meets this only approximately [2]_.
    3. The noise of all votes is independent, also of that of the selection sample. *Not
       checkable*; a warning where both samples have the same counts.
    4. `y` and `ignore` were fixed without looking at `counts`. *Checked* so far that y must be
       given, or a sample that chooses it: it is never read off `counts`.
    5. The number of votes was fixed beforehand, and not sampling stopped at a good moment. *Not
       checkable*: `decide_counts` is for votes that are looked at as they come.
    6. Bound, ordering, radius, `sigma` and `alpha` were fixed beforehand; of several
       certificates for one input the best is wrong with up to the sum of their `alpha`. *Not
       checkable* here; `analyze` warns of tables with several `sigma`.
    7. `lipschitz`, where given, is a constant of the vote probabilities. *Not checkable*.
    8. The counts are those of all votes drawn, none left out. *Not checkable*.
    9. Counts are nonnegative integers of m ≥ 2 classes, at least one in all, below 2⁵³; options
       are within their ranges. *Checked*: an error.
    10. `alpha` is the probability of failure. *Checked*: a warning above ½, where it may have
        been meant as a confidence.

    References
    ----------
    .. [1] Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized
       smoothing*, ICML 2019.
    .. [2] Voráček and Hein, *Sound randomized smoothing in floating-point arithmetic*,
       ICLR 2023.

    Examples
    --------
    >>> from rsverify import certify_counts
    >>> certificate = certify_counts([50, 900, 50], sigma=0.25, alpha=0.001, y=1, bound="cohen")
    >>> print(certificate)
    class 1 within radius 0.2786 (R2, cohen bound, 900 of 1000 votes, alpha=0.001, sigma=0.25)
    >>> prediction, radius = certificate
    >>> print(certify_counts([5, 0], sigma=0.25, alpha=0.001, y=0, bound="cohen").status)
    too few samples for alpha
    """
    found = certificate_of_counts(
        counts,
        sigma=sigma,
        noise=noise,
        norm=norm,
        dimension=dimension,
        alpha=alpha,
        y=y,
        selection=selection,
        ignore=ignore,
        top_k=top_k,
        bound=bound,
        radius=radius,
        lipschitz=lipschitz,
        ordering=ordering,
    )
    warn_of_level(found.alpha)
    if found.selection_counts is not None:
        warn_of_selection(np.array(found.counts), np.array(found.selection_counts))
    return found


def certificate_of_counts(
    counts: npt.ArrayLike,
    *,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    bound: VoteBoundName | Bound = "exact",
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    ordering: OrderingName | Taylor | None = None,
) -> Certificate:
    """Return what `certify_counts` does, without its warnings: they are said once for many."""
    votes = _check_counts("counts", counts, ndim=1)
    selected = None if selection is None else _check_counts("selection", selection, ndim=1)
    threat = check_threat(
        sigma=sigma,
        noise=noise,
        norm=norm,
        dimension=dimension,
        radius=radius,
        lipschitz=lipschitz,
    )
    total = check_level(alpha)
    level = float(level_of_bound(total, threat.noise.excess))
    label, ignored, ahead = _classes(votes, y, selected, ignore, top_k)

    def margin_of(row: IntArray, class_: int, left_out: Sequence[int] = ()) -> float:
        return float(
            margin_lower_bounds(
                row,
                class_,
                level,
                estimand=threat.estimand,
                bound=bound,
                ordering=ordering,
                ignore=left_out,
            )
        )

    margin = margin_of(votes, label, (*ignored, *ahead))
    status, reason = Status.CERTIFIED, ""
    if margin <= 0:
        status, reason = why_abstain(
            votes, label, level, name_of(bound), margin, margin_of, (*ignored, *ahead)
        )
    return Certificate(
        prediction=label if status is Status.CERTIFIED else ABSTAIN,
        radius=float(threat.radius(margin)),
        status=status,
        reason=reason,
        y=label,
        counts=tuple(votes.tolist()),
        selection_counts=None if selected is None else tuple(selected.tolist()),
        n=int(votes.sum()),
        n0=0 if selected is None else int(selected.sum()),
        alpha=total,
        bound=name_of(bound),
        ordering=(DEFAULT_ORDERING if ordering is None else ordering) if bound == "exact" else None,
        radius_kind=threat.kind,
        estimand=threat.estimand,
        margin=margin,
        sigma=math.nan if threat.sigma is None else threat.sigma,
        lipschitz=threat.lipschitz,
        noise=None if threat.is_plain and not threat.noise.excess else threat.noise,
        norm=threat.norm,
        dimension=threat.dimension,
        ignored=ignored,
        top_k=len(ahead) + 1,
        top_others=ahead,
        noise_excess=threat.noise.excess,
    )


def _classes(
    votes: IntArray, y: int | None, selected: IntArray | None, ignore: Sequence[int], top_k: int
) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Return the class to certify, those that are no runner-up, and those that may be ahead."""
    ignored = check_ignored(ignore, votes.size)
    size = check_size("top_k", top_k, 1, votes.size - 1)
    if selected is not None and selected.shape != votes.shape:
        raise ValueError(
            f"selection of shape {selected.shape} must have the shape of counts {votes.shape}"
        )
    label = _certified_class(votes, y, selected, ignored, both=size > 1)
    if label in ignored:
        raise ValueError(f"y={label} must not be one of ignore={ignored}")
    if len(ignored) + size >= votes.size:
        raise ValueError(
            f"ignore={ignored} and top_k={size} must leave a runner-up of the {votes.size} classes"
        )
    return label, ignored, others_first(selected, label, size, ignored)


def _check_counts(name: str, counts: npt.ArrayLike, ndim: int | None = None) -> IntArray:
    votes = check_integer(name, counts)
    if ndim is not None and votes.ndim != ndim:
        raise ValueError(f"{name} of shape {votes.shape} must have {ndim} dimension")
    if votes.ndim < 1 or votes.shape[-1] < 2:
        raise ValueError(f"{name} of shape {votes.shape} must hold at least two classes")
    if (votes < 0).any():
        raise ValueError(f"{name}={votes[votes < 0].flat[0]} must be at least 0")
    if (votes.sum(axis=-1, dtype=np.float64) >= 2.0**53).any():
        raise ValueError(f"{name} must sum to less than 2**53")
    if (votes.sum(axis=-1) == 0).any():
        raise ValueError(f"{name} must hold at least one vote in every row, found a row of zeros")
    return votes


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
