"""Votes needed to decide whether a radius reaches r, against always drawing n = 100,000.

On the demo's digits, sampled as they are decided after a selection sample of 100 votes, and on
published counts of CIFAR-10 where ``../shared/data`` lies beside the checkout: there the votes come
in a random order, the class is the most voted one and there is no selection sample.

"Least possible" is the average of min(n, kl(1 - alpha, alpha) / KL), KL the divergence of the
chances (all n votes' shares) from the nearest on the other side of the target: what no procedure
that always decides, at this level, can beat.
Run as ``python -m coverage_studies.early_stopping [images]``; writes results/early_stopping.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

import rsverify
from rsverify import SmoothedClassifier, exact_margin_lower
from rsverify.bounds.margin_decision import decide_margin
from rsverify.demo.run import SIGMA, _digits, _train
from rsverify.kernels.margin.formulas import PROBIT
from rsverify.kernels.margin.sequence import curve_deviance

ALPHA, N, SEED = 0.001, 100_000, 0
SHARE = 0.9  # of alpha, as a certificate spends on its answer
RADII = (0.25, 0.5, 0.75)
FUTILITY = 0.1
ROOT = Path(__file__).parents[1]
COUNTS = ROOT.parent / "shared" / "data" / "cifar10_counts_sigma025.txt"
LOOKS = np.unique(np.minimum(np.ceil(50 * 1.02 ** np.arange(400)), N).astype(int))


def least_possible(counts, y, threshold):
    """Return the least votes on average that decide, for the chances `counts` / n."""
    second = np.where(np.arange(counts.shape[1]) == y[:, None], -1, counts).max(axis=1)
    first = counts[np.arange(len(y)), y]
    divergence = np.array(
        [
            curve_deviance(PROBIT, int(a), int(b), int(N - a - b), threshold) / N
            for a, b in zip(first, second, strict=True)
        ]
    )
    information = (1 - ALPHA) * np.log((1 - ALPHA) / ALPHA) + ALPHA * np.log(ALPHA / (1 - ALPHA))
    return np.minimum(N, information / np.maximum(divergence, 1e-12))


def summary(decisions, votes, fixed, patient, least):
    """Return what was decided; `patient` are the decisions without giving up."""
    return {
        "average votes": float(np.mean(votes)),
        "share of n": float(np.mean(votes)) / N,
        "least possible, share of n": float(np.mean(least)) / N,
        "at least r": int(np.sum(decisions == 1)),
        "below r": int(np.sum(decisions == -1)),
        "undecided": int(np.sum(np.isin(decisions, (0, 2)))),
        "at least r by the exact bound at n": int(np.sum(fixed)),
        "of them below r or undecided": [
            int(np.sum(fixed & (decisions == -1))),
            int(np.sum(fixed & np.isin(decisions, (0, 2)))),
        ],
        "given up, and decided without giving up": int(np.sum((decisions == 2) & (patient != 0))),
    }


def demo(images):
    torch.set_num_threads(1)
    train_x, train_y, held_x, _ = _digits(SEED)
    model = _train(train_x, train_y, SEED, lambda items, _: items)
    classifier = SmoothedClassifier(model, num_classes=10, sigma=SIGMA)
    common = {"alpha": ALPHA, "n": N}
    codes = {"radius >= target": 1, "radius < target": -1, "undecided": 0}
    fixed = [
        classifier.certify(held_x[i], batch_size=2000, seed=(SEED, i), **common)
        for i in range(images)
    ]
    y, counts = np.array([c.y for c in fixed]), np.array([c.counts for c in fixed])
    results = {}
    for r in RADII:
        found, patient = (
            [
                classifier.certify(
                    held_x[i],
                    batch_size=100,
                    seed=(SEED, i),
                    target_radius=r,
                    futility=futility,
                    **common,
                )
                for i in range(images)
            ]
            for futility in (FUTILITY, 0.0)
        )
        results[str(r)] = summary(
            np.array([2 if c.futile else codes[c.decision] for c in found]),
            np.array([c.n for c in found]),
            np.array([c.radius for c in fixed]) >= r,
            np.array([codes[c.decision] for c in patient]),
            least_possible(counts, y, 2 * r / SIGMA),
        ) | {"share of n without giving up": float(np.mean([c.n for c in patient])) / N}
    return results


def shuffled(counts, rng):
    """Return the counts so far at each look of votes drawn without replacement."""
    left, path = counts.copy(), []
    for step in np.diff(LOOKS, prepend=0):
        left = left - rng.multivariate_hypergeometric(left, step)
        path.append(counts - left)
    return np.array(path)


def published():
    counts = np.loadtxt(COUNTS, dtype=int)[:, :-1]
    rng = np.random.default_rng(SEED)
    y = counts.argmax(axis=1)
    paths = np.array([shuffled(c, rng) for c in counts])
    first = counts[np.arange(len(y)), y]
    second = np.where(np.arange(10) == y[:, None], -1, counts).max(axis=1)
    margin = exact_margin_lower(first, second, N, ALPHA, estimand="probit")
    results = {}
    for r in RADII:
        target = 2 * r / 0.25
        options = {"estimand": "probit", "horizon": N}
        verdict, votes = decide_margin(
            paths, y, target, SHARE * ALPHA, futility=FUTILITY, **options
        )
        patient, all_votes = decide_margin(paths, y, target, SHARE * ALPHA, **options)
        results[str(r)] = summary(
            verdict, votes, margin >= target, patient, least_possible(counts, y, target)
        ) | {"share of n without giving up": float(np.mean(all_votes)) / N}
    return results


def main(images=120):
    result = {
        "alpha": ALPHA,
        "n": N,
        "futility": FUTILITY,
        "seed": SEED,
        "version": rsverify.__version__,
        "published CIFAR-10 counts": published() if COUNTS.exists() else None,
        f"demo digits, {images} images": demo(images),
    }
    out = Path(__file__).parent / "results" / "early_stopping.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
