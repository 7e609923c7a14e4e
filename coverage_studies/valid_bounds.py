"""No false alarm: every valid bound of the package, audited with 200 seeds.

    python -m coverage_studies.valid_bounds [--seeds 200] [--only NAME] [--workers 2]

Bounds of counts are audited exactly: no seed, once. The others are simulated by the default
suite at alpha = 0.05 with the default budget. A line a bound goes to
``results/valid_bounds.tsv`` as soon as it is done; bounds that are there with as many seeds are
not run again.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from rsverify import Estimand, __version__
from rsverify.auditing.api import audit
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.registry import audited, find_bound
from rsverify.bounds import betting
from rsverify.bounds import confidence_sequences as anytime
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import Taylor, exact_margin_lower
from rsverify.bounds.margin_decision import decide_margin
from rsverify.bounds.margin_sequence import margin_sequence
from rsverify.bounds.registry import bounds_of
from rsverify.bounds.score_margin import METHODS, score_margin_lower
from rsverify.paper import FORMULAS

RESULTS = Path(__file__).parent / "results" / "valid_bounds.tsv"
COLUMNS = "bound estimand n method audits supported inconclusive refuted worst seconds version"
ALPHA = 0.05
SAMPLE, PATH, VOTES, SCORES = 10, 10, 40, 10  # n of each kind
MARGINS = ("difference", "probit")
CHANCES = [
    (0.5, 0.25, 0.25),
    (0.5, 0.2, 0.2, 0.05, 0.05),
    (0.9, 0.1),
    (0.35, 0.3, 0.35),
    (0.97, 0.02, 0.01),
]
Entry = tuple[str, Callable[..., Any] | Bound | str, dict[str, Any]]


def orderings() -> list[Entry]:
    """Return `exact_margin_lower` by each ordering, at the runner-up's votes."""

    def bound(counts: Any, alpha: float, estimand: str, ordering: str) -> Any:
        k1, k2, n = counts[:, 0], counts[:, 1], counts.sum(axis=1)
        return exact_margin_lower(k1, k2, n, alpha, estimand=estimand, ordering=ordering)

    return [
        (
            f"exact_margin_lower, {ordering}",
            partial(bound, estimand=estimand, ordering=ordering),
            {"estimand": f"{estimand}:first", "n": VOTES},
        )
        for estimand in MARGINS
        for ordering in ("likelihood-ratio", "difference", "bonferroni", Taylor(3))
    ]


def counts() -> list[Entry]:
    """Return the bounds of counts, which are audited exactly."""
    proportions = [
        (f"clopper_pearson_{side}", {"estimand": "proportion", "n": n})
        for side in ("lower", "upper")
        for n in (30, 1000, 100_000)
    ]
    margins = [
        (name, {"estimand": estimand, "n": n})
        for estimand in MARGINS
        for name, n in (("bonferroni_margin_lower", 100), ("cohen_margin_lower", 100))
    ]
    named: list[Entry] = [(name, name, o) for name, o in [*proportions, *margins]]
    two_step = FORMULAS["two_step_taylor_lower"]
    return [*named, (two_step.name, two_step, {"estimand": "probit", "n": 12}), *orderings()]


def with_last_step(bound: Callable[..., Any]) -> Callable[..., Any]:
    """Give each sample a uniform number of its own; the bound is then random."""
    rng = np.random.default_rng(1)

    def randomized(x: Any, alpha: float) -> Any:
        return bound(x, alpha, u=1.0 - rng.random(len(x)))

    return randomized


def samples() -> list[Entry]:
    """Return the bounds of one mean at a fixed n, by every strategy."""
    known = {"estimand": "mean", "n": SAMPLE}
    names = bounds_of("mean", time_uniform=False)
    out: list[Entry] = [(name, name, known) for name in names if name != "betting_lower"]
    for strategy in betting.STRATEGIES:
        bound = partial(betting.betting_lower, strategy=strategy)
        out.append((f"betting_lower, {strategy}", bound, known))
        out.append((f"betting_lower, {strategy}, with u", with_last_step(bound), known))
    for side in ("lower", "upper"):
        name = f"randomized_clopper_pearson_{side}"
        out.append((name, name, {"estimand": "proportion", "n": SAMPLE}))
    return out


def claims_at_least(paths: Any, alpha: float, estimand: str) -> Any:
    """Return the largest threshold just above a margin that is claimed, at any time."""
    truth = ESTIMANDS[estimand].truth
    # Which margin is true the votes cannot tell: each is asked for. A claim is a miss only
    # where it is above the truth, so this is a sequence at len(limits) thresholds at once.
    limits = [truth(p) + 1e-9 for p in CHANCES if len(p) == paths.shape[2]]
    claims = [
        np.where(decide_margin(paths, 0, r, alpha, estimand=estimand).verdict == 1, r, -np.inf)
        for r in limits
    ]
    return np.maximum.reduce([*claims, np.full_like(claims[0], -99.0)])


def paths() -> list[Entry]:
    """Return the bounds that hold at all times."""
    path = {"estimand": "mean", "n": PATH}
    names = bounds_of("mean", time_uniform=True)
    out: list[Entry] = [(name, name, path) for name in names if name != "betting_sequence"]
    for strategy in ("portfolio", "kt", "plugin", "agrapa"):
        bound = partial(anytime.betting_sequence, strategy=strategy)
        out.append((f"betting_sequence, {strategy}", bound, path))
    for estimand in MARGINS:
        timed = {"estimand": f"path-{estimand}", "n": PATH}
        out.append(("margin_sequence, lower", "margin_sequence", timed))

        def upper(paths: Any, alpha: float, estimand: str = estimand) -> Any:
            return margin_sequence(paths, 0, alpha, estimand=estimand, split=0.0).upper

        out.append(("margin_sequence, upper", upper, timed | {"side": "upper"}))
        laws = {f"p = {p}": {"p": p} for p in CHANCES}
        claim = partial(claims_at_least, estimand=estimand)
        out.append(("decide_margin", claim, timed | {"scenarios": laws}))
    return out


def scores() -> list[Entry]:
    """Return the bounds of score margins, by every method."""
    out: list[Entry] = []
    for estimand in MARGINS:
        kind = ESTIMANDS[f"score-{estimand}"]
        # The first half of each replication's scores is its selection sample.
        halved = Estimand(
            draw=lambda rng, rows, n, law, kind=kind: kind.draw(rng, rows, 2 * n, law=law),
            truth=kind.truth,
            space=kind.space,
            name=kind.name,
            sequential=False,
        )

        def bound(data: Any, alpha: float, estimand: str, **how: Any) -> Any:
            n = data.shape[1] // 2
            return score_margin_lower(
                data[:, n:], 0, alpha, estimand=estimand, selection=data[:, :n], runners_up=2, **how
            )

        for method in METHODS[estimand]:
            how = partial(bound, estimand=estimand, method=method)
            out.append((f"score_margin_lower, {method}", how, {"estimand": halved, "n": SCORES}))
    return out


def asked(entry: Entry) -> Any:
    """Return the name of the estimand that is audited."""
    _, bound, options = entry
    estimand = options["estimand"]
    if isinstance(bound, str):
        bound = find_bound(bound)
    if isinstance(bound, Bound):
        return audited(bound, estimand).estimand
    return estimand if isinstance(estimand, str) else estimand.name


def run(entry: Entry, seeds: int) -> str:
    """Return the line of one bound."""
    name, bound, options = entry
    begin = time.process_time()
    options = options | {"alpha": ALPHA}
    reports = [audit(bound, seed=0, **options)]
    method = reports[0].design["method"]
    if method != "exact":
        reports += [audit(bound, seed=seed, **options) for seed in range(1, seeds)]
    count = Counter(r.verdict for r in reports)
    worst = max(r.worst.miscoverage for r in reports)
    verdicts = [count[v] for v in ("supported", "inconclusive", "refuted")]
    seconds = time.process_time() - begin
    cells = [name, asked(entry), options["n"], method, len(reports), *verdicts]
    return "\t".join(map(str, [*cells, f"{worst:.5f}", f"{seconds:.0f}", __version__]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", default="")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args()
    if not given.results.exists():
        given.results.write_text("\t".join(COLUMNS.split()) + "\n")
    entries = [
        entry
        for entry in [*counts(), *samples(), *paths(), *scores()]
        if given.only in entry[0] and not is_done(entry, given.results, given.seeds)
    ]
    pool = joblib.Parallel(given.workers, return_as="generator_unordered")
    for line in pool(joblib.delayed(run)(entry, given.seeds) for entry in entries):
        with given.results.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


def is_done(entry: Entry, results: Path, seeds: int) -> bool:
    """Return whether the results hold the entry, with at least as many seeds."""
    for line in results.read_text().splitlines()[1:]:
        name, estimand, n, method, audits, *_ = line.split("\t")
        if (name, estimand, n) == (entry[0], asked(entry), str(entry[2]["n"])):
            return method == "exact" or int(audits) >= seeds
    return False


if __name__ == "__main__":
    main()
