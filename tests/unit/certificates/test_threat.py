"""Certificates of other noise and norms, with ignored classes, and among the k most probable."""

import itertools
import json
import math

import numpy as np
import pytest

from rsverify import certify_counts
from rsverify.certificates.certificate import ABSTAIN
from rsverify.noise import Ablation, Deletion, DiscreteGaussian, Gaussian, Lp, Splitting, Uniform

ALPHA = 0.05


def outcomes(n: int, m: int) -> np.ndarray:
    """Return all counts of n votes over m classes."""
    bars = itertools.combinations(range(n + m - 1), m - 1)
    return np.array([np.diff([-1, *b, n + m - 1]) - 1 for b in bars])


def probabilities(counts: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Return the multinomial probability of each row of counts."""
    n = counts.sum(axis=1)[0]
    log = np.array([math.lgamma(n + 1) - sum(map(math.lgamma, row + 1.0)) for row in counts])
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * np.log(p), 0.0).sum(axis=1)
    return np.exp(log + terms)


COUNTS = outcomes(12, 4)
GRID = outcomes(8, 4) / 8  # p with ties and zeros, where coverage is worst
NEAR = np.random.default_rng(7).dirichlet(np.ones(4), 150)
SETTINGS = {
    "uniform l1": ({"noise": Uniform(0.5)}, lambda d: 0.5 * d),
    "uniform linf": (
        {"noise": Uniform(0.5), "norm": "linf", "dimension": 3},
        lambda d: 1 - (1 - d / 2) ** (1 / 3),
    ),
    "splitting": ({"noise": Splitting(2.0)}, lambda d: 2.0 * d),
    "ablation": ({"noise": Ablation(2, 20)}, None),
    "deletion": ({"noise": Deletion(0.8)}, None),
    "R1": ({"sigma": 1.0, "radius": "R1"}, lambda d: math.sqrt(math.pi / 2) * d),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize(
    "extra", [{}, {"ignore": (3,)}, {"top_k": 2}, {"top_k": 2, "ignore": (2,)}]
)
def test_every_kind_of_certificate_covers(name: str, extra: dict[str, object]) -> None:
    """Enumerated votes: stated and wrong with probability at most alpha, whatever p is."""
    options, radius_of = SETTINGS[name]
    if "top_k" in extra:
        extra = {**extra, "selection": [5, 9, 0, 1]}  # class 1 may be ahead
    left_out = {0, *extra.get("ignore", ()), *([1] if "top_k" in extra else [])}
    others = [c for c in range(4) if c not in left_out]
    radius = np.array(
        [certify_counts(row, alpha=ALPHA, y=0, **options, **extra).radius for row in COUNTS]
    )
    assert (radius > 0).any()
    noise = options.get("noise")
    for p in np.vstack([GRID, NEAR]):
        d = float(p[0] - p[others].max())
        true = noise.radius(d) if radius_of is None else (radius_of(d) if d > 0 else 0.0)
        wrong = probabilities(COUNTS, p)[radius > true * (1 + 1e-12)].sum()
        assert wrong <= ALPHA + 1e-12, p


def test_the_others_in_the_top_k_must_not_come_from_the_same_votes() -> None:
    """The k-th largest count of the estimation sample, uncorrected, does not cover."""
    stated = np.array(
        [
            certify_counts(
                row, alpha=ALPHA, sigma=1.0, y=0, ignore=(1 + int(row[1:].argmax()),)
            ).prediction
            != ABSTAIN
            for row in outcomes(30, 3)
        ]
    )
    p = np.full(3, 1 / 3)  # nothing is ahead of anything
    assert probabilities(outcomes(30, 3), p)[stated].sum() > 1.5 * ALPHA


def test_published_votes() -> None:
    plain = certify_counts([550, 50, 400], sigma=0.25, alpha=0.001, y=0)
    unknown = certify_counts([550, 50, 400], sigma=0.25, alpha=0.001, y=0, ignore=[2])
    assert round(plain.radius, 4) == pytest.approx(0.0173, abs=2e-4)
    assert round(unknown.radius, 4) == pytest.approx(0.1881, abs=2e-4)
    votes = [450, 400, 50, 50, 50]
    top = certify_counts(votes, sigma=0.25, alpha=0.001, y=1, top_k=2, selection=[60, 30, 5, 3, 2])
    assert (top.prediction, top.top_others) == (1, (0,))
    assert round(top.radius, 4) == pytest.approx(0.1413, abs=2e-4)
    assert certify_counts(votes, sigma=0.25, alpha=0.001, y=1).prediction == ABSTAIN


def test_what_is_certified_is_said() -> None:
    votes = [900, 60, 40]
    said = {
        str(certify_counts(votes, alpha=0.001, y=0, **options))
        for options in (
            {"noise": Uniform(0.5)},
            {"noise": Ablation(45, 784)},
            {"noise": Deletion(0.97)},
            {"noise": Gaussian(0.5), "norm": "linf", "dimension": 784},
            {"sigma": 0.5, "ignore": (1,)},
            {"sigma": 0.5, "top_k": 2, "selection": [9, 1, 0]},
        )
    }
    assert len(said) == 6
    for text in ("in l1 (", "changes in l0", "changes in edit", "in linf", "class 1 ignored"):
        assert any(text in line for line in said), said
    assert any("among the 2 most probable" in line for line in said)


def test_json_holds_the_threat() -> None:
    found = certify_counts([90, 5, 5], alpha=0.01, y=0, noise=Uniform(0.5), ignore=[2])
    fields = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert fields["noise"] == "uniform:0.5"
    assert (fields["norm"], fields["sigma"], fields["ignored"]) == ("l1", None, [2])
    assert found == certify_counts([90, 5, 5], alpha=0.01, y=0, noise=Uniform(0.5), ignore=[2])


def test_sigma_is_short_for_gaussian_noise() -> None:
    for options in ({}, {"radius": "R1"}):
        short = certify_counts([90, 5, 5], alpha=0.01, y=0, sigma=0.5, **options)
        assert short == certify_counts([90, 5, 5], alpha=0.01, y=0, noise=Gaussian(0.5), **options)


def test_discrete_noise_pays_its_share() -> None:
    found = certify_counts([90, 5, 5], alpha=0.01, y=0, noise=DiscreteGaussian(0.5, 1 / 255))
    assert found.noise_excess == 1e-12
    assert found.radius <= certify_counts([90, 5, 5], alpha=0.01, y=0, sigma=0.5).radius


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "exactly one must be given"),
        ({"sigma": 0.5, "noise": Uniform(0.5)}, "exactly one must be given"),
        ({"noise": "uniform:0.5"}, "must be a noise of rsverify.noise"),
        ({"noise": Uniform(0.5), "norm": "l0"}, "norm='l0' must be one of 'l1'"),
        ({"noise": Uniform(0.5), "norm": Lp(3)}, "dimension=None must be given"),
        ({"noise": Uniform(0.5), "radius": "R1"}, "radius='R1' must be 'R2'"),
        ({"noise": Uniform(0.5), "lipschitz": 2.0}, "lipschitz=2.0 must be None"),
        ({"sigma": 0.5, "ignore": [0]}, "y=0 must not be one of ignore"),
        ({"sigma": 0.5, "ignore": [1, 2]}, "must leave a runner-up"),
        ({"sigma": 0.5, "ignore": [3]}, "must be classes between 0 and 2"),
        ({"sigma": 0.5, "ignore": [1.5]}, "ignore"),
        ({"sigma": 0.5, "ignore": ["1"]}, "ignore"),
        ({"sigma": 0.5, "top_k": 2}, "top_k=2 needs selection"),
        ({"sigma": 0.5, "top_k": 3}, "top_k=3 must be"),
        ({"sigma": 0.5, "top_k": 2, "ignore": [1], "selection": [5, 1, 1]}, "leave a runner-up"),
    ],
)
def test_parts_that_do_not_fit_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        certify_counts([90, 5, 5], alpha=0.01, y=0, **options)
