"""Runs take what their plan says, in votes and in time.

Three networks of different size, trained with noise on 1,000 of the digits that scikit-learn holds,
certify 500 others: each is planned from a pilot of a few seconds and then run, with early
decisions and with a fixed number of votes, several times with other noise. Times are of the
processor (`time.process_time`), in the plan and in the run, as other programs may load the machine;
whether plan and run agree in wall-clock time depends on these.

Run as ``python -m coverage_studies.planning [repeats]``; writes results/planning.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

import rsverify
from rsverify import SmoothedClassifier, certify_dataset
from rsverify.smoothing.planning import plan_request
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.session import Execution

SIGMA, RADIUS, ALPHA, N, SECONDS = 0.25, 0.25, 0.001, 5_000, 3.0
EARLY, FIXED = {"target_radius": RADIUS, "n": N}, {"n": N}
INPUTS, FEW = 500, 20  # with early decisions, and with a fixed n
TRAINED, STEPS = 1000, 400


def convolutional(width):
    """Return a network of two convolutions of so many channels."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, width, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(width, width, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * width, 10),
    )


MODELS = {
    "linear": lambda: torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
    "16 channels": lambda: convolutional(16),
    "64 channels": lambda: convolutional(64),
}


def digits():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16, dtype=torch.float32).reshape(-1, 1, 8, 8), torch.tensor(y)


def trained(make, x, y):
    torch.manual_seed(0)
    network, noise = make(), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(STEPS):
        chosen = torch.randint(0, TRAINED, (128,), generator=noise)
        noisy = x[chosen] + SIGMA * torch.randn(128, 1, 8, 8, generator=noise)
        loss = torch.nn.functional.cross_entropy(network(noisy), y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def planned(classifier, data, seed):
    return plan_request(
        classifier,
        data,
        Request(alpha=ALPHA, **EARLY),
        certify_label=False,
        probability=0.9,
        seconds=SECONDS,
        seed=seed,
        skip=1,
        max_inputs=None,
        input_range=None,
        batch_size=None,
        execution=Execution(),
        clock=time.process_time,
    )


def run(classifier, data, options, seed):
    """Return votes per input, processor seconds, and the share certified."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        table = certify_dataset(
            classifier,
            data,
            Path(folder) / "table.tsv",
            alpha=ALPHA,
            seed=seed,
            progress=False,
            **options,
        )
        took = time.process_time() - began
    certified = (table["radius"] >= RADIUS) & (table["correct"] == 1)
    return float(table["n"].mean()), took, float(certified.mean())


def compared(classifier, data, repeats):
    """Return what plans say and what runs take: votes, seconds, and the share certified."""
    few = tuple(part[:FEW] for part in data)
    plans = [planned(classifier, data, 100 + i) for i in range(repeats)]
    early = [run(classifier, data, EARLY, i) for i in range(repeats)]
    fixed = [run(classifier, few, FIXED, i) for i in range(repeats)]
    return {
        "early decisions": {
            "votes per input": beside([p.early.votes for p in plans], [n for n, *_ in early]),
            "seconds": beside([p.seconds(early=True) for p in plans], [t for _, t, _ in early]),
            "share certified": beside(
                [share(p) for p in plans], [certified for *_, certified in early]
            ),
        },
        "fixed n": {
            "seconds": beside(
                [replace(p, inputs=FEW).seconds() for p in plans], [t for _, t, _ in fixed]
            )
        },
    }


def share(plan):
    """Return the share that the exact bound is expected to certify at n."""
    (found,) = [e.share for e in plan.expected if (e.bound, e.n, e.alpha) == ("exact", N, ALPHA)]
    return found


def beside(plans, runs):
    """Return what was planned and what was seen, and the largest error of a plan."""
    return {
        "plans": rounded(plans),
        "runs": rounded(runs),
        "largest error of a plan against the mean of the runs": worst(plans, runs),
    }


def worst(plans, runs):
    """Return the largest relative error of a plan against the mean of the runs."""
    mean = float(np.mean(runs))
    return round(max(abs(p / mean - 1) for p in plans), 4)


def rounded(values):
    return [round(float(v), 4) for v in values]


def main(repeats=3):
    torch.set_num_threads(1)
    x, y = digits()
    held_out = x[TRAINED:][:INPUTS], y[TRAINED:][:INPUTS]
    result = {
        "sigma": SIGMA,
        "radius": RADIUS,
        "alpha": ALPHA,
        "n": N,
        "inputs": {"early decisions": INPUTS, "fixed n": FEW},
        "pilot, seconds": SECONDS,
        "repeats": repeats,
        "torch threads": 1,
        "version": rsverify.__version__,
    }
    for name, make in MODELS.items():
        classifier = SmoothedClassifier(trained(make, x, y), 10, sigma=SIGMA)
        result[name] = compared(classifier, held_out, repeats)
        print(name, json.dumps(result[name]), flush=True)
    out = Path(__file__).parent / "results" / "planning.json"
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
