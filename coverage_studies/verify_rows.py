"""Rows of real votes, certified again by every bound, proved by the independent checker.

The votes are those of 120 CIFAR-10 images, n = 100,000 (`cifar10_counts_sigma025.txt` beside the
checkout), and samples without replacement of 1,000 and 10,000 of them. Each table is written and
read back as a file, so that what is proved are the radii that it shows. The class is the winner of
the same votes, which no certificate may do; here the arithmetic is checked and nothing claimed.

Run as ``python -m coverage_studies.verify_rows DATA``; writes results/verify_rows.json. Two minutes
on one core.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import rsverify
from rsverify.tables.schema import table_row
from rsverify.tables.writer import write_table

SEED, SIGMA, ALPHA = 12, 0.25, 0.001
# Bound, radius, votes, every how many images.
TABLES = (
    ("cohen", "R2", 100_000, 1),
    ("bonferroni", "R2", 100_000, 1),
    ("exact", "R2", 1_000, 1),
    ("exact", "R1", 10_000, 1),
    ("exact", "R2", 100_000, 1),
    ("exact", "R1", 100_000, 1),
)
RESULTS = Path(__file__).parent / "results"


def votes(path: Path, n: int, every: int) -> Any:
    """Return the counts of every so many images, thinned to n votes."""
    counts = np.loadtxt(path, dtype=np.int64)[::every, :-1]
    rng = np.random.default_rng(SEED)
    whole = counts.sum(axis=1)
    return np.array(
        [
            c if n == w else rng.multivariate_hypergeometric(c, n)
            for c, w in zip(counts, whole, strict=True)
        ]
    )


def certified(counts: Any, bound: str, radius: str) -> pd.DataFrame:
    """Return a table of certificates: by Cohen's bound, and again by the one asked for."""
    rows = [
        table_row(
            i,
            int(c.argmax()),
            rsverify.certify_counts(
                c, sigma=SIGMA, alpha=ALPHA, y=int(c.argmax()), bound="cohen", radius=radius
            ),
        )
        for i, c in enumerate(counts)
    ]
    return rsverify.recertify(pd.DataFrame(rows), bound=bound)


def main() -> None:
    """Certify, write, verify; write the numbers of rows proved and the times."""
    found = []
    for bound, radius, n, every in TABLES:
        table = certified(votes(Path(sys.argv[1]), n, every), bound, radius)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.tsv"
            write_table(table, path, configuration={})
            times: list[float] = []
            started = time.process_time()

            def note(_done: int, _of: int, times: list[float] = times) -> None:
                times.append(time.process_time())

            result = rsverify.verify_table(path, progress=note)
        seconds = np.diff(times)
        tails = [row.tails for row in result.rows.values()]
        found.append(
            {
                "bound": bound,
                "radius_kind": radius,
                "n": n,
                "rows": result.size,
                **result.counts,
                "certified": int((table["radius"] > 0).sum()),
                "seconds": time.process_time() - started,
                "longest_row_seconds": float(seconds.max()),
                "most_tails": max(tails),
            }
        )
        print(found[-1], flush=True)
    content = {
        "study": "verify_rows",
        "version": rsverify.__version__,
        "alpha": ALPHA,
        "tables": found,
    }
    (RESULTS / "verify_rows.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
