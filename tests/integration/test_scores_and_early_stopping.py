"""Score certificates and early stopping on the demo's trained network."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from rsverify import SmoothedClassifier  # noqa: E402 - after the check for torch
from rsverify.demo.run import SIGMA, _digits, _train  # noqa: E402

IMAGES = 12


@pytest.fixture(scope="module")
def demo():
    torch.set_num_threads(1)
    train_x, train_y, held_x, held_y = _digits(0)
    model = _train(train_x, train_y, 0, lambda items, _: items)
    return SmoothedClassifier(model, num_classes=10, sigma=SIGMA), held_x, held_y


@pytest.mark.slow
def test_betting_certificates_end_to_end(demo):
    classifier, images, labels = demo
    options = {"n": 3000, "batch_size": 500, "temperature": 1.0}

    found = [
        [
            classifier.certify(images[i], bound=bound, seed=(1, i), **options)
            for bound in ("betting", "empirical-bernstein")
        ]
        for i in range(IMAGES)
    ]

    betting, baseline = (np.array([c[k].radius for c in found]) for k in (0, 1))
    right = [c[0].prediction == labels[i] for i, c in enumerate(found)]
    assert (betting >= baseline).all()
    assert betting.mean() > baseline.mean() + 0.005
    assert np.mean(right) > 0.7


@pytest.mark.slow
def test_early_stopping_needs_a_tenth_of_the_samples(demo):
    classifier, images, _ = demo
    n, targets = 100_000, (0.25, 0.5, 0.75)
    votes, missed = {t: [] for t in targets}, 0
    for i in range(2 * IMAGES):
        fixed = classifier.certify(images[i], n=n, batch_size=1000, seed=(0, i))
        for target in targets:
            early = classifier.certify(
                images[i], n=n, batch_size=100, seed=(0, i), target_radius=target
            )
            votes[target].append(early.n)
            # The same votes: what is certified at n is certified early or left undecided.
            missed += fixed.radius >= target and early.decision == "radius < target"

    assert all(np.mean(votes[t]) <= n / 10 for t in targets)
    assert missed == 0
