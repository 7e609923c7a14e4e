"""Exact audits state expected gaps."""

from __future__ import annotations

import math
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from rsverify import audit, audit_test, clopper_pearson_lower, clopper_pearson_upper
from rsverify.auditing.estimand import two_proportions


def test_the_gap_of_a_proportion_by_fractions():
    n = 15
    report = audit("clopper_pearson_lower", estimand="proportion", n=n, alpha=0.1)
    limits = clopper_pearson_lower(np.arange(n + 1), n, 0.1)
    stated = report.design["expected_gaps"]
    name = next(key for key in stated if key != "p = 0.01")
    value = Fraction(name.removeprefix("p = "))
    gap = sum(
        Fraction(comb(n, k))
        * value**k
        * (1 - value) ** (n - k)
        * max(value - Fraction(float(v)), 0)
        for k, v in enumerate(limits)
    )
    assert stated[name] == pytest.approx(float(gap), rel=1e-10)
    (note,) = [text for text in report.notes if "expected gap" in text]
    assert f"{stated[name]:.4g} at {name}" in note


def test_of_intervals_the_width():
    def interval(counts, alpha):
        k, n = counts[:, 0], counts.sum(axis=1)
        return np.column_stack(
            [clopper_pearson_lower(k, n, alpha / 2), clopper_pearson_upper(k, n, alpha / 2)]
        )

    report = audit(interval, estimand="proportion", n=10, alpha=0.1, side="two-sided")
    assert any(text.startswith("expected width, summed over all outcomes") for text in report.notes)
    assert all(0 < value < 1 for value in report.design["expected_gaps"].values())


@pytest.mark.parametrize(
    "estimand", ["difference", "probit:first", "poisson-rate", two_proportions("difference", 4)]
)
def test_other_counts(estimand):
    def low(data, _alpha):
        return np.full(len(data), -1.0 if estimand != "poisson-rate" else 0.0)

    report = audit(low, estimand=estimand, n=6, alpha=0.1)
    gaps = report.design["expected_gaps"]
    assert gaps
    assert all(math.isfinite(value) and value >= 0 for value in gaps.values())


def test_none_where_there_is_no_gap_to_state():
    report = audit_test(
        lambda counts: np.ones(len(counts)), null=(None, 0.5), estimand="proportion", n=8
    )
    assert "expected_gaps" not in report.design
    assert not any("expected gap" in text for text in report.notes)
