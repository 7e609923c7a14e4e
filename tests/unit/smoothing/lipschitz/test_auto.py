"""Certificates with the network's own constant, end to end."""

import numpy as np
import pytest
import torch
from torch import nn

from rsverify import SmoothedClassifier
from rsverify.smoothing.lipschitz.bound import lipschitz_bound

OPTIONS = {"n": 2000, "n0": 100, "bound": "betting", "radius": "R1", "lipschitz": "auto", "seed": 0}


def classes(layer):
    """Score 1 for the sign of the first coordinate minus 1."""
    layer.weight.data = torch.tensor([[0.02, 0.0], [-0.02, 0.0]])
    layer.bias.data = torch.tensor([-0.02, 0.02])
    return layer


class Divides(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = classes(nn.Linear(2, 2))

    def forward(self, x):
        if isinstance(x, torch.Tensor):
            x = x / 0.005
        return self.layer(x)


class Filters(nn.Module):
    """As transforms do that take images, arrays and tensors."""

    def forward(self, image):
        if isinstance(image, np.ndarray):
            image = torch.from_numpy(image)
        if type(image).__name__ != "Tensor":
            return image
        return (image - 0.0) / 0.005


def by_dtype(x):
    return x / 0.005 if torch.is_tensor(x) and x.is_floating_point() else x


CASES = {
    "model": (Divides, None),
    "preprocessing module": (lambda: classes(nn.Linear(2, 2)), Filters()),
    "preprocessing function": (lambda: classes(nn.Linear(2, 2)), by_dtype),
    "lambda": (lambda: classes(nn.Linear(2, 2)), lambda x: x / 0.005 if hasattr(x, "T") else x),
    "both": (Divides, lambda x: x * (1.0 if callable(x) else 2.0)),
}


@pytest.mark.parametrize("name", CASES)
def test_no_certificate_reaches_beyond_a_change_of_class(name):
    build, preprocess = CASES[name]
    smoothed = SmoothedClassifier(build(), 2, 0.25, preprocess=preprocess)
    # The classes meet where the first coordinate, divided by 0.005, is 1.
    x = torch.tensor([1.05, 0.0])
    meets = 1.05 - (0.0025 if name == "both" else 0.005)

    certificate = smoothed.certify(x, **OPTIONS)

    slope = 0.04 / np.sqrt(2) / 0.005 * (2 if name == "both" else 1)
    assert certificate.lipschitz == pytest.approx(slope / 2, rel=1e-6)
    assert 0 < certificate.radius < meets


@pytest.mark.parametrize("batch_size", [33, 64, 1000])
@pytest.mark.parametrize("late", [33, 64, 920])
def test_batches_of_the_sampler_are_tried(batch_size, late):
    layer = classes(nn.Linear(2, 2))
    model = lambda x: layer(x / 0.005 if len(x) >= late else x)  # noqa: E731
    smoothed = SmoothedClassifier(model, 2, 0.25)
    options = {**OPTIONS, "n": 1920, "batch_size": batch_size}
    if late > max(batch_size, 64):  # never met
        assert smoothed.certify(torch.tensor([1.05, 0.0]), **options).lipschitz < 0.1
        return

    with pytest.raises(ValueError, match="depends on what else is in its batch, or how much"):
        smoothed.certify(torch.tensor([1.05, 0.0]), **options)


def test_constants_are_exactly_those_of_the_layers_one_by_one():
    generator = torch.Generator().manual_seed(0)
    layers = [
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True),
        nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular"), nn.SiLU(), nn.AvgPool2d(2),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), nn.MaxPool2d(2, 1), nn.Dropout(),
        nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 3), nn.LogSoftmax(dim=1),
    ]  # fmt: skip
    layers[1].running_var.uniform_(0.1, 2, generator=generator)
    network = nn.Sequential(*layers).eval()
    shape, product = (2, 8, 8), 1.0
    for layer in layers:
        product *= lipschitz_bound(layer, shape)
        with torch.no_grad():
            shape = tuple(layer(torch.zeros(1, *shape)).shape[1:])

    assert lipschitz_bound(network, (2, 8, 8)) == pytest.approx(product, rel=1e-14)
