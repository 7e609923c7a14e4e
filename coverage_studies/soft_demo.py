"""Score certificates on the demo's digits: the tangent with betting against the baseline.

Equal samples: R2 of the tangent bound with betting means, and of Bonferroni's with empirical
Bernstein means. Then the share of the sample after which the first has reached the second; what is
left of it is saved.
Run as ``python -m coverage_studies.soft_demo [images] [n]``; writes results/soft_demo.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

import rsverify
from rsverify import SmoothedClassifier
from rsverify.bounds.score_margin import score_margin_lower
from rsverify.demo.run import SIGMA, _digits, _train

ALPHA, N0, SEED = 0.001, 100, 0
SHARES = np.append(np.arange(0.02, 1.0, 0.02), 1.0)


def compare(selection, scores, y):
    def bound(n, **options):
        return score_margin_lower(
            scores[:n], y, ALPHA, estimand="probit", selection=selection, **options
        )

    n = len(scores)
    baseline = bound(n, method="bonferroni", mean_bound="empirical-bernstein")
    betting = bound(n, method="bonferroni")
    tangent = bound(n)
    reached = next((s for s in SHARES if bound(round(s * n)) >= baseline), None)
    return {
        "baseline": max(0.0, baseline) * SIGMA / 2,
        "bonferroni_betting": max(0.0, betting) * SIGMA / 2,
        "tangent": max(0.0, tangent) * SIGMA / 2,
        "share": reached,
    }


def main(images=100, n=10_000):
    torch.set_num_threads(1)
    train_x, train_y, held_x, _ = _digits(SEED)
    model = _train(train_x, train_y, SEED, lambda items, _: items)
    classifier = SmoothedClassifier(model, num_classes=10, sigma=SIGMA)
    rows = []
    for i in range(images):
        selection = classifier.scores(held_x[i], n=N0, batch_size=1000, seed=(SEED, i, 0))
        scores = classifier.scores(held_x[i], n=n, batch_size=1000, seed=(SEED, i, 1))
        rows.append(compare(selection, scores, int(selection.mean(axis=0).argmax())))
    base, bets, tangent = (
        np.array([r[k] for r in rows]) for k in ("baseline", "bonferroni_betting", "tangent")
    )
    kept = base > 0
    shares = np.array([r["share"] for r, k in zip(rows, kept, strict=True) if k], dtype=float)
    summary = {
        "images": images,
        "n": n,
        "n0": N0,
        "alpha": ALPHA,
        "sigma": SIGMA,
        "seed": SEED,
        "version": rsverify.__version__,
        "share of images with tangent >= baseline": float(np.mean(tangent >= base)),
        "share of images with tangent >= bonferroni with betting": float(np.mean(tangent >= bets)),
        "average radius, baseline": float(base.mean()),
        "average radius, bonferroni with betting": float(bets.mean()),
        "average radius, tangent": float(tangent.mean()),
        "images certified by the baseline": int(kept.sum()),
        "images certified by the tangent": int((tangent > 0).sum()),
        "median share of the sample needed": float(np.nanmedian(shares)),
        "share of samples saved, mean and quartiles": [
            float(1 - np.nanmean(shares)),
            *(1 - np.nanquantile(shares, [0.75, 0.5, 0.25])).tolist(),
        ],
        "images where the share was not reached": int(np.isnan(shares).sum()),
    }
    out = Path(__file__).parent / "results" / "soft_demo.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
