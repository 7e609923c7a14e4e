"""Edges, sums and exact arithmetic; accuracy proper is in tests/accuracy."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from rsverify.kernels import binomial


@pytest.mark.parametrize(
    ("k", "n", "expected"), [(0, 5, 1.0), (3, 5, 0.0), (-1, 5, 0.0), (6, 5, 0.0)]
)
def test_pmf_at_p_0_and_1(k: int, n: int, expected: float) -> None:
    assert binomial.binomial_pmf(k, n, 0.0, 1.0) == expected
    assert binomial.binomial_pmf(n - k, n, 1.0, 0.0) == expected


@pytest.mark.parametrize("p", [0.0, 1e-300, 0.3, 1.0])
def test_tails_outside_the_range_are_certain_or_impossible(p: float) -> None:
    q = 1 - p
    assert binomial.binomial_upper_tail(0, 5, p, q) == binomial.binomial_lower_tail(5, 5, p, q) == 1
    assert (
        binomial.binomial_upper_tail(-3, 5, p, q) == binomial.binomial_lower_tail(9, 5, p, q) == 1
    )
    assert (
        binomial.binomial_upper_tail(6, 5, p, q) == binomial.binomial_lower_tail(-1, 5, p, q) == 0
    )


def test_tails_at_p_0_and_1() -> None:
    assert binomial.binomial_upper_tail(1, 5, 0.0, 1.0) == 0.0
    assert binomial.binomial_upper_tail(5, 5, 1.0, 0.0) == 1.0
    assert binomial.binomial_lower_tail(4, 5, 1.0, 0.0) == 0.0
    assert binomial.binomial_lower_tail(0, 5, 0.0, 1.0) == 1.0


@pytest.mark.parametrize("n", [1, 2, 17, 40])
@pytest.mark.parametrize("p", [1e-9, 0.03, 0.3, 0.5, 0.77, 1 - 2**-40])
def test_pmf_and_tails_are_those_of_rational_arithmetic(n: int, p: float) -> None:
    exact = [comb(n, j) * Fraction(p) ** j * (1 - Fraction(p)) ** (n - j) for j in range(n + 1)]
    for k in range(n + 1):
        assert binomial.binomial_pmf(k, n, p, 1 - p) == pytest.approx(float(exact[k]), rel=2e-13)
        for value, terms in (
            (binomial.binomial_upper_tail(k, n, p, 1 - p), exact[k:]),
            (binomial.binomial_lower_tail(k, n, p, 1 - p), exact[: k + 1]),
        ):
            assert value == pytest.approx(float(sum(terms)), rel=2e-13)


@pytest.mark.parametrize(("n", "p"), [(1000, 0.05), (100_000, 0.5), (1_000_000, 0.9)])
def test_tails_are_sums_of_the_pmf(n: int, p: float) -> None:
    k = int(n * p + 3 * (n * p * (1 - p)) ** 0.5)
    mass = [binomial.binomial_pmf(j, n, p, 1 - p) for j in range(k, min(n, k + 8000) + 1)]
    assert binomial.binomial_upper_tail(k, n, p, 1 - p) == pytest.approx(sum(mass), rel=1e-13)
    assert binomial.binomial_lower_tail(n - k, n, 1 - p, p) == pytest.approx(sum(mass), rel=1e-13)


def test_far_tails_are_not_differences_from_one() -> None:
    assert binomial.binomial_upper_tail(1000, 1000, 0.6, 0.4) == pytest.approx(0.6**1000, rel=1e-12)
    assert 0 < binomial.binomial_upper_tail(900, 1000, 0.5, 0.5) < 1e-160


@pytest.mark.parametrize("alpha", [1e-300, 1e-12, 0.001, 0.5, 0.9, 1 - 1e-12])
@pytest.mark.parametrize("n", [1, 2, 9, 1000, 10_000_000])
def test_limits_have_closed_forms_at_the_ends(n: int, alpha: float) -> None:
    assert binomial.clopper_pearson_lower(0, n, alpha) == 0.0
    assert binomial.clopper_pearson_upper(n, n, alpha) == 1.0
    root = np.log(alpha) / n
    assert binomial.clopper_pearson_lower(n, n, alpha) == pytest.approx(np.exp(root), rel=3e-12)
    p, q = binomial.clopper_pearson_upper_pair(0, n, alpha)
    assert p == pytest.approx(-np.expm1(root), rel=3e-12)
    assert q == pytest.approx(np.exp(root), rel=3e-12)


@pytest.mark.parametrize("k", [0, 1, 5, 9, 10])
@pytest.mark.parametrize("alpha", [1e-9, 0.05, 0.7])
def test_randomized_limits_end_at_the_plain_ones(k: int, alpha: float) -> None:
    plain = binomial.clopper_pearson_lower(k, 10, alpha)
    assert binomial.randomized_lower_pair(k, 10, alpha, 1.0, 0.0)[0] == plain
    at_zero = binomial.randomized_lower_pair(k, 10, alpha, 0.0, 1.0)[0]
    following = binomial.clopper_pearson_lower(k + 1, 10, alpha) if k < 10 else 1.0
    assert at_zero == pytest.approx(following, rel=3e-12)


@pytest.mark.parametrize(
    ("alpha", "weight"), [(2e-209, 1e-83), (1e-244, 1e-163), (1 - 1e-12, 1e-300), (0.5, 5e-324)]
)
@pytest.mark.parametrize("k", [0, 1, 2, 3])
def test_randomized_limits_survive_underflow(k: int, alpha: float, weight: float) -> None:
    p, q = binomial.randomized_lower_pair(k, 3, alpha, weight, 1.0 - weight)
    assert binomial.clopper_pearson_lower(k, 3, alpha) <= p <= 1.0
    assert 0.0 <= q <= 1.0
    if 0 < p < 1:
        tail = binomial.binomial_upper_tail(k + 1, 3, p, q)
        tail += weight * binomial.binomial_pmf(k, 3, p, q)
        assert tail == pytest.approx(alpha, rel=1e-11)


def test_row_loops_are_the_scalar_functions() -> None:
    k, n = np.array([0, 3, 10]), np.array([10, 10, 10])
    alpha, u, out = np.array([0.05, 0.01, 0.9]), np.array([0.25, 0.5, 1.0]), np.empty(3)
    rows = list(zip(k, n, alpha, u, strict=True))
    binomial.clopper_pearson_lower_rows(k, n, alpha, out)
    assert list(out) == [binomial.clopper_pearson_lower(a, b, c) for a, b, c, _ in rows]
    binomial.clopper_pearson_upper_rows(k, n, alpha, out)
    assert list(out) == [binomial.clopper_pearson_upper(a, b, c) for a, b, c, _ in rows]
    limit = binomial.randomized_lower_pair
    binomial.randomized_lower_rows(k, n, alpha, u, out)
    assert list(out) == [limit(a, b, c, 1 - v, v)[0] for a, b, c, v in rows]
    binomial.randomized_upper_rows(k, n, alpha, u, out)
    assert list(out) == [limit(b - a, b, c, v, 1 - v)[1] for a, b, c, v in rows]
