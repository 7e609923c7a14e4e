import numpy as np
import pytest

from rsverify.bounds.score_margin import score_margin_lower
from rsverify.certificates.abstention import Status
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.radius import certified_radius_r1, certified_radius_r2
from rsverify.certificates.scores import SCORE_BOUNDS, certify_scores, check_options


def sample(n=1100, concentration=(3, 12, 2), seed=0):
    return np.random.default_rng(seed).dirichlet(concentration, size=n)


def test_radius_is_that_of_the_margin_bound():
    scores, selection = sample(), sample(100, seed=1)
    margins = {
        e: score_margin_lower(scores, 1, 0.001, estimand=e, selection=selection)
        for e in ("probit", "difference")
    }
    options = {"sigma": 0.5, "alpha": 0.001, "selection": selection}

    r2 = certify_scores(scores, **options)
    r1 = certify_scores(scores, radius="R1", lipschitz=0.3, **options)

    assert tuple(r2) == (1, certified_radius_r2(margins["probit"], 0.5))
    assert tuple(r1) == (
        1,
        certified_radius_r1(margins["difference"], lipschitz=0.3, sigma=0.5),
    )
    assert r2.margin == margins["probit"]
    assert (r2.method, r1.method) == ("tangent", "union")


def test_certificate_echoes_what_produced_it():
    scores, selection = sample(), sample(100, seed=1)

    c = certify_scores(scores, sigma=0.5, alpha=0.001, selection=selection)

    assert c.mean_scores == pytest.approx(scores.mean(axis=0))
    assert sum(c.counts) == c.n == 1100
    assert sum(c.selection_counts) == c.n0 == 100
    assert c.counts[1] == np.sum(scores.argmax(axis=1) == 1)
    assert (c.bound, c.radius_kind, c.estimand, c.ordering) == ("betting", "R2", "probit", None)
    assert c.to_dict()["mean_scores"] == c.mean_scores
    assert "class 1 within radius" in str(c)
    assert "betting bound" in str(c)


def test_given_class_is_certified_whatever_the_selection_says():
    scores, selection = sample(), sample(100, concentration=(12, 3, 2), seed=1)

    assert certify_scores(scores, sigma=0.5, alpha=0.01, y=1, selection=selection).prediction == 1
    assert certify_scores(scores, sigma=0.5, alpha=0.01, y=1).prediction == 1
    assert certify_scores(scores, sigma=0.5, alpha=0.01, selection=selection).y == 0


@pytest.mark.parametrize("bound", SCORE_BOUNDS)
def test_every_bound_certifies_clear_scores(bound):
    certificate = certify_scores(sample(), sigma=0.5, alpha=0.001, y=1, bound=bound)

    assert certificate.radius > 0.2


@pytest.mark.parametrize(
    ("scores", "y", "status"),
    [
        (sample(), 0, Status.RUNNER_UP_AHEAD),
        (sample(4, (50, 1, 1)), 0, Status.TOO_FEW_SAMPLES),
        (sample(1000, (5.1, 5, 5)), 0, Status.MARGIN_NOT_POSITIVE),
    ],
)
def test_abstention_has_a_kind_and_a_remedy(scores, y, status):
    c = certify_scores(scores, sigma=0.5, alpha=1e-6, y=y)

    assert tuple(c) == (ABSTAIN, 0.0)
    assert c.status is status
    assert "n" in c.reason
    assert str(c).startswith("abstained")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[0.5, 0.6]]}, "scores: row 0"),
        ({"scores": [[[0.5, 0.5]]]}, r"scores of shape \(1, 1, 2\) must have shape \(n, m\)"),
        ({"y": None}, "y=None and selection=None"),
        ({"y": 2}, "y=2 must be a class between 0 and 1"),
        ({"selection": [[0.2, 0.3, 0.5]]}, "must have the 2 classes"),
        ({"sigma": 0.0}, "sigma=0.0 must be positive"),
        ({"alpha": 1.0}, "alpha=1.0"),
        ({"alpha": [0.1, 0.1]}, "alpha of shape"),
        ({"bound": "exact"}, "bound='exact' must be one of 'betting'"),
        ({"radius": "R3"}, "radius='R3'"),
        ({"lipschitz": 1.0}, "lipschitz=1.0 must be None"),
        ({"radius": "R1", "lipschitz": -1.0}, "lipschitz=-1.0"),
    ],
)
def test_bad_input_names_the_argument(change, message):
    arguments = {"scores": [[0.5, 0.5]] * 3, "y": 0, "sigma": 0.25, "alpha": 0.1} | change

    with pytest.raises((ValueError, TypeError), match=message):
        certify_scores(**arguments)


@pytest.mark.parametrize("runners_up", [0, -1, 2.5, "3", None, True])
def test_rivals_must_be_one_count(runners_up):
    with pytest.raises((ValueError, TypeError), match="runners_up="):
        certify_scores(sample(10), sigma=0.5, alpha=0.01, y=1, runners_up=runners_up)


def test_an_alpha_too_small_to_be_shared_is_refused_before_the_bounds():
    with pytest.raises(ValueError, match=r"alpha=4e-307 is too small: 0\.05 of it must be"):
        check_options(sigma=0.5, alpha=4e-307, bound="betting", radius="R1", lipschitz=None)
    assert not certify_scores(sample(10), sigma=0.5, alpha=1e-306, y=1).radius
