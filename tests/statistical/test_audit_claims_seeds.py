"""No false alarm: a sample of what `coverage_studies/claims.py` does with 200 seeds each.

Each audit refutes a valid claim with probability at most 1e-3: 2 seeds of about 40 examples that
are simulated, together below 0.08 (none in 200 seeds of each, see the results of the study).
"""

import pytest
from support.claims import bounds, evalues, predictions, procedures, pvalues

VALID = [
    example
    for kind in (pvalues, evalues, predictions, procedures, bounds)
    for example in kind.VALID
]


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("example", VALID, ids=lambda e: e.name)
def test_other_seeds_refute_nothing(example):
    assert [example.audited(seed=seed).verdict for seed in (101, 102)].count("refuted") == 0
