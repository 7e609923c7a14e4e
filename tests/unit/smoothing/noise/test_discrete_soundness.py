"""Classifiers built against floating-point noise: where it certifies too much, and discrete not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binomtest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.noise.discrete import DiscreteGaussian, _table  # noqa: E402

# One gray level more in every pixel of a black image of 3 × 32 × 32: 0.217 away in ℓ2.
BLACK = torch.zeros(3, 32, 32)
LIGHTER = torch.full((3, 32, 32), 1 / 255)
DISTANCE = math.sqrt(3 * 32 * 32) / 255


def finest_bit(batch: torch.Tensor) -> torch.Tensor:
    """Class 0 where some pixel is no multiple of 2⁻³², which no float near 1/255 plus noise is."""
    scaled = batch.flatten(1) * 2.0**32
    fine = (scaled != scaled.floor()).any(dim=1).float()
    return torch.stack([fine, 1 - fine], dim=1)


def test_images_a_gray_level_apart() -> None:
    floats = SmoothedClassifier(finest_bit, 2, 0.25)
    certificate = floats.certify(BLACK, n=400, seed=0, bound="cohen")
    assert certificate.prediction == 0
    assert certificate.radius > 2.4 * DISTANCE
    # Yet within that radius the votes are for the other class, all of them.
    assert floats.counts(LIGHTER, n=400, seed=1).tolist() == [0, 400]

    sound = SmoothedClassifier(finest_bit, 2, 0.25, noise="discrete", lattice=1 / 255)
    for image in (BLACK, LIGHTER):
        assert sound.certify(image, n=400, seed=0, bound="cohen").prediction == 1


SIGMA, FLIP = 1.0, 0.5


def low_bits(batch: torch.Tensor) -> torch.Tensor:
    """Class 1 above 0.95, and near 0 for multiples of 2⁻²⁴, which noise around 0.5 always gives."""
    z = batch[:, 0]
    scaled = z * 2.0**24
    other = (z > 0.95) | ((z.abs() < 0.375) & (scaled == scaled.floor()))
    return torch.stack([~other, other], dim=1).float()


def exact_law(j: int, noise: DiscreteGaussian, model: object) -> list[float]:
    """Return the probability of both classes at lattice point j, by enumeration."""
    table = _table(noise.sigma, noise.lattice)
    ks = np.arange(-table.largest, table.largest + 1)
    half = np.array(table.main, dtype=np.float64) / 2.0**63
    weights = np.concatenate([half[:0:-1], half])
    points = torch.tensor(ks + j, dtype=torch.float32) / float(1 / noise.lattice)
    votes = model(points[:, None]).argmax(dim=1).numpy()
    return [float(weights[votes == k].sum()) for k in (0, 1)]


def test_one_number() -> None:
    # Floats: at 0 class 0 is certified further than 0.5, where class 1 has the majority. Each
    # statement of the test is wrong with probability 1e-6 at most over the noise.
    floats = SmoothedClassifier(low_bits, 2, SIGMA)
    certificate = floats.certify(torch.zeros(1), n=100_000, alpha=1e-6, y=0, seed=0, bound="cohen")
    assert certificate.radius > FLIP + 0.1
    votes = floats.counts(torch.full((1,), FLIP), n=100_000, seed=1)
    assert binomtest(int(votes[1]), 100_000, 0.5, alternative="greater").pvalue < 1e-6

    # Discrete: what is certified at 0 is true at all lattice points around, by enumeration.
    sound = SmoothedClassifier(low_bits, 2, SIGMA, noise="discrete", lattice=1 / 256)
    certificate = sound.certify(torch.zeros(1), n=100_000, alpha=1e-6, seed=0, bound="cohen")
    law = exact_law(0, sound.noise, low_bits)
    assert certificate.prediction == int(np.argmax(law))
    flip = next(
        j
        for j in range(2000)
        if any(
            np.argmax(exact_law(s * j, sound.noise, low_bits)) != np.argmax(law) for s in (1, -1)
        )
    )
    assert 0 < certificate.radius <= flip / 256


@st.composite
def lattice_classifiers(draw: st.DrawFn) -> np.ndarray:
    """Return classes of the lattice points −60 … 59, in runs or by parity; 0 beyond."""
    runs = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 30)), min_size=2, max_size=30))
    classes = np.resize(np.repeat(*zip(*runs, strict=True)), 120)
    if draw(st.booleans()):
        classes[:: draw(st.integers(2, 3))] = draw(st.integers(0, 2))
    return classes


@given(
    classes=lattice_classifiers(),
    j=st.integers(-50, 50),
    steps=st.sampled_from([0.3, 1.0, 4.0, 15.0]),
)
def test_exact_radius_holds_at_all_lattice_points(
    classes: np.ndarray, j: int, steps: float
) -> None:
    # σ/2 (Φ⁻¹(p1) − Φ⁻¹(p2)) from the sampler's own integers never reaches a point of another
    # class; the law of K is within 1e-12 of the exact one and scipy's Φ⁻¹ is as good.
    table = _table(steps, DiscreteGaussian(steps, 1.0).lattice)
    half = np.array(table.main, dtype=np.float64) / 2.0**63
    weights = np.concatenate([half[:0:-1], half])
    reach = table.largest
    padded = np.pad(classes, 2 * reach + 130)

    def law(at: int) -> np.ndarray:
        center = at + 60 + 2 * reach + 130
        window = padded[center - reach : center + reach + 1]
        return np.bincount(window, weights=weights, minlength=3)

    own = law(j)
    first, second = np.sort(own)[[-1, -2]]
    radius = steps / 2 * (ndtri(min(first + 1e-9, 1.0)) - ndtri(max(second - 1e-9, 0.0)))
    certified = steps / 2 * (ndtri(first - 1e-9) - ndtri(second + 1e-9))
    assert certified <= radius
    for shift in range(1, min(math.ceil(certified), 130)):
        for at in (j - shift, j + shift):
            assert law(at).argmax() == own.argmax()
