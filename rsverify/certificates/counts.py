"""From vote counts to a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy.typing as npt

from rsverify._core.check import IntArray
from rsverify._core.types import OrderingName, RadiusName, VoteBoundName
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import Taylor
from rsverify.certificates.abstention import Status, why_abstain
from rsverify.certificates.assumptions import warn_of_level, warn_of_selection
from rsverify.certificates.case import Case, case_of_counts, terms_given
from rsverify.certificates.certificate import Certificate, Stated
from rsverify.certificates.margins import DEFAULT_ORDERING, margin_lower_bounds, name_of
from rsverify.certificates.parts import Claim
from rsverify.noise import Noise, Norm

__all__ = ["certify_counts"]


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
    7. `lipschitz`, where given, is a constant of the vote probabilities, and `dimension` the number
       of numbers in an input. *Not checkable*.
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
    found = stated(case, bound, ordering)(case.evidence)
    warn_of_level(found.alpha)
    warn_of_selection(case.votes, case.selected)
    return found


def stated(
    case: Case, bound: VoteBoundName | Bound, ordering: OrderingName | Taylor | None
) -> Stated:
    """Return what votes say by a bound, without warnings: they are said once for many."""
    return partial(Certificate, claim_of_case(case, bound, ordering))


def claim_of_case(
    case: Case,
    bound: VoteBoundName | Bound = "exact",
    ordering: OrderingName | Taylor | None = None,
) -> Claim:
    """Return what is claimed of votes by a bound of the margin."""
    level = case.terms.level

    def margin_of(row: IntArray, class_: int, left_out: Sequence[int] = ()) -> float:
        return float(
            margin_lower_bounds(
                row,
                class_,
                level,
                estimand=case.threat.estimand,
                bound=bound,
                ordering=ordering,
                ignore=left_out,
            )
        )

    margin = margin_of(case.votes, case.y, case.left_out)
    status, reason = Status.CERTIFIED, ""
    if margin <= 0:
        status, reason = why_abstain(
            case.votes, case.y, level, name_of(bound), margin, margin_of, case.left_out
        )
    exact = DEFAULT_ORDERING if ordering is None else ordering
    return case.claim(
        margin,
        status,
        reason,
        bound=name_of(bound),
        ordering=exact if bound == "exact" else None,
    )
