"""No false alarm of the auditors of other claims: the valid examples, with 200 seeds each.

    python -m coverage_studies.claims [--seeds 200] [--only NAME] [--kinds pvalues,...]

The examples are those of ``tests/support/claims``. What is audited by sums alone has no seed that
matters and is audited once. A line an example goes to ``results/claims.tsv`` as soon as it is
done; examples that are there with as many seeds are not run again.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rsverify import __version__
from rsverify.auditing.report import Row

RESULTS = Path(__file__).parent / "results" / "claims.tsv"
COLUMNS = "kind example audits supported inconclusive refuted worst_share seconds version"
KINDS = ("pvalues", "evalues", "predictions", "procedures", "bounds")


def share(row: Row, level: float) -> float:
    """Return what a row measures as a share of what is allowed."""
    return row.miscoverage / (1.0 if row.measure.startswith("E[e]") else level)


def run(kind: str, example: Any, seeds: int) -> str:
    """Return the line of one example."""
    begin = time.process_time()
    reports = [example.audited(seed=0)]
    if any(row.replications for row in reports[0].rows):
        reports += [example.audited(seed=seed) for seed in range(1, seeds)]
    count = Counter(r.verdict for r in reports)
    worst = max(share(row, float(r.design["alpha"])) for r in reports for row in r.rows)
    verdicts = [count[v] for v in ("supported", "inconclusive", "refuted")]
    seconds = time.process_time() - begin
    cells = [kind, example.name, len(reports), *verdicts, f"{worst:.4f}", f"{seconds:.0f}"]
    return "\t".join(map(str, [*cells, __version__]))


def is_done(kind: str, name: str, results: Path, seeds: int) -> bool:
    """Return whether the results hold an example, with as many seeds or audited by sums."""
    lines = (line.split("\t") for line in results.read_text().splitlines()[1:])
    known = [int(line[2]) for line in lines if (line[0], line[1]) == (kind, name)]
    return any(audits == 1 or audits >= seeds for audits in known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", default="")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    if not given.results.exists():
        given.results.write_text("\t".join(COLUMNS.split()) + "\n")
    for kind in given.kinds.split(","):
        examples = importlib.import_module(f"tests.support.claims.{kind}").VALID
        for example in examples:
            if given.only not in example.name or is_done(
                kind, example.name, given.results, given.seeds
            ):
                continue
            line = run(kind, example, given.seeds)
            with given.results.open("a") as file:
                file.write(line + "\n")
            print(line, flush=True)


if __name__ == "__main__":
    main()
