"""Simplex maps: values, invariances, Lipschitz constants, errors."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.certificates.simplex import (
    SIMPLEX_MAPS,
    hardmax,
    scores_lipschitz,
    softmax,
    sparsemax,
)

logits = st.lists(st.floats(-50, 50), min_size=1, max_size=8)


@settings(max_examples=200, deadline=None)
@given(z=logits, temperature=st.floats(0.05, 20), name=st.sampled_from(list(SIMPLEX_MAPS)))
def test_scores_are_on_the_simplex_and_keep_the_order(z, temperature, name):
    scores = SIMPLEX_MAPS[name](z, temperature=temperature)
    assert (scores >= 0).all()
    assert (scores <= 1).all()
    assert scores.sum() == pytest.approx(1, abs=1e-14)
    assert scores[np.argmax(z)] == scores.max()


@settings(max_examples=300, deadline=None)
@given(
    data=st.data(),
    m=st.integers(1, 6),
    temperature=st.floats(0.05, 20),
    name=st.sampled_from(["softmax", "sparsemax"]),
)
def test_lipschitz_constants_hold(data, m, temperature, name):
    entries = st.lists(st.floats(-5, 5), min_size=m, max_size=m)
    a, b = (np.array(data.draw(entries)) for _ in range(2))
    map_ = SIMPLEX_MAPS[name]
    moved = np.linalg.norm(map_(a, temperature=temperature) - map_(b, temperature=temperature))
    constant = scores_lipschitz(name, 1.0, temperature=temperature)
    assert moved <= constant * np.linalg.norm(a - b) + 1e-13


def test_softmax_constant_is_reached():
    step = 1e-5
    moved = np.linalg.norm(softmax([step, -step]) - softmax([-step, step]))
    assert moved / np.linalg.norm([2 * step, 2 * step]) == pytest.approx(0.5, rel=1e-6)


def test_sparsemax_is_the_projection():
    rng = np.random.default_rng(0)
    z = rng.normal(size=5)
    best = np.linalg.norm(sparsemax(z) - z)
    others = rng.dirichlet(np.ones(5), 5000)
    assert (np.linalg.norm(others - z, axis=1) >= best - 1e-12).all()
    # The optimality condition: equal surplus on the support, no more outside it.
    surplus = z - sparsemax(z)
    on = sparsemax(z) > 0
    assert np.ptp(surplus[on]) < 1e-12
    assert (z[~on] <= surplus[on][0] + 1e-12).all()


def test_extreme_logits_stay_finite():
    for map_ in SIMPLEX_MAPS.values():
        scores = map_([[1e308, -1e308, 0.0], [0.0, 0.0, -1e308]], temperature=1e-3)
        assert np.isfinite(scores).all()
        np.testing.assert_allclose(scores.sum(axis=-1), 1.0)


def test_hardmax_takes_the_first_of_equals():
    assert hardmax([[1.0, 2.0, 2.0], [5.0, 5.0, 5.0]]).argmax(axis=-1).tolist() == [1, 0]


def test_constants_compose():
    assert scores_lipschitz("softmax", 4.0, temperature=0.5) == pytest.approx(4.0)
    assert scores_lipschitz("softmax", 4.0) >= 2.0
    assert scores_lipschitz("sparsemax", 4.0, temperature=2.0) == pytest.approx(2.0)
    assert scores_lipschitz("hardmax", 4.0) == math.inf


@pytest.mark.parametrize("map_", SIMPLEX_MAPS.values())
def test_bad_input_is_named(map_):
    with pytest.raises(ValueError, match="logits contains NaN"):
        map_([0.0, math.nan])
    with pytest.raises(ValueError, match="logits=inf must be finite"):
        map_([0.0, math.inf])
    with pytest.raises(ValueError, match=r"logits of shape \(2, 0\) must hold at least one class"):
        map_(np.zeros((2, 0)))
    with pytest.raises(ValueError, match=r"temperature=0\.0 must be positive and finite"):
        map_([0.0, 1.0], temperature=0.0)
    with pytest.raises(TypeError, match="logits="):
        map_(["a"])


def test_bad_constants_are_named():
    with pytest.raises(ValueError, match=r"model_lipschitz=-1\.0 must be at least 0"):
        scores_lipschitz("softmax", -1.0)
    with pytest.raises(ValueError, match="name='argmax' must be one of"):
        scores_lipschitz("argmax", 1.0)
