"""The inductive ordering of few votes: valid, monotone, never below the two, as defined."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch

from rsverify import (
    SmoothedClassifier,
    bonferroni_margin_lower,
    certify_counts,
    cohen_margin_lower,
    exact_margin_lower,
    verify_certificate,
)
from rsverify.auditing.exact.trinomial import margin_worst
from rsverify.bounds.inductive import inductive_table
from rsverify.reference.margin import buehler_lower
from rsverify.tables.abstentions import abstentions
from rsverify.tables.recertify import recertify
from rsverify.tables.schema import table_row

ESTIMANDS = ("difference", "probit")
IntArray = npt.NDArray[np.int64]


def outcomes(n: int) -> tuple[IntArray, IntArray]:
    x1, x2 = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    return x1, x2


@pytest.mark.parametrize("estimand", [*ESTIMANDS, "laplace"])
@pytest.mark.parametrize(("n", "alpha"), [(1, 0.3), (8, 0.05), (17, 0.1), (17, 0.9), (24, 0.001)])
def test_valid_monotone_and_never_below_the_two(n: int, alpha: float, estimand: str) -> None:
    x1, x2 = outcomes(n)
    table = np.full((n + 1, n + 1), -np.inf)
    table[x1, x2] = exact_margin_lower(x1, x2, n, alpha, estimand=estimand, ordering="inductive")  # type: ignore[call-overload]
    worst = margin_worst(table, estimand, False, alpha)
    assert worst.attained <= alpha * (1.0 + 1e-9)
    assert worst.monotone
    with np.errstate(invalid="ignore"):
        for other in (
            cohen_margin_lower(x1, n, alpha, estimand=estimand),  # type: ignore[call-overload]
            bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand),  # type: ignore[call-overload]
        ):
            assert (table[x1, x2] >= np.where(np.isfinite(other), other - 1e-9, other)).all()


@pytest.mark.parametrize(
    ("n", "alpha", "estimand"),
    [(20, 0.1, "probit"), (30, 0.025, "difference"), (30, 0.025, "probit"), (50, 0.1, "probit")],
)
def test_where_the_greedy_choice_alone_is_below_the_two(
    n: int, alpha: float, estimand: str
) -> None:
    x1, x2 = outcomes(n)
    table = inductive_table(n, alpha, ESTIMANDS.index(estimand))
    two = np.maximum(
        cohen_margin_lower(x1, n, alpha, estimand=estimand),  # type: ignore[call-overload]
        bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand),  # type: ignore[call-overload]
    )
    assert (table[x1, x2] >= np.where(np.isfinite(two), two - 1e-9, two)).all()


@pytest.mark.parametrize("estimand", ESTIMANDS)
def test_each_outcome_is_the_best_next_one(estimand: str) -> None:
    """Every step against the limits of all candidates, by the slow reference."""
    n, alpha = 4, 0.2
    table = inductive_table(n, alpha, ESTIMANDS.index(estimand))
    x1, x2 = outcomes(n)
    lowest = -1.0 if estimand == "difference" else -math.inf
    order = sorted(zip(x1, x2, strict=True), key=lambda x: -table[x])
    steps = [n + 1] * (n + 1)
    for a, b in order:
        if table[a, b] <= lowest:
            break
        limits = {}
        for j in range(n + 1):
            k1 = min(steps[j], n - j + 1) - 1
            if k1 >= 0 and (j == 0 or steps[j - 1] <= k1):
                grown = [*steps[:j], k1, *steps[j + 1 :]]
                limits[k1, j] = float(buehler_lower(grown, alpha, estimand=estimand))
        assert limits[a, b] == pytest.approx(table[a, b], abs=1.1e-9)
        assert limits[a, b] >= max(limits.values()) - 1e-9
        steps[b] = a


def test_published_figures() -> None:
    for votes, alpha, value in (((14, 3, 20), 0.025, 0.1544), ((45, 2, 50), 0.05, 0.7152)):
        found = exact_margin_lower(*votes, alpha, estimand="difference", ordering="inductive")
        assert found == pytest.approx(value, abs=6e-5)


def test_certificates_and_refusals() -> None:
    certificate = certify_counts([14, 3, 3], sigma=0.5, alpha=0.025, y=0, ordering="inductive")
    other = certify_counts([14, 3, 3], sigma=0.5, alpha=0.025, y=0)
    assert certificate.radius > other.radius
    assert verify_certificate(certificate).verdict == "not proved"
    with pytest.raises(ValueError, match="n=51 must be at most 50 for ordering='inductive'"):
        exact_margin_lower([3, 3], [1, 1], [50, 51], 0.1, estimand="probit", ordering="inductive")


def test_reasons_for_abstaining_at_any_alpha() -> None:
    """How many votes would do is asked of more votes than the ordering has limits for."""
    votes = [[5, 4, 1], [3, 0, 0], [20, 18, 2], [40, 1, 1], [2, 5, 3]]
    for alpha in (1e-12, 1e-4, 0.3):
        rows = [certify_counts(k, sigma=0.5, alpha=alpha, y=0, ordering="inductive") for k in votes]
        table = pd.DataFrame([table_row(i, 0, row) for i, row in enumerate(rows)])
        found = abstentions(table)
        assert sum(each.rows for each in found) == sum(row.radius <= 0 for row in rows)
        again = recertify(table, alpha=0.3, ordering="inductive")
        assert again["radius"].gt(0).sum() >= 2


@pytest.mark.filterwarnings("ignore:alpha=0.7")
def test_refused_before_anything_is_sampled() -> None:
    def model(_batch: torch.Tensor) -> torch.Tensor:
        raise AssertionError("sampled")

    smoothed = SmoothedClassifier(model, num_classes=2, sigma=0.5)
    for options, text in (
        ({"ordering": "inductive", "n": 51}, "n=51 must be at most 50"),
        ({"ordering": "nested", "n": 51, "alpha": 0.7}, r"alpha=0\.7 must be at most 0\.5"),
    ):
        with pytest.raises(ValueError, match=text):
            smoothed.certify(torch.zeros(3), n0=5, **options)  # type: ignore[call-overload]
