"""A distribution with few decimals at which a margin bound fails to cover too often."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify._core.margin import Margin
from rsverify.auditing.estimand import margin_value
from rsverify.auditing.exact.curves import (
    curve_q1,
    curve_q2,
    missed_probability,
    rational_margin,
    rational_probability,
)
from rsverify.auditing.exact.proportion import ROUNDING, WITNESS_SHARE, Place, above
from rsverify.auditing.verdict import Witness

NUDGES = (1e-12, 1e-11, 1e-10, 1e-9, 1e-8)  # how far below a claim its supremum is shown
SHOWN = 0.9999  # of a supremum that is not attained


class Claims(NamedTuple):
    """A bound at every outcome, and what it is a bound of.

    With `exchanged` the last two classes of `table` are; they are named as the caller has them.
    """

    table: FloatArray  # entry (x1, x2)
    margin: str
    largest: bool  # over the larger of q2 and q3, not over q2
    log_fact: FloatArray
    exchanged: bool


Best = tuple[float, float, float]
"""The largest miscoverage that was found, the claim that it is just below, the nuisance."""


def attained_at(claims: Claims, best: Best) -> tuple[float, Place]:
    """Return a distribution just below the claim of the largest miscoverage, and the one there.

    On the curve of the claim itself the outcomes that claim it do not fail to cover: its supremum
    is attained nowhere, and shown as near to it as float64 tells a margin from the claim.
    """
    value, v, s = best
    code = int(Margin.named(claims.margin))
    shown, place = -1.0, Place({}, math.nan)
    for nudge in NUDGES:
        q1 = curve_q1(v - nudge * max(1.0, abs(v)), s, code)
        q2 = curve_q2(s, code)
        q3 = max(1.0 - q1 - q2, 0.0)
        truth = margin_value(claims.margin, q1, max(q2, q3) if claims.largest else q2)
        here = missed_probability(claims.table, q1, q2, truth, claims.log_fact)
        if here > shown:
            second = q3 if claims.exchanged else q2
            shown, place = here, Place({"q1": repr(q1), "q2": repr(second)}, truth)
        if shown > SHOWN * value:
            break
    return shown, place


def _shortened(q1: float, q2: float) -> Iterator[tuple[Fraction, Fraction]]:
    """Yield the distribution with more and more decimals, then with more and more digits.

    Toward the smaller margin, so that the truth stays below the claim.
    """
    for digits, more in itertools.product(range(2, 15), (0, 1)):
        scale = 10**digits
        b = Fraction(math.ceil(q2 * scale) + more, scale)
        yield min(Fraction(int(q1 * scale), scale), 1 - b), b
    if min(q1, q2) > 0.0:  # tiny ones have no digit among the decimals
        for digits in range(2, 15):
            up, down = (Fraction(10) ** (digits - 1 - math.floor(math.log10(q))) for q in (q2, q1))
            b = math.ceil(Fraction(q2) * up) / up
            yield min(int(Fraction(q1) * down) / down, 1 - b), b


def margin_witness(claims: Claims, best: Best, level: float) -> Witness:
    """Return a witness near the worst distribution, with as few decimals as keep its miscoverage.

    It shows a miscoverage above `level` if there is one.
    """
    value, v, s = best
    table, code = claims.table, int(Margin.named(claims.margin))
    q1, q2 = curve_q1(v, s, code), curve_q2(s, code)
    excess = value > level * (1.0 + ROUNDING)
    wanted = max(WITNESS_SHARE * value, level * (1.0 + ROUNDING) if excess else 0.0)
    for a, b in _shortened(q1, q2):
        inside = (a > 0 and 0 < b < 1) or not code
        if not (inside and a >= 0) or (claims.largest and 1 - a - b > b):
            continue
        rounded = margin_value(claims.margin, float(a), float(b))
        near = missed_probability(table, float(a), float(b), rounded, claims.log_fact)
        if near > wanted:
            truth = rational_margin(claims.margin, a, b)
            missed = above(table, truth)
            probability = rational_probability(missed, a, b)
            if probability > Fraction(wanted):
                return _named(claims, (a, b), truth, missed, float(probability), rational=True)
    shown, place = attained_at(claims, best)
    missed = table > place.truth
    law = Fraction(float(place.parameters["q1"])), Fraction(q2)
    return _named(claims, law, Fraction(place.truth), missed, shown, rational=False)


def _named(
    claims: Claims,
    law: tuple[Fraction, Fraction],
    truth: Fraction,
    missed: npt.NDArray[np.bool_],
    probability: float,
    *,
    rational: bool,
) -> Witness:
    a, b = law
    n = missed.shape[0] - 1
    pairs = [(int(i), int(j)) for i, j in np.argwhere(missed) if i + j <= n]
    if claims.exchanged:
        b, pairs = 1 - a - b, [(i, n - i - j) for i, j in pairs]
    # Near the most probable outcomes first.
    pairs.sort(key=lambda p: abs(p[0] - n * float(a)) + abs(p[1] - n * float(b)))
    shown = ", ".join(map(str, pairs[:6])) + (", ..." if len(pairs) > 6 else "")
    named = {"q1": f"{float(a):.14g}", "q2": f"{float(b):.14g}"}
    text = f"{len(pairs)} of the (x1, x2) with n = {n}: {shown}"
    return Witness(named, float(truth), text, probability, rational)
