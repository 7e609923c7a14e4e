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
    if benchmark.disabled:  # run once, to see that it runs
        benchmark.pedantic(throughput.auditor(case), rounds=1, iterations=1)
        return
    ours, theirs, ratio = throughput.compare(case)
    with joblib.parallel_config(n_jobs=1):
        benchmark.pedantic(throughput.auditor(case), rounds=3, iterations=1)
    benchmark.extra_info |= {"per_second": ours, "loop_per_second": theirs, "ratio": ratio}
    assert ratio >= case.wanted


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_loop_computes_the_same_bound(case) -> None:
    """Where both follow the same formula; STaR and aGRAPA differ from the published ones."""
    if not case.exact:
        pytest.skip("the loop is the published strategy, of which ours is a variation")
    data = throughput.draw(case, np.random.default_rng(3), 1)
    ours, theirs = case.bound(data, throughput.ALPHA), case.loop(data[0])
    if isinstance(theirs, tuple):  # an interval: its lower ends
        ours, theirs = ours[0], theirs[0]
    least = 0.0 if "margin" not in case.name else -1.0 if "difference" in case.name else -12.0
    np.testing.assert_allclose(np.maximum(ours[0], least), np.maximum(theirs, least), atol=1e-6)
