"""A verdict on one claim: proved, refuted, or not proved.

For a claimed radius the margin is computed that it needs, and for that margin it is shown that the
bound named reaches it: that the outcomes at or above the observed one have at most the probability
alpha wherever the margin is lower. Everything that decides is done in ball arithmetic
(`rsverify.verification.tails`, `supremum`); this package imports nothing of what computes the
bounds.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Literal

from flint import arb, ctx
from scipy.special import betaincinv

from rsverify._core.check import check_flag, check_size, shown
from rsverify._core.types import MarginName
from rsverify.verification.claims import CertificateLike, Claim, ball, claim_of_certificate
from rsverify.verification.edge import end_of_curve, prove_at_the_edge
from rsverify.verification.ordering import (
    LARGEST_ALPHA,
    additive_sets,
    default_sets,
    nested_level,
)
from rsverify.verification.supremum import BITS, curve_of, normal_cdf, prove
from rsverify.verification.tails import Ball, Staircase, binomial_tail

__all__ = ["ASSUMPTIONS", "Verification", "verify_certificate"]

VerificationName = Literal["proved", "refuted", "not proved"]

ASSUMPTIONS = (
    "the votes are independent, of one model, and their number was fixed beforehand",
    "the class was fixed without looking at the votes that certify it",
    "noise, units and a Lipschitz constant are as stated; of discrete noise, noise_excess is what "
    "its own error costs",
    "the sets of outcomes are nested from one outcome to the next, as one ordering makes them: "
    "one row alone cannot show it",
)
"""What a proof rests on and a table cannot show."""

BUDGET = 20_000
"""How many tails a proof may sum; n = 100,000 takes up to 5,000."""
LARGEST_N = 10_000_000
LARGEST_N_ABOVE_HALF = 200_000
"""For an alpha above 1/2, where the whole curve counts: half a minute a row there."""
LOCAL = Fraction(2, 10**11)
"""Share of the level that the default ordering spends on each of two limits, of q1 and of q2, which
make its supremum local (docs/theory.md)."""
OWN_LIMIT = Fraction(1, 10**7)
"""A stated margin further below the bound's own is not what the bound gives."""
ANY_MARGIN = Fraction(1, 10**30)
"""A class that is certified at all has some margin over its runner-up, whatever its radius."""
OVERSTATED = "the radius holds, but the margin stated beside it does not"
BELOW_BOUND = (
    "the bound named gives more: another version computed the row, or a number of it was changed"
)
CHANGED = (
    "the radius holds, but is not this row's: the bound named gives more than the margin stated; "
    "a number was changed, or another version computed it (same_version=False, --other-version)"
)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What could be shown of one certificate.

    *Guarantee*: ``"proved"`` and ``"refuted"`` are theorems about the bound that the certificate
    names, enclosed in balls; that the bound covers rests on `ASSUMPTIONS`.
    """

    verdict: VerificationName
    """``"proved"``, ``"refuted"`` or ``"not proved"``."""
    reason: str
    """Why it is refuted, or could not be proved; of a proof, what was shown."""
    margin: float | None = None
    """The margin that was looked at, which the radius needs or is stated beside it; None where
    nothing is certified."""
    level: float | None = None
    """What of alpha the bound may spend."""
    tail: float | None = None
    """Where proved, an upper bound of the probability of the outcomes at or above the observed one
    at lower margins; where refuted, their probability at `nuisance`, rounded down."""
    nuisance: tuple[float, float, float] | None = None
    """Where refuted: probabilities of the class, the runner-up and all others, of a margin no
    larger than claimed, at which those outcomes are too likely."""
    tails: int = 0
    """How many probabilities were summed."""
    below_bound: bool = False
    """Where proved, whether the margin stated is below what the bound named gives, by more than
    1e-7: the radius holds, but another version computed it, or a number was changed. Where it is
    said that this version computed it, such a margin is refuted."""

    @property
    def proved(self) -> bool:
        """Whether the verdict is ``"proved"``."""
        return self.verdict == "proved"

    def __str__(self) -> str:
        return f"{self.verdict}: {self.reason}"

    def to_dict(self) -> dict[str, object]:
        """Return all fields as JSON types."""
        fields = asdict(self)
        if self.nuisance is not None:
            fields["nuisance"] = list(self.nuisance)
        return fields


def verify_certificate(
    certificate: CertificateLike, *, budget: int = BUDGET, same_version: bool = True
) -> Verification:
    """Check a certificate by a second way that shares no code with the first.

    Parameters
    ----------
    certificate : Certificate
        As `certify_counts` returns it.
    budget : int, default 20000
        How many probabilities may be summed.
    same_version : bool, default True
        Whether this version of the package computed it. Then a stated margin more than 1e-7 below
        what the bound gives shows that a number was changed, and is refuted. With False such a
        claim, which is true, is proved and `below_bound`.

    Returns
    -------
    Verification
        *proved* where the bound named gives this radius, and the margin stated beside it;
        *refuted* where it does not, with the point of the nuisance parameter that shows it, or
        where the certificate contradicts itself or is not what the bound gives; *not proved*
        where the budget was too small or there is no
        checker for the bound.

    Raises
    ------
    ValueError
        If a number of the certificate is out of its range.
    ModuleNotFoundError
        If python-flint is not installed: ``pip install 'rsverify[verify]'``.

    Notes
    -----
    *Guarantee*: a certificate that is proved has a radius that the bound named gives, up to no
    error at all: all that decides is enclosed in balls. That the bound covers assumes
    `ASSUMPTIONS`. The set of outcomes is found in float64; an outcome that rounding could
    put on either side counts against the certificate. The mathematics: ``docs/theory.md`` and the
    text of ``rsverify/verification/supremum.py``.

    Examples
    --------
    >>> from rsverify import certify_counts, verify_certificate
    >>> certificate = certify_counts([600, 50, 350], sigma=0.25, alpha=0.001, y=0)
    >>> verify_certificate(certificate).verdict
    'proved'
    >>> from dataclasses import replace
    >>> claim = replace(certificate.claim, radius=certificate.radius + 1e-6)
    >>> larger = replace(certificate, claim=claim)
    >>> found = verify_certificate(larger)
    >>> found.verdict, found.tail > 0.001
    ('refuted', True)
    """
    if not all(hasattr(certificate, name) for name in ("prediction", "counts", "margin")):
        raise TypeError(f"certificate={shown(certificate)} must be a certificate")
    size = check_size("budget", budget)
    with ctx.workprec(BITS):
        return verify_claim(
            claim_of_certificate(certificate), size, check_flag("same_version", same_version)
        )


def verify_claim(claim: Claim, budget: int = BUDGET, same_version: bool = True) -> Verification:
    """Return the verdict on a claim, at the working precision of the caller."""
    if claim.certifies:
        unchecked = _without_checker(claim)
        if unchecked and not claim.flaws:
            return Verification(verdict="not proved", reason=unchecked)
        if claim.level > 0 and not unchecked:
            found = _verify_radius(claim, budget, same_version)
            if found.verdict == "refuted" or not claim.flaws:
                return found
    if claim.flaws:
        return Verification(
            verdict="refuted", reason=f"contradicts itself: {'; '.join(claim.flaws)}"
        )
    return Verification(verdict="proved", reason="nothing is certified")


def _without_checker(claim: Claim) -> str:
    """Return why there is no checker for a claim; empty where there is one."""
    if claim.unchecked:
        return claim.unchecked
    if claim.bound not in ("exact", "bonferroni", "cohen"):
        return f"no independent checker for bound={claim.bound!r}"
    if claim.bound != "cohen" and claim.k2 is None:
        return f"bound={claim.bound!r} needs the votes of all classes, which the row does not hold"
    order = claim.ordering.removeprefix("taylor:")
    known = order in ("likelihood-ratio", "nested", "difference", "bonferroni") or (
        order.isdecimal() and int(order) <= 500
    )
    if claim.bound == "exact" and not known:
        return f"no independent checker for ordering={claim.ordering!r}"
    if claim.ordering == "nested" and not 1e-12 <= float(claim.level) <= LARGEST_ALPHA:
        return "ordering='nested' is for levels from 1e-12 to 1/2"
    if claim.n > LARGEST_N:
        return f"n={claim.n} is beyond {LARGEST_N:,} votes"
    if (
        claim.bound == "exact"
        and float(claim.level) > LARGEST_ALPHA
        and claim.n > LARGEST_N_ABOVE_HALF
    ):
        return f"n={claim.n} is beyond {LARGEST_N_ABOVE_HALF:,} votes for an alpha above 1/2"
    return ""


def _verify_radius(claim: Claim, budget: int, same_version: bool) -> Verification:
    """Return the verdict on a radius of a bound that has a checker, and on the margin beside it."""
    needed = (ball(claim.radius) / claim.slope()).max(ball(ANY_MARGIN))
    margin, larger = needed, None
    if claim.margin is not None and not claim.flaws:
        margin = needed.max(ball(claim.margin - claim.margin_unit))
        larger = ball((claim.margin + claim.margin_unit) * (1 + OWN_LIMIT) + OWN_LIMIT)
    check = _check_of(claim)
    found, at = check(claim, margin, budget, None)
    if found.verdict == "refuted" and margin > needed:
        alone = check(claim, needed, budget, None)[0]
        return replace(found, reason=f"{OVERSTATED}: {found.reason}") if alone.proved else alone
    if not found.proved or larger is None:
        return found
    # A smaller claim is as true; but of this version the margin stated must be the bound's own.
    if claim.estimand == "difference" and not larger < 1:
        return found
    if check(claim, larger, budget, at)[0].proved:
        # A nested limit may be below its own ordering's: a larger level keeps it down.
        if same_version and claim.ordering != "nested":
            return _verdict("refuted", CHANGED, claim, margin)
        return replace(found, below_bound=True, reason=f"{found.reason}; {BELOW_BOUND}")
    return found


Check = Callable[[Claim, Ball, int, Ball | None], tuple[Verification, Ball | None]]
"""Says whether a claim's bound gives a margin; begins where the tail was highest before."""


def _check_of(claim: Claim) -> Check:
    """Return the check of a claim's bound, before it what no bound can give."""
    checks: dict[str, Check] = {
        "exact": _check_exact,
        "cohen": _check_cohen,
        "bonferroni": _check_bonferroni,
    }
    own = checks[claim.bound]

    def check(
        claim: Claim, margin: Ball, budget: int, at: Ball | None
    ) -> tuple[Verification, Ball | None]:
        found = _beyond_all_votes(claim, margin)
        return (found, at) if found else own(claim, margin, budget, at)

    return check


def _beyond_all_votes(claim: Claim, margin: Ball) -> Verification | None:
    """Return the refutation of a margin that n votes of n do not show, by any of the bounds.

    All votes are ordered at or above those observed, and each bound is at most Cohen's of them.
    """
    if claim.estimand == "difference" and not margin < 1:
        return _verdict(
            "refuted", "no finite number of votes shows a difference of 1", claim, margin
        )
    point = end_of_curve(claim.estimand, margin)
    tail = (claim.n * point[0].log()).exp()
    if not tail > ball(claim.level):
        return None
    reason = (
        f"even all {claim.n} votes for the class have probability {_short(tail)} > "
        f"{_short(ball(claim.level))} at {_shown(point)}"
    )
    return _verdict("refuted", reason, claim, margin, tail, point)


def _verdict(
    verdict: VerificationName,
    reason: str,
    claim: Claim,
    margin: Ball,
    tail: Ball | None = None,
    point: tuple[Ball, Ball, Ball] | None = None,
    tails: int = 1,
) -> Verification:
    """Return a verdict with its numbers as floats: a tail is rounded to the safe side."""
    side = {"proved": math.inf, "refuted": -math.inf}.get(verdict)
    rounded = None
    if tail is not None and side is not None:
        end = float(tail.upper() if side > 0 else tail.lower())
        rounded = math.nextafter(end, side)
    return Verification(
        verdict=verdict,
        reason=reason,
        margin=min(float(margin.mid()), sys.float_info.max),
        level=float(claim.level),
        tail=rounded,
        nuisance=None if point is None else tuple(float(q.mid()) for q in point),  # type: ignore[arg-type]
        tails=tails,
    )


def _check_cohen(claim: Claim, margin: Ball, *_: object) -> tuple[Verification, None]:
    """Cohen's limit reaches p where P(Bin(n, p) >= k1) <= alpha; the runner-up has the rest."""
    if claim.estimand == "difference":
        p, rest = (1 + margin) / 2, (1 - margin) / 2
    else:
        p, rest = normal_cdf(margin / 2), normal_cdf(-margin / 2)
    tail = binomial_tail(claim.k1, claim.n, p, rest, float(claim.level))
    event = f"at least {claim.k1} of {claim.n} votes"
    return _decided(claim, margin, tail, event, (p, rest, arb(0))), None


def _decided(
    claim: Claim, margin: Ball, tail: Ball, event: str, point: tuple[Ball, Ball, Ball]
) -> Verification:
    """Return the verdict that one tail decides: it is the largest where the margin is."""
    level = ball(claim.level)
    if tail <= level:
        reason = f"{event} has probability at most {_short(tail)} at lower margins"
        return _verdict("proved", reason, claim, margin, tail)
    if tail > level:
        reason = f"{event} has probability {_short(tail)} > {_short(level)} at {_shown(point)}"
        return _verdict("refuted", reason, claim, margin, tail, point)
    return _verdict("not proved", "too close to alpha for the precision", claim, margin)


def _check_bonferroni(claim: Claim, margin: Ball, *_: object) -> tuple[Verification, None]:
    """Bonferroni's margin is that of two Clopper-Pearson limits, each at half the level."""
    assert claim.k2 is not None, "votes of the runner-up are there"
    half = claim.level / 2
    p = _lower_limit(claim.k1, claim.n, half)
    rest = _lower_limit(claim.n - claim.k2, claim.n, half)
    # The runner-up's limit, at most what the first one leaves.
    low = _margin(claim.estimand, p[0], (1 - rest[0]).min(1 - p[0]))
    high = _margin(claim.estimand, p[1], (1 - rest[1]).min(1 - p[1]))
    limits = f"p1 >= {_short(p[0])} and p2 <= {_short((1 - rest[0]).min(1 - p[0]))}"
    if low >= margin:
        reason = f"{limits}, each at half of {_short(ball(claim.level))}"
        return _verdict("proved", reason, claim, margin, tails=4), None
    if high < margin:
        u = (1 - rest[1]).min(1 - p[1])
        reason = f"no more than {limits}, each at half of {_short(ball(claim.level))}"
        point = (p[1], u, 1 - p[1] - u)
        return _verdict("refuted", reason, claim, margin, None, point, tails=4), None
    return _verdict("not proved", "too close for the precision", claim, margin, tails=4), None


def _lower_limit(k: int, n: int, level: Fraction) -> tuple[Ball, Ball]:
    """Return numbers below and above the Clopper-Pearson lower limit, both checked."""
    if k == 0:
        return arb(0), arb(0)
    alpha = float(level)

    def tail(p: Ball) -> Ball:
        return binomial_tail(k, n, p, 1 - p, alpha, negligible=1e-24)

    guess = float(betaincinv(k, n - k + 1, alpha))
    for digits in range(13, 3, -1):
        step = 10.0**-digits * min(guess, 1 - guess)
        low, high = arb(guess - step), arb(guess + step)
        below, above = tail(low), tail(high)
        if below <= ball(level) <= above:
            # Between them the tail is a straight line, nearly.
            middle = low + (high - low) * ((ball(level) - below) / (above - below)).mid()
            for share in (1e-9, 1e-6, 1e-3):
                near = [(middle + sign * share * step).mid() for sign in (-1, 1)]
                if tail(near[0]) <= ball(level) <= tail(near[1]):
                    return near[0], near[1]
            return low, high
    return arb(0), arb(1)


def _margin(estimand: MarginName, p: Ball, u: Ball) -> Ball:
    """Return the margin of p over u."""
    if estimand == "difference":
        return p - u
    root = arb(2).sqrt()
    return root * ((1 - 2 * u).erfinv() - (1 - 2 * p).erfinv())


def _check_exact(
    claim: Claim, margin: Ball, budget: int, at: Ball | None
) -> tuple[Verification, Ball | None]:
    """Compare the probability of {T >= T(x)} at lower margins with the level of the bound.

    Where all votes are for two classes, the default bound reaches a margin also where
    `prove_at_the_edge` says so, and is refuted only by a tail above all of alpha.
    """
    outer, inner = _sets(claim)
    least, most, level = _region(claim)
    edge = _is_local(claim) and claim.k1 + (claim.k2 or 0) == claim.n
    enough = ball(claim.level) if edge else level
    if edge:
        # At q3 = 0, where it is often most likely, the set is {X1 >= k1}.
        end = end_of_curve(claim.estimand, margin)
        tail = binomial_tail(claim.k1, claim.n, end[0], end[1], float(claim.level))
        if end[0] >= least and end[1] <= most and tail > enough:
            return _set_too_likely(claim, margin, tail, enough, end, 1), at
    if at is not None:
        point = curve_of(claim.estimand, claim.n, margin).point(at)
        if inner.tail(*point, float(claim.level)) > enough:
            return _verdict("refuted", "a larger margin fails", claim, margin), at
    found = prove(outer, claim.estimand, margin, level, budget, least=least, most=most)
    if found.answer != "at most" and edge:
        place, levels = (claim.k1, claim.n - claim.k1), (enough, ball(claim.level * LOCAL))
        region = least, most
        found = (
            prove_at_the_edge(outer, place, claim.estimand, margin, levels, budget, region) or found
        )
    if found.answer == "at most":
        reason = (
            f"the outcomes ordered at or above the observed one have probability at most "
            f"{_short(found.tail)} at lower margins"
        )
        return _verdict("proved", reason, claim, margin, found.tail, tails=found.tails), found.at
    reason = f"nothing was shown by {found.tails} tails; more with a larger budget"
    if found.witness is not None:
        tail = inner.tail(*found.witness, float(claim.level))
        inside = found.witness[0] >= least and found.witness[1] <= most
        if inside and tail > enough:
            point, tails = found.witness, found.tails
            return _set_too_likely(claim, margin, tail, enough, point, tails), found.at
        reason = "an outcome is ordered as the observed one within rounding, and decides"
        if edge and tail > level:
            reason = "too close to alpha: what the default's two limits cost may decide"
    return _verdict("not proved", reason, claim, margin, tails=found.tails), found.at


def _set_too_likely(
    claim: Claim,
    margin: Ball,
    tail: Ball,
    level: Ball,
    point: tuple[Ball, Ball, Ball],
    tails: int,
) -> Verification:
    """Return the refutation by a point at which the set has a probability above the level."""
    reason = (
        f"the outcomes ordered at or above the observed one have probability "
        f"{_short(tail)} > {_short(level)} at {_shown(point)}"
    )
    return _verdict("refuted", reason, claim, margin, tail, point, tails)


def _is_local(claim: Claim) -> bool:
    """Return whether the bound leaves out the q that two limits exclude."""
    return claim.ordering in ("likelihood-ratio", "nested") and (
        float(claim.level) <= LARGEST_ALPHA
    )


def _region(claim: Claim) -> tuple[float, float, Ball]:
    """Return the q that the bound asks about, from a q1 on and to a q2, and its level there.

    The default ordering leaves out those that two Clopper-Pearson limits exclude, which costs their
    share of alpha. Limits rounded outward; all q, at all of alpha, for the other orderings and
    above alpha = 1/2.
    """
    if not _is_local(claim):
        return 0.0, 1.0, ball(claim.level)
    assert claim.k2 is not None, "votes of the runner-up are there"
    share = claim.level * LOCAL
    low = _lower_limit(claim.k1, claim.n, share)[0]
    rest = _lower_limit(claim.n - claim.k2, claim.n, share)[0]
    least, most = float(low.lower()), float((1 - rest).upper())
    return (
        max(0.0, math.nextafter(least, -1)),
        min(1.0, math.nextafter(most, 2)),
        ball(claim.level * (1 - 2 * LOCAL)),
    )


def _sets(claim: Claim) -> tuple[Staircase, Staircase]:
    """Return the outer and the inner set of a claim's ordering.

    A nested limit is at most that of the default ordering of the level that it is ordered at, which
    covers: that it is no larger than at larger levels is not looked at.
    """
    assert claim.k2 is not None, "votes of the runner-up are there"
    place = claim.k1, claim.k2, claim.n, float(claim.level)
    if claim.ordering == "likelihood-ratio":
        sets = default_sets(claim.estimand, *place)
    elif claim.ordering == "nested":
        sets = default_sets(claim.estimand, *place[:3], nested_level(place[3]))
    else:
        sets = additive_sets(claim.ordering, claim.estimand, *place)
    outer, inner = (Staircase(claim.n, rows.tolist()) for rows in sets)
    if not outer.holds(claim.k1, claim.k2):
        raise ArithmeticError("the observed outcome must be in the set")
    return outer, inner


def _short(value: Ball) -> str:
    """Return a number for a message."""
    return f"{float(value.mid()):.9g}"


def _shown(point: tuple[Ball, Ball, Ball]) -> str:
    """Return the probabilities of a point for a message."""
    return "p = ({:.9g}, {:.9g}, {:.9g})".format(*(float(q.mid()) for q in point))
