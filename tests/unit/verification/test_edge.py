"""All votes for two classes: each step of the argument against plain summation, and the proof."""

import math

import numpy as np
import pytest
from flint import arb, ctx
from scipy.stats import beta, binom, multinomial

from rsverify import cohen_margin_lower, exact_margin_lower
from rsverify._core.types import MarginName
from rsverify.verification.edge import _fewer_votes, _last_panel, end_of_curve, prove_at_the_edge
from rsverify.verification.ordering import default_sets
from rsverify.verification.supremum import Finding, curve_of
from rsverify.verification.tails import Staircase

CASES = [
    (5, 0, 0.05), (7, 1, 0.3), (18, 2, 0.5), (100, 0, 1e-12), (97, 3, 0.001), (300, 10, 0.05),
    (520, 480, 0.4), (990, 10, 0.001), (5000, 0, 0.001), (60_000, 40_000, 1e-6),
]  # fmt: skip
SHARE = 2e-11


def at_the_edge(
    x1: int, x2: int, alpha: float, estimand: MarginName, margin: float, share: float = SHARE
) -> Finding | None:
    """Try the proof with the limits as scipy has them, moved outward."""
    n = x1 + x2
    least = float(beta.ppf(share * alpha, x1, x2 + 1)) * (1 - 1e-9)
    most = min(1.0, float(beta.isf(share * alpha, x2 + 1, x1)) * (1 + 1e-9)) if x1 else 1.0
    stairs = Staircase(n, default_sets(estimand, x1, x2, n, alpha)[0].tolist())
    levels = arb(alpha), arb(alpha) * arb(share)
    return prove_at_the_edge(
        stairs, (x1, x2), estimand, arb(margin), levels, 10**5, (least, most)
    )  # fmt: skip


@pytest.mark.parametrize("estimand", ["difference", "probit"])
@pytest.mark.parametrize(("x1", "x2", "alpha"), CASES)
def test_cohens_limit_is_proved_and_not_a_larger_one(
    x1: int, x2: int, alpha: float, estimand: MarginName
) -> None:
    limit = float(exact_margin_lower(x1, x2, x1 + x2, alpha, estimand=estimand))
    assert limit == cohen_margin_lower(x1, x1 + x2, alpha, estimand=estimand) > 0
    with ctx.workprec(96):
        found = at_the_edge(x1, x2, alpha, estimand, limit)
        assert found is not None, "the default's limit is Cohen's"
        assert found.answer == "at most"
        assert found.tail <= arb(alpha)
        assert at_the_edge(x1, x2, alpha, estimand, limit * (1 + 1e-9)) is None


def outcomes(n: int) -> np.ndarray:
    """Return all outcomes of n votes for three classes."""
    return np.array([(i, j, n - i - j) for i in range(n + 1) for j in range(n + 1 - i)])


@pytest.mark.parametrize("seed", range(6))
def test_what_the_limits_cost_is_bounded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, gamma = 14, float(rng.choice([0.2, 0.02, 1e-4]))
    x = outcomes(n)
    lower = np.nan_to_num(beta.ppf(gamma, np.arange(n + 1), n - np.arange(n + 1) + 1.0))
    upper = 1 - lower[::-1]
    x1 = int(rng.integers(8, n + 1))
    estimand: MarginName = "difference" if seed % 2 else "probit"
    steps = default_sets(estimand, x1, n - x1, n, 0.3)[0]
    full = np.append(steps, np.full(n + 1 - len(steps), n + 1))
    inside = x[:, 0] >= full[x[:, 1]]
    assert full[n - x1] == x1
    for _ in range(200):
        q3 = rng.uniform() ** 6
        q2 = rng.uniform(0, 0.5) * (1 - q3)
        q = np.array([1 - q2 - q3, q2, q3])
        excludes = (lower[x[:, 0]] > q[0]) | (upper[x[:, 1]] < q[1])
        if excludes[(x[:, 0] == x1) & (x[:, 2] == 0)][0]:
            continue
        masses = multinomial.pmf(x, n, q / q.sum())
        cost = masses[inside | excludes].sum() - masses[inside].sum()
        assert cost <= min(2, 4 * n * q3) * gamma + 1e-13


@pytest.mark.parametrize("estimand", ["difference", "probit"])
@pytest.mark.parametrize(("x1", "x2", "alpha"), [c for c in CASES if c[0] < 1000])
def test_tail_and_cost_rise_on_the_last_panel(
    x1: int, x2: int, alpha: float, estimand: MarginName
) -> None:
    n, gamma = x1 + x2, SHARE * alpha
    limit = float(exact_margin_lower(x1, x2, n, alpha, estimand=estimand))
    with ctx.workprec(128):
        stairs = Staircase(n, default_sets(estimand, x1, x2, n, alpha)[0].tolist())
        curve = curve_of(estimand, n, arb(limit), 1e-3)
        end = end_of_curve(estimand, arb(limit))
        start = _last_panel(stairs, curve, estimand, (end[0], end[1]), arb(gamma), alpha)
        assert start is not None
        last = math.pi / 2 if estimand == "difference" else 0.0
        before = None
        for share in np.linspace(0, 0.99, 12):
            q = curve.point(arb(start + share * (last - start)))
            value = stairs.tail(*q, alpha) + 4 * n * gamma * q[2]
            if before is not None:
                assert value.mid() > before.mid()
            before = value
        assert before is not None
        assert float(before.mid()) <= binom.sf(x1 - 1, n, float(end[0])) * (1 + 1e-9)


def test_the_sets_of_one_vote_less() -> None:
    n, steps = 9, [3, 4, 6, 6]
    x = outcomes(n - 1)
    full = np.append(steps, np.full(n + 1 - len(steps), n + 1))
    for move, rows in (((1, 0), [s - 1 for s in steps]), ((0, 1), steps[1:]), ((0, 0), steps)):
        part = _fewer_votes(n, rows)
        assert part is not None
        for i, j, _ in x:
            assert part.holds(i, j) == (i + move[0] >= full[j + move[1]])


def test_nothing_is_shown_where_the_argument_has_a_gap() -> None:
    alpha, margin = 0.05, 0.2
    levels = arb(alpha), arb(SHARE * alpha)
    with ctx.workprec(96):

        def shown(steps: list[int], x1: int, x2: int, n: int, levels: tuple = levels) -> bool:
            stairs = Staircase(n, steps)
            region = 0.3, 0.9
            found = prove_at_the_edge(
                stairs, (x1, x2), "difference", arb(margin), levels, 10**5, region
            )
            return found is not None

        good = [17, 17, 18]
        assert shown(good, 18, 2, 20)
        assert not shown([17, 17, 18], 17, 2, 20), "not all votes are for two classes"
        assert not shown([17, 17, 17, 17], 18, 2, 20), "an outcome with fewer votes is in the set"
        assert not shown([17, 17, 17], 18, 2, 20), "the tail falls toward q3 = 0"
        assert not shown([0, 0, 18], 18, 2, 20), "it is above alpha elsewhere"
        assert not shown(good, 18, 2, 20, (arb(alpha), arb(0.02))), "the cost is too high"
        assert not shown(good, 18, 2, 20, (arb("1e-4"), arb("1e-15"))), "it is above alpha there"
