"""Devices that lack float64, or whole random words."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.one_class import CLASSES, INPUTS, WAYS, smoothed, table_of  # noqa: E402
from support.simulated_gpu import SimulatedGpus  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.device import has_float64  # noqa: E402


@pytest.fixture
def mps(monkeypatch):
    """A device as MPS is: no float64, and integers of 32 random bits."""
    has_float64.cache_clear()
    with SimulatedGpus(count=1, kind="meta", float64=False, bits=32).running(monkeypatch) as gpus:
        yield gpus
    has_float64.cache_clear()


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("numpy", [False, True])
def test_a_device_without_float64_is_sampled_in_float32(tmp_path, way, numpy):
    x = INPUTS.double().numpy() if numpy else INPUTS
    table = table_of(smoothed(3, "meta"), tmp_path / "table.tsv", x, **WAYS[way])
    assert (table["predict"] == 3).all()


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("kind", ["float64", "lattice"])
def test_what_needs_float64_there_is_refused_or_done_on_the_host(kind):
    if kind == "float64":
        classifier = smoothed(3, "meta", dtype=torch.float64)
        with pytest.raises(ValueError, match=r"dtype=torch.float64 must be torch.float32 on meta"):
            classifier.counts(INPUTS[0], n=10)
    else:
        classifier = smoothed(3, "meta", noise="discrete", lattice=1 / 16)
        x = torch.round(INPUTS[0] * 16) / 16
        assert classifier.certify(x, n=100, seed=0).prediction == 3


@pytest.mark.usefixtures("mps")
@pytest.mark.parametrize("kind", ["numpy", "estimator", "integers"])
def test_scores_of_other_libraries_are_put_there_in_float32(kind):
    from rsverify.smoothing.models.adapters import NumpyModel, SklearnModel

    class Estimator:
        classes_ = np.arange(CLASSES)

        def predict_proba(self, batch):
            return np.tile(np.eye(CLASSES)[2], (len(batch), 1))

    def integers(batch):
        return np.tile(np.arange(CLASSES), (len(batch), 1))

    model = {
        "numpy": NumpyModel(Estimator().predict_proba),
        "estimator": SklearnModel(Estimator()),
        "integers": NumpyModel(integers),
    }[kind]
    classifier = SmoothedClassifier(model, CLASSES, 0.5, device="meta")
    expected = 3 if kind == "integers" else 2
    assert classifier.certify(INPUTS[0], n=100, seed=0).prediction == expected


def bits_of(words: torch.Tensor) -> np.ndarray:
    numbers = words.numbers.numpy() if hasattr(words, "numbers") else words.numpy()
    return (numbers[:, None] >> np.arange(64)) & 1


@pytest.mark.usefixtures("mps")
def test_words_have_63_fair_bits_where_random_gives_32():
    from rsverify.smoothing.noise.alias import check_bits, fill_words

    check_bits.cache_clear()
    words = torch.empty(20_000, dtype=torch.int64, device="meta")
    counts = bits_of(fill_words(words, torch.Generator(device="meta").manual_seed(1))).sum(axis=0)
    assert counts[63] == 0
    # Of 63 fair bits one is off by six standard deviations with probability 1.3e-7.
    assert (abs(counts[:63] - 10_000) < 6 * np.sqrt(5000)).all()
    check_bits.cache_clear()


@pytest.mark.parametrize("bits", [24, 31, 53, 62])
def test_a_device_whose_words_are_short_is_refused(monkeypatch, bits):
    from rsverify.smoothing.noise.alias import check_bits

    check_bits.cache_clear()
    with SimulatedGpus(bits=bits).running(monkeypatch):
        classifier = smoothed(2, noise="discrete", lattice=1 / 16)
        with pytest.raises(ValueError, match=rf"leaves {63 - bits} of 63 bits always the same"):
            classifier.counts(torch.zeros(5), n=10)
    check_bits.cache_clear()
