from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsverify.bounds.margin_decision import decide_margin
from rsverify.bounds.margin_sequence import margin_sequence
from rsverify.certificates.abstention import Status
from rsverify.certificates.anytime import target_margins
from rsverify.certificates.case import terms_given
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.counts import certify_counts
from rsverify.certificates.early import decide_counts, decide_looks, first_decision, target_question
from rsverify.certificates.radius import certified_radius_r2
from rsverify.certificates.threat import Threat, check_threat


def gaussian(sigma: float, kind: str = "R2", lipschitz: float | None = None) -> Threat:
    return check_threat(
        sigma=sigma, noise=None, norm=None, dimension=None, radius=kind, lipschitz=lipschitz
    )


QUESTION = {"target_radius": 0.25, "sigma": 0.25, "alpha": 0.001, "y": 0}


@pytest.mark.parametrize(
    ("counts", "decision"),
    [
        ([95, 3, 2], "undecided"),
        ([950, 30, 20], "radius >= target"),
        ([70, 20, 10], "undecided"),
        ([600, 300, 100], "radius < target"),
        ([0, 900, 100], "radius < target"),
    ],
)
def test_decisions(counts, decision):
    assert decide_counts(counts, **QUESTION).decision == decision


def test_radius_is_that_of_the_anytime_limit():
    counts = [950, 30, 20]
    limit = margin_sequence([counts], 0, 0.0001, estimand="probit", split=1.0).lower[0]

    certificate = decide_counts(counts, **QUESTION)

    assert tuple(certificate) == (0, certified_radius_r2(limit, 0.25))
    assert certificate.radius >= 0.25
    assert certificate.bound == "anytime"
    assert certificate.n == 1000
    fixed = certify_counts(counts, sigma=0.25, alpha=0.001, y=0)
    assert certificate.radius < fixed.radius
    assert str(certificate).startswith("radius >= target 0.25 after 1000 votes; class 0")


def test_the_answer_and_the_radius_share_alpha():
    counts = np.array([[940, 40, 20]])
    question = QUESTION | {"alpha": 0.01}
    at = [0.39, 0.395, 0.4, 0.405, 0.41, 0.415, 0.42]
    options = {"estimand": "probit"}

    for target in at:
        certificate = decide_counts(counts[0], **question | {"target_radius": target})
        above, _ = target_margins(target, gaussian(0.25))
        verdict = decide_margin(counts, 0, above, 0.009, **options).verdict
        assert (certificate.decision == "radius >= target") == (verdict == 1)
        spare = margin_sequence(counts, 0, 0.001, split=1.0, **options).lower[0]
        expected = max(spare, above) if verdict == 1 else spare
        assert certificate.margin == pytest.approx(expected, rel=1e-12)


def test_hopeless_questions_say_so():
    question = QUESTION | {"target_radius": 0.1, "futility": 0.1, "horizon": 10_000}
    # The margin is 0.8 and its standard error at 10,000 votes about 0.03.
    certificate = decide_counts([1160, 550, 290], **question)

    assert certificate.decision == "undecided"
    assert certificate.futile
    assert "unlikely to decide" in str(certificate)
    assert not decide_counts([1160, 550, 290], **question | {"futility": 0.0}).futile


def first_look(looks, question):
    asked = dict(question)
    target = target_question(asked.pop("target_radius"), 100_000, 0.0)
    return first_decision(looks, None, terms_given(**asked), target)


def test_first_decision_is_the_first_look_that_decides():
    looks = np.array([[50, 3, 1], [95, 3, 2], [285, 9, 6], [950, 30, 20]])
    question = QUESTION | {"target_radius": 0.25}

    assert first_look(looks, question) == 2
    assert first_look(looks[:2], question) is None
    for row in looks:
        decided = decide_counts(row, **question).decision != "undecided"
        assert (first_look([row], question) == 0) == decided
    with pytest.raises(ValueError, match="target_radius"):
        first_look(looks, question | {"target_radius": 0.0})


def test_a_radius_below_the_target_is_certified_all_the_same():
    certificate = decide_counts([6000, 3000, 1000], **QUESTION)

    assert certificate.decision == "radius < target"
    assert certificate.prediction == 0
    assert 0 < certificate.radius < 0.25


@pytest.mark.parametrize(
    ("counts", "status"),
    [([30, 60, 10], Status.RUNNER_UP_AHEAD), ([3, 0, 0], Status.MARGIN_NOT_POSITIVE)],
)
def test_abstention(counts, status):
    certificate = decide_counts(counts, **QUESTION)

    assert tuple(certificate) == (ABSTAIN, 0.0)
    assert certificate.status is status
    assert certificate.reason
    assert "abstained" in str(certificate)


def test_selection_chooses_the_class_and_weights_the_rivals():
    question = QUESTION | {"y": None, "selection": [60, 40, 0]}
    # The evidence that the margin over class 1 is small counts for almost all.
    counts = [350, 250, 0]

    assert decide_counts(counts, **question).y == 0
    assert decide_counts(counts, **question).decision == "radius < target"


def test_r1_has_its_own_target():
    question = QUESTION | {"radius": "R1", "target_radius": 0.2}

    assert decide_counts([950, 30, 20], **question).decision == "radius >= target"
    assert decide_counts([700, 200, 100], **question).decision == "radius < target"
    # No classifier has a larger R1 than the smoothing constant allows.
    beyond = decide_counts([10, 0, 0], **question | {"target_radius": 0.32})
    assert beyond.decision == "radius < target"


@given(target=st.floats(1e-6, 1e6), sigma=st.floats(1e-4, 1e4), kind=st.sampled_from(["R1", "R2"]))
def test_target_margins_lie_on_their_sides_of_the_target(target, sigma, kind):
    above, below = target_margins(target, gaussian(sigma, kind))

    if kind == "R2":
        radius = Fraction(sigma) / 2
    else:  # sqrt(pi / 2) to 30 digits
        radius = Fraction(sigma) * Fraction("1.25331413731550025120788264240")
    if kind == "R1" and target > 0.99 * float(radius):
        assert above == np.inf or above < 1
    else:
        assert Fraction(above) * radius >= Fraction(target)
        assert above <= below * (1 + 1e-13)
    assert Fraction(below) * radius < Fraction(target)


EXTREMES = [5e-324, 1e-320, 1e-300, 1e-289, 1e-200, 1e-3, 1.0, 1e3, 1e200, 1e300, 1e308]


@pytest.mark.parametrize(
    ("kind", "lipschitz"), [("R2", None), *(("R1", v) for v in (None, 1e-320, 1e-5, 1e300))]
)
def test_extreme_targets_have_margins_on_their_sides_or_a_clear_error(kind, lipschitz):
    for target, sigma in product(EXTREMES, EXTREMES):
        check_margins(target, sigma, kind, lipschitz)


def check_margins(target, sigma, kind, lipschitz):
    threat = gaussian(sigma, kind, lipschitz)
    if kind == "R2":
        radius = Fraction(sigma) / 2
    else:  # sqrt(pi / 2) to 30 digits, and sqrt(1 / 2)
        radius = Fraction(sigma) * Fraction("1.25331413731550025120788264240")
        if lipschitz is not None:
            half = Fraction("0.707106781186547524400844362105")
            radius = max(radius, half / Fraction(lipschitz))
    if min(Fraction(target), radius) < Fraction(1e-290):
        with pytest.raises(ValueError, match="state sigma and the target in another unit"):
            target_margins(target, threat)
        return
    above, below = target_margins(target, threat)
    assert above == np.inf or Fraction(above) * radius >= Fraction(target)
    assert Fraction(below) * radius < Fraction(target) or below == 0
    assert below >= 0


@pytest.mark.parametrize(
    ("change", "decision"),
    [
        ({"target_radius": 1e308, "sigma": 1e-3}, "radius < target"),
        ({"target_radius": 1e308, "sigma": 1e308}, "undecided"),
        ({"target_radius": 1e-280, "sigma": 5e-281}, "radius < target"),
        ({"target_radius": 1e-280, "sigma": 1e-278}, "radius >= target"),
        ({"target_radius": 1e-280, "sigma": 1e300}, "radius >= target"),
    ],
)
def test_decisions_at_extreme_scales(change, decision):
    assert decide_counts([900, 50, 50], **QUESTION | change).decision == decision


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_radius": 5e-324, "sigma": 1e-300}, "target_radius=4.94066e-324 and the radius"),
        ({"sigma": 5e-324}, "the radius 0 of a margin of 1 must both be at least 1e-290"),
        ({"alpha": 5e-324}, "alpha=5e-324 is too small: 0.9 of it"),
        ({"alpha": 1e-307}, "alpha=1e-307 is too small: 0.1 of it"),
    ],
)
def test_what_float64_cannot_hold_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        decide_counts([90, 5, 5], **QUESTION | change)


@pytest.mark.parametrize("looks", [[90, 5, 5], np.empty((0, 3)), [[90.5, 5, 5]]])
def test_looks_must_be_rows_of_counts(looks):
    with pytest.raises(ValueError, match="looks"):
        decide_looks(looks, **QUESTION)


@pytest.mark.parametrize(
    "value", [0.0, -1.0, np.inf, np.nan, [], [0.2, 0.2], [[0.1, 0.2]], [0.1, -1.0]]
)
def test_targets_must_be_positive_numbers(value):
    with pytest.raises(ValueError, match="target_radius"):
        decide_counts([3, 1], **QUESTION | {"target_radius": value})
