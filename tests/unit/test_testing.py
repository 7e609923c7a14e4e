"""The helpers for other people's test suites."""

import numpy as np
import pytest
from hypothesis import given

from rsverify.testing import assert_covers, bounded_samples, counts, simplex_points

SETTINGS = {"estimand": "proportion", "n": 20, "alpha": 0.05}


def test_assert_covers_passes_valid_bounds_and_raises_the_report_for_others():
    assert assert_covers("clopper_pearson_lower", **SETTINGS).verdict == "supported"
    with pytest.raises(AssertionError, match="witness: at p="):
        assert_covers(lambda counts, _alpha: counts[:, 0] / counts.sum(axis=1), **SETTINGS)


def test_inconclusive_is_an_error_only_if_asked_for():
    def slightly(x, _alpha):
        return (x[:, 0] < 0.055).astype(float)

    uniform = {"uniform": {"law": ("beta", 1.0, 1.0)}}
    settings = {"n": 1, "alpha": 0.05, "scenarios": uniform, "replications": 400}
    assert assert_covers(slightly, **settings).verdict == "inconclusive"
    with pytest.raises(AssertionError, match="inconclusive"):
        assert_covers(slightly, conclusive=True, **settings)


@given(counts(4, largest_n=50))
def test_counts_are_votes(votes):
    assert votes.shape == (4,)
    assert votes.dtype == np.int64
    assert (votes >= 0).all()
    assert 1 <= votes.sum() <= 50


@given(simplex_points(3))
def test_simplex_points_are_probabilities(p):
    assert p.shape == (3,)
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-12)


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="classes=1 must be at least 2"):
        counts(1)
    with pytest.raises(ValueError, match="classes=0 must be at least 1"):
        simplex_points(0)


@given(bounded_samples(largest_n=30))
def test_bounded_samples_are_in_the_unit_interval(x):
    assert 1 <= x.size <= 30
    assert ((x >= 0) & (x <= 1)).all()
