"""Devices that lack float64, or whole random words."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.one_class import CLASSES, INPUTS, WAYS, smoothed, table_of  # noqa: E402
from support.simulated_gpu import SimulatedGpus  # noqa: E402

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.noise import Uniform  # noqa: E402
from rsverify.smoothing.device import has_float64  # noqa: E402
from rsverify.smoothing.models.preprocess import Normalize  # noqa: E402


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


@pytest.mark.parametrize("way", ["default", "context"])
def test_the_default_device_of_the_caller_is_not_that_of_the_package(tmp_path, way):
    """As after ``torch.set_default_device("cuda")``; the model's own constants may be there."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    data = [(torch.full((3, 2, 2), 0.2 * i), 0) for i in range(3)]
    discrete = torch.full((3, 2, 2), 51 / 255)

    def everything(folder):
        folder.mkdir()
        plain = SmoothedClassifier(model, 3, 0.5)
        array = np.full((3, 2, 2), 0.3, dtype=np.float32)
        options = {"n": 60, "n0": 20, "seed": 0, "progress": False}
        found = [
            plain.certify(data[1][0], **options),
            plain.certify(array, target_radius=0.1, **options),
            plain.certify(array, bound="betting", radius="R1", lipschitz="auto", **options),
            SmoothedClassifier(model, 3, 0.5, noise="discrete", lattice=1 / 255).certify(
                discrete, **options
            ),
            SmoothedClassifier(model, 3, noise=Uniform(1.0)).certify(array, **options),
            SmoothedClassifier(model, 3, 0.5, preprocess=Normalize(0.5, 0.25)).certify(
                array, **options
            ),
        ]
        for _ in range(2):  # the second is resumed
            table = certify_dataset(plain, data, folder / "t.tsv", n=60, n0=20, seed=0)
        rows = table[["predict", "radius", "count_0", "count_1"]].to_numpy().tolist()
        return [(c.prediction, c.radius, getattr(c, "counts", None)) for c in found], rows

    plain = everything(tmp_path / "plain")
    if way == "context":
        with torch.device("meta"):
            elsewhere = everything(tmp_path / way)
    else:
        torch.set_default_device("meta")
        try:
            elsewhere = everything(tmp_path / way)
        finally:
            torch.set_default_device(None)
    assert elsewhere == plain
