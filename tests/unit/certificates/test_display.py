"""Certificates as a notebook shows them: everything that matters, escaped, rounded down."""

import re
from decimal import Decimal

import numpy as np
import pytest

from rsverify import certify_counts, certify_scores, decide_counts
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import bonferroni_margin_lower
from rsverify.certificates.interval import radius_interval_counts
from rsverify.noise import Uniform

OPTIONS = {"sigma": 0.25, "alpha": 0.001}
SCORES = np.random.default_rng(0).dirichlet([8, 1, 1], 400)


def cells(certificate):
    found = re.findall(r"<th[^>]*>(.*?)</th><td[^>]*>(.*?)</td>", certificate._repr_html_())
    return dict(found)


def test_what_is_certified_and_by_what():
    shown = cells(certify_counts([50, 900, 50], y=1, **OPTIONS))
    assert shown["votes for class 1"] == "900 of 1,000"
    assert shown["votes for the runner-up, class 0"] == "50"
    assert shown["bound"] == "exact, ordering likelihood-ratio"
    assert (shown["alpha"], shown["sigma"]) == ("0.001", "0.25")


@pytest.mark.parametrize("radius", ["R1", "R2"])
@pytest.mark.parametrize("counts", [[900, 60, 40], [501, 499, 0], [10, 0, 0], [0, 10, 0]])
def test_numbers_are_never_above_the_certified_ones(radius, counts):
    certificate = certify_counts(counts, y=0, radius=radius, bound="bonferroni", **OPTIONS)
    shown = cells(certificate)
    (limit,) = (v for name, v in shown.items() if name.startswith("lower limit"))
    number = -Decimal("Infinity") if limit == "−∞" else Decimal(limit.replace("−", "-"))
    assert number <= Decimal(certificate.margin)
    assert Decimal(shown[f"radius {radius}"]) <= Decimal(certificate.radius)


def test_an_abstention_says_why_and_promises_nothing():
    shown = certify_counts([400, 350, 250], selection=[50, 40, 10], bound="cohen", **OPTIONS)
    text = shown._repr_html_()
    assert "Abstained: margin not positive" in text
    assert "use bound=&#x27;exact&#x27;" in text
    assert "Wrong with probability" not in text
    assert cells(shown)["separate votes that chose class 0"] == "50 of 100"


def test_answers_about_a_target_and_scores():
    early = cells(decide_counts([950, 30, 20], y=0, target_radius=0.2, **OPTIONS))
    assert early["is the radius at least 0.2?"] == "radius &gt;= target"
    scores = cells(certify_scores(SCORES, y=0, bound="hoeffding", **OPTIONS))
    assert scores["mean score of class 0"].endswith("of 400 samples")
    assert scores["mean score of the runner-up, class 2"] == f"{SCORES.mean(axis=0)[2]:.4f}"


def test_names_of_a_user_are_text():
    def limits(k1, k2, n, alpha):
        return bonferroni_margin_lower(k1, k2, n, alpha, estimand="probit")

    bound = Bound("<script>x</script>", limits, estimand="probit", side="lower", data="votes")
    text = certify_counts([900, 100], y=0, bound=bound, **OPTIONS)._repr_html_()
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_other_noise_and_classes_left_out():
    noise = Uniform(0.5)
    shown = certify_counts([900, 60, 40], noise=noise, alpha=0.001, y=0, ignore=[1])
    facts = cells(shown)
    assert facts["noise"] == str(noise)
    assert "sigma" not in facts
    assert facts[f"radius in {shown.norm}"]
    assert facts["votes for the runner-up, class 2"] == "40"
    assert facts["classes that are no runner-up"] == "1"


def test_both_ends_of_a_radius_are_rounded_outward():
    shown = radius_interval_counts([950, 30, 20], y=0, sigma=0.25, alpha=0.001, precision=0.1)
    upper = Decimal(cells(shown)["upper end of the radius"])
    assert Decimal(shown.radius_upper) <= upper <= Decimal(shown.radius_upper) + Decimal("1e-6")
