"""Known-invalid bounds: the true non-coverage, what shows it, and at what cost and power.

    python -m coverage_studies.known_invalid [--seeds 20]

Each mutant of ``tests/support/mutants`` is audited by the default budget with as many seeds as
asked, once where the audit is exact. Its miscoverage at the distribution that shows it is exact
where the data are counts, or 0/1 samples whose order does not matter; else it is a fresh simulation
with its Clopper-Pearson interval at 99 %. Seconds are processor time of one audit. The table
goes to ``results/known_invalid.tsv``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binom

from rsverify import __version__, clopper_pearson_lower, clopper_pearson_upper
from rsverify.auditing.company import PROBE_ROWS, prepare
from rsverify.auditing.estimand import find_estimand
from rsverify.auditing.report import AuditReport
from tests.support import mutants

RESULTS = Path(__file__).parent / "results" / "known_invalid.tsv"
COLUMNS = (
    "mutant fault estimand n alpha method shown_by truth miscoverage low high how "
    "audits refuted replications seconds version"
)
FRESH, LEVEL = 20_000, 0.01


def law_of(report: AuditReport) -> dict[str, Any]:
    """Return the parameters of the scenario in which a simulated audit saw it."""
    return dict(report.design["scenarios"][report.worst.scenario])


def summed(mutant: Any, law: Any) -> float | None:
    """Return the exact miscoverage on 0/1 samples, None for other laws."""
    kind, values, chances = (*law, None, None)[:3]
    if not mutant.symmetric or kind != "points" or tuple(values) != (0.0, 1.0):
        return None
    n, p = mutant.options["n"], chances[1]
    ones = np.arange(n)[None, :] < np.arange(n + 1)[:, None]
    missed = np.asarray(mutant.bound(ones.astype(float), mutant.options["alpha"])) > p + 1e-12
    return float(binom.pmf(np.flatnonzero(missed), n, p).sum())


def drawn(mutant: Any, law: dict[str, Any]) -> tuple[float, float, float]:
    """Return a fresh estimate of the miscoverage at `law`, and its interval."""
    options = mutant.options
    thing = find_estimand(options["estimand"])
    n, alpha = options["n"], options["alpha"]
    rng = np.random.default_rng([7, n])
    first = thing.draw(rng, PROBE_ROWS, n, **law)
    side = options.get("side", "lower")
    caller = prepare(mutant.bound, first, alpha, side, thing)
    truth, misses, runs = thing.truth(**law), 0, 0
    fresh = FRESH if n < 500 else FRESH // 10
    while runs < fresh:
        limits = caller.limits(thing.draw(rng, 1000, n, **law))
        misses += int(((limits.lower > truth + 1e-12) | (limits.upper < truth - 1e-12)).sum())
        runs += 1000
    low = float(clopper_pearson_lower(misses, runs, LEVEL / 2))
    return misses / runs, low, float(clopper_pearson_upper(misses, runs, LEVEL / 2))


def line(mutant: Any, seeds: int) -> str:
    """Return the row of one mutant."""
    options = mutant.options
    reports, seconds = [], []
    for seed in range(seeds):
        begin = time.process_time()
        reports.append(mutant.audited(seed=seed))
        seconds.append(time.process_time() - begin)
        kind, method = (reports[0].design.get(k) for k in ("kind", "method"))
        if kind != "coverage" or method.startswith("exact"):
            break
    report = reports[0]
    worst = report.worst
    low, high, how = worst.low, worst.high, "exact"
    seen = worst.miscoverage
    if kind == "betting":
        how = "E[K] over all paths, " + (worst.note or "fair")
    elif kind == "bets":
        how = "bets changed with the future"
    elif worst.replications > 0:
        law = law_of(report)
        total = summed(mutant, law.get("law", ("none",)))
        if total is not None:
            seen = low = high = total
            how = "exact, by the number of ones"
        else:
            seen, low, high = drawn(mutant, law)
            how = "fresh simulation"
    estimand = options.get("estimand", kind)
    cells = [
        mutant.name,
        mutant.fault,
        estimand if isinstance(estimand, str) else estimand.name,
        options["n"],
        options["alpha"],
        report.design.get("method", kind),
        worst.scenario,
        f"{worst.truth:.6g}",
        f"{seen:.6g}",
        f"{low:.6g}",
        f"{high:.6g}",
        how,
        len(reports),
        sum(r.verdict == "refuted" for r in reports),
        int(np.median([sum(row.replications for row in r.rows) for r in reports])),
        f"{np.median(seconds):.2f}",
        __version__,
    ]
    return "\t".join(map(str, cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    given = parser.parse_args()
    with RESULTS.open("w") as file:
        file.write("\t".join(COLUMNS.split()) + "\n")
        for mutant in [*mutants.REFUTED, *mutants.UNSEEN]:
            text = line(mutant, given.seeds)
            file.write(text + "\n")
            file.flush()
            print(text, flush=True)


if __name__ == "__main__":
    main()
