"""Shapes, known values, reproducibility and bad input of the proportion limits."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from rsverify.bounds.proportion import (
    clopper_pearson_lower,
    clopper_pearson_upper,
    randomized_clopper_pearson_lower,
    randomized_clopper_pearson_upper,
)

PLAIN = (clopper_pearson_lower, clopper_pearson_upper)
RANDOMIZED = (randomized_clopper_pearson_lower, randomized_clopper_pearson_upper)
Bound = Callable[..., Any]


@pytest.mark.parametrize(
    ("k", "n", "alpha"), [(0, 20, 0.025), (7, 20, 0.025), (99_000, 100_000, 0.0005), (20, 20, 0.1)]
)
def test_agrees_with_scipy(k: int, n: int, alpha: float) -> None:
    ends = scipy.stats.binomtest(k, n).proportion_ci(1 - 2 * alpha, method="exact")
    assert clopper_pearson_lower(k, n, alpha) == pytest.approx(ends.low, rel=1e-9)
    assert clopper_pearson_upper(k, n, alpha) == pytest.approx(ends.high, rel=1e-9)


@pytest.mark.parametrize("bound", PLAIN + RANDOMIZED)
def test_broadcasts_and_returns_a_float_for_scalars(bound: Bound) -> None:
    options = {"u": 0.25} if bound in RANDOMIZED else {}
    table = bound(np.arange(4)[:, None], [3, 10], 0.05, **options)
    assert table.shape == (4, 2)
    assert table.dtype == np.float64
    single = bound(2, 10, 0.05, **options)
    assert isinstance(single, float)
    assert table[2, 1] == single
    assert bound(np.zeros((0, 3), dtype=int), 5, 0.05, **options).shape == (0, 3)
    assert bound(2.0, np.uint8(10), np.float32(0.25), **options) == bound(2, 10, 0.25, **options)


@pytest.mark.parametrize("bound", PLAIN + RANDOMIZED)
@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((-1, 10, 0.05), ValueError, "k=-1 must be at least 0"),
        ((11, 10, 0.05), ValueError, "k=11 must be at most n=10"),
        ((2.5, 10, 0.05), ValueError, "k=2.5 must be an integer"),
        ((np.nan, 10, 0.05), ValueError, "k=nan must be an integer"),
        (("2", 10, 0.05), TypeError, "k='2' must be an integer or an array of integers"),
        ((True, 10, 0.05), TypeError, "k=True must be an integer"),
        ((2, 0, 0.05), ValueError, "n=0 must be between 1 and 10000000"),
        ((2, 10_000_001, 0.05), ValueError, "n=10000001 must be between 1 and 10000000"),
        ((2, np.inf, 0.05), ValueError, "n=inf must be an integer"),
        ((2, 10, 0.0), ValueError, "alpha=0.0 must be in (0, 1)"),
        ((2, 10, 1.0), ValueError, "alpha=1.0 must be in (0, 1)"),
        ((2, 10, [0.05, 1.2]), ValueError, "alpha=1.2 must be in (0, 1)"),
        ((2, 10, np.nan), ValueError, "alpha contains NaN"),
        ((2, 10, 0.05j), TypeError, "alpha=0.05j must be a real number"),
        (([1, 2], [10, 10, 10], 0.05), ValueError, "k of shape (2,) must broadcast with n of"),
        (([1, 2], 10, [0.1, 0.1, 0.1]), ValueError, "arguments must broadcast to one shape"),
    ],
)
def test_bad_input_raises(
    bound: Bound, args: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        bound(*args)


@pytest.mark.parametrize("bound", RANDOMIZED)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"u": -0.1}, "u=-0.1 must be in [0, 1]"),
        ({"u": [0.5, 1.5]}, "u=1.5 must be in [0, 1]"),
        ({"u": np.nan}, "u contains NaN"),
        ({"u": 0.5, "seed": 3}, "u=0.5 and seed=3 must not both be given"),
        ({"u": np.full(3, 0.5)}, "arguments must broadcast to one shape"),
    ],
)
def test_bad_tie_breakers_raise(bound: Bound, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        bound([1, 2], 10, 0.05, **options)


@pytest.mark.parametrize("bound", RANDOMIZED)
def test_a_seed_repeats_and_each_limit_has_its_own_number(bound: Bound) -> None:
    k = np.full(50, 4)
    first = bound(k, 10, 0.05, seed=7)
    assert np.array_equal(first, bound(k, 10, 0.05, seed=7))
    assert np.array_equal(first, bound(k, 10, 0.05, u=np.random.default_rng(7).random(50)))
    assert not np.array_equal(first, bound(k, 10, 0.05, seed=8))
    assert not np.array_equal(bound(k, 10, 0.05), bound(k, 10, 0.05))
    assert len(np.unique(first)) == 50


def test_randomized_limits_reach_the_ends_exactly_where_documented() -> None:
    assert randomized_clopper_pearson_lower(10, 10, 0.05, u=0.951) == 1.0
    assert randomized_clopper_pearson_lower(10, 10, 0.05, u=0.949) < 1.0
    assert randomized_clopper_pearson_upper(0, 10, 0.05, u=0.05) == 0.0
    assert randomized_clopper_pearson_upper(0, 10, 0.05, u=0.06) > 0.0


@pytest.mark.statistical
def test_randomized_errors_as_often_as_it_says() -> None:
    """100,000 replications at n = 20: a count more than 5 standard errors off is a failure.

    False alarms: below 1e-6. A limit that ignores u errs with probability 0.0480 instead of
    0.1, 76 standard errors away.
    """
    rng = np.random.default_rng(20240229)
    p, alpha, runs = 0.3, 0.1, 100_000
    limits = randomized_clopper_pearson_lower(rng.binomial(20, p, runs), 20, alpha, seed=rng)
    errors = np.count_nonzero(limits > p)
    assert abs(errors - alpha * runs) < 5 * np.sqrt(runs * alpha * (1 - alpha))
