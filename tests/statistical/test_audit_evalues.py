"""Known e-values, right and wrong, are judged right by `audit_e_value` with default settings.

A valid e-value is refuted with probability at most 1e-3 each, where it is simulated.
"""

import pytest
from support.claims.evalues import EXAMPLES, INVALID, VALID

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_the_truth_by_another_computation(example):
    expectation, level = example.truth()

    assert (expectation <= level + 1e-9) == example.valid


@pytest.mark.statistical
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.name)
def test_judged_right(example):
    assert example.audited().verdict == ("supported" if example.valid else "refuted")


def test_there_are_enough():
    assert len(VALID) >= 10
    assert len(INVALID) >= 15
