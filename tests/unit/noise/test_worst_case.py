"""Radii against the worst classifier there is, computed in one dimension (Neyman and Pearson).

Of all classifiers that answer y and j with given probabilities at x, the one that is worst at x + r
gives y the places that lose most by the shift, and j those that gain most. On a fine grid both are
found by sorting; where they meet is the largest radius that any certificate from these two
probabilities may state. Nothing of the proofs or of the formulas is used.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import optimize, stats

from rsverify.noise import DiscreteGaussian, Gaussian, Laplace, Noise, Uniform

CELLS = 200_000
GRID = 2e-4  # relative, of a radius, that the grid costs
PAIRS = [(0.6, 0.4), (0.95, 0.05), (0.9, 0.001), (0.3, 0.1), (0.4, 0.39), (0.51, 0.2), (0.7, 0.3)]


def places_of(distribution: stats.rv_continuous, reach: float) -> np.ndarray:
    """Return the ends of cells: evenly spread, and at the ends of a bounded distribution."""
    low, high = distribution.support()
    low, high = max(low, -40.0 * distribution.std()), min(high, 40.0 * distribution.std())
    return np.unique(
        np.concatenate([np.linspace(low, high + reach, CELLS), [low, high, low + reach, 0, reach]])
    )


def lead_left(distribution: stats.rv_continuous, r: float, p1: float, p2: float) -> float:
    """Return how far class 1 is ahead of class 2 after the worst move by r."""
    ends = places_of(distribution, r)
    here = np.diff(distribution.cdf(ends))
    moved = np.diff(distribution.cdf(ends - r))
    inside = here > 0.0
    order = np.argsort(moved[inside] / here[inside], kind="stable")
    before = np.concatenate([[0.0], np.cumsum(here[inside][order])])
    after = np.concatenate([[0.0], np.cumsum(moved[inside][order])])
    kept = np.interp(p1, before, after)
    # Places that have no mass at x cost class 2 nothing.
    gained = after[-1] - np.interp(before[-1] - p2, before, after) + moved[~inside].sum()
    return float(kept - gained)


def largest_radius(distribution: stats.rv_continuous, p1: float, p2: float) -> float:
    """Return the r at which nothing of the lead is left."""
    high = distribution.std()
    while lead_left(distribution, high, p1, p2) > 0.0:
        high *= 2.0
    return float(
        optimize.brentq(lambda r: lead_left(distribution, r, p1, p2), 1e-9, high, rtol=1e-7)
    )


def laplace_margin(p1: float, p2: float) -> float:
    return float(stats.laplace.ppf(p1) - stats.laplace.ppf(p2))


CASES: list[tuple[Noise, stats.rv_continuous, str]] = [
    (Gaussian(0.25), stats.norm(scale=0.25), "probit"),
    (DiscreteGaussian(0.5, 1 / 255), stats.norm(scale=0.5), "probit"),
    (Uniform(0.5), stats.uniform(loc=-0.5, scale=1.0), "difference"),
    (Laplace(0.3), stats.laplace(scale=0.3), "laplace"),
]


@pytest.mark.parametrize(("p1", "p2"), PAIRS)
@pytest.mark.parametrize(("noise", "distribution", "margin"), CASES, ids=lambda v: str(v)[:12])
def test_no_classifier_is_worse_and_one_is_as_bad(
    noise: Noise, distribution: stats.rv_continuous, margin: str, p1: float, p2: float
) -> None:
    """Never above the worst case, and below it by no more than the grid is coarse."""
    limit = {
        "difference": p1 - p2,
        "probit": float(stats.norm.ppf(p1) - stats.norm.ppf(p2)),
        "laplace": laplace_margin(p1, p2),
    }[margin]
    stated = float(noise.radius(limit))
    worst = largest_radius(distribution, p1, p2)
    assert stated <= worst * (1 + GRID)
    assert stated >= worst * (1 - GRID)


@pytest.mark.parametrize(("p1", "p2"), PAIRS)
def test_the_rules_in_use_for_laplace_noise_are_below_the_worst_case(p1: float, p2: float) -> None:
    """By the difference alone, or by the ratio alone: at times by half of the radius."""
    worst = largest_radius(stats.laplace(), p1, p2)
    rules = -math.log1p(-(p1 - p2)), 0.5 * math.log(p1 / p2)
    assert max(rules) <= worst * (1 + GRID)
    stated = float(Laplace(1.0).radius(laplace_margin(p1, p2)))
    assert stated >= max(rules) * (1 - 1e-12)
    if (p1, p2) == (0.9, 0.001):
        assert max(rules) < 0.88 * worst
        assert rules[0] < 0.6 * worst


def test_the_check_finds_a_radius_that_is_too_large() -> None:
    noise, distribution = Uniform(0.505), stats.uniform(loc=-0.5, scale=1.0)
    assert float(noise.radius(0.9)) > largest_radius(distribution, 0.95, 0.05) * (1 + GRID)
