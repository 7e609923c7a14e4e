"""Miscoverage of the bounds of score margins at alpha = 0.05 and 0.001.

Exact: for laws on two or three score vectors every sequence of n observations is bounded once; its
chance under each of many choices of probabilities then gives the miscoverage, without error, and
the worst of them is kept. The orders in which observations come are all there, as bets see them.

Simulated: softmax-like scores of ten classes, drawn from a fixed population of 4,000 rows with a
large common factor and two equal runners-up, so that the true margin is known. The upper limit of
the miscoverage is Clopper and Pearson's at 0.999, one-sided.

Run as ``python -m coverage_studies.score_margin_coverage [replications]``; the default of 1,000,000
takes some 4 minutes of one core; writes results/score_margin_coverage.json.
"""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

import rsverify
from rsverify import clopper_pearson_upper
from rsverify.bounds.score_margin import METHODS, score_margin_lower

SEED = 0
ALPHAS = (0.05, 0.001)
LAWS = {
    "all or nothing": (8, [[1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    "all or nothing, two classes": (13, [[1, 0], [0, 1]]),
    "runners-up in turn": (13, [[0.6, 0.4, 0.0], [0.6, 0.0, 0.4]]),
    "rare surprise": (13, [[0.55, 0.25, 0.2], [0.05, 0.0, 0.95]]),
    "winner and runner-up together": (8, [[0.9, 0.1, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]),
    "nearly constant": (13, [[0.52, 0.48, 0.0], [0.5, 0.3, 0.2]]),
}
CASES = [(e, m) for e in METHODS for m in METHODS[e]]
# Mean bound and observations.
SIMULATED_MEANS = (("betting-plugin", 40), ("betting", 40))


def margin_of(mean, estimand):
    runner_up = mean[..., 1:].max(axis=-1)
    if estimand == "difference":
        return mean[..., 0] - runner_up
    with np.errstate(invalid="ignore"):
        return norm.ppf(mean[..., 0]) - norm.ppf(runner_up)


def chances_of(points, rng):
    """Return probabilities of the score vectors: an even grid, rare ones, and random ones."""
    if points == 2:
        p = np.concatenate([np.linspace(0.002, 0.998, 499), np.geomspace(1e-4, 0.1, 100)])
        p = np.concatenate([p, 1 - np.geomspace(1e-4, 0.1, 100)])
        return np.stack([p, 1 - p], axis=1)
    grid = [(i / 24, j / 24, (24 - i - j) / 24) for i in range(25) for j in range(25 - i)]
    return np.concatenate([grid, rng.dirichlet([0.3] * points, size=400)])


def exact(points, n, estimand, method, name, alpha, chances):
    """Return the largest miscoverage over `chances`, and how many bounds are above the least."""
    table = np.array(points, dtype=float)
    paths = np.array(list(itertools.product(range(len(table)), repeat=n)))
    bounds = score_margin_lower(
        table[paths],
        0,
        alpha,
        estimand=estimand,
        method=method,
        mean_bound=name,
        selection=table[np.arange(12) % len(table)],
        runners_up=1,
    )
    counts = np.stack([(paths == k).sum(axis=1) for k in range(len(table))], axis=1)
    margins = margin_of(chances @ table, estimand)
    worst = 0.0
    for q, margin in zip(chances, margins, strict=True):
        mass = np.prod(q**counts, axis=1)
        worst = max(worst, float(mass[bounds > margin].sum()))
    return worst, float(np.mean(bounds > (0 if estimand == "difference" else -1)))


def population(rng):
    """Return softmax rows with a common factor, each also with the two runners-up exchanged."""
    common = rng.normal(size=(2000, 1)) * np.array([2.0, -1.0, -1.0, *[0.0] * 7])
    logits = common + rng.normal(size=(2000, 10)) * 0.7 + np.array([2.0, 1.0, 1.0, *[-1.0] * 7])
    scores = np.exp(logits - logits.max(axis=1, keepdims=True))
    scores /= scores.sum(axis=1, keepdims=True)
    return np.concatenate([scores, scores[:, [0, 2, 1, *range(3, 10)]]])


def simulate(rows, n, estimand, method, name, alpha, replications, rng):
    margin = margin_of(rows.mean(axis=0), estimand)
    selection = rows[rng.integers(len(rows), size=20)]
    missed = done = 0
    while done < replications:
        size = min(4000, replications - done)
        bounds = score_margin_lower(
            rows[rng.integers(len(rows), size=(size, n))],
            0,
            alpha,
            estimand=estimand,
            method=method,
            mean_bound=name,
            selection=selection,
            runners_up=2,
        )
        missed += int(np.sum(bounds > margin))
        done += size
    return missed, float(clopper_pearson_upper(missed, replications, 0.001))


def study(case, alpha, replications):
    """Return the results of one bound at one level; its randomness is its own."""
    estimand, method = case
    rng = np.random.default_rng([SEED, CASES.index(case), ALPHAS.index(alpha)])
    base = {"estimand": estimand, "method": method, "alpha": alpha}
    found = []
    for law, (n, points) in LAWS.items():
        chances = chances_of(len(points), rng)
        worst, said = exact(points, n, estimand, method, "betting", alpha, chances)
        found.append(
            base
            | {"mean bound": "betting", "law": law, "n": n, "kind": "exact"}
            | {"worst miscoverage": worst, "share of bounds that say something": said}
        )
    rows = population(np.random.default_rng(SEED))
    for name, n in SIMULATED_MEANS:
        # The defaults at 0.001 with the quick mean bound get all of the replications.
        full = method in ("union", "tangent") and alpha == 0.001 and name == "betting-plugin"
        size = replications if full else replications // 100
        missed, limit = simulate(rows, n, estimand, method, name, alpha, size, rng)
        found.append(
            base
            | {"mean bound": name, "law": "softmax", "n": n, "kind": "simulated"}
            | {"replications": size, "missed": missed, "upper limit of miscoverage": limit}
        )
    print(estimand, method, alpha, "done", flush=True)
    return found


def write(found):
    simulated = [f for f in found if f["kind"] == "simulated"]
    most = max(f["replications"] for f in simulated)
    ratios = {
        "largest exact miscoverage over alpha": max(
            f["worst miscoverage"] / f["alpha"] for f in found if f["kind"] == "exact"
        ),
        "largest upper limit over alpha, most replications": max(
            f["upper limit of miscoverage"] / f["alpha"]
            for f in simulated
            if f["replications"] == most
        ),
    }
    head = {"seed": SEED, "version": rsverify.__version__, **ratios}
    out = Path(__file__).parent / "results" / "score_margin_coverage.json"
    out.write_text(json.dumps({**head, "cases": found}, indent=1) + "\n", encoding="utf-8")
    print(head)


def main(replications=1_000_000):
    found = [study(case, alpha, replications) for case in CASES for alpha in ALPHAS]
    write([f for part in found for f in part])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
