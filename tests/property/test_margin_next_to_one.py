"""Margins far below zero, where the runner-up's probability is next to 1: tails and limits."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

from rsverify.kernels.margin.buehler import whole_limit
from rsverify.kernels.margin.curve import corner_tail
from rsverify.kernels.margin.ordering import curve_point
from rsverify.kernels.margin.trinomial import tail_relative_error, window_tail

PROBIT, LAPLACE = 1, 2


def distribution(estimand: int, z: mp.mpf) -> mp.mpf:
    if estimand == PROBIT:
        return mp.ncdf(z)
    return mp.exp(z) / 2 if z <= 0 else 1 - mp.exp(-z) / 2


def chance(n: int, q1: mp.mpf, q2: mp.mpf) -> mp.mpf:
    """Return P(X1 >= 1, X2 <= n - 2), a small one from large ones: at many digits."""
    return 1 - (1 - q1) ** n - n * q1 * q2 ** (n - 1)


def steps_of(n: int) -> np.ndarray:
    steps = np.full(n + 1, n + 1)
    steps[: n - 1] = 1
    return steps


@pytest.mark.parametrize("estimand", [PROBIT, LAPLACE])
@pytest.mark.parametrize("n", [20, 3_000, 200_000])
def test_points_and_tails_keep_their_digits(n: int, estimand: int) -> None:
    """What is not the runner-up's, and the tail, to the relative error that proofs allow for."""
    rng = np.random.default_rng(n)
    with mp.workdps(60):
        for _ in range(20):
            limit = -float(rng.uniform(6.0, 14.0 if estimand == PROBIT else 50.0))
            u = -0.5 * limit - float(rng.choice([0.0, 1e-6, 1e-3, 0.1, 0.7]))
            q1, q2 = (distribution(estimand, mp.mpf(z)) for z in (mp.mpf(u) + mp.mpf(limit), u))
            point = curve_point(estimand, limit, u)
            assert float((point[0] + point[2]) / (1 - q2) - 1) == pytest.approx(0.0, abs=1e-13)
            exact = chance(n, q1, q2)
            if exact < 1e-14:
                continue
            tail = window_tail(steps_of(n), 0, n, n, *point, 1e-30)
            assert abs(float(tail / exact - 1)) <= tail_relative_error(n) + 1e-15 * n


@pytest.mark.parametrize("estimand", [PROBIT, LAPLACE])
def test_no_point_of_a_stretch_is_above_its_corner(estimand: int) -> None:
    n, limit = 50_000, -13.0 if estimand == PROBIT else -46.0
    low = -0.5 * limit - 1e-6
    corner = corner_tail(steps_of(n), 0, n, n, estimand, limit, low, -0.5 * limit, 1e-30)
    with mp.workdps(60):
        for share in (0.0, 0.5, 1.0):
            u = mp.mpf(low) + share * (-mp.mpf(limit) / 2 - mp.mpf(low))
            exact = chance(n, distribution(estimand, u + limit), distribution(estimand, u))
            assert exact <= mp.mpf(corner) * (1 + 1e-9)


@pytest.mark.parametrize("alpha", [1e-6, 1e-8, 1e-9, 1e-10, 1e-12])
@pytest.mark.parametrize("n", [60, 1_000, 30_000, 100_000])
def test_limits_are_valid_and_close(n: int, alpha: float) -> None:
    """The probit limit of {X1 >= 1, X2 <= n - 2}: the supremum is at most alpha, and near it."""
    limit = whole_limit(steps_of(n), n, PROBIT, alpha, -9.0)
    with mp.workdps(40):
        c = mp.mpf(limit)

        def value(share: mp.mpf) -> mp.mpf:
            u = -c / 2 - share
            return chance(n, mp.ncdf(u + c), mp.ncdf(u))

        a, b = mp.mpf("0.1"), mp.mpf("0.4")  # it has one peak
        for _ in range(28):
            left, right = a + (b - a) * mp.mpf("0.382"), a + (b - a) * mp.mpf("0.618")
            a, b = (a, right) if value(left) > value(right) else (left, b)
        highest = value((a + b) / 2)
        assert highest <= alpha
        assert highest >= alpha * (1 - 5e-9)
