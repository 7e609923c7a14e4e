"""Votes to decide r = .25, .5, .75 together, and to know the radius within a width.

Beside fixed n = 100,000, beside deciding each radius alone, and beside sharing alpha over the radii
by hand. Votes are drawn with the shares that published counts of CIFAR-10 have, where
``../shared/data`` lies beside the checkout, and with shares of a fixed grid of difficulties. A
selection sample of 100 votes chooses the class and sharpens the evidence.

"Earlier inputs" adds to the selection votes what is known from the inputs before, in one of two
ways that are fixed before an input's votes: so many votes with their average shares, or with the
shares of the one whose selection sample was most alike.
Run as ``python -m coverage_studies.all_radii [replications]``; writes results/all_radii.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
from scipy.stats import norm

import rsverify
from rsverify import exact_margin_lower
from rsverify.bounds.margin_decision import decide_margin
from rsverify.bounds.margin_partition import decide_margins
from rsverify.bounds.margin_sequence import margin_sequence

ALPHA, N, N0, SEED, SIGMA = 0.001, 100_000, 100, 0, 0.25
SHARE = 0.9  # of alpha, as a certificate spends on its answers
RADII = np.array([0.25, 0.5, 0.75])
FUTILITY = 0.1
ROOT = Path(__file__).parents[1]
COUNTS = ROOT.parent / "shared" / "data" / "cifar10_counts_sigma025.txt"
LOOKS = np.unique(np.minimum(np.ceil(50 * 1.02 ** np.arange(400)), N).astype(int))
GRID = np.linspace(0.0, 1.2, 25)


def grid():
    """Return shares of three classes with radii from 0 to 1.2, the runner-up's at most 10 %."""
    shares = []
    for radius in GRID:
        second = min(0.1, norm.cdf(-2 * radius / SIGMA / 2) * 0.999)
        first = norm.cdf(norm.ppf(second) + 2 * radius / SIGMA)
        shares.append([min(first, 1 - second), second, max(0.0, 1 - first - second)])
    return np.array(shares)


class Sampled:
    """One input: its selection sample, and its votes at every look."""

    def __init__(self, shares, rng):
        self.selection = rng.multinomial(N0, shares)
        self.y = int(self.selection.argmax())
        steps = np.diff(LOOKS, prepend=0)
        self.path = rng.multinomial(steps, shares).cumsum(axis=0)

    def options(self, prior=None):
        """Return the options of the anytime bounds, as a certificate has them."""
        weights = self.selection + 1.0 / self.selection.size
        past = self.selection if prior is None else prior
        return {"estimand": "probit", "weights": weights, "prior": past}


def together(item, alpha=ALPHA, prior=None):
    more = {"horizon": N, "futility": FUTILITY}
    found = decide_margins(
        item.path, item.y, 2 * RADII / SIGMA, SHARE * alpha, **more, **item.options(prior)
    )
    return found.verdict, int(found.votes)


def alone(item, radius, alpha=ALPHA):
    more = {"horizon": N, "futility": FUTILITY}
    found = decide_margin(
        item.path, item.y, 2 * radius / SIGMA, SHARE * alpha, **more, **item.options()
    )
    return int(found.verdict), int(found.votes)


def known(item, *, absolute=None, relative=None, prior=None):
    """Return after how many votes the radius is known so well, and whether it is."""
    looks = item.path[:, np.newaxis]
    limits = margin_sequence(looks, item.y, ALPHA, **item.options(prior))
    lower, upper = (SIGMA / 2 * np.maximum(m[:, 0], 0) for m in (limits.lower, limits.upper))
    with np.errstate(invalid="ignore"):
        good = close(lower, upper, absolute=absolute, relative=relative)
    if not good.any():
        return N, False
    return int(LOOKS[good.argmax()]), True


def close(lower, upper, *, absolute=None, relative=None):
    """Return whether two ends are as close as asked."""
    return upper - lower <= absolute if relative is None else lower >= (1 - relative) * upper


def fixed(item):
    """Return which radii the exact bound certifies with all votes."""
    counts = item.path[-1]
    second = int(np.delete(counts, item.y).max())
    limit = exact_margin_lower(int(counts[item.y]), second, N, ALPHA, estimand="probit")
    return SIGMA / 2 * limit >= RADII


def fixed_ends(item):
    """Return both ends of the radius by the exact bound with all votes, at alpha/2 each.

    The upper one is over the runner-up of the selection sample, which is fixed before the votes.
    """
    counts = item.path[-1]
    first, second = int(counts[item.y]), int(np.delete(counts, item.y).max())
    others = np.where(np.arange(counts.size) == item.y, -1, item.selection)
    runner_up = int(counts[others.argmax()])
    lower = exact_margin_lower(first, second, N, ALPHA / 2, estimand="probit")
    upper = -exact_margin_lower(runner_up, first, N, ALPHA / 2, estimand="probit")
    return SIGMA / 2 * max(lower, 0.0), SIGMA / 2 * max(upper, 0.0)


def earlier(items, i, votes, alike):
    """Return the selection votes of input i, and `votes` more with the shares of earlier inputs."""
    item = items[i]
    if not i or not votes:
        return item.selection
    before = items[:i]
    if alike:
        mine = item.selection[item.y]
        before = [min(before, key=lambda b: abs(int(b.selection[b.y]) - int(mine)))]
    # Shares of the class certified, of its runner-up and of the rest, put on the same places here.
    ordered = np.zeros(item.selection.size)
    for b in before:
        counts = b.path[-1] / N
        ordered += np.concatenate([[counts[b.y]], np.sort(np.delete(counts, b.y))[::-1]])
    ordered /= len(before)
    places = [item.y, *[j for j in np.argsort(-item.selection, kind="stable") if j != item.y]]
    more = np.zeros(item.selection.size)
    more[places] = ordered
    return item.selection + np.round(votes * more).astype(np.int64)


def study(shares, replications):
    rng = np.random.default_rng(SEED)
    items = [Sampled(p, rng) for _ in range(replications) for p in shares]
    joint = [together(item) for item in items]
    single = {r: [alone(item, r) for item in items] for r in RADII}
    shared = [[alone(item, r, ALPHA / len(RADII)) for r in RADII] for item in items]
    by_hand = [max(votes for _, votes in found) for found in shared]
    certified = np.array([fixed(item) for item in items])
    verdicts = np.array([v for v, _ in joint])
    decided_alone = np.array([[v for v, _ in single[r]] for r in RADII]).T
    decided_shared = np.array([[v for v, _ in found] for found in shared])
    reached = certified & (verdicts != 1)
    # Inputs of which every way decides all three: there none is stopped for futility.
    clear = [np.isin(v, (1, -1)).all(axis=1) for v in (verdicts, decided_alone, decided_shared)]
    same = np.flatnonzero(np.logical_and.reduce(clear))
    largest = [max(single[r][i][1] for r in RADII) for i in range(len(items))]
    result = {
        "inputs": len(items),
        "votes together": mean(v for _, v in joint),
        "votes alone": {f"{r:g}": mean(v for _, v in single[r]) for r in RADII},
        "votes alone, the largest of the three": mean(largest),
        "votes alone, one run after the other": mean(
            sum(single[r][i][1] for r in RADII) for i in range(len(items))
        ),
        "votes with alpha/3 for each": mean(by_hand),
        "of the inputs that every way decides": {
            "inputs": len(same),
            "votes together": mean(joint[i][1] for i in same),
            "votes alone, the largest of the three": mean(largest[i] for i in same),
            "votes with alpha/3 for each": mean(by_hand[i] for i in same),
        },
        "votes fixed": N,
        "decided together": [int(np.isin(verdicts[:, k], (1, -1)).sum()) for k in range(3)],
        "decided alone": [int(np.isin(decided_alone[:, k], (1, -1)).sum()) for k in range(3)],
        "at least r by the exact bound at n, and not together": reached.sum(axis=0).tolist(),
    }
    ends = [fixed_ends(item) for item in items]
    for name, wanted in {
        "within 0.05": {"absolute": 0.05},
        "within 0.02": {"absolute": 0.02},
        "within 5 %": {"relative": 0.05},
        "within 10 %": {"relative": 0.10},
    }.items():
        found = [known(item, **wanted) for item in items]
        result[f"radius known {name}"] = {
            "votes": mean(v for v, _ in found),
            "known within n": mean(k for _, k in found),
            "known with n fixed, by the exact bound": mean(close(*e, **wanted) for e in ends),
        }
    return result | {"votes with earlier inputs as a prior": priors(items)}


def priors(items):
    result = {}
    for alike in (False, True):
        for votes in (0, 10, 30, 100):
            past = [earlier(items, i, votes, alike) for i in range(len(items))]
            kind = "the one most alike" if alike else "their average"
            pairs = list(zip(items, past, strict=True))
            result[f"{kind}, {votes} votes"] = {
                "together": mean(together(item, prior=p)[1] for item, p in pairs),
                "within 5 %": mean(known(item, relative=0.05, prior=p)[0] for item, p in pairs),
            }
    return result


def mean(values):
    return round(float(np.mean(list(values))), 4)


def main(replications=3):
    result = {
        "alpha": ALPHA,
        "n": N,
        "n0": N0,
        "sigma": SIGMA,
        "futility": FUTILITY,
        "seed": SEED,
        "version": rsverify.__version__,
        "radii from 0 to 1.2": study(grid(), replications),
        "published CIFAR-10 counts": None,
    }
    if COUNTS.exists():
        counts = np.loadtxt(COUNTS, dtype=int)[:, :-1]
        shares = counts / counts.sum(axis=1, keepdims=True)
        result["published CIFAR-10 counts"] = study(shares, 1)
    out = Path(__file__).parent / "results" / "all_radii.json"
    out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
