"""Speed of simulated audits beside a straightforward loop of the same bound, in the same run.

Run with ``pytest tests/benchmarks/test_audit.py --benchmark-only -n 0``. What is timed and the
loops are in ``coverage_studies/throughput.py``, whose table is committed.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

_FILE = Path(__file__).parents[2] / "coverage_studies" / "throughput.py"
_SPEC = importlib.util.spec_from_file_location("throughput", _FILE)
throughput = importlib.util.module_from_spec(_SPEC)
sys.modules["throughput"] = throughput  # its dataclass looks its module up
_SPEC.loader.exec_module(throughput)

CASES = throughput.cases()


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_audit_beside_a_loop(benchmark, case) -> None:
    """At least 20 times the loop for betting, 5 times for the rest; by turns, in CPU time."""
    ours, theirs, ratio = throughput.compare(case)
    with joblib.parallel_config(n_jobs=1):
        benchmark.pedantic(throughput.auditor(case), rounds=3, iterations=1)
    benchmark.extra_info |= {"per_second": ours, "loop_per_second": theirs, "ratio": ratio}
    assert ratio >= case.wanted


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_loop_computes_the_same_bound(case) -> None:
    """Where both follow the same formula; STaR and aGRAPA differ from the published ones."""
    if case.name.split(", ")[-1] in ("star", "agrapa", "portfolio"):
        pytest.skip("the loop is the published strategy, of which ours is a variation")
    rng = np.random.default_rng(3)
    if case.estimand == "mean":
        x = (rng.random(throughput.SAMPLES) < 0.9).astype(float)
        ours, theirs = case.bound(x[None], throughput.ALPHA)[0], case.loop(x)
    else:
        counts = rng.multinomial(throughput.VOTES, throughput.CHANCES)
        if case.estimand == "proportion":
            counts = np.array([counts[0], throughput.VOTES - counts[0]])
        ours, theirs = case.bound(counts[None], throughput.ALPHA)[0], case.loop(counts)
    np.testing.assert_allclose(np.maximum(ours, 0), np.maximum(theirs, 0), atol=1e-6)
