"""The probability of certifying, against a sum over all outcomes and against drawn votes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import multinomial

from rsverify.certificates import planning
from rsverify.certificates.margins import margin_lower_bounds
from rsverify.certificates.planning import certifying_probability, selecting_probability


def outcomes(n: int, m: int) -> Any:
    """Return all votes of m classes that add up to n."""
    heads = itertools.product(range(n + 1), repeat=m - 1)
    return np.array([[*head, n - sum(head)] for head in heads if sum(head) <= n])


CASES = [
    ([0.7, 0.2, 0.1], 25, 0.3, 0.05, "probit", "exact", 0),
    ([0.1, 0.6, 0.15, 0.15], 12, 0.2, 0.1, "probit", "bonferroni", 1),
    ([0.8, 0.2], 30, 0.3, 0.01, "difference", "exact", 0),
    ([0.5, 0.25, 0.25], 28, 0.05, 0.2, "difference", "exact", 0),
    ([0.7, 0.15, 0.15], 20, 0.3, 0.05, "probit", "cohen", 0),
    ([0.05, 0.05, 0.05, 0.05, 0.8], 9, 0.4, 0.2, "difference", "bonferroni", 4),
    ([0.5, 0.5, 0.0], 25, 0.1, 0.1, "difference", "exact", 1),
    ([0.6, 0.3, 0.1], 24, 0.2, 0.1, "laplace", "exact", 0),
    ([0.15, 0.75, 0.1], 20, 0.5, 0.1, "laplace", "cohen", 1),
    ([1.0, 0.0], 8, 0.1, 0.1, "probit", "exact", 0),
    ([0.35, 0.33, 0.32], 22, 0.05, 0.4, "probit", "exact", 0),
]


@pytest.mark.parametrize(("p", "n", "margin", "alpha", "estimand", "bound", "y"), CASES)
def test_it_is_the_sum_over_all_outcomes(
    p: Any, n: int, margin: float, alpha: float, estimand: Any, bound: Any, y: int
) -> None:
    votes = outcomes(n, len(p))
    limits = margin_lower_bounds(votes, y, alpha, estimand=estimand, bound=bound)
    wanted = multinomial.pmf(votes, n, p)[np.asarray(limits) >= margin].sum()
    found = certifying_probability(
        p, n, margin=margin, alpha=alpha, estimand=estimand, bound=bound, y=y
    )
    assert abs(found - wanted) < 1e-9
    assert wanted > 0


@pytest.mark.parametrize(
    ("p", "n0", "y"), [([0.4, 0.3, 0.3], 15, 0), ([0.3, 0.3, 0.4], 14, 2), ([0.1, 0.5, 0.4], 9, 1)]
)
def test_the_selected_class_is_the_lowest_of_tied_ones(p: Any, n0: int, y: int) -> None:
    votes = outcomes(n0, len(p))
    wanted = multinomial.pmf(votes, n0, p)[votes.argmax(axis=1) == y].sum()
    assert abs(selecting_probability(p, n0, y=y) - wanted) < 1e-9
    assert selecting_probability(p, 0, y=y) == 1.0


LARGE = {
    "two runners-up": [0.7, 0.14, 0.14, 0.02],
    "one": [0.8, 0.15, 0.05],
    "a rare one": [0.97, 0.001, *[0.029 / 20] * 20],
    "many": [0.6, *[0.4 / 30] * 30],
}


@pytest.mark.parametrize("p", LARGE.values(), ids=LARGE)
def test_drawn_votes_certify_as_often(p: Any) -> None:
    n, alpha, draws = 20_000, 0.001, 20_000
    votes = np.random.default_rng(0).multinomial(n, p, draws)
    asked: Any = {"estimand": "probit", "bound": "bonferroni"}
    limits = np.asarray(margin_lower_bounds(votes, 0, alpha, **asked))
    for quantile in (0.1, 0.5, 0.9):
        margin = float(np.quantile(limits, quantile)) + 1e-12
        found = certifying_probability(p, n, margin=margin, alpha=alpha, **asked)
        share = (limits >= margin).mean()
        assert abs(found - share) < 4 * 0.5 / draws**0.5 + 0.002


@pytest.mark.parametrize("p", LARGE.values(), ids=LARGE)
def test_some_numbers_of_votes_stand_for_all(p: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Any = {"alpha": 0.001, "estimand": "probit", "bound": "bonferroni", "margin": 1.2}
    found = certifying_probability(p, 5000, **asked)
    monkeypatch.setattr(planning, "_ALL_VALUES", 10**9)
    assert abs(certifying_probability(p, 5000, **asked) - found) < 0.005


def test_many_cut_off_numbers_are_nearly_normal(monkeypatch: pytest.MonkeyPatch) -> None:
    votes, p = 2000, np.full(40, 1 / 40)
    for limit in (60, 66, 75):
        caps = np.full(40, limit)
        exact = planning._cut_off(caps, votes, p)
        with monkeypatch.context() as m:
            m.setattr(planning, "_LARGEST_CONVOLUTION", 0)
            assert abs(planning._cut_off(caps, votes, p) - exact) < 0.005
        drawn = np.random.default_rng(1).multinomial(votes, p, 20_000).max(axis=1) <= limit
        assert abs(drawn.mean() - exact) < 0.015


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": [0.5, 0.4]}, "must be at least 0 and add up to 1, not 0.9"),
        ({"probabilities": [1.2, -0.2]}, "must be at least 0"),
        ({"probabilities": [1.0]}, "must be of two or more classes"),
        ({"margin": 0.0}, "margin=0.0 must be positive and finite"),
        ({"margin": np.inf}, "must be positive and finite"),
        ({"n": 2_000_000}, "n=2000000 must be"),
        ({"bound": "hoeffding"}, "bound='hoeffding' must be one of"),
        ({"y": 3}, "y=3 must be"),
    ],
)
def test_what_is_refused(change: Any, message: str) -> None:
    asked: Any = {"probabilities": [0.6, 0.3, 0.1], "n": 100, "margin": 0.5, "alpha": 0.01}
    asked |= {"estimand": "probit"} | change
    with pytest.raises(ValueError, match=message):
        certifying_probability(asked.pop("probabilities"), asked.pop("n"), **asked)
