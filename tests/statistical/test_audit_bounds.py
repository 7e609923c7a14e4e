"""Known bounds of further estimands, right and wrong, are judged right with default settings.

A valid bound is refuted with probability at most 1e-3 each, where it is simulated.
"""

import pytest
from support.claims import textbook_bounds
from support.claims.bounds import EXAMPLES, INVALID, VALID

pytestmark = pytest.mark.slow
EVERY = EXAMPLES + textbook_bounds.EXAMPLES


@pytest.mark.parametrize("example", EVERY, ids=lambda e: e.name)
def test_the_truth_by_another_computation(example):
    probability, level = example.truth()

    assert (probability <= level * (1 + 0.04)) == example.valid  # 0.04: of Monte Carlo, 2e5 draws


@pytest.mark.statistical
@pytest.mark.parametrize("example", EVERY, ids=lambda e: e.name)
def test_judged_right(example):
    assert example.audited().verdict == ("supported" if example.valid else "refuted")


def test_there_are_enough():
    assert len(VALID) >= 10
    assert len(INVALID) >= 15
