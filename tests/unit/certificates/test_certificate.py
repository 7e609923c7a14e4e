"""Certificates: what they carry, when they abstain and why, what is refused."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import multinomial

from rsverify.bounds.margin import (
    bonferroni_margin_lower,
    cohen_margin_lower,
    exact_margin_lower,
)
from rsverify.certificates import certificate as module
from rsverify.certificates.abstention import Status
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.counts import certify_counts
from rsverify.certificates.margins import BOUNDS, margin_lower_bounds
from rsverify.certificates.radius import certified_radius_r1, certified_radius_r2

REAL_COUNTS = Path(__file__).parents[3].parent / "shared" / "data" / "cifar10_counts_sigma025.txt"


def test_certificate_carries_what_produced_it() -> None:
    certificate = certify_counts(
        [30, 900, 70], sigma=0.25, alpha=0.001, selection=[1, 8, 1], bound="bonferroni"
    )
    prediction, radius = certificate
    assert (prediction, radius) == (1, certificate.radius)
    margin = bonferroni_margin_lower(900, 70, 1000, 0.001, estimand="probit")
    assert certificate.margin == margin
    assert radius == certified_radius_r2(margin, 0.25) > 0
    assert certificate.status is Status.CERTIFIED
    assert certificate.reason == ""
    assert certificate.counts == (30, 900, 70)
    assert certificate.selection_counts == (1, 8, 1)
    assert (certificate.n, certificate.n0, certificate.y) == (1000, 10, 1)
    assert (certificate.bound, certificate.ordering) == ("bonferroni", None)
    assert (certificate.radius_kind, certificate.estimand) == ("R2", "probit")
    with pytest.raises(FrozenInstanceError):
        certificate.radius = 2.0  # type: ignore[misc]
    assert certificate == certify_counts(
        (30, 900, 70), sigma=0.25, alpha=0.001, selection=(1, 8, 1), bound="bonferroni"
    )


def test_text_prints_the_radius_rounded_down() -> None:
    certificate = certify_counts([900, 70, 30], sigma=0.25, alpha=0.001, y=0)
    printed = float(re.search(r"radius (\d\.\d{4}) ", str(certificate)).group(1))
    assert printed <= certificate.radius < printed + 1e-4
    assert "\n" not in str(certificate)
    abstained = certify_counts([1, 2], sigma=0.25, alpha=0.001, y=0)
    assert str(abstained).startswith("abstained (runner-up ahead): ")


@pytest.mark.parametrize("counts", [[900, 70, 30], [0, 20, 0]])
def test_dictionary_survives_strict_json(counts: list[int]) -> None:
    certificate = certify_counts(counts, sigma=0.25, alpha=0.001, y=0, bound="cohen")
    read = json.loads(json.dumps(certificate.to_dict(), allow_nan=False))
    assert read == certificate.to_dict()
    assert read["counts"] == counts
    assert read["margin"] == (certificate.margin if counts[0] else None)


def test_exact_bound_and_its_ordering() -> None:
    default = certify_counts([60, 5, 35], sigma=0.5, alpha=0.01, y=0)
    assert (default.bound, default.ordering) == ("exact", "likelihood-ratio")
    assert default.margin == exact_margin_lower(60, 35, 100, 0.01, estimand="probit")
    other = certify_counts(
        [60, 5, 35], sigma=0.5, alpha=0.01, y=0, radius="R1", ordering="difference"
    )
    assert other.ordering == "difference"
    assert other.margin == exact_margin_lower(
        60, 35, 100, 0.01, estimand="difference", ordering="difference"
    )
    assert other.radius == certified_radius_r1(other.margin, sigma=0.5)


def test_r1_uses_the_better_of_the_two_constants() -> None:
    def radius_with(lipschitz: float | None) -> float:
        return certify_counts(
            [90, 10], sigma=0.5, alpha=0.01, y=0, radius="R1", lipschitz=lipschitz
        ).radius

    assert radius_with(100.0) == radius_with(None)
    assert radius_with(0.1) > radius_with(None)


def test_two_classes() -> None:
    certificate = certify_counts([80, 20], sigma=1.0, alpha=0.01, y=0, bound="cohen")
    assert certificate.prediction == 0
    assert certificate.margin == cohen_margin_lower(80, 100, 0.01, estimand="probit")


def test_selection_ties_go_to_the_lowest_class() -> None:
    assert certify_counts([0, 50, 0], sigma=1.0, alpha=0.01, selection=[0, 5, 5]).y == 1


def test_rows_agree_with_single_certificates() -> None:
    counts = np.array([[[60, 5, 35], [5, 60, 35]], [[0, 0, 7], [3, 90, 8]]])
    y = np.array([[0, 1], [2, 0]])
    alpha = np.array([[0.01], [0.001]])
    for bound, radius in itertools.product(BOUNDS, ("R1", "R2")):
        estimand = {"R1": "difference", "R2": "probit"}[radius]
        limits = margin_lower_bounds(counts, y, alpha, estimand=estimand, bound=bound)
        assert limits.shape == (2, 2)
        for i, j in np.ndindex(2, 2):
            single = certify_counts(
                counts[i, j], sigma=1, alpha=alpha[i, 0], y=y[i, j], bound=bound, radius=radius
            )
            assert limits[i, j] == single.margin


def test_one_row_under_several_classes_and_levels() -> None:
    limits = margin_lower_bounds(
        [60, 5, 35], [[0], [2]], [0.1, 0.01, 0.001], estimand="difference", bound="bonferroni"
    )
    assert limits.shape == (2, 3)
    assert (np.diff(limits, axis=1) < 0).all()
    assert limits[1, 0] == bonferroni_margin_lower(35, 60, 100, 0.1, estimand="difference")


@settings(max_examples=300, deadline=None)
@given(
    counts=st.lists(st.integers(min_value=0, max_value=40), min_size=2, max_size=5).filter(any),
    data=st.data(),
    alpha=st.sampled_from([0.2, 0.05, 0.001, 1e-9]),
    sigma=st.floats(min_value=1e-3, max_value=1e3),
    bound=st.sampled_from(BOUNDS),
    radius=st.sampled_from(["R1", "R2"]),
)
def test_every_certificate_is_consistent(
    counts: list[int], data: st.DataObject, alpha: float, sigma: float, bound: str, radius: str
) -> None:
    y = data.draw(st.integers(min_value=0, max_value=len(counts) - 1))
    options = {"sigma": sigma, "alpha": alpha, "bound": bound, "radius": radius}
    certificate = certify_counts(counts, y=y, **options)
    assert not math.isnan(certificate.margin)
    assert certificate.margin < math.inf
    certified = certificate.margin > 0
    assert (certificate.status is Status.CERTIFIED) == certified
    assert certificate.prediction == (y if certified else ABSTAIN)
    assert (certificate.reason == "") == certified
    assert (certificate.radius > 0) == certified
    if certified:  # these levels are below one half: y must lead
        assert counts[y] > max(c for k, c in enumerate(counts) if k != y)
    # Which of the other classes got the votes does not matter.
    order = data.draw(st.permutations(range(len(counts))))
    moved = certify_counts([counts[k] for k in order], y=order.index(y), **options)
    assert (moved.margin, moved.radius) == (certificate.margin, certificate.radius)


# Abstention


@pytest.mark.parametrize("counts", [[40, 45, 15], [45, 45, 10], [0, 0, 5]])
def test_runner_up_ahead_or_level(counts: list[int]) -> None:
    certificate = certify_counts(counts, sigma=0.25, alpha=0.001, y=0)
    assert (certificate.prediction, certificate.radius) == (ABSTAIN, 0.0)
    assert certificate.status is Status.RUNNER_UP_AHEAD
    assert f"class 0 has {counts[0]}" in certificate.reason
    assert "sigma" in certificate.reason


@pytest.mark.parametrize(
    ("bound", "alpha"),
    [
        *itertools.product(BOUNDS, (0.3, 0.05, 0.001, 1e-9)),
        *itertools.product(("bonferroni", "cohen"), (1e-30, 1e-200)),
    ],
)
@pytest.mark.parametrize("radius", ["R1", "R2"])
def test_smallest_n_is_the_smallest_that_certifies(alpha: float, bound: str, radius: str) -> None:
    def unanimous(n: int) -> module.Certificate:
        return certify_counts([0, n, 0], sigma=0.25, alpha=alpha, y=1, bound=bound, radius=radius)

    too_small = unanimous(1)
    assert too_small.status is Status.TOO_FEW_SAMPLES
    n = int(re.search(r"use n >= (\d+)", too_small.reason).group(1))
    assert unanimous(n).status is Status.CERTIFIED
    assert unanimous(n).radius > 0
    assert unanimous(n - 1).status is Status.TOO_FEW_SAMPLES
    # All n votes give p_1 >= a^(1/n): above 1/2 where n > log2(1/a).
    level = alpha / 2 if bound == "bonferroni" else alpha
    assert n == math.floor(math.log2(1 / level)) + 1


@settings(max_examples=200, deadline=None)
@given(
    shares=st.lists(st.integers(min_value=0, max_value=60), min_size=2, max_size=4),
    bound=st.sampled_from(BOUNDS),
    alpha=st.sampled_from([0.05, 0.001]),
)
def test_suggested_n_certifies_at_the_same_shares(
    shares: list[int], bound: str, alpha: float
) -> None:
    if sum(shares) == 0:
        return
    y = int(np.argmax(shares))
    certificate = certify_counts(shares, sigma=1.0, alpha=alpha, y=y, bound=bound)
    found = re.search(r"about n=(\d+)", certificate.reason)
    assert (found is not None) == (
        certificate.status is Status.MARGIN_NOT_POSITIVE
        and "bound='exact'" not in certificate.reason
    )
    if found is None or int(found.group(1)) > 20_000:
        return
    # Rough by design (limits move in steps of one vote): right within a factor of two.
    scale = math.ceil(2 * int(found.group(1)) / sum(shares))
    more = certify_counts(np.array(shares) * scale, sigma=1.0, alpha=alpha, y=y, bound=bound)
    assert more.status is Status.CERTIFIED
    scale = max(int(found.group(1)) // (2 * sum(shares)), 1)
    less = certify_counts(np.array(shares) * scale, sigma=1.0, alpha=alpha, y=y, bound=bound)
    assert less.status is not Status.CERTIFIED


def test_cohen_without_a_majority_recommends_the_exact_bound() -> None:
    counts = [4500, 1000, 1000, 3500]
    abstained = certify_counts(counts, sigma=1.0, alpha=0.001, y=0, bound="cohen")
    assert abstained.status is Status.MARGIN_NOT_POSITIVE
    assert "use bound='exact'" in abstained.reason
    assert certify_counts(counts, sigma=1.0, alpha=0.001, y=0).status is Status.CERTIFIED


# Coverage


def simplex_counts(n: int, m: int) -> np.ndarray:
    bars = np.array(list(itertools.combinations(range(n + m - 1), m - 1)))
    edges = np.hstack([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), n + m - 1)])
    return np.diff(edges, axis=1) - 1


def worst_miscoverage(n: int, m: int, estimand: str, bound: str, winner_of_same: bool) -> float:
    """Return the largest P(limit > true margin) over a grid of probabilities."""
    alpha = 0.05
    counts = simplex_counts(n, m)
    y = counts.argmax(axis=1) if winner_of_same else np.zeros(len(counts), dtype=int)
    limits = margin_lower_bounds(counts, y, alpha, estimand=estimand, bound=bound)
    worst = 0.0
    for q in simplex_counts(16, m) / 16:
        others = np.where(np.eye(m, dtype=bool), -1.0, q).max(axis=1)
        p1, p2 = q[y], others[y]
        with np.errstate(invalid="ignore"):
            margin = p1 - p2 if estimand == "difference" else ndtri(p1) - ndtri(p2)
        # A limit above the margin by less than rounding is a tie of equal real numbers.
        wrong = limits > margin + 1e-9
        worst = max(worst, float(multinomial.pmf(counts[wrong], n, q).sum()))
    return worst / alpha


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("estimand", ["difference", "probit"])
@pytest.mark.parametrize(("n", "m"), [(12, 3), (9, 4)])
def test_runner_up_from_the_same_counts_covers(n: int, m: int, estimand: str, bound: str) -> None:
    assert worst_miscoverage(n, m, estimand, bound, winner_of_same=False) <= 1 + 1e-9


def test_class_chosen_on_the_same_counts_does_not_cover() -> None:
    # Why y or a selection sample is required; it shows too that the check above can fail.
    assert worst_miscoverage(12, 3, "difference", "exact", winner_of_same=True) > 1.2


@pytest.mark.skipif(not REAL_COUNTS.exists(), reason="the table of real counts is not here")
def test_exact_certifies_more_than_the_baselines_on_real_counts() -> None:
    table = np.loadtxt(REAL_COUNTS, dtype=np.int64)[::12, :-1]
    y = table.argmax(axis=1)  # for comparison only: not a valid choice of class
    for estimand, radius in (("difference", "R1"), ("probit", "R2")):
        limits = {
            bound: margin_lower_bounds(table, y, 0.001, estimand=estimand, bound=bound)
            for bound in BOUNDS
        }
        means = {bound: values.mean() for bound, values in limits.items()}
        assert means["exact"] > max(means["bonferroni"], means["cohen"])
        certificate = certify_counts(table[0], sigma=0.25, alpha=0.001, y=y[0], radius=radius)
        assert certificate.margin == limits["exact"][0]


# Bad input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y": None}, "y=None and selection=None: one must be given"),
        ({"selection": [1, 0, 0]}, "only one may choose the class"),
        ({"y": None, "selection": [1, 0]}, r"selection of shape \(2,\)"),
        ({"y": None, "selection": [0, 0, 0]}, "selection must hold at least one vote"),
        ({"y": None, "selection": [-1, 2, 0]}, "selection=-1 must be at least 0"),
        ({"y": 3}, "y=3 must be a class between 0 and 2"),
        ({"y": -1}, "y=-1 must be a class between 0 and 2"),
        ({"y": [0, 1]}, r"y of shape \(2,\) must be a single number"),
        ({"y": 0.5}, "y=0.5 must be an integer"),
        ({"counts": [3, -1, 5]}, "counts=-1 must be at least 0"),
        ({"counts": [3, 1.5, 5]}, "counts=1.5 must be an integer"),
        ({"counts": [3, math.nan, 5]}, "counts=nan must be an integer"),
        ({"counts": [0, 0, 0]}, "counts must hold at least one vote"),
        ({"counts": [5]}, "counts of shape .* must hold at least two classes"),
        ({"counts": []}, "counts of shape .* must hold at least two classes"),
        ({"counts": [[3, 1, 5]]}, "counts of shape .* must have 1 dimension"),
        ({"counts": [2**60, 2**60, 1]}, r"counts must sum to less than 2\*\*53"),
        ({"sigma": 0.0}, "sigma=0.0 must be positive"),
        ({"sigma": [0.5, 0.5]}, r"sigma of shape \(2,\) must be a single number"),
        ({"alpha": 0.0}, r"alpha=0.0 must be in \(0, 1\)"),
        ({"alpha": 1.0}, r"alpha=1.0 must be in \(0, 1\)"),
        ({"alpha": math.nan}, "alpha contains NaN"),
        ({"bound": "best"}, "bound='best' must be one of 'exact', 'bonferroni', 'cohen'"),
        ({"radius": "R3"}, "radius='R3' must be one of 'R1', 'R2'"),
        ({"lipschitz": 1.0}, "lipschitz=1.0 must be None for radius='R2'"),
        ({"lipschitz": -1.0, "radius": "R1"}, "lipschitz=-1.0 must be positive"),
        ({"ordering": "best"}, "ordering='best'"),
        ({"ordering": "difference", "bound": "cohen"}, "ordering='difference' must be None"),
    ],
)
def test_bad_values_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {"counts": [3, 1, 5], "sigma": 0.5, "alpha": 0.01, "y": 0} | change
    with pytest.raises(ValueError, match=message):
        certify_counts(**arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"counts": "many"}, "counts='many' must be an integer"),
        ({"y": "cat"}, "y=.*cat"),
        ({"alpha": "0.1"}, "alpha='0.1' must be a real number"),
        ({"bound": 1}, "bound=1 must be one of"),
    ],
)
def test_bad_types_are_refused(change: dict[str, object], message: str) -> None:
    arguments = {"counts": [3, 1, 5], "sigma": 0.5, "alpha": 0.01, "y": 0} | change
    with pytest.raises(TypeError, match=message):
        certify_counts(**arguments)


def test_rows_refuse_classes_out_of_range_or_of_the_wrong_shape() -> None:
    counts = [[3, 1, 5], [1, 2, 3]]
    with pytest.raises(ValueError, match="y=3 must be a class between 0 and 2"):
        margin_lower_bounds(counts, [0, 3], 0.1, estimand="probit")
    with pytest.raises(ValueError, match="must broadcast with counts"):
        margin_lower_bounds(counts, [0, 1, 2], 0.1, estimand="probit")
    with pytest.raises(ValueError, match="estimand='ratio' must be one of"):
        margin_lower_bounds(counts, 0, 0.1, estimand="ratio")
