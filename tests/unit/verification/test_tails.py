"""Tails in balls hold the exact ones, which are sums of rational numbers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx, fmpq

from rsverify.verification.tails import Staircase, binomial_tail


def exact_tail(stairs: Staircase, q: tuple[Fraction, Fraction, Fraction]) -> Fraction:
    n, total = stairs.n, Fraction(0)
    for x2, step in enumerate(stairs.steps):
        for x1 in range(step, n - x2 + 1):
            ways = math.comb(n, x2) * math.comb(n - x2, x1)
            total += ways * q[0] ** x1 * q[1] ** x2 * q[2] ** (n - x1 - x2)
    return total


def random_stairs(rng: np.random.Generator, n: int) -> Staircase:
    steps: list[int] = []
    least = int(rng.integers(0, n + 1))
    for x2 in range(int(rng.integers(1, n + 2))):
        if least > n - x2:
            break
        steps.append(least)
        least += int(rng.integers(0, 3))
    return Staircase(n, steps)


def random_point(rng: np.random.Generator) -> tuple[Fraction, Fraction, Fraction]:
    parts = [int(x) for x in rng.integers(1, 2 ** int(rng.integers(2, 20)), 3)]
    return tuple(Fraction(p, sum(parts)) for p in parts)  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(60))
def test_a_trinomial_tail_holds_the_exact_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stairs = random_stairs(rng, int(rng.integers(1, 40)))
    q = random_point(rng)
    with ctx.workprec(96):
        balls = [arb(fmpq(p.numerator, p.denominator)) for p in q]
        found = stairs.tail(balls[0], balls[1], balls[2], 0.001)
        wanted = exact_tail(stairs, q)
        assert found.overlaps(arb(fmpq(wanted.numerator, wanted.denominator)))
        assert float(found.rad()) <= 1e-14 + 1e-11 * float(wanted)


def test_what_a_window_leaves_out_is_in_the_ball() -> None:
    # At n = 400 the window is narrower than the staircase: the ball must still hold the sum.
    stairs = Staircase(400, [200 + x2 for x2 in range(100)])
    q = Fraction(1, 2), Fraction(1, 50), Fraction(12, 25)
    wanted = exact_tail(stairs, q)
    with ctx.workprec(96):
        balls = [arb(fmpq(p.numerator, p.denominator)) for p in q]
        high, low = stairs._rows(0.5 / 0.98, 0.02, 0.5)
        assert high - low < 98
        found = stairs.tail(balls[0], balls[1], balls[2], 0.5)
        assert found.overlaps(arb(fmpq(wanted.numerator, wanted.denominator)))


@pytest.mark.parametrize(
    ("k", "n", "p"),
    [
        (0, 5, "0.3"),
        (5, 5, "0.3"),
        (6, 5, "0.3"),
        (3, 40, "0.01"),
        (39, 40, "0.5"),
        (1, 300, "0.999"),
    ],
)
def test_a_binomial_tail_holds_the_exact_one(k: int, n: int, p: str) -> None:
    share = Fraction(p)
    wanted = sum(
        (math.comb(n, x) * share**x * (1 - share) ** (n - x) for x in range(k, n + 1)), Fraction(0)
    )
    with ctx.workprec(96):
        q = arb(fmpq(share.numerator, share.denominator))
        assert binomial_tail(k, n, q, 1 - q, 0.001).overlaps(
            arb(fmpq(wanted.numerator, wanted.denominator))
        )


@pytest.mark.parametrize("steps", [[], [3, 2], [-1], [4], [1, 3]])
def test_what_is_no_upper_set_is_refused(steps: list[int]) -> None:
    with pytest.raises(ValueError, match="steps"):
        Staircase(3, steps)
