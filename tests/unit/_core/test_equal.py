"""Records with NaN where there is no number are equal to their copies, on every Python."""

import copy
import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import rsverify
from rsverify.auditing.comparing.api import compare_bounds
from rsverify.noise import Uniform


def certificate() -> Any:
    return rsverify.certify_counts([90, 5, 5], alpha=0.01, y=0, noise=Uniform(0.5))


def exact_row() -> Any:
    return rsverify.audit("clopper_pearson_lower", estimand="proportion", n=5, alpha=0.1).rows[0]


def compared() -> Any:
    asked: Any = {"estimand": "proportion", "n": 5, "alpha": 0.1}
    return compare_bounds(["clopper_pearson_lower"], **asked).rows[0]


@pytest.mark.parametrize("make", [certificate, exact_row, compared])
def test_a_copy_with_another_nan_is_equal(make: Callable[[], Any]) -> None:
    one = make()
    for other in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), make()):
        assert one == other
        assert hash(one) == hash(other)
    assert one != "another type"


def test_what_differs_is_not_equal() -> None:
    row = exact_row()
    assert math.isnan(row.gap)
    assert row == replace(row, gap=float("nan"))
    assert row == replace(row, gap=np.float64("nan"))
    for change in ({"gap": 0.5}, {"uncovered": 7}, {"note": "x"}, {"truth": math.nan}):
        assert row != replace(row, **change)
    one = certificate()
    assert one != replace(one, claim=replace(one.claim, sigma=0.5))
    assert one == replace(one, evidence=replace(one.evidence, seconds=3.0)), "not compared"
