"""No false alarm: every valid bound of the package, audited with 200 seeds.

    python coverage_studies/valid_bounds.py [--seeds 200] [--only NAME]

Bounds of counts are audited exactly: no seed, once. The others are simulated by the default
budget at alpha = 0.05. A line a bound goes to ``results/valid_bounds.tsv`` as soon as it is
done; bounds that are there with as many seeds are not run again.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtri

from rsverify import Estimand, __version__
from rsverify.audit import audit
from rsverify.bounds import anytime, betting, mean
from rsverify.bounds.anytime_counts import decide_margin, margin_sequence
from rsverify.bounds.margin import exact_margin_lower
from rsverify.bounds.proportion import (
    randomized_clopper_pearson_lower,
    randomized_clopper_pearson_upper,
)
from rsverify.bounds.score_margin import METHODS, score_margin_lower
from rsverify.bounds.taylor import two_step_taylor_lower

RESULTS = Path(__file__).parent / "results" / "valid_bounds.tsv"
COLUMNS = "bound estimand n method audits supported inconclusive refuted worst seconds version"
ALPHA, N, LOOKS, N0 = 0.05, 15, 25, 10


def margin_of(estimand: str, p: Any) -> float:
    rival = max(p[1:])
    return float(p[0] - rival if estimand == "difference" else ndtri(p[0]) - ndtri(rival))


BINARY = {
    f"Bernoulli({p:.4g})": {"law": ("points", (0.0, 1.0), (1 - p, p))}
    for p in (0.001, 0.01, 0.1, 0.5, 0.9, ALPHA ** (1 / LOOKS), 0.999)
}
TWO_POINTS = {f"{s} {0.2 / (s * (1 - s)) ** 0.5:.3f} apart": {"s": s} for s in (0.1, 0.5, 0.9)}
VARIANCE_KNOWN = Estimand(
    # Two points of variance 0.04, the larger one with probability s.
    draw=lambda rng, rows, n, s: (rng.random((rows, n)) < s) * (0.2 / (s * (1 - s)) ** 0.5),
    truth=lambda s: 0.2 * s / (s * (1 - s)) ** 0.5,
    scenarios=TWO_POINTS,
    space=(0, 1),
    name="mean, variance 0.04",
)


def _with_uniform(rng: Any, rows: int, n: int, p: float) -> Any:
    hits = rng.binomial(n, p, rows)
    return np.column_stack([hits, n - hits, rng.random(rows)])


RANDOMISED = Estimand(
    draw=_with_uniform,
    truth=lambda p: p,
    scenarios={f"p = {p:.4g}": {"p": p} for p in (0.002, 0.1, 0.5, 0.9, 0.998)},
    space=(0, 1),
    name="proportion, with u",
)
CHANCES = [
    (0.5, 0.25, 0.25),
    (0.5, 0.2, 0.2, 0.05, 0.05),
    (0.9, 0.1),
    (0.35, 0.3, 0.35),
    (0.97, 0.02, 0.01),
]


def votes_over_time(estimand: str) -> Estimand:
    return Estimand(
        draw=lambda rng, rows, n, p: rng.multinomial(1, p, (rows, n)).cumsum(axis=1),
        truth=lambda p: margin_of(estimand, p),
        scenarios={f"p = {p}": {"p": p} for p in CHANCES},
        name=f"{estimand} at all times",
    )


def decided(estimand: str) -> Estimand:
    """Votes over time, and a threshold just above the margin: each "at least" is wrong."""
    kind = votes_over_time(estimand)
    return Estimand(kind.draw, kind.truth, kind.scenarios, name=f"{estimand}, decided")


def claims_at_least(paths: Any, alpha: float, estimand: str) -> Any:
    # All rows of a scenario share their margin; which it is, the first row cannot tell, so
    # every threshold of the list is asked and the largest claim of a margin below it kept.
    limits = [margin_of(estimand, p) + 1e-9 for p in CHANCES if len(p) == paths.shape[2]]
    claims = [
        np.where(decide_margin(paths, 0, r, alpha, estimand=estimand).verdict == 1, r, -np.inf)
        for r in limits
    ]
    return np.max(claims, axis=0)


def dirichlet(*weights: float) -> Any:
    total = sum(weights)
    return ("dirichlet", weights, tuple(w / total for w in weights))


def vertices(*chances: float) -> Any:
    return ("vertices", chances, chances)


def _draw_scores(rng: Any, rows: int, n: int, law: Any) -> Any:
    kind, weights, _ = law
    if kind == "dirichlet":
        return rng.dirichlet(weights, (rows, N0 + n))
    return np.eye(len(weights))[rng.choice(len(weights), (rows, N0 + n), p=weights)]


def scores_of(estimand: str) -> Estimand:
    laws = {
        "tied rivals": dirichlet(6, 2, 2, 2),
        "two classes": dirichlet(3, 1),
        "near the simplex's edge": dirichlet(0.9, 0.05, 0.05),
        "all or nothing": vertices(0.55, 0.25, 0.2),
        "rare rivals": vertices(0.96, 0.02, 0.02),
    }
    return Estimand(
        draw=_draw_scores,
        truth=lambda law: margin_of(estimand, law[2]),
        scenarios={name: {"law": law} for name, law in laws.items()},
        name=f"{estimand} of scores",
    )


def score_bound(scores: Any, alpha: float, estimand: str, method: str, mean_bound: str) -> Any:
    return score_margin_lower(
        scores[:, N0:],
        0,
        alpha,
        estimand=estimand,
        method=method,
        mean_bound=mean_bound,
        selection=scores[:, :N0],
        rivals=1,
    )


Entry = tuple[str, Callable[..., Any] | str, dict[str, Any]]


def counts() -> list[Entry]:
    """Bounds of counts, which are audited exactly."""
    out: list[Entry] = []
    for name in ("clopper_pearson_lower", "clopper_pearson_upper"):
        for n in (30, 1000, 100_000):
            out.append((name, name, {"estimand": "proportion", "n": n}))
    for estimand in ("difference", "probit"):
        for name in ("bonferroni_margin_lower", "cohen_margin_lower"):
            out.append((name, name, {"estimand": estimand, "n": 100}))

        def exact(counts: Any, alpha: float, ordering: str, estimand: str = estimand) -> Any:
            n = counts.sum(axis=1)
            return exact_margin_lower(
                counts[:, 0], counts[:, 1], n, alpha, estimand=estimand, ordering=ordering
            )

        for ordering in ("likelihood-ratio", "difference", "bonferroni", "taylor:3"):
            name = f"exact_margin_lower, {ordering}"
            what = {"estimand": f"{estimand}:first", "n": 40}
            out.append((name, partial(exact, ordering=ordering), what))

    def two_step(counts: Any, alpha: float) -> Any:
        n = counts.sum(axis=1)
        return two_step_taylor_lower(counts[:, 0], counts[:, 1], n, alpha, order=5)

    out.append(("two_step_taylor_lower", two_step, {"estimand": "probit:first", "n": 15}))
    return out


def samples() -> list[Entry]:
    """Bounds of one mean, at a fixed n and over time."""
    plain = {"estimand": "mean", "n": N}
    path = {"estimand": "mean", "n": LOOKS}
    binary = path | {"scenarios": BINARY}
    kinds = [
        "hoeffding",
        "empirical_bernstein",
        "plugin_bernstein",
        "plugin_hoeffding",
        "betting",
    ]
    out: list[Entry] = [
        (f"{k}_{side}", getattr(betting if k == "betting" else mean, f"{k}_{side}"), plain)
        for k in kinds
        for side in ("lower", "upper")
        if hasattr(betting if k == "betting" else mean, f"{k}_{side}")
    ]
    out = [(n, b, o | {"side": "upper"} if n.endswith("upper") else o) for n, b, o in out]
    for strategy in betting.STRATEGIES:
        bound = partial(betting.betting_lower, strategy=strategy)
        out.append((f"betting_lower, {strategy}", bound, plain))
        out.append((f"betting_lower, {strategy}, with u", _with_last_step(bound), plain))
    out.append(("betting_interval", betting.betting_interval, plain | {"side": "two-sided"}))
    known = partial(mean.bernstein_lower, variance=0.04)
    out.append(("bernstein_lower", known, {"estimand": VARIANCE_KNOWN, "n": N}))
    for name in ("plugin_hoeffding_sequence", "plugin_bernstein_sequence"):
        out.append((name, getattr(anytime, name), path))
    for strategy in ("portfolio", "kt", "plugin", "agrapa"):
        bound = partial(anytime.betting_sequence, strategy=strategy)
        out.append((f"betting_sequence, {strategy}", bound, path))
    both = {"side": "two-sided"}
    out.append(("betting_interval_sequence", anytime.betting_interval_sequence, path | both))
    out.append(("kt_mixture_sequence", anytime.kt_mixture_sequence, binary | both))
    out.append(("clopper_pearson_sequence", anytime.clopper_pearson_sequence, binary))
    return out


def _with_last_step(bound: Callable[..., Any]) -> Callable[..., Any]:
    """Give each sample a uniform of its own; the bound is random, so it is never exact."""
    rng = np.random.default_rng(1)

    def randomised(x: Any, alpha: float) -> Any:
        return bound(x, alpha, u=1.0 - rng.random(len(x)))

    return randomised


def others() -> list[Entry]:
    """Randomised, anytime and score bounds, on data of their own."""
    out: list[Entry] = []
    for name, function, side in (
        ("randomized_clopper_pearson_lower", randomized_clopper_pearson_lower, "lower"),
        ("randomized_clopper_pearson_upper", randomized_clopper_pearson_upper, "upper"),
    ):

        def bound(data: Any, alpha: float, function: Any = function) -> Any:
            k, n = data[:, 0].astype(int), (data[:, 0] + data[:, 1]).astype(int)
            return function(k, n, alpha, u=data[:, 2])

        out.append((name, bound, {"estimand": RANDOMISED, "n": N, "side": side}))
    for estimand in METHODS:
        timed = {"estimand": votes_over_time(estimand), "n": LOOKS}

        def sequence(paths: Any, alpha: float, end: int, estimand: str = estimand) -> Any:
            return margin_sequence(paths, 0, alpha, estimand=estimand)[end]

        out.append(("margin_sequence, lower", partial(sequence, end=0), timed))
        out.append(("margin_sequence, upper", partial(sequence, end=1), timed | {"side": "upper"}))
        claim = partial(claims_at_least, estimand=estimand)
        out.append(("decide_margin", claim, timed | {"estimand": decided(estimand)}))
        for method in METHODS[estimand]:
            for mean_bound in ("betting", "plugin-bernstein"):
                bound = partial(
                    score_bound, estimand=estimand, method=method, mean_bound=mean_bound
                )
                what = {"estimand": scores_of(estimand), "n": N}
                out.append((f"score_margin_lower, {method}, {mean_bound}", bound, what))
    return out


def run(entry: Entry, seeds: int) -> str:
    """Return the line of one bound."""
    name, bound, options = entry
    begin = time.process_time()
    exact = entry_is_exact(entry)
    reports = [
        audit(bound, alpha=ALPHA, seed=seed, **options) for seed in range(1 if exact else seeds)
    ]
    count = Counter(r.verdict for r in reports)
    worst = max(r.worst.miscoverage for r in reports)
    estimand = reports[0].design["estimand"]
    method = reports[0].design["method"]
    verdicts = [count["supported"], count["inconclusive"], count["refuted"]]
    seconds = time.process_time() - begin
    cells = [name, estimand, options["n"], method, len(reports), *verdicts]
    return "\t".join(map(str, [*cells, f"{worst:.5f}", f"{seconds:.0f}", __version__]))


def entry_is_exact(entry: Entry) -> bool:
    return entry[2]["estimand"] in (
        "proportion",
        "difference",
        "probit",
        "difference:first",
        "probit:first",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", default="")
    parser.add_argument("--results", type=Path, default=RESULTS)
    given = parser.parse_args()
    done = set()
    if given.results.exists():
        for line in given.results.read_text().splitlines()[1:]:
            name, estimand, _, method, audits, *_ = line.split("\t")
            if method == "exact" or int(audits) >= given.seeds:
                done.add((name, estimand, line.split("\t")[2]))
    else:
        given.results.write_text("\t".join(COLUMNS.split()) + "\n")
    for entry in [*counts(), *samples(), *others()]:
        estimand = entry[2]["estimand"]
        text = estimand if isinstance(estimand, str) else estimand.name
        named = {text, text + ":first"}
        if given.only not in entry[0] or any(
            (entry[0], t, str(entry[2]["n"])) in done for t in named
        ):
            continue
        line = run(entry, given.seeds)
        with given.results.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)


if __name__ == "__main__":
    main()
