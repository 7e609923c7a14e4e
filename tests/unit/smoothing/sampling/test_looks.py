import itertools

import numpy as np
import pytest
import torch

from rsverify import SmoothedClassifier
from rsverify.certificates.early import EarlyCertificate, decide_counts
from rsverify.certificates.looks import look_after

INPUT = torch.tensor([1.0, 0.0])


def halves(batch):
    return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)


SMOOTHED = SmoothedClassifier(halves, 2, 0.5)  # the true radius is 1


@pytest.mark.parametrize(
    ("target", "decision"),
    [(0.3, "radius >= target"), (0.7, "radius >= target"), (1.5, "radius < target")],
)
def test_clear_questions_are_answered_early(target, decision):
    certificate = SMOOTHED.certify(INPUT, target_radius=target, n=50_000, batch_size=50, seed=0)

    assert isinstance(certificate, EarlyCertificate)
    assert certificate.decision == decision
    assert certificate.n < 5_000
    assert certificate.target_radius == target
    assert certificate.prediction == 1
    assert certificate.radius < 1.0
    assert sum(certificate.counts) == certificate.n
    assert certificate.n0 == 100
    assert certificate.seed == 0
    assert certificate.seconds > 0


def test_the_hardest_question_stays_undecided_to_the_last_vote():
    certificate = SMOOTHED.certify(
        INPUT, target_radius=0.99, n=3210, batch_size=100, seed=1, futility=0.0
    )

    assert certificate.decision == "undecided"
    assert not certificate.futile
    assert certificate.n == 3210


def test_it_is_given_up_where_an_answer_is_unlikely():
    certificate = SMOOTHED.certify(INPUT, target_radius=0.99, n=3210, batch_size=100, seed=1)

    assert certificate.decision == "undecided"
    assert certificate.futile
    assert certificate.n < 3210


def test_votes_are_those_of_the_ordinary_certificate_and_so_is_the_answer():
    whole = SMOOTHED.certify(INPUT, n=3210, seed=1)
    certificate = SMOOTHED.certify(
        INPUT, target_radius=0.99, n=3210, batch_size=100, seed=1, futility=0.0
    )

    assert certificate.counts == whole.counts
    assert certificate.selection_counts == whole.selection_counts
    again = decide_counts(
        whole.counts,
        target_radius=0.99,
        sigma=0.5,
        alpha=1e-3,
        selection=whole.selection_counts,
        horizon=3210,
    )
    assert again.radius == certificate.radius


@pytest.mark.usefixtures("unprobed")
def test_no_more_is_drawn_than_looked_at():
    drawn = []

    def model(batch):
        drawn.append(len(batch))
        return halves(batch)

    certificate = SmoothedClassifier(model, 2, 0.5).certify(
        INPUT, target_radius=0.3, n=50_000, batch_size=64, seed=0
    )

    assert 0 <= sum(drawn) - certificate.n - certificate.n0 < 64


@pytest.mark.parametrize("target", [0.3, 0.8, 1.2])
def test_the_answer_does_not_depend_on_the_batch_size(target):
    certificates = [
        SMOOTHED.certify(INPUT, target_radius=target, n=5000, batch_size=size, seed=3)
        for size in (1, 7, 64, 5000)
    ]

    assert all(c == certificates[0] for c in certificates)


@pytest.mark.usefixtures("unprobed")
@pytest.mark.parametrize("target", [0.3, 0.8, 1.2])
def test_it_stops_at_the_first_scheduled_look_that_decides(target):
    seen = []

    def model(batch):
        scores = halves(batch)
        seen.extend(scores.argmax(dim=1).tolist())
        return scores

    smoothed = SmoothedClassifier(model, 2, 0.5)
    certificate = smoothed.certify(INPUT, target_radius=target, n=5000, batch_size=64, seed=3)
    votes = seen[100:]  # after those that chose the class
    looks = list(itertools.takewhile(lambda k: k < certificate.n, scheduled_looks()))

    assert certificate.n in (5000, next(k for k in scheduled_looks() if k > max(looks, default=0)))
    for look in [*looks[-40:], certificate.n]:
        again = decide_counts(
            np.bincount(votes[:look], minlength=2),
            target_radius=target,
            sigma=0.5,
            alpha=1e-3,
            selection=certificate.selection_counts,
            horizon=5000,
            futility=0.1,
        )
        assert (again.decision == "undecided") == (look < certificate.n) or look == 5000
    assert again.counts == certificate.counts
    assert again.decision == certificate.decision


def scheduled_looks():
    look = 0
    while True:
        look = look_after(look)
        yield look


def test_looks_grow_by_a_fiftieth():
    looks = list(itertools.takewhile(lambda k: k <= 10**7, scheduled_looks()))

    assert looks[:3] == [50, 51, 52]
    assert all(1 <= b - a <= max(1, a / 50) for a, b in itertools.pairwise(looks))
    assert len(looks) < 800


def test_fewer_votes_than_the_first_look_are_looked_at_once():
    certificate = SMOOTHED.certify(INPUT, target_radius=0.01, n=30, batch_size=7, seed=0)

    assert certificate.n == 30


def test_given_class_draws_no_selection():
    certificate = SMOOTHED.certify(INPUT, target_radius=0.3, n=5000, y=1, seed=0)

    assert certificate.n0 == 0
    assert certificate.decision == "radius >= target"


def test_progress_counts_what_is_drawn():
    seen = []
    certificate = SMOOTHED.certify(
        INPUT, target_radius=0.3, n=5000, batch_size=50, seed=0, progress=seen.append
    )

    assert sum(seen) == certificate.n + certificate.n0
