"""Runs take what their plan says, in votes and in time.

Three networks of different size, trained with noise on 1,000 of the digits that scikit-learn holds,
certify the other 797: each is planned from a pilot of a few seconds and then run, with early
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
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits

import rsverify
from rsverify import SmoothedClassifier, certify_dataset
from rsverify.smoothing.planning import plan_request
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.session import Execution

SIGMA, RADIUS, ALPHA, SECONDS = 0.25, 0.25, 0.001, 5.0
EARLY = {"target_radius": RADIUS, "n": 20_000}
FIXED = {"n": 5_000}
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


def planned(classifier, data, options, seed):
    return plan_request(
        classifier,
        data,
        Request(alpha=ALPHA, **({"target_radius": RADIUS} | options)),
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


def compared(classifier, data, options, repeats):
    early = "target_radius" in options
    plans = [planned(classifier, data, options, 100 + i) for i in range(repeats)]
    runs = [run(classifier, data, options, i) for i in range(repeats)]
    seconds = [plan.seconds(early=early) for plan in plans]
    took = [t for _, t, _ in runs]
    result = {
        "plans: seconds": rounded(seconds),
        "runs: seconds": rounded(took),
        "seconds, largest error of a plan": worst(seconds, took),
    }
    if early:
        votes = [plan.early.votes for plan in plans]
        drawn = [n for n, _, _ in runs]
        result |= {
            "plans: votes per input": rounded(votes),
            "runs: votes per input": rounded(drawn),
            "votes, largest error of a plan": worst(votes, drawn),
        }
    else:
        shares = [
            e.share
            for plan in plans
            for e in plan.expected
            if (e.bound, e.n, e.alpha) == ("exact", options["n"], ALPHA)
        ]
        result |= {
            "plans: share certified": rounded(shares),
            "runs: share certified": rounded(s for *_, s in runs),
        }
    return result


def worst(plans, runs):
    """Return the largest relative error of a plan against the mean of the runs."""
    mean = float(np.mean(runs))
    return round(max(abs(p / mean - 1) for p in plans), 4)


def rounded(values):
    return [round(float(v), 4) for v in values]


def main(repeats=4):
    torch.set_num_threads(1)
    x, y = digits()
    held_out = x[TRAINED:], y[TRAINED:]
    result = {
        "sigma": SIGMA,
        "radius": RADIUS,
        "alpha": ALPHA,
        "inputs": len(held_out[0]),
        "pilot, seconds": SECONDS,
        "repeats": repeats,
        "torch threads": 1,
        "version": rsverify.__version__,
    }
    for name, make in MODELS.items():
        classifier = SmoothedClassifier(trained(make, x, y), 10, sigma=SIGMA)
        few = tuple(part[:200] for part in held_out)
        result[name] = {
            "early decisions": compared(classifier, held_out, EARLY, repeats),
            "fixed n on 200 inputs": compared(classifier, few, FIXED, repeats),
        }
        print(name, json.dumps(result[name], indent=1), flush=True)
    out = Path(__file__).parent / "results" / "planning.json"
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
