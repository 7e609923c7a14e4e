"""Which of the paper's printed formulas fail, by exact enumeration of the sample space."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import beta, multinomial

from rsverify.paper.as_printed import (
    LARGEST_N,
    estimate_table,
    printed_bonferroni_lower,
    printed_margin_lower,
    printed_selected_runner_up_lower,
    printed_taylor_lower,
    printed_two_step_lower,
)
from rsverify.probit import taylor_probit
from rsverify.reference.solver import buehler_bracket, multinomials, outcomes

ESTIMANDS = ["difference", "probit"]


def margin(p1: np.ndarray, p2: np.ndarray, estimand: str) -> np.ndarray:
    """The margin of every p of a grid, 0 where both terms are −inf."""
    if estimand == "difference":
        return p1 - p2
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(ndtri(p1) - ndtri(p2), nan=0.0, posinf=np.inf, neginf=-np.inf)


def miscoverage(bounds: np.ndarray, n: int, p: np.ndarray, estimand: str) -> np.ndarray:
    """P(bound > margin) for each row of p, summed over the whole sample space."""
    rows = outcomes(n)
    probability = multinomials(rows) * (p[:, None, :] ** rows).prod(axis=2)
    truth = margin(p[:, 0], p[:, 1], estimand)
    return (probability * (bounds > truth[:, None] + 1e-12)).sum(axis=1)


def simplex_grid(size: int) -> np.ndarray:
    """The points of the simplex with multiples of 1/size."""
    return outcomes(size) / size


# --- (4)-(6): right, if the classes are fixed ------------------------------------------------


@pytest.mark.parametrize("estimand", ESTIMANDS)
@pytest.mark.parametrize("n", [1, 5, 12])
def test_bonferroni_covers(n: int, estimand: str) -> None:
    k1, k2, _ = outcomes(n).T
    for alpha in (0.3, 0.05, 0.01):
        bounds = printed_bonferroni_lower(k1, k2, n, alpha, estimand=estimand)
        assert not np.isnan(bounds).any()
        assert miscoverage(bounds, n, simplex_grid(60), estimand).max() <= alpha


def test_bonferroni_is_the_printed_formula() -> None:
    lower, upper = beta.ppf(0.0005, 600, 401), beta.ppf(0.9995, 51, 950)
    value = printed_bonferroni_lower(600, 50, 1000, 0.001, estimand="probit")
    assert value == pytest.approx(ndtri(lower) - ndtri(upper), rel=1e-12)


# --- (7) and (8) ----------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_strict_cdf_undercovers_witness_difference(alpha: float) -> None:
    """p = (0.99, 0.01, 0): only (5, 0, 0) misses, and it has probability 0.99⁵ = 0.951."""
    n, rows = 5, outcomes(5)
    bounds = printed_margin_lower(rows[:, 0], rows[:, 1], n, alpha, estimand="difference")
    p = np.array([[0.99, 0.01, 0.0]])
    missing = rows[bounds > 0.98]
    assert missing.tolist() == [[5, 0, 0]]
    assert miscoverage(bounds, n, p, "difference")[0] == pytest.approx(0.99**5)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_strict_cdf_undercovers_witness_probit(alpha: float) -> None:
    """p = (0.99, 0.005, 0.005), n = 8: x_2 = 0 < x_1 claims +inf, probability 0.961."""
    n, rows = 8, outcomes(8)
    bounds = printed_margin_lower(rows[:, 0], rows[:, 1], n, alpha, estimand="probit")
    p = np.array([[0.99, 0.005, 0.005]])
    missing = rows[bounds > margin(p[:, 0], p[:, 1], "probit")]
    assert missing.tolist() == [[x, 0, n - x] for x in range(1, n + 1)]
    assert np.isinf(bounds[(rows[:, 1] == 0) & (rows[:, 0] > 0)]).all()
    assert miscoverage(bounds, n, p, "probit")[0] == pytest.approx(0.995**8 - 0.005**8)


def test_strict_cdf_undercovers_also_away_from_the_largest_estimate() -> None:
    """p = (0.76, 0.24, 0), n = 12: the misses are not only the outcome with every vote."""
    n, alpha, rows = 12, 0.05, outcomes(12)
    bounds = printed_margin_lower(rows[:, 0], rows[:, 1], n, alpha, estimand="difference")
    p = np.array([[0.76, 0.24, 0.0]])
    without_top = np.where(rows[:, 0] == n, -1.0, bounds)
    assert miscoverage(without_top, n, p, "difference")[0] > 2 * alpha


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_strict_bound_is_the_exact_bound_of_the_next_estimate(estimand: str) -> None:
    """The set {θ̂ > t} handed to the independent solver gives the same number."""
    n, alpha, rows = 7, 0.05, outcomes(7)
    table = estimate_table(n, estimand)[rows[:, 0], rows[:, 1]]
    for k1, k2 in [(5, 1), (4, 2), (3, 2), (2, 1), (1, 4)]:
        value = printed_margin_lower(k1, k2, n, alpha, estimand=estimand)
        above = table > estimate_table(n, estimand)[k1, k2]
        bracket = buehler_bracket(above, n, alpha, estimand=estimand)
        assert bracket.lower - 1e-9 <= value <= bracket.upper


def test_equal_margins_tie_in_the_estimate_table() -> None:
    """Φ⁻¹(x_1/n) − Φ⁻¹(x_2/n) is unchanged by (x_1, x_2) → (n − x_2, n − x_1), also in floats."""
    for n in (7, 10, 49, 100):
        table = estimate_table(n, "probit")
        x = np.arange(1, n)  # inside: at x_2 = 0 and x_1 = n all margins are infinite
        np.testing.assert_array_equal(table[x[:, None], x], table[n - x, n - x[:, None]])


def test_every_vote_for_class_one_claims_the_largest_margin() -> None:
    for n in (1, 5, 40):
        assert printed_margin_lower(n, 0, n, 1e-3, estimand="difference") == 1
        assert printed_margin_lower(n, 0, n, 1e-3, estimand="probit") == np.inf


def test_printed_taylor_and_two_step_undercover_witness() -> None:
    """p = (0.98, 0.015, 0.005), n = 5, M = 10: (5, 0, 0) claims 2 Φ_M⁻¹(1) = 4.56 > 4.22."""
    claimed = printed_taylor_lower(5, 0, 5, 0.001, order=10)
    assert claimed == 2 * taylor_probit(1.0, 10)
    assert ndtri(0.98) - ndtri(0.015) < 4.23 < claimed
    assert printed_two_step_lower(5, 0, 5, 0.1, order=10) == claimed
    assert 0.98**5 > 0.9  # the probability of that one outcome


def test_printed_two_step_branches() -> None:
    """Below the test the fallback is (4)-(6) at the full α, above it (11) at half."""
    for k1, k2, step in [(2, 1, "fallback"), (0, 5, "fallback"), (5, 0, "taylor")]:
        value = printed_two_step_lower(k1, k2, 5, 0.2, order=3)
        if step == "fallback":
            assert value == printed_bonferroni_lower(k1, k2, 5, 0.2, estimand="probit")
        else:
            assert value == printed_taylor_lower(k1, k2, 5, 0.1, order=3)


def test_strict_taylor_bound_is_the_exact_one_of_the_next_estimate() -> None:
    """At M = 0 the Taylor margin is √(2π)(p_1 − p_2), so both bounds are one, scaled."""
    value = printed_taylor_lower(3, 1, 4, 0.3, order=0)
    margin_difference = printed_margin_lower(3, 1, 4, 0.3, estimand="difference")
    assert value == pytest.approx(np.sqrt(2 * np.pi) * margin_difference, abs=1e-3)
    assert value <= np.sqrt(2 * np.pi) * margin_difference + 1e-9


# --- the runner-up chosen on other data -------------------------------------------------------


def selection_miscoverage(n: int, alpha: float, p: tuple[float, float, float]) -> float:
    """P(bound > p_1 − max(p_2, p_3)) with one selection vote and n estimation votes, exactly."""
    x, z = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    x, z = x[x + z <= n], z[x + z <= n]
    counts = np.column_stack([x, z, n - x - z])
    probability = multinomial.pmf(counts, n, p)
    total = 0.0
    for vote in range(3):
        bounds = printed_selected_runner_up_lower(
            np.eye(3, dtype=int)[vote], counts, alpha, y=0, estimand="difference"
        )
        total += p[vote] * probability[bounds > p[0] - max(p[1:])].sum()
    return total


def test_selected_runner_up_undercovers_witness() -> None:
    """p = (0.5, 0.3, 0.2), one selection vote, n = 500, α = 0.05: 0.149."""
    assert selection_miscoverage(500, 0.05, (0.5, 0.3, 0.2)) == pytest.approx(0.149, abs=5e-4)


def test_largest_other_count_of_the_same_data_covers() -> None:
    """The same distribution, the runner-up from the same counts: no correction needed."""
    n, alpha = 200, 0.05
    x, z = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij"))
    x, z = x[x + z <= n], z[x + z <= n]
    probability = multinomial.pmf(np.column_stack([x, z, n - x - z]), n, (0.5, 0.3, 0.2))
    largest = np.maximum(z, n - x - z)
    bounds = printed_bonferroni_lower(x, largest, n, alpha, estimand="difference")
    assert probability[bounds > 0.2].sum() <= alpha


def test_selected_runner_up_broadcasts_rows() -> None:
    rows = np.array([[50, 30, 20], [60, 10, 30]])
    together = printed_selected_runner_up_lower([1, 0, 2], rows, 0.1, y=0, estimand="probit")
    alone = [printed_bonferroni_lower(r[0], r[2], 100, 0.1, estimand="probit") for r in rows]
    np.testing.assert_array_equal(together, alone)


# --- arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [printed_bonferroni_lower, printed_margin_lower])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((6, 0, 5, 0.1), "k1=6 must be at most n=5"),
        ((-1, 0, 5, 0.1), "k1=-1 must be at least 0"),
        ((3, 3, 5, 0.1), "must be at most n=5"),
        ((3, 1, 5, 1.0), r"alpha=1.0 must be in \(0, 1\)"),
        ((3, 1, 0, 0.1), "n=0 must be between 1 and"),
        ((2.5, 1, 5, 0.1), "k1=2.5 must be an integer"),
    ],
)
def test_bad_counts_raise(function, arguments, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(*arguments, estimand="difference")


def test_other_bad_arguments_raise() -> None:
    with pytest.raises(ValueError, match="estimand='ratio'"):
        printed_margin_lower(3, 1, 5, 0.1, estimand="ratio")
    with pytest.raises(ValueError, match=f"n={LARGEST_N + 1}"):
        printed_margin_lower(3, 1, LARGEST_N + 1, 0.1, estimand="difference")
    with pytest.raises(ValueError, match="as many classes"):
        printed_selected_runner_up_lower([1, 0], [3, 1, 0], 0.1, y=0, estimand="probit")
    with pytest.raises(ValueError, match="y=3 must be in"):
        printed_selected_runner_up_lower([1, 0, 0], [3, 1, 0], 0.1, y=3, estimand="probit")
    with pytest.raises(ValueError, match="without votes"):
        printed_selected_runner_up_lower([0, 0, 0], [3, 1, 0], 0.1, y=0, estimand="probit")
    with pytest.raises(ValueError, match="at least 2 classes"):
        printed_selected_runner_up_lower([1], [3], 0.1, y=0, estimand="probit")
    with pytest.raises(ValueError, match="every count must be at least 0"):
        printed_selected_runner_up_lower([1, -1, 0], [3, 1, 0], 0.1, y=0, estimand="probit")
