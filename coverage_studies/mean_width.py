"""Widths of the lower bounds for one mean: distance of the bound to the sample mean, averaged.

Run as ``python -m coverage_studies.mean_width``; writes results/mean_width.tsv, one row a
(distribution, n, alpha), with version and seed in the first line. The oracle is Bernstein's
bound with the true variance. Distances are to the sample mean, whose own noise is common to
all bounds and has expectation 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import rsverify
from rsverify.bounds.betting import betting_lower
from rsverify.bounds.confidence_sequences import betting_sequence, plugin_bernstein_sequence
from rsverify.bounds.mean import (
    bernstein_lower,
    empirical_bernstein_lower,
    hoeffding_lower,
    plugin_bernstein_lower,
)

SEED = 20
# Sample size -> number of samples.
SIZES = {100: 400, 1000: 400, 10_000: 60, 100_000: 8}
DISTRIBUTIONS = {
    "uniform": (lambda rng, shape: rng.random(shape), 1 / 12),
    "beta(1000,1000)": (lambda rng, shape: rng.beta(1000, 1000, shape), 0.25 / 2001),
    "beta(10,30)": (lambda rng, shape: rng.beta(10, 30, shape), 0.1875 / 41),
    "bernoulli(0.5)": (lambda rng, shape: (rng.random(shape) < 0.5).astype(float), 0.25),
    "bernoulli(0.99)": (lambda rng, shape: (rng.random(shape) < 0.99).astype(float), 0.0099),
    "bernoulli(0.01)": (lambda rng, shape: (rng.random(shape) < 0.01).astype(float), 0.0099),
}
BOUNDS = {
    "betting": betting_lower,
    "betting randomized": lambda x, alpha: betting_lower(x, alpha, seed=1),
    "plain c=1/2": lambda x, alpha: betting_lower(x, alpha, strategy="plugin", cap=0.5),
    "plain c=3/4": lambda x, alpha: betting_lower(x, alpha, strategy="plugin", cap=0.75),
    "aGRAPA": lambda x, alpha: betting_lower(x, alpha, strategy="agrapa"),
    "plug-in Bernstein": plugin_bernstein_lower,
    "empirical Bernstein": empirical_bernstein_lower,
    "Hoeffding": hoeffding_lower,
    "path: portfolio": lambda x, alpha: betting_sequence(x, alpha)[..., -1],
    "path: KT": lambda x, alpha: betting_sequence(x, alpha, strategy="kt")[..., -1],
    "path: plug-in": lambda x, alpha: betting_sequence(x, alpha, strategy="plugin")[..., -1],
    "path: Bernstein": lambda x, alpha: plugin_bernstein_sequence(x, alpha)[..., -1],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES))
    sizes = parser.parse_args().sizes
    out = Path(__file__).parent / "results" / "mean_width.tsv"
    header = ["distribution", "n", "alpha", "samples", "oracle Bernstein", *BOUNDS]
    lines = [f"# rsverify {rsverify.__version__}, seed {SEED}", "\t".join(header)]
    for cell, (name, (draw, variance)) in enumerate(DISTRIBUTIONS.items()):
        for n in sizes:
            rng = np.random.default_rng(np.random.SeedSequence(SEED, spawn_key=(cell, n)))
            x = draw(rng, (SIZES[n], n))
            for alpha in (0.05, 0.001):
                center = x.mean(axis=1)
                gaps = [np.mean(center - bernstein_lower(x, alpha, variance=variance))]
                gaps += [np.mean(center - bound(x, alpha)) for bound in BOUNDS.values()]
                row = [name, str(n), str(alpha), str(SIZES[n]), *(f"{gap:.6f}" for gap in gaps)]
                lines.append("\t".join(row))
                print(lines[-1], flush=True)
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
