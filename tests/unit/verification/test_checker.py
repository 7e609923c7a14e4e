"""Verdicts on certificates: true ones are proved, and what is wrong with the others is found."""

import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import ctx

import rsverify
from rsverify import Certificate, Taylor, certify_counts, verify_certificate
from rsverify.certificates.assumptions import AssumptionWarning
from rsverify.noise import DiscreteGaussian, Gaussian, Uniform
from rsverify.verification.checker import verify_claim
from rsverify.verification.claims import claim_of_fields
from tests.support.altered import altered

BOUNDS: list[dict[str, Any]] = [
    {"bound": "cohen"},
    {"bound": "bonferroni"},
    {"bound": "exact"},
    {"bound": "exact", "ordering": "difference"},
    {"bound": "exact", "ordering": "bonferroni"},
    {"bound": "exact", "ordering": Taylor(5)},
]


def certified(counts: list[int], y: int = 0, **options: Any) -> Certificate:
    return certify_counts(counts, y=y, **({"sigma": 0.25, "alpha": 0.001} | options))


@pytest.mark.parametrize("radius", ["R1", "R2"])
@pytest.mark.parametrize("options", BOUNDS, ids=str)
@pytest.mark.parametrize("counts", [[60, 5, 35, 0], [300, 10], [18, 1, 1], [900, 20, 80]])
def test_a_certificate_is_proved_and_a_slightly_larger_radius_refuted(
    counts: list[int], options: dict[str, Any], radius: str
) -> None:
    certificate = certified(counts, alpha=0.05, radius=radius, **options)
    found = verify_certificate(certificate)
    assert found.verdict == "proved", found
    if certificate.radius == 0:
        return
    assert found.tail is None or found.tail <= 0.05
    larger = altered(certificate, radius=certificate.radius + 1e-9)
    wrong = verify_certificate(larger)
    assert wrong.verdict == "refuted", wrong
    assert wrong.nuisance is not None
    assert sum(wrong.nuisance) == pytest.approx(1)
    if wrong.tail is not None:
        assert wrong.tail > 0.05


@pytest.mark.parametrize("radius", ["R1", "R2"])
@pytest.mark.parametrize(
    ("counts", "alpha"),
    [([2, 0], 0.4), ([40, 0], 1e-9), ([120, 80], 0.05), ([99_000, 1_000], 0.001), ([7, 2], 0.5),
     ([1, 0], 0.3), ([3, 0, 1], 0.48), ([997, 1, 1, 1], 1e-12), ([30, 20, 10], 0.51),
     ([60, 5, 35, 0], 0.9), ([5, 2], 0.9), ([1, 0], 0.7), ([300, 290, 10], 0.95)],
)  # fmt: skip
def test_default_certificates_of_all_kinds_are_proved(
    counts: list[int], alpha: float, radius: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AssumptionWarning)  # alpha above 1/2
        certificate = certified(counts, alpha=alpha, radius=radius)
    assert verify_certificate(certificate).verdict == "proved"
    assert not verify_certificate(certificate, same_version=False).below_bound
    if certificate.radius > 0:
        for changed in (
            {"radius": certificate.radius * (1 + 1e-6)},
            {"radius": certificate.radius * (1 + 1e-6), "margin": certificate.margin * (1 + 2e-6)},
            {"radius": certificate.radius * 0.999, "margin": certificate.margin * 0.999},
        ):
            wrong = altered(certificate, **changed)
            assert verify_certificate(wrong).verdict == "refuted", changed


def test_the_nuisance_point_refutes_by_plain_summation() -> None:
    certificate = certified([60, 25, 15], alpha=0.05, bound="cohen", radius="R1")
    found = verify_certificate(altered(certificate, radius=0.1, margin=0.9))
    assert found.verdict == "refuted"
    assert found.nuisance is not None
    p, q, _ = found.nuisance
    assert found.margin is not None
    assert p - q <= found.margin + 1e-12
    draws = np.random.default_rng(1).binomial(100, p, 200_000)
    # 200,000 draws: the relative frequency is within .005 but for one run in 10^5.
    assert np.mean(draws >= 60) == pytest.approx(found.tail, abs=0.005)


def test_a_lipschitz_constant_counts_where_it_is_the_better_one() -> None:
    for constant in (0.5, 20.0):
        certificate = certified([60, 5, 35], alpha=0.05, radius="R1", lipschitz=constant)
        assert certificate.radius > 0
        assert verify_certificate(certificate).verdict == "proved"
        larger = altered(certificate, lipschitz=constant * 1.01)
        assert (verify_certificate(larger).verdict == "refuted") == (constant == 0.5)


def test_an_abstention_claims_nothing_and_must_not() -> None:
    certificate = certified([5, 5, 5])
    assert certificate.prediction == rsverify.ABSTAIN
    assert verify_certificate(certificate).verdict == "proved"
    assert verify_certificate(altered(certificate, radius=0.1)).verdict == "refuted"
    assert verify_certificate(altered(certificate, margin=0.2)).verdict == "refuted"


@pytest.mark.parametrize(
    ("counts", "alpha"),
    [([835, 0, 37, 0, 129], 0.001), ([812, 152, 37], 0.001), ([835, 129, 37], 0.001)],
)
def test_the_tail_may_rise_beyond_the_limits_of_the_default(
    counts: list[int], alpha: float
) -> None:
    """Where it is alpha at the last q that the two limits leave, nothing beyond it counts."""
    assert verify_certificate(certified(counts, alpha=alpha)).verdict == "proved"


BASE = {
    bound: certified([900, 20, 80], alpha=0.01, bound=bound)
    for bound in ("exact", "bonferroni", "cohen")
}
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("exact", {"counts": (899, 20, 81)}),
    ("exact", {"counts": (900, 19, 81)}),
    ("exact", {"counts": (899, 21, 80)}),
    ("exact", {"counts": (900, 20, 81)}),
    ("exact", {"alpha": 0.009}),
    ("exact", {"sigma": 0.249}),
    ("exact", {"sigma": 0.251}),
    ("exact", {"bound": "cohen"}),
    ("exact", {"bound": "bonferroni"}),
    ("exact", {"ordering": "difference"}),
    ("exact", {"noise_excess": 0.001}),
    ("exact", {"y": 1}),
    ("exact", {"prediction": 2}),
    ("exact", {"selection_counts": (1, 99, 0)}),
    ("exact", {"radius_kind": "R1"}),
    ("exact", {"radius": BASE["exact"].radius - 1e-6}),
    ("exact", {"margin": BASE["exact"].margin - 1e-6}),
    ("exact", {"margin": BASE["exact"].margin + 1e-6}),
    ("cohen", {"counts": (899, 20, 81)}),
    ("bonferroni", {"alpha": 0.0099}),
    ("bonferroni", {"counts": (900, 81, 19)}),
]
SMALLER: list[tuple[str, dict[str, Any]]] = [
    ("exact", {"counts": (901, 20, 79)}),
    ("exact", {"alpha": 0.011}),
    ("cohen", {"bound": "exact"}),
    ("cohen", {"counts": (901, 20, 79)}),
    ("cohen", {"alpha": 0.02}),
    ("bonferroni", {"bound": "exact"}),
    ("exact", {"counts": (910, 20, 70), "alpha": 0.001}),
    ("bonferroni", {"alpha": 0.0101}),
]
"""Of these the claim is smaller than it could be, and true."""


@pytest.mark.parametrize(("bound", "change"), SMALLER, ids=str)
def test_a_smaller_claim_holds_but_is_not_what_this_version_computes(
    bound: str, change: dict[str, Any]
) -> None:
    smaller = altered(BASE[bound], **change)
    found = verify_certificate(smaller)
    assert found.verdict == "refuted", found
    assert "the radius holds, but" in found.reason
    assert found.nuisance is None
    found = verify_certificate(smaller, same_version=False)
    assert found.verdict == "proved", found
    assert found.below_bound
    assert "the bound named gives more" in found.reason


@pytest.mark.parametrize("lower_by", [2e-7, 1e-5, 0.003, 0.1])
@pytest.mark.parametrize("radius", ["R1", "R2"])
def test_a_row_of_an_older_version_is_not_refuted(radius: str, lower_by: float) -> None:
    """Its margin and radius fit each other, and are below what the bound gives now."""
    certificate = certified([600, 50, 350], radius=radius)
    share = 1 - lower_by / certificate.margin
    older = altered(
        certificate, margin=certificate.margin * share, radius=certificate.radius * share
    )
    found = verify_certificate(older, same_version=False)
    assert found.verdict == "proved", found
    assert found.below_bound
    assert verify_certificate(older).verdict == "refuted"


@pytest.mark.parametrize(("bound", "change"), CHANGES, ids=str)
def test_whatever_is_changed_is_refuted(bound: str, change: dict[str, Any]) -> None:
    assert verify_certificate(BASE[bound]).verdict == "proved"
    found = verify_certificate(altered(BASE[bound], **change))
    assert found.verdict == "refuted", found
    assert found.reason


def test_a_share_of_alpha_for_the_noise_is_not_spent_twice() -> None:
    paid = certified([900, 20, 80], alpha=0.01)
    # The bound at .01, of which .002 are the noise's: .008 are not enough for this radius.
    more = altered(paid, alpha=0.012, noise_excess=0.002)
    assert verify_certificate(more).verdict == "proved"
    assert verify_certificate(altered(paid, noise_excess=0.002)).verdict == "refuted"
    assert verify_certificate(altered(paid, noise_excess=0.02)).verdict == "refuted"


@pytest.mark.parametrize("alpha", [0.05, 0.033, 0.0009, 1e-9])
@pytest.mark.parametrize("counts", [[60, 5, 35], [45, 2, 2, 1], [70, 30], [900, 20, 80]])
def test_nested_certificates_are_proved_and_slightly_larger_ones_refuted(
    counts: list[int], alpha: float
) -> None:
    certificate = certified(counts, alpha=alpha, ordering="nested")
    assert verify_certificate(certificate).verdict == "proved"
    if certificate.radius > 0:
        # A limit that a larger level keeps down is below the one of its own level.
        default = certified(counts, alpha=alpha)
        more = 1 + 1e-6 + 2 * max(0.0, default.radius / certificate.radius - 1)
        changed = {"radius": certificate.radius * more, "margin": certificate.margin * more}
        assert verify_certificate(altered(certificate, **changed)).verdict == "refuted"
        outside = altered(certificate, alpha=0.6, margin=None)
        assert verify_certificate(outside).verdict == "not proved"


def test_a_large_alpha_of_many_votes_is_refused_at_once() -> None:
    """The whole curve counts there, which takes minutes."""
    for n, alpha in ((300_000, 0.6), (1_000_000, 0.9)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AssumptionWarning)
            certificate = certified([60, 20, 20], alpha=alpha)
        found = verify_certificate(altered(certificate, counts=(n - 2, 1, 1), margin=None))
        assert found.verdict == "not proved"
        assert f"n={n} is beyond 200,000 votes for an alpha above 1/2" in found.reason
        assert found.tails == 0


def test_what_has_no_checker_is_not_proved() -> None:
    early = rsverify.decide_counts([285, 9, 6], target_radius=0.25, sigma=0.25, alpha=0.001, y=0)
    assert verify_certificate(early).verdict == "not proved"
    own = altered(BASE["exact"], bound="mine")
    assert "mine" in verify_certificate(own).reason
    assert verify_certificate(own).verdict == "not proved"
    scores = np.tile([0.8, 0.1, 0.1], (50, 1))
    soft = rsverify.certify_scores(scores, sigma=0.25, alpha=0.05, y=0)
    assert verify_certificate(soft).verdict == "not proved"
    assert verify_certificate(BASE["exact"], budget=10).verdict == "not proved"


def test_classes_left_out_and_shares_of_alpha() -> None:
    ignoring = certified([600, 300, 50, 50], ignore=[1])
    assert ignoring.radius > 0
    assert verify_certificate(ignoring).verdict == "proved"
    assert verify_certificate(altered(ignoring, ignored=())).verdict == "refuted"
    top = certify_counts(
        [600, 300, 50, 50], sigma=0.25, alpha=0.001, y=0, selection=[50, 60, 10, 5], top_k=2
    )
    assert top.radius > 0
    assert verify_certificate(top).verdict == "proved"
    # Which classes may be ahead is for the selection sample to say, and how many for top_k.
    for change in (
        {"top_others": (1, 2)},
        {"top_others": (2,)},
        {"top_others": ()},
        {"top_k": 1},
        {"top_k": 3},
        {"ignored": (0,)},
    ):
        assert verify_certificate(altered(top, **change)).verdict == "refuted", change
    unknown = altered(top, selection_counts=None)
    assert "selection sample" in verify_certificate(unknown).reason
    assert verify_certificate(unknown).verdict == "not proved"
    row = {
        "predict": 0, "radius": BASE["cohen"].radius, "y": 0, "n": 1000, "alpha": 0.03,
        "bound": "cohen", "radius_kind": "R2", "sigma": 0.25, "count_0": 900, "count_1": 20,
        "count_2": 80, "alpha_shares": 3,
    }  # fmt: skip
    with ctx.workprec(96):
        assert verify_claim(claim_of_fields(row)).verdict == "proved"
        assert verify_claim(claim_of_fields(row | {"alpha_shares": 4})).verdict == "refuted"


def test_other_noise_and_norms_are_not_proved() -> None:
    uniform = certify_counts([900, 100], noise=Uniform(0.5), alpha=0.001, y=0)
    found = verify_certificate(uniform)
    assert found.verdict == "not proved"
    assert "noise" in found.reason or "norm" in found.reason
    discrete = certify_counts([900, 100], noise=DiscreteGaussian(0.5, 0.01), alpha=0.001, y=0)
    assert verify_certificate(discrete).verdict in ("proved", "not proved")
    # A sigma beside another noise makes it none of Gaussian noise.
    for noise in (Uniform(0.25), Gaussian(0.5), Gaussian([0.25, 0.25])):
        found = verify_certificate(altered(BASE["cohen"], noise=noise))
        assert found.verdict == "not proved"
        assert "noise" in found.reason
    assert verify_certificate(altered(BASE["cohen"], noise=Gaussian(0.25))).verdict == "proved"


def test_digits_are_those_of_the_text() -> None:
    row = {
        "predict": "0", "radius": "0.3", "y": "0", "n": "100", "alpha": "0.001", "bound": "cohen",
        "radius_kind": "R2", "sigma": "0.1", "count_0": "99", "count_1": "1", "lipschitz": "",
    }  # fmt: skip
    claim = claim_of_fields(row)
    assert (claim.radius, claim.sigma, claim.unit) == (
        Fraction(3, 10),
        Fraction(1, 10),
        Fraction(1, 10),
    )
    assert claim.radius != Fraction(0.3)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"alpha": "x"}, "alpha='x'"), ({"radius": "inf"}, "radius='inf'"), ({"n": "1.5"}, "n=1.5"),
     ({"sigma": ""}, "sigma is missing"), ({"y": "7"}, "y=7"), ({"alpha": "2"}, "alpha=2"),
     ({"count_0": "-1"}, "votes=-1"), ({"radius": "-1"}, "radius=-1")],
)  # fmt: skip
def test_what_is_no_claim_is_said_by_name(change: dict[str, str], said: str) -> None:
    row = {
        "predict": "0", "radius": "0.3", "y": "0", "n": "100", "alpha": "0.001", "bound": "cohen",
        "radius_kind": "R2", "sigma": "0.1", "count_0": "99", "count_1": "1",
    }  # fmt: skip
    with pytest.raises(ValueError, match=said):
        claim_of_fields(row | change)
