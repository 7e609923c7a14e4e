"""Early decisions under other noise and norms, with ignored classes and top-k, from one sequence.

That an answer is ever wrong is summed exactly over all paths of votes, looking after every vote.
"""

import itertools
import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from scipy.stats import laplace, norm

from rsverify import certify_counts, decide_counts, radius_interval_counts
from rsverify.bounds.margin_decision import decide_margin
from rsverify.bounds.margin_partition import decide_margins
from rsverify.bounds.margin_sequence import margin_sequence
from rsverify.certificates.anytime import target_margins
from rsverify.certificates.threat import check_threat
from rsverify.noise import (
    Ablation,
    Deletion,
    DiscreteGaussian,
    Gaussian,
    Laplace,
    Lp,
    Splitting,
    Uniform,
)
from rsverify.reference import noise as reference

THREATS = {
    "uniform l1": {"noise": Uniform(0.5)},
    "uniform linf": {"noise": Uniform(0.5), "norm": "linf", "dimension": 784},
    "uniform l3": {"noise": Uniform(0.5), "norm": Lp(3), "dimension": 5},
    "splitting": {"noise": Splitting(2.0)},
    "laplace": {"noise": Laplace(0.3)},
    "laplace l3": {"noise": Laplace(0.3), "norm": Lp(3), "dimension": 5},
    "ablation": {"noise": Ablation(45, 784)},
    "deletion": {"noise": Deletion(0.9)},
    "gaussian linf": {"noise": Gaussian(0.5), "norm": "linf", "dimension": 100},
    "gaussian ellipsoid": {"noise": Gaussian([0.5, 1.0]), "norm": "mahalanobis"},
    "discrete": {"noise": DiscreteGaussian(0.5, 1 / 255)},
}


def threat_of(name: str):
    options = {"sigma": None, "noise": None, "norm": None, "dimension": None} | THREATS[name]
    return check_threat(**options, radius="R2", lipschitz=None)


# ------------------------------------------------------------------------ targets as margins


@pytest.mark.parametrize("name", THREATS)
@pytest.mark.parametrize("share", [1e-6, 0.03, 0.5, 0.9, 0.999])
def test_target_margins_lie_on_their_sides_of_the_target(name: str, share: float) -> None:
    threat = threat_of(name)
    target = float(threat.radius(share if threat.estimand == "difference" else 10.0 * share))
    if threat.noise.integer:
        target = max(1.0, target)
    above, below = target_margins(target, threat)
    assert 0.0 < below < above < math.inf
    assert threat.radius(above) >= target
    assert threat.radius(below) < target
    assert above - below < 2e-13 * above + (2e-2 if threat.noise.integer and share < 1e-3 else 0.0)


@pytest.mark.parametrize("margin", [1e-5, 0.02, 0.4, 0.93])
@pytest.mark.parametrize("dimension", [1, 3, 48])
def test_below_is_below_for_the_exact_radius_too(margin: float, dimension: int) -> None:
    """Radii are rounded down; that of the smaller margin must not reach the target exactly."""
    noise = Uniform(0.5)
    threat = check_threat(
        sigma=None, noise=noise, norm="linf", dimension=dimension, radius="R2", lipschitz=None
    )
    target = float(noise.radius(margin, norm="linf", dimension=dimension))
    _, below = target_margins(target, threat)
    assert reference.uniform_radius(below, lambda r: [r] * dimension, 0.5) < target


@pytest.mark.parametrize("target", [1, 2, 8, 14])
def test_whole_targets_by_exact_arithmetic(target: int) -> None:
    for noise, exact in (
        (Ablation(45, 784), lambda m: reference.ablation_radius(m, 45, 784)),
        (Deletion(0.9375), lambda m: reference.deletion_radius(m, Fraction(15, 16))),
    ):
        threat = check_threat(
            sigma=None, noise=noise, norm=None, dimension=None, radius="R2", lipschitz=None
        )
        above, below = target_margins(float(target), threat)
        if math.isinf(above):
            assert exact(Fraction(1)) < target
            continue
        assert exact(Fraction(above)) >= target
        assert exact(Fraction(below)) < target


def test_what_no_difference_reaches_is_refused_at_once() -> None:
    for options in (
        {"noise": Ablation(2, 20), "target_radius": 15},
        {"noise": Uniform(0.5), "norm": "linf", "dimension": 3, "target_radius": 0.9},
        {"noise": Uniform(0.5), "target_radius": 0.6},
    ):
        found = decide_counts([9, 1, 0], alpha=0.01, y=0, **options)
        assert found.decision == "radius < target"


def _tensor(values: object) -> object:
    return pytest.importorskip("torch").tensor(values)


@pytest.mark.parametrize("kind", [tuple, np.array, pd.Series, pd.Index, _tensor])
def test_targets_come_in_any_array(kind: Callable[[list[float] | float], object]) -> None:
    found = decide_counts([90, 5, 5], alpha=0.01, y=0, sigma=0.5, target_radius=kind([0.5, 0.25]))
    assert found.target_radii == (0.25, 0.5)
    one = kind(0.5) if kind in (np.array, _tensor) else 0.5
    alone = decide_counts([90, 5, 5], alpha=0.01, y=0, sigma=0.5, target_radius=one)
    assert alone.target_radius == 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": Ablation(2, 20), "target_radius": 1.5}, "must be a whole number"),
        ({"noise": Deletion(0.9), "target_radius": [1, 2.5]}, "must be a whole number"),
        ({"noise": Uniform(0.5), "norm": "l0", "target_radius": 1}, "norm='l0' must be one of"),
        ({"target_radius": 1}, "exactly one must be given"),
        ({"sigma": 1.0, "ignore": [0], "target_radius": 1}, "y=0 must not be one of ignore"),
        ({"sigma": 1.0, "ignore": [1, 2], "target_radius": 1}, "must leave a runner-up"),
        ({"sigma": 1.0, "top_k": 2, "target_radius": 1}, "top_k=2 needs selection"),
    ],
)
def test_questions_that_do_not_fit_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decide_counts([90, 5, 5], alpha=0.01, y=0, **options)


# ------------------------------------------------------------- what is said, and by whom


@pytest.mark.parametrize("name", THREATS)
@pytest.mark.parametrize(
    "extra", [{}, {"ignore": [2]}, {"top_k": 2, "selection": [60, 20, 10, 10], "y": None}]
)
def test_answers_agree_with_each_other_and_with_the_fixed_n(
    name: str, extra: dict[str, object]
) -> None:
    votes = [9000, 500, 300, 200]
    options = {"alpha": 0.001, "y": 0} | THREATS[name] | extra
    ends = radius_interval_counts(votes, precision=1e9, **options)
    assert ends.precise
    exact = certify_counts(votes, **options)
    assert ends.radius <= exact.radius <= ends.radius_upper
    whole = exact.noise is not None and exact.noise.integer
    targets = (
        [max(1.0, ends.radius - 2), ends.radius_upper + 2]
        if whole
        else [0.5 * ends.radius, 1.3 * ends.radius_upper]
    )
    found = decide_counts(votes, target_radius=targets, **options)
    assert found.decisions == ("radius >= target", "radius < target")
    assert targets[0] <= found.radius < targets[1]
    for target, decision in zip(targets, found.decisions, strict=True):
        assert decide_counts(votes, target_radius=target, **options).decision == decision
    for certificate in (ends, found):
        assert (certificate.noise, certificate.norm) == (exact.noise, exact.norm)
        assert (certificate.ignored, certificate.top_others) == (exact.ignored, exact.top_others)
        text = str(certificate)
        assert ("ignored" in text) == bool(exact.ignored)
        assert ("among the 2 most probable" in text) == (exact.top_k == 2)
        assert (f" in {exact.norm}" in text) == (exact.noise is not None)
        assert ("changes" in text) == whole


def test_ignoring_a_class_that_is_ahead_makes_the_difference() -> None:
    """A language model that refuses half of the time: what it answers, where it does."""
    votes, question = [360, 40, 600], {"sigma": 0.25, "alpha": 0.001, "y": 0, "target_radius": 0.1}
    assert decide_counts(votes, **question).decision == "radius < target"
    found = decide_counts(votes, **question, ignore=[2])
    assert found.decision == "radius >= target"
    assert "class 2 ignored" in str(found)


@pytest.mark.parametrize("estimand", ["difference", "probit", "laplace"])
def test_ignored_votes_count_as_votes_of_no_rival(estimand: str) -> None:
    """The margin over class 1 alone: as if class 2 and 3 were one class without a claim."""
    rng = np.random.default_rng(5)
    path = rng.multinomial(40, [0.5, 0.2, 0.2, 0.1], size=30).cumsum(axis=0)
    prior = [20, 8, 7, 5]
    options = {"estimand": estimand, "prior": prior}
    lower, upper = margin_sequence(path, 0, 0.05, ignore=[2, 3], **options)
    merged = np.column_stack([path[:, 0], path[:, 1], path[:, 2] + path[:, 3]])
    # One rival without votes more is no rival at all: its own limits are never the least.
    again = margin_sequence(
        np.column_stack([merged, np.zeros(30, dtype=np.int64)]),
        0,
        0.05,
        ignore=[2, 3],
        estimand=estimand,
        prior=[20, 8, 12, 0],
    )
    np.testing.assert_array_equal(lower, again.lower)
    np.testing.assert_array_equal(upper, again.upper)
    over_all = margin_sequence(path, 0, 0.05, **options)
    assert (lower >= over_all.lower).all()
    assert (lower > over_all.lower).any()


def test_ignored_classes_are_checked() -> None:
    path = [[5, 3, 2]]
    for ignore, message in (([0], "must not hold y"), ([1, 2], "must leave a runner-up")):
        with pytest.raises(ValueError, match=message):
            decide_margin(path, 0, 0.1, 0.05, estimand="difference", ignore=ignore)
        with pytest.raises(ValueError, match=message):
            margin_sequence(path, 0, 0.05, estimand="difference", ignore=ignore)
    with pytest.raises(ValueError, match="ignore"):
        decide_margins(path, 0, [0.1], 0.05, estimand="difference", ignore=[3])


# --------------------------------------------------------------- errors over all paths


def margin_over(q: tuple[float, ...], rivals: list[int], estimand: str) -> float:
    first, second = q[0], max(q[j] for j in rivals)
    if estimand == "difference":
        return first - second
    law = norm if estimand == "probit" else laplace
    return float(law.ppf(first) - law.ppf(second))


def ever_wrong(
    q: tuple[float, ...],
    thresholds: list[float],
    alpha: float,
    n: int,
    rivals: list[int],
    **options: object,
) -> float:
    """Return the exact probability that any verdict is ever wrong, looking at every vote."""
    margin = margin_over(q, rivals, str(options["estimand"]))
    paths = {(0,) * len(q): 1.0}
    wrong = 0.0
    for _ in range(n):
        grown: dict[tuple[int, ...], float] = {}
        for x, weight in paths.items():
            for i, chance in enumerate(q):
                y = tuple(k + (j == i) for j, k in enumerate(x))
                grown[y] = grown.get(y, 0.0) + weight * chance
        outcomes = list(grown)
        table = np.array(outcomes)[:, np.newaxis]
        verdicts = decide_margins(table, 0, thresholds, alpha, horizon=n, **options).verdict
        false = (verdicts == 1) & (np.array(thresholds) > margin)
        false |= (verdicts == -1) & (np.array(thresholds) <= margin)
        paths = {}
        for x, bad in zip(outcomes, false.any(axis=1), strict=True):
            if bad:
                wrong += grown[x]
            else:
                paths[x] = grown[x]
    return wrong


TRUTHS = [(0.3, 0.2, 0.5), (0.2, 0.05, 0.75), (0.5, 0.5, 0.0), (0.1, 0.45, 0.45)]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("estimand", ["difference", "probit", "laplace"])
def test_a_class_that_is_ignored_leaves_no_error_uncovered(estimand: str, alpha: float) -> None:
    """Class 2 is ignored, or ahead; thresholds as near to the margin as float64 allows."""
    largest = 0.0
    for q, prior in itertools.product(TRUTHS, [(3, 2, 5), None]):
        margin = margin_over(q, [1], estimand)
        thresholds = [margin - 0.2, margin, math.nextafter(margin, math.inf), margin + 0.2]
        options = {"estimand": estimand, "prior": prior, "ignore": [2]}
        largest = max(largest, ever_wrong(q, thresholds, alpha, 22, [1], **options))
    assert largest <= alpha
    if alpha == 0.05:  # the check can fail: the answers do use what they may
        assert largest > 0.1 * alpha


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("estimand", ["difference", "laplace"])
def test_several_rivals_beside_an_ignored_class(estimand: str, alpha: float) -> None:
    q = (0.3, 0.15, 0.15, 0.4)
    margin = margin_over(q, [1, 2], estimand)
    thresholds = [margin, math.nextafter(margin, math.inf)]
    options = {"estimand": estimand, "ignore": [3]}
    assert ever_wrong(q, thresholds, alpha, 14, [1, 2], **options) <= alpha


def certificates_wrong(
    q: tuple[float, ...], radius: float, targets: list[float], n: int, **options: object
) -> float:
    """Return the exact probability that a certificate ever says something wrong.

    `radius` is the true one. Targets, and the radius stated beside the answers.
    """
    paths = {(0,) * len(q): 1.0}
    wrong = 0.0
    for _ in range(n):
        grown: dict[tuple[int, ...], float] = {}
        for x, weight in paths.items():
            for i, chance in enumerate(q):
                y = tuple(k + (j == i) for j, k in enumerate(x))
                grown[y] = grown.get(y, 0.0) + weight * chance
        paths = {}
        for x, weight in grown.items():
            found = decide_counts(x, target_radius=targets, horizon=n, **options)
            said = zip(found.target_radii, found.decisions, strict=True)
            bad = found.radius > radius or any(
                (d == "radius >= target" and r > radius) or (d == "radius < target" and r <= radius)
                for r, d in said
            )
            if bad:
                wrong += weight
            else:
                paths[x] = weight
    return wrong


CERTIFIED: list[tuple[str, dict[str, object], tuple[float, ...], list[int]]] = [
    ("ablation", {}, (0.7, 0.2, 0.1), [1, 2]),
    ("deletion", {"ignore": [2]}, (0.35, 0.1, 0.55), [1]),
    ("uniform linf", {"ignore": [1]}, (0.5, 0.3, 0.2), [2]),
    ("laplace", {}, (0.6, 0.25, 0.15), [1, 2]),
    ("laplace", {"top_k": 2, "selection": [7, 5, 3], "y": None}, (0.45, 0.5, 0.05), [2]),
]


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize(("name", "extra", "q", "rivals"), CERTIFIED)
def test_certificates_are_ever_wrong_with_probability_at_most_alpha(
    name: str, extra: dict[str, object], q: tuple[float, ...], rivals: list[int], alpha: float
) -> None:
    threat = threat_of(name)
    margin = margin_over(q, rivals, threat.estimand)
    radius = float(threat.radius(margin))
    if threat.noise.integer:
        targets = [max(1.0, radius - 2), radius + 1]
    else:
        targets = [radius * (1 - 1e-9), radius * (1 + 1e-9)]
    options = {"alpha": alpha, "y": 0} | THREATS[name] | extra
    assert certificates_wrong(q, radius, targets, 14, **options) <= alpha


@pytest.mark.parametrize("edits", [2, 7, 12])
def test_a_whole_number_that_is_just_reached_is_not_called_less(edits: int) -> None:
    """Every radius of a constant classifier is that of a margin of 1, which floats just reach."""
    probability = 0.5 ** (1 / edits)
    assert Fraction(probability) ** edits > Fraction(1, 2)
    asked = {"noise": Deletion(probability), "alpha": 0.001, "y": 0}
    found = decide_counts([5000, 0], target_radius=edits, **asked)
    assert found.decision == "undecided"
    beyond = decide_counts([5000, 0], target_radius=edits + 1, **asked)
    assert beyond.decision == "radius < target"
    assert radius_interval_counts([5000, 0], **asked).radius_upper == edits
