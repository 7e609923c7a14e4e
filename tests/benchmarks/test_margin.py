"""Speed of the exact margin bounds; run with ``pytest tests/benchmarks --benchmark-only``.

The limits asserted are generous multiples of what was measured: they catch a change of
complexity, not of machine.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from rsverify import exact_margin_lower
from rsverify.kernels.margin.buehler import default_rows

SHARES = [(0.99, 0.01), (0.9, 0.05), (0.6, 0.05), (0.6, 0.35), (0.4, 0.05), (0.3, 0.3), (1.0, 0.0)]
ALPHA = 0.001


def one_core(k1: np.ndarray, k2: np.ndarray, n: int, code: int) -> np.ndarray:
    """Return the default bounds of rows, on the calling thread."""
    out = np.empty(k1.size)
    default_rows(k1, k2, np.full(k1.size, n), np.full(k1.size, ALPHA), code, out)
    return out


@pytest.mark.parametrize("code", [0, 1], ids=["difference", "probit"])
@pytest.mark.parametrize(("n", "limit"), [(1000, 0.01), (100_000, 0.05)])
def test_median_over_a_spread_of_counts(benchmark, n: int, limit: float, code: int) -> None:
    rows = [(np.array([round(a * n)]), np.array([round(b * n)])) for a, b in SHARES]
    one_core(*rows[0], n, code)  # compiles

    def run() -> float:
        seconds = []
        for k1, k2 in rows:
            begin = time.perf_counter()
            one_core(k1, k2, n, code)
            seconds.append(time.perf_counter() - begin)
        return float(np.median(seconds))

    median = benchmark(run)
    benchmark.extra_info["median_seconds_a_bound"] = median
    assert benchmark.disabled or median < limit


@pytest.mark.parametrize("threads", [False, True], ids=["one-core", "vectorised"])
def test_thousand_rows(benchmark, threads: bool) -> None:
    """The vectorised call spreads its rows over the cores and returns the same numbers."""
    rng = np.random.default_rng(0)
    k1 = rng.integers(400, 1000, 1000)
    k2 = rng.integers(0, 1001 - k1)
    expected = one_core(k1, k2, 1000, 0)
    if threads:
        out = benchmark(exact_margin_lower, k1, k2, 1000, ALPHA, estimand="difference")
    else:
        out = benchmark(one_core, k1, k2, 1000, 0)
    np.testing.assert_array_equal(out, expected)
