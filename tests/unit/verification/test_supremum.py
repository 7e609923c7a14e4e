"""The parts of the proof, each against what it claims; and the proof against the fast bound."""

import cmath

import mpmath as mp
import numpy as np
import pytest
from flint import arb, ctx

from rsverify import clopper_pearson_lower, clopper_pearson_upper, exact_margin_lower
from rsverify._core.types import MarginName, OrderingName
from rsverify.verification.ordering import additive_sets, default_sets
from rsverify.verification.supremum import (
    DifferenceCurve,
    ProbitCurve,
    Proof,
    _chebyshev,
    prove,
)
from rsverify.verification.tails import Staircase


def complex_point(curve: DifferenceCurve | ProbitCurve, z: complex) -> list[complex]:
    """Return the q of the curve's formula at a complex parameter, by other libraries."""
    if isinstance(curve, DifferenceCurve):
        k, c = float(curve.k.mid()), float(curve.c.mid())
        q2 = k * cmath.sin(z) ** 2
        return [c + q2, q2, 2 * k * cmath.cos(z) ** 2]
    a = float(curve.a.mid())
    q1, q2, rest = (
        complex(mp.erfc(-t / mp.sqrt(2)) / 2) for t in (a - z * z, -a - z * z, z * z - a)
    )
    return [q1, q2, rest - q2]


@pytest.mark.parametrize("kind", [DifferenceCurve, ProbitCurve])
@pytest.mark.parametrize("seed", range(25))
def test_the_growth_bound_holds_off_the_real_line(kind: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with ctx.workprec(96):
        margin = rng.uniform(0.001, 0.95) * (1 if kind is DifferenceCurve else 5)
        curve = kind(1000, arb(margin), 0.3, 1.0)
        low = rng.uniform(-0.1, 1.3)
        high, y = low + rng.choice([0.0, 0.01, 0.3]), rng.choice([0.01, 0.1, 0.5])
        bound = float(curve.growth(arb(low), arb(high), arb(y)).upper())
        for _ in range(40):
            z = complex(rng.uniform(low, high), rng.uniform(-y, y))
            q = complex_point(curve, z)
            assert abs(sum(q) - 1) < 1e-9
            assert 1000 * (sum(map(abs, q)) - 1) <= bound + 1e-8


@pytest.mark.parametrize("kind", [DifferenceCurve, ProbitCurve])
def test_the_curve_has_the_margin_and_sums_to_one(kind: type) -> None:
    with ctx.workprec(96):
        curve = kind(100, arb("0.4"), 0.45, 1.0)
        for share in (0.0, 0.3, 0.9, 1.0):
            q = curve.point(arb(curve.low + share * (curve.high - curve.low)))
            one, two = float(q[0]), float(q[1])
            margin = (
                one - two
                if kind is DifferenceCurve
                else float(mp.erfinv(2 * one - 1) - mp.erfinv(2 * two - 1)) * 2**0.5
            )
            assert margin == pytest.approx(0.4, abs=1e-9)
            assert sum(q).overlaps(arb(1))
            assert min(map(float, q)) >= -1e-20
        ends = [float(curve.point(arb(end))[0]) for end in (curve.low, curve.high)]
        assert min(ends) <= 0.45


@pytest.mark.parametrize("estimand", ["difference", "probit"])
def test_the_interpolant_is_as_close_as_said(estimand: MarginName) -> None:
    outer, _ = default_sets(estimand, 60, 25, 100, 0.05)
    stairs = Staircase(100, outer.tolist())
    kind = DifferenceCurve if estimand == "difference" else ProbitCurve
    with ctx.workprec(96):
        proof = Proof(stairs, kind(100, arb("0.21"), 0.3, 1.0), arb("0.05"), 10**6)
        low = proof.curve.low + 0.1
        points, matrix, _ = _chebyshev(24)
        for width in (0.2, 0.5):
            high = low + width
            error = proof._error(low, high)
            values = [proof.tail(arb(low) + width / 2 * (1 + x)) for x in points]
            with ctx.workprec(400):
                coefficients = [
                    sum((matrix[k, i] * v.mid() for i, v in enumerate(values)), arb(0))
                    for k in range(24)
                ]
                for x in np.linspace(-1, 1, 17):
                    power = sum((c * arb(x) ** k for k, c in enumerate(coefficients)), arb(0))
                    exact = proof.tail(arb(low) + width / 2 * (1 + arb(x)))
                    assert abs(float(power - exact)) <= error + 1e-12


@pytest.mark.parametrize("estimand", ["difference", "probit"])
@pytest.mark.parametrize(
    ("x1", "x2", "n", "alpha"),
    [(16, 2, 20, 0.025), (5, 0, 6, 0.05), (60, 25, 100, 0.05), (45, 2, 50, 0.3), (44, 5, 60, 1e-6),
     (600, 50, 1000, 0.001), (989, 10, 1000, 0.001), (600, 0, 1000, 0.001)],
)  # fmt: skip
def test_just_below_the_limit_is_proved_and_just_above_is_refuted(
    x1: int, x2: int, n: int, alpha: float, estimand: MarginName
) -> None:
    limit = exact_margin_lower(x1, x2, n, alpha, estimand=estimand)
    assert limit > 1e-6, "a margin that is not positive certifies nothing"
    with ctx.workprec(96):
        stairs = Staircase(n, default_sets(estimand, x1, x2, n, alpha)[0].tolist())
        # The default's supremum is local: over what two limits of level 2e-11 alpha leave.
        level = arb(alpha) * (1 - arb(4e-11))
        piece = {
            "least": clopper_pearson_lower(x1, n, 2e-11 * alpha) * (1 - 1e-12),
            "most": min(1.0, clopper_pearson_upper(x2, n, 2e-11 * alpha) * (1 + 1e-12)),
        }
        assert prove(stairs, estimand, arb(limit), level, 10**5, **piece).answer == "at most"
        found = prove(stairs, estimand, arb(limit + 1e-8), level, 10**5, **piece)
        assert found.answer == "more"
        assert found.tail > level
        whole = prove(stairs, estimand, arb(limit + 1e-8), level, 10**5)
        assert whole.answer == "more", "what fails on a piece fails on the whole curve"


@pytest.mark.parametrize("ordering", ["difference", "bonferroni"])
@pytest.mark.parametrize(("x1", "x2"), [(60, 5), (50, 5), (80, 0), (60, 40), (95, 1)])
def test_limits_of_other_orderings_are_between_proof_and_refutation(
    x1: int, x2: int, ordering: OrderingName
) -> None:
    limit = exact_margin_lower(x1, x2, 100, 0.05, estimand="probit", ordering=ordering)
    outer, _ = additive_sets(ordering, "probit", x1, x2, 100, 0.05)
    with ctx.workprec(96):
        stairs = Staircase(100, outer.tolist())
        assert prove(stairs, "probit", arb(limit), arb("0.05"), 10**5).answer == "at most"
        assert prove(stairs, "probit", arb(limit + 1e-8), arb("0.05"), 10**5).answer == "more"


def test_a_small_budget_leaves_it_open() -> None:
    with ctx.workprec(96):
        stairs = Staircase(1000, default_sets("probit", 600, 50, 1000, 0.001)[0].tolist())
        assert prove(stairs, "probit", arb("1.6"), arb("0.001"), 30).answer == "open"


def test_a_set_with_no_vote_needed_is_refuted_at_once() -> None:
    with ctx.workprec(96):
        found = prove(Staircase(10, [0, 3]), "probit", arb("0.01"), arb("0.001"), 100)
        assert found.answer == "more"
        assert found.witness is not None
        assert float(found.witness[0]) <= float(found.witness[1])
