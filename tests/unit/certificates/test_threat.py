"""Certificates of other noise and norms, with ignored classes, and among the k most probable."""

import itertools
import json
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import laplace, norm

from rsverify import audit, certify_counts, certify_table, exact_margin_lower
from rsverify.auditing.estimand import Estimand
from rsverify.certificates.certificate import ABSTAIN
from rsverify.noise import (
    Ablation,
    Deletion,
    DiscreteGaussian,
    Gaussian,
    Laplace,
    Lp,
    Noise,
    Splitting,
    Uniform,
)

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


VOTES = {(12, 4): outcomes(12, 4), (30, 3): outcomes(30, 3)}
LAWS = {  # p with ties and zeros, where coverage is worst, and others
    m: np.vstack([outcomes(8, m) / 8, np.random.default_rng(7).dirichlet(np.ones(m), 150)])
    for m in (3, 4)
}
SETTINGS: dict[str, dict[str, object]] = {
    "gaussian l2": {"sigma": 0.7},
    "gaussian linf": {"noise": Gaussian(0.7), "norm": "linf", "dimension": 3},
    "gaussian ellipsoid": {"noise": Gaussian([0.5, 1.0]), "norm": "mahalanobis"},
    "discrete": {"noise": DiscreteGaussian(0.7, 1 / 255)},
    "uniform l1": {"noise": Uniform(0.5)},
    "uniform linf": {"noise": Uniform(0.5), "norm": "linf", "dimension": 3},
    "splitting": {"noise": Splitting(2.0)},
    "laplace l1": {"noise": Laplace(0.3)},
    "laplace l3": {"noise": Laplace(0.3), "norm": Lp(3), "dimension": 5},
    "ablation": {"noise": Ablation(2, 20)},
    "deletion": {"noise": Deletion(0.8)},
    "R1": {"sigma": 1.0, "radius": "R1"},
}


def true_radius(name: str, p1: float, p2: float) -> float:
    """Return the radius of the probabilities themselves, from its formula, in floats."""
    d = p1 - p2
    if d <= 0.0:
        return 0.0
    with np.errstate(divide="ignore"):
        probit = float(norm.ppf(p1) - norm.ppf(p2))
        quantiles = float(laplace.ppf(p1) - laplace.ppf(p2))
    if name.startswith("uniform linf"):
        return float(1 - (1 - d / 2) ** (1 / 3))
    if name in ("ablation", "deletion"):
        noise = SETTINGS[name]["noise"]
        assert isinstance(noise, Noise)
        return float(noise.radius(d))
    return {
        "gaussian l2": 0.35 * probit,
        "gaussian linf": 0.35 * probit / math.sqrt(3),
        "gaussian ellipsoid": 0.5 * probit,
        "discrete": 0.35 * probit,
        "uniform l1": 0.5 * d,
        "splitting": 2.0 * d,
        "laplace l1": 0.15 * quantiles,
        "laplace l3": 0.15 * quantiles * 5 ** (1 / 3 - 1),
        "R1": math.sqrt(math.pi / 2) * d,
    }[name]


def left_out(extra: dict[str, object]) -> set[int]:
    ahead = [1] if "top_k" in extra else []
    return {0, *extra.get("ignore", ()), *ahead}  # type: ignore[misc]


def check_coverage(
    name: str, extra: dict[str, object], size: tuple[int, int], alpha: float
) -> float:
    """Return the largest probability that a certificate states too much, over many laws."""
    counts, laws = VOTES[size], LAWS[size[1]]
    chosen: dict[str, object] = {"y": 0}
    if "top_k" in extra:  # class 1 may be ahead
        chosen = {"selection": np.tile([9, 5, 0, 1][: size[1]], (len(counts), 1))}
    others = [c for c in range(size[1]) if c not in left_out(extra)]
    options = {**SETTINGS[name], **extra, **chosen, "alpha": alpha}
    # Rows of a table are the certificates of their counts (tests/unit/tables/test_threats.py).
    radius = certify_table(counts, **options)["radius"].to_numpy()  # type: ignore[arg-type]
    assert (radius > 0).any()
    worst = 0.0
    for p in laws:
        true = true_radius(name, float(p[0]), float(p[others].max()))
        wrong = float(probabilities(counts, p)[radius > true * (1 + 1e-12)].sum())
        worst = max(worst, wrong)
    return worst


EXTRAS: list[dict[str, object]] = [
    {},
    {"ignore": (3,)},
    {"top_k": 2},
    {"top_k": 2, "ignore": (2,)},
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("extra", EXTRAS)
def test_every_kind_of_certificate_covers(name: str, extra: dict[str, object]) -> None:
    """Enumerated votes: stated and wrong with probability at most alpha, whatever p is."""
    assert check_coverage(name, extra, (12, 4), ALPHA) <= ALPHA + 1e-12


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("extra", [{}, {"ignore": (2,)}, {"top_k": 2}])
def test_every_kind_covers_with_thirty_votes(
    name: str, extra: dict[str, object], alpha: float
) -> None:
    assert check_coverage(name, extra, (30, 3), alpha) <= alpha + 1e-12


def test_the_enumeration_can_fail() -> None:
    """A tenth more noise than there was: the same check finds it."""
    real = SETTINGS["laplace l1"]
    SETTINGS["laplace l1"] = {"noise": Laplace(0.5)}
    try:
        assert check_coverage("laplace l1", {}, (12, 4), ALPHA) > ALPHA
    finally:
        SETTINGS["laplace l1"] = real


def over_the_second(k1: np.ndarray, k2: np.ndarray, n: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The margin over the smaller of the other two counts: the larger may be ahead."""
    return exact_margin_lower(k1, np.minimum(k2, n - k1 - k2), n, alpha, estimand="difference")


def over_the_third(k1: np.ndarray, k2: np.ndarray, n: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The margin over class 2: class 1 was let ahead by another sample."""
    return exact_margin_lower(k1, n - k1 - k2, n, alpha, estimand="difference")


def test_the_others_in_the_top_k_must_not_come_from_the_same_votes() -> None:
    """The k-th largest count of the estimation sample, uncorrected: refuted by the auditor.

    Beside it the way of `top_k`, another class fixed beforehand, which the same audit supports.
    """

    def votes(p: tuple[float, float, float]) -> dict[str, object]:
        return {"p": p}

    laws = {"tie": votes((1 / 3, 1 / 3, 1 / 3)), "near": votes((0.3, 0.35, 0.35))}

    def draw(rng: np.random.Generator, size: int, n: int, p: tuple[float, ...]) -> np.ndarray:
        return rng.multinomial(n, p, size=size)

    def second(p: tuple[float, ...]) -> float:
        return p[0] - min(p[1:])

    among_two = Estimand(draw, second, laws, (-1.0, 1.0), "ahead of the less probable one", False)
    fixed = Estimand(draw, lambda p: p[0] - p[2], laws, (-1.0, 1.0), "ahead of class 2", False)

    def rows(bound: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        return lambda x, alpha: bound(x[:, 0], x[:, 1], x.sum(axis=1), alpha)

    def verdict(bound: Callable[..., np.ndarray], estimand: Estimand) -> str:
        return audit(
            rows(bound), estimand=estimand, n=30, alpha=ALPHA, replications=20_000, seed=1
        ).verdict

    assert verdict(over_the_second, among_two) == "refuted"
    assert verdict(over_the_third, fixed) == "supported"


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


def test_laplace_noise_is_certified_by_its_own_margin() -> None:
    """More than p_y - p_j alone, and than log p_y - log p_j alone, give; dominance at a glance."""
    votes = [900, 20, 80]
    found = {
        bound: certify_counts(votes, noise=Laplace(0.5), alpha=0.001, y=0, bound=bound)
        for bound in ("exact", "bonferroni", "cohen")
    }
    assert found["exact"].estimand == "laplace"
    assert found["exact"].radius > found["bonferroni"].radius > found["cohen"].radius > 0
    difference = exact_margin_lower(900, 80, 1000, 0.001, estimand="difference")
    assert found["exact"].radius > -0.5 * math.log1p(-difference)
    assert str(found["exact"]).startswith("class 0 within ")
    assert found["exact"].radius == Laplace(0.5).radius(found["exact"].margin)


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
