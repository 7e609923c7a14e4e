"""Radii of noise from their definitions, to 50 digits: references of `rsverify.noise`.

None of the closed forms is used. A radius is looked for by bisection as the largest shift at
which the worst that can happen to the two classes still leaves the certified one ahead; what the
worst is comes from the distribution of the noise: moved quantiles for Gaussian and Laplace noise,
products of overlaps for uniform noise, counts of choices and products of deletions for the
discrete ones.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import mpmath as mp

from rsverify.reference.special import (
    Number,
    laplace_cdf,
    laplace_ppf,
    norm_cdf,
    norm_ppf,
    precise,
)

BISECTIONS = 200


def largest(holds: Callable[[Number], bool], high: Number) -> Number:
    """Return the end of the range from 0 in which `holds`, looked for up to `high`.

    By bisection to 60 digits: what holds is a comparison, of which there is no root to find, and
    ranges of `bisect` end at 19 digits.
    """
    low, high = mp.mpf(0), mp.mpf(high)
    if holds(high):
        return high
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def laplace_radius(p1: Number, p2: Number, scale: Number) -> Number:
    """Return how far ℓ1 may move the input before class 2 can catch up with class 1."""
    with precise():
        first, second = laplace_ppf(p1), laplace_ppf(p2)
        scale = mp.mpf(scale)
        return largest(
            lambda r: laplace_cdf(first - r / scale) > laplace_cdf(second + r / scale),
            1000 * scale,
        )


def gaussian_radius(p1: Number, p2: Number, sigma: Number) -> Number:
    """Return the same in ℓ2 under Gaussian noise."""
    with precise():
        first, second = norm_ppf(p1), norm_ppf(p2)
        sigma = mp.mpf(sigma)
        return largest(
            lambda r: norm_cdf(first - r / sigma) > norm_cdf(second + r / sigma), 100 * sigma
        )


def uniform_radius(
    margin: Number, shifts: Callable[[Number], list[Number]], half_width: Number
) -> Number:
    """Return the largest r whose shifts leave an overlap above 1 - margin / 2."""
    with precise():
        width = 2 * mp.mpf(half_width)

        def holds(r: Number) -> bool:
            overlap = mp.mpf(1)
            for shift in shifts(r):
                overlap *= max(mp.mpf(0), 1 - abs(shift) / width)
            return bool(2 * (1 - overlap) < margin)

        return largest(holds, width)


def ablation_radius(margin: Fraction, keep: int, of: int) -> int:
    """Return the largest number of changed entries, one factor of the ratio after another."""
    unseen, changes = Fraction(1), 0
    while changes < of:
        unseen *= Fraction(max(0, of - changes - keep), of - changes)
        if 2 * (1 - unseen) >= margin:
            return changes
        changes += 1
    return changes


def deletion_radius(margin: Fraction, probability: Fraction) -> int:
    """Return the largest number of edits, one after another."""
    dropped, edits = probability, 0
    while 2 * (1 - dropped) < margin:
        dropped *= probability
        edits += 1
    return edits
