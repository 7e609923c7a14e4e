"""Large tables: read, written and certified; run with ``pytest tests/benchmarks --benchmark-only``.

What is computed for each different row is the bound's own time; the rest is all that
certifying a table adds to it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rsverify import certify_table, read_counts, read_table, recertify
from rsverify.tables.writer import write_table

N = 100_000


def counts_of(rows: int, classes: int, seed: int = 0) -> np.ndarray:
    """Return votes of winners with shares from .3 to .999, the rest spread unevenly."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(0.3, 0.999, (rows, 1))
    rest = rng.dirichlet(np.full(classes - 1, 2 / classes), rows) * (1 - share)
    return rng.multinomial(N, np.concatenate([share, rest], axis=1))


def seconds(call) -> float:
    """Return the CPU seconds of a call, the least of three."""
    taken = []
    for _ in range(3):
        begin = time.process_time()
        call()
        taken.append(time.process_time() - begin)
    return min(taken)


def certified(counts: np.ndarray) -> pd.DataFrame:
    return certify_table(counts, sigma=0.5, alpha=0.001, y=0, label=0, bound="bonferroni")


@pytest.mark.slow  # 5 s
def test_reading_and_writing_beside_pandas(tmp_path):
    """A table of 2,500 rows of 1,000 classes, with its checksums and digits.

    Measured: writing takes .9, reading 2.6 times as long as pandas alone.
    """
    table = certified(counts_of(2500, 1000))
    path, plain = tmp_path / "table.tsv", tmp_path / "plain.tsv"

    def write() -> None:
        write_table(table, path, configuration={}, force=True)

    assert seconds(write) < 3 * seconds(lambda: table.to_csv(plain, sep="\t", index=False))
    assert seconds(lambda: read_table(path)) < 6 * seconds(lambda: pd.read_csv(plain, sep="\t"))
    counts = table.filter(like="count_")
    counts.to_csv(plain, index=False)
    assert seconds(lambda: read_counts(plain)) < 6 * seconds(lambda: pd.read_csv(plain))


LARGE = """
import resource, sys, time
sys.path.insert(0, sys.argv[1])
from test_tables import certified, counts_of
from rsverify import read_table, recertify
from rsverify.tables.margins import RowBound
from rsverify.tables.writer import write_table

certified(counts_of(2, 3))  # compiles
counts, inside, original = counts_of(10_000, 1000), [], RowBound.limits

def limits(self, *votes):
    begin = time.process_time()
    found = original(self, *votes)
    inside.append(time.process_time() - begin)
    return found

RowBound.limits = limits
begin = time.process_time()
table = certified(counts)
write_table(table, sys.argv[2], configuration={})
again = recertify(read_table(sys.argv[2]), alpha=0.01)
print(len(again), time.process_time() - begin - sum(inside))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow  # 10 s
def test_what_a_large_table_adds_to_its_bounds(tmp_path):
    """10,000 rows of 1,000 classes: all but the bounds takes 2 s and 600 MB."""
    command = [sys.executable, "-c", LARGE, Path(__file__).parent, tmp_path / "table.tsv"]
    printed = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
    rows, added, peak = map(float, printed.stdout.split())
    assert rows == 10_000
    assert added < 10
    if sys.platform == "linux":  # elsewhere in bytes
        assert peak < 1.5 * 2**20  # in kB


@pytest.mark.parametrize("bound", ["cohen", "bonferroni", "exact"])
def test_recertifying_two_thousand_rows(benchmark, bound):
    """Equal rows once, reasons all at once: the bound is what takes time."""
    counts = counts_of(500, 10).repeat(4, axis=0)
    table = certify_table(counts, sigma=0.5, alpha=0.001, y=0, bound="cohen")
    recertify(table.iloc[:2], bound=bound)  # compiles
    benchmark.pedantic(recertify, (table,), {"bound": bound}, rounds=1)


@pytest.mark.parametrize("radius", ["R1", "R2"])
def test_certifying_ten_thousand_rows_of_a_thousand_classes(benchmark, radius):
    """The exact bound at n = 100,000 on all cores: under a minute on two."""
    counts = counts_of(10_000, 1000)
    options = {"sigma": 0.5, "alpha": 0.001, "y": 0, "radius": radius}
    certify_table(counts[:2], **options)  # compiles
    begin = time.perf_counter()
    benchmark.pedantic(certify_table, (counts,), options, rounds=1)
    assert benchmark.disabled or time.perf_counter() - begin < 60
