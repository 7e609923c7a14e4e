"""A law at which a margin bound misses too often, with as few decimals as show it."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np

from rsverify._core.check import FloatArray
from rsverify.auditing.estimand import margin_value
from rsverify.auditing.exact.curves import (
    curve_q1,
    curve_q2,
    missed_probability,
    rational_margin,
    rational_probability,
)
from rsverify.auditing.exact.proportion import ROUNDING, WITNESS_SHARE, Witness, above

PLAIN_SHARE = 0.3  # of the worst miscoverage that a witness in whole hundredths must keep


def margin_witness(
    table: FloatArray,
    margin: str,
    largest: bool,
    best: tuple[float, float, float],
    level: float,
    log_fact: FloatArray,
    *,
    exchanged: bool = False,
) -> Witness:
    """Return a witness near the worst law, with as few decimals as keep its miscoverage.

    With `exchanged` the last two classes of `table` are, and are named as the caller has them.
    """
    value, v, s = best
    probit = margin == "probit"
    q1, q2 = curve_q1(v, s, probit), curve_q2(s, probit)
    excess = value > level * (1.0 + ROUNDING)
    wanted = max(WITNESS_SHARE * value, level * (1.0 + ROUNDING) if excess else 0.0)
    if excess:
        plain = _plain_witness(
            table, margin, largest, level * (1.0 + ROUNDING), log_fact, exchanged
        )
        if plain is not None and plain.probability > PLAIN_SHARE * value:
            return plain
    for digits, more in itertools.product(range(2, 15), (0, 1)):
        scale = 10**digits
        # Towards the smaller margin, so that the truth stays below the claim.
        a, b = Fraction(int(q1 * scale), scale), Fraction(math.ceil(q2 * scale) + more, scale)
        a = min(a, 1 - b)
        inside = (a > 0 and 0 < b < 1) or not probit
        if not (inside and a >= 0) or (largest and 1 - a - b > b):
            continue
        truth = rational_margin(margin, a, b)
        missed = above(table, truth)
        if missed_probability(table, float(a), float(b), float(truth), log_fact) > wanted:
            probability = rational_probability(missed, a, b)
            if probability > Fraction(wanted):
                return _named(a, b, truth, missed, float(probability), exchanged, rational=True)
    truth = Fraction(v)
    missed = above(table, truth) | (table == v)
    return _named(Fraction(q1), Fraction(q2), truth, missed, value, exchanged)


def _plain_witness(
    table: FloatArray,
    margin: str,
    largest: bool,
    wanted: float,
    log_fact: FloatArray,
    exchanged: bool,
) -> Witness | None:
    """Return the worst law whose probabilities are whole hundredths (twentieths for large n)."""
    parts = 100 if table.shape[0] <= 101 else 20
    best, law = wanted, None
    for i, j in itertools.product(range(parts + 1), repeat=2):
        if i + j > parts or (largest and parts - i - j > j) or (margin == "probit" and 0 in (i, j)):
            continue
        truth = margin_value(margin, i / parts, j / parts)
        value = (
            missed_probability(table, i / parts, j / parts, truth, log_fact)
            if truth < np.inf
            else 0.0
        )
        if value > best:
            best, law = value, (Fraction(i, parts), Fraction(j, parts))
    if law is None:
        return None
    truth_exact = rational_margin(margin, *law)
    missed = above(table, truth_exact)
    probability = rational_probability(missed, *law)
    if probability <= Fraction(wanted):
        return None
    return _named(*law, truth_exact, missed, float(probability), exchanged, rational=True)


def _named(
    a: Fraction,
    b: Fraction,
    truth: Fraction,
    missed: Any,
    probability: float,
    exchanged: bool,
    rational: bool = False,
) -> Witness:
    n = missed.shape[0] - 1
    pairs = [(int(i), int(j)) for i, j in np.argwhere(missed) if i + j <= n]
    if exchanged:
        b, pairs = 1 - a - b, [(i, n - i - j) for i, j in pairs]
    # Near the most probable outcomes first.
    pairs.sort(key=lambda p: abs(p[0] - n * float(a)) + abs(p[1] - n * float(b)))
    shown = ", ".join(map(str, pairs[:6])) + (", ..." if len(pairs) > 6 else "")
    law = {"q1": f"{float(a):.14g}", "q2": f"{float(b):.14g}"}
    text = f"{len(pairs)} of the (x1, x2) with n = {n}: {shown}"
    return Witness(law, float(truth), text, probability, rational)
