"""Does any attack get inside a certified radius? One sampled run for each noise, on digits.

For each noise and norm a small network is trained under that noise on the 8×8 digits of
scikit-learn, 100 held-out images are certified, and each is attacked: by projected gradient and
random points of the ball where noise is added, by single pixels and greedy changes in l1 and l0, by
greedy edits of tokens. The worst point that is found is then put to fresh votes. Inside
certified radii none must lose the class; to see that the attacks have power, they are also given
four or eight times the radius.

"Changed" is an input whose certified class has fewer votes than another one; "significantly" if a
one-sided exact test at level 0.001, shared by the 100 inputs, says that it is less probable too.
Run as ``python -m coverage_studies.threat_attacks [inputs]``: some 100 seconds of one core; writes
results/threat_attacks.json.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from torch import nn

import rsverify
from rsverify import SmoothedClassifier
from rsverify.noise import Ablation, Deletion, Gaussian, Laplace, Noise, Splitting, Uniform
from rsverify.smoothing.noise.gaussian import COUNTS, seeded_generator

N, N0, ALPHA, SEED = 5_000, 100, 0.001, 0
TESTED, FRESH, SEARCHED, STEPS = 100, 5_000, 50, 20
FACTORS = {"l0": (1, 4), "edit": (1, 4)}
OTHER_FACTORS = (1, 8)
PIXELS, LEVELS, PAD = 64, (0.25, 0.75), 0
WORDS = PIXELS * len(LEVELS)


class Threat(NamedTuple):
    """A noise, a norm of attacks, and options of the classifier."""

    noise: Noise
    norm: str
    options: dict[str, Any]


DIAGONAL = [0.2 if i % 8 in (0, 7) else 0.4 for i in range(PIXELS)]  # less at the edges
THREATS = (
    Threat(Gaussian(0.4), "l2", {}),
    Threat(Gaussian(0.4), "linf", {}),
    Threat(Gaussian(0.4), "l1", {}),
    Threat(Gaussian(0.4), "l2", {"lattice": 1 / 16}),
    Threat(Gaussian(DIAGONAL), "mahalanobis", {}),
    Threat(Uniform(0.8), "l1", {}),
    Threat(Uniform(0.8), "linf", {}),
    Threat(Splitting(0.8), "l1", {}),
    Threat(Laplace(0.3), "l1", {}),
    Threat(Laplace(0.3), "l1", {"lattice": 1 / 16}),
    Threat(Ablation(16, PIXELS), "l0", {"mask": -1.0}),
    Threat(Deletion(0.8), "edit", {"mask": PAD}),
)


# Data and models


def digits(as_tokens: bool):
    """Return images in [0, 1], or tokens 1 to 128: which pixels are above each level."""
    data = load_digits()
    images = torch.tensor(data.data / 16, dtype=torch.float32)
    if as_tokens:
        above = torch.cat([images >= level for level in LEVELS], dim=1)
        rows = [1 + row.nonzero()[:, 0] for row in above]
        images = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(SEED))
    return images[order], torch.tensor(data.target)[order]


class Bag(nn.Module):
    """A network of the tokens that are left, in any order; what fills up adds nothing."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(1 + WORDS, 128, padding_idx=PAD)
        self.head = nn.Linear(128, 10)

    def forward(self, tokens):
        """Return the scores of rows of tokens."""
        return self.head(self.embedding(tokens).sum(dim=1).relu())


def noisy(sampler, x, draws):
    """Return what the model is given of inputs, one draw each."""
    center = sampler.center(x, torch.float32) if x.ndim == 1 else x
    out = torch.empty(draws.shape, dtype=center.dtype)
    sampler.add(center, draws, out)
    return sampler.present(out)


def drawn(sampler, shape, n, stream):
    """Return draws of the noise, the same for all that are compared."""
    generator = seeded_generator((SEED, stream), COUNTS, torch.device("cpu"))
    blocks = sampler.blocks(shape, n, generator=generator, dtype=torch.float32)
    return torch.cat([block.clone() for block in blocks])


def train(sampler, images, labels):
    torch.manual_seed(SEED)
    tokens = not images.is_floating_point()
    # What little is left by ablation and deletion takes longer to learn from.
    epochs = 300 if sampler.takes_tokens else 60
    net = Bag() if tokens else nn.Sequential(nn.Linear(PIXELS, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for epoch in range(epochs):
        draws = drawn(sampler, images.shape[1:], len(images), 1000 + epoch)
        if getattr(sampler, "lattice", None) is None:
            given = noisy(sampler, images, draws)
        else:
            given = noisy(sampler, (images / float(sampler.lattice)).round(), draws)
        for batch in torch.randperm(len(labels)).split(64):
            loss = nn.functional.cross_entropy(net(given[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


# Attacks: each gives the worst point found within a radius of the norm.


class Attack:
    """What is tried against one input."""

    def __init__(self, smoothed, norm, x, y, stream):
        self.net, self.sampler, self.norm = smoothed.model, smoothed.noise, norm
        self.x, self.y, self.stream = x, y, stream
        self.draws = {}

    def margin(self, point):
        """Return the mean score of the class less the largest other one: lower is worse."""
        if len(point) not in self.draws:
            self.draws[len(point)] = drawn(self.sampler, point.shape, SEARCHED, self.stream)
        with torch.no_grad():
            shares = self.net(noisy(self.sampler, point, self.draws[len(point)])).softmax(1).mean(0)
        own = float(shares[self.y])
        shares[self.y] = -1.0
        return own - float(shares.max())

    def worst(self, points):
        """Return the point of the least margin."""
        return min(points, key=self.margin)

    def run(self, radius):
        """Return the worst point found within a radius."""
        if self.norm == "l0":
            return self.pixels(int(radius))
        if self.norm == "edit":
            return self.edits(int(radius))
        return self.worst([self.x, *map(self.onto, self.candidates(radius * (1 - 1e-5) - 5e-6))])

    def candidates(self, radius):
        """Yield changes of an input to which noise is added."""
        generator = torch.Generator().manual_seed(self.stream)
        for direction in torch.randn((10, PIXELS), generator=generator):
            yield self.scaled(direction, radius)
        if self.norm == "l1":  # its corners
            for place in range(PIXELS):
                for sign in (-1.0, 1.0):
                    corner = torch.zeros(PIXELS)
                    corner[place] = sign * radius
                    yield corner
        yield from self.gradient(radius)

    def length(self, delta):
        """Return the norm of a change."""
        delta = delta.double()
        if self.norm == "mahalanobis":
            return float((delta / torch.tensor(DIAGONAL, dtype=torch.float64)).norm())
        return float(delta.norm(p={"l1": 1.0, "l2": 2.0, "linf": torch.inf}[self.norm]))

    def scaled(self, delta, radius):
        """Return a change of this norm in the same direction."""
        return delta * (radius / max(self.length(delta), 1e-12))

    def gradient(self, radius):
        """Yield the points of projected gradient descent of the margin under noise."""
        delta = torch.zeros(PIXELS)
        for step in range(STEPS):
            draws = drawn(self.sampler, self.x.shape, 64, 100_000 + 100 * self.stream + step)
            noise = noisy(self.sampler, self.x, draws) - self.x  # of splitting, an approximation
            moved = delta.clone().requires_grad_()
            scores = self.net(self.x + moved + noise).log_softmax(dim=1).logsumexp(dim=0)
            others = torch.cat([scores[: self.y], scores[self.y + 1 :]])
            (slope,) = torch.autograd.grad(others.max() - scores[self.y], moved)
            delta = delta + 2.5 * radius / STEPS * self.steepest(slope)
            if self.length(delta) > radius:
                delta = self.scaled(delta, radius)
            yield delta

    def steepest(self, slope):
        """Return a step of length about 1 in the norm that rises most."""
        if self.norm == "linf":
            return slope.sign()
        if self.norm == "l1":
            step = torch.zeros(PIXELS)
            top = slope.abs().topk(3).indices
            step[top] = slope[top].sign() / 3
            return step
        if self.norm == "mahalanobis":
            own = torch.tensor(DIAGONAL)
            return own * own * slope / (own * slope).norm().clamp(min=1e-12)
        return slope / slope.norm().clamp(min=1e-12)

    def onto(self, delta):
        """Return the point, where inputs may be: for splitting noise in [0, 1]."""
        point = self.x + delta
        if self.sampler.distribution.name == "splitting":
            return point.clamp(0.0, 1.0)
        if (step := getattr(self.sampler, "lattice", None)) is not None:  # toward the input
            steps = (point - self.x) / float(step)
            return self.x + steps.trunc() * float(step)
        return point

    def pixels(self, changes):
        """Return the input with so many pixels changed, each the worst beside those before."""
        point = self.x
        for _ in range(changes):
            options = []
            for place in range(PIXELS):
                for value in (0.0, 1.0):
                    other = point.clone()
                    other[place] = value
                    options.append(other)
            point = self.worst(options)
        return point

    def edits(self, changes):
        """Return the tokens after so many edits, each the worst of those tried."""
        point = self.x[self.x != PAD]
        for _ in range(changes):
            options = [torch.cat([point[:i], point[i + 1 :]]) for i in range(len(point))]
            generator = torch.Generator().manual_seed(self.stream)
            for token in (1 + torch.randperm(WORDS, generator=generator)[:40]).tolist():
                options.append(torch.cat([point, torch.tensor([token])]))
                place = (7 * token) % max(len(point), 1)
                options.append(
                    torch.cat([point[:place], point[place + 1 :], torch.tensor([token])])
                )
            point = self.worst([option for option in options if len(option)])
        return point


def distance(attack, point):
    """Return how far the point is, where that is cheap to know."""
    if attack.norm == "edit":
        return None
    if attack.norm == "l0":
        return int((point != attack.x).sum())
    return attack.length(point.double() - attack.x.double())


# The study


def study(threat, inputs):
    started = time.process_time()
    images, labels = digits(isinstance(threat.noise, Deletion))
    held = len(images) - 500
    smoothed = SmoothedClassifier(lambda x: x, 10, noise=threat.noise, **threat.options)
    net = train(smoothed.noise, images[:held], labels[:held])
    smoothed = SmoothedClassifier(net, 10, noise=threat.noise, **threat.options)
    certified, tried = [], 0
    for i, x in enumerate(images[held:]):
        if len(certified) == inputs:
            break
        tried += 1
        found = smoothed.certify(x, n=N, n0=N0, alpha=ALPHA, norm=threat.norm, seed=(SEED, i))
        if found.radius > 0:
            certified.append((x, found))
    result: dict[str, Any] = {
        "norm": threat.norm,
        **{k: str(v) for k, v in threat.options.items()},
        "held-out inputs until so many were certified": tried,
        "certified": len(certified),
        "mean radius": round(float(np.mean([c.radius for _, c in certified])), 4),
    }
    for factor in FACTORS.get(threat.norm, OTHER_FACTORS):
        result[f"within {factor} radius"] = attacked(smoothed, threat, certified, factor)
    result["seconds"] = round(time.process_time() - started, 1)
    return result


def attacked(smoothed, threat, certified, factor):
    changed, significant, shares = 0, 0, []
    for i, (x, certificate) in enumerate(certified):
        y = certificate.prediction
        attack = Attack(smoothed, threat.norm, x, y, i)
        point = attack.run(factor * certificate.radius)
        far = distance(attack, point)
        if far is not None and far > factor * certificate.radius:
            raise AssertionError(f"the attack went {far}, beyond {factor * certificate.radius}")
        votes = smoothed.counts(point, n=FRESH, seed=(SEED, 7, i))
        own, other = int(votes[y]), int(np.delete(votes, y).max())
        shares.append((own - other) / FRESH)
        if own < other:
            changed += 1
            test = binomtest(own, own + other, 0.5, alternative="less")
            significant += int(test.pvalue < 0.001 / len(certified))
    return {
        "changed": changed,
        "significantly": significant,
        "least margin of votes": round(min(shares), 4),
        "median margin of votes": round(float(np.median(shares)), 4),
    }


def main(inputs=TESTED):
    torch.set_num_threads(1)
    result = {
        "n": N,
        "alpha": ALPHA,
        "seed": SEED,
        "fresh votes": FRESH,
        "version": rsverify.__version__,
        "command": f"python -m coverage_studies.threat_attacks {inputs}",
        "threats": {},
    }
    for threat in THREATS:
        lattice = " on a lattice" if "lattice" in threat.options else ""
        short = threat.noise.name if threat.norm == "mahalanobis" else str(threat.noise)
        name = f"{short}{lattice}, {threat.norm}"
        result["threats"][name] = found = study(threat, inputs)
        print(name, found, flush=True)
    out = Path(__file__).parent / "results" / "threat_attacks.json"
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
