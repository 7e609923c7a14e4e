"""Ordinary networks: bounded, by the same numbers as when their graphs were traced."""

import pytest
import torch
from torch import nn

from rsverify.smoothing.lipschitz.bound import lipschitz_bound


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.a = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm_a, self.norm_b = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
        )
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.act(self.norm_a(self.a(x)))
        out = self.norm_b(self.b(out))
        out += self.shortcut(x)
        return self.act(out)


class Normalize(nn.Module):
    def forward(self, x):
        center = torch.tensor([0.4, 0.5, 0.6], dtype=x.dtype).view(1, 3, 1, 1)
        return (x - center) / 0.25


ORDINARY = {
    "residual": (
        lambda: nn.Sequential(
            Normalize(),
            nn.Conv2d(3, 4, 7, 2, 3),
            nn.MaxPool2d(3, 2, 1),
            Block(4, 4, 1),
            Block(4, 8, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        (3, 16, 16),
    ),
    "perceptron": (
        lambda: nn.Sequential(
            nn.Flatten(),
            nn.Linear(12, 8),
            nn.GELU(),
            nn.Dropout(),
            nn.LayerNorm(8),
            nn.Linear(8, 3),
            nn.LogSoftmax(dim=1),
        ),
        (3, 2, 2),
    ),
    "paddings": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular"),
            nn.SiLU(),
            nn.Conv2d(3, 3, 3, 2, padding=1, padding_mode="reflect"),
            nn.GroupNorm(3, 3),
            nn.ReplicationPad2d(1),
            nn.ConvTranspose2d(3, 2, 3, 2),
            nn.AvgPool2d(2),
        ),
        (2, 8, 8),
    ),
    "one dimension": (
        lambda: nn.Sequential(
            nn.Conv1d(2, 4, 5, padding=2, dilation=1),
            nn.BatchNorm1d(4),
            nn.LeakyReLU(),
            nn.MaxPool1d(3, 1),
            nn.Flatten(),
            nn.utils.parametrizations.weight_norm(nn.Linear(24, 3)),
        ),
        (2, 8),
    ),
}


def filled(module):
    """Weights that no generator of random numbers decides."""
    for k, tensor in enumerate([*module.parameters(), *module.buffers()]):
        if tensor.is_floating_point():
            steps = torch.arange(tensor.numel(), dtype=torch.float64).reshape(tensor.shape)
            tensor.data.copy_(torch.sin(1.7 * steps + k).abs() / 2 + 0.1)
    return module.double().eval()


# What the product over a symbolic trace of the graph was, before runs were recorded.
CONSTANTS = {
    "residual": 61076092.86383058,
    "perceptron": 3061.574807830903,
    "paddings": 113364.57765657337,
    "one dimension": 6.597886155845746,
}


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_networks_have_the_constants_they_had(name):
    build, shape = ORDINARY[name]

    # The last bits depend on the library of linear algebra.
    assert lipschitz_bound(filled(build()), shape) == pytest.approx(CONSTANTS[name], rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_networks_are_bounded_in_every_precision(name, dtype):
    build, shape = ORDINARY[name]

    for seed in range(3):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            module = build().to(dtype)
        assert lipschitz_bound(module, shape) > 0
        assert module.training


def test_a_wide_network_on_images_is_bounded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()) for _ in range(4)]
        module = nn.Sequential(nn.Conv2d(3, 16, 3), *layers, nn.Flatten(), nn.Linear(16 * 900, 10))

    assert lipschitz_bound(module, (3, 32, 32)) > 0


class InferenceMode(nn.Module):
    """As many write their forward, so that no graph is kept."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(), nn.Linear(3, 3), nn.Dropout1d(), nn.AlphaDropout()
        )

    @torch.inference_mode()
    def forward(self, x):
        return self.layers(x)


class KeepsItsBatch(nn.Module):
    """What it keeps follows from the batch at hand."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.rows = None

    def forward(self, x):
        self.rows = len(x)
        return self.layer(x).reshape(self.rows, -1)


IDIOMS = {
    "channels in another order": (lambda x: x[:, [2, 1, 0]], (3, 2, 2), 1.0),
    "channels from the end": (lambda x: x[:, [-1, -2, -3]], (3, 2, 2), 1.0),
    "a channel twice": (lambda x: 2 * x[:, [0, 0, 1]], (2, 2), 2 * 2**0.5),
    "a channel from both ends": (lambda x: x[:, (0, -2, 1)], (2, 2), 2**0.5),
    "narrow": (lambda x: x.narrow(1, 0, 2), (3,), 1.0),
    "select": (lambda x: 3 * x.select(1, 2)[:, None], (3,), 3.0),
    "no dropout": (lambda x: nn.functional.dropout(x, 0.0), (3,), 1.0),
    "no dropout, in training": (
        lambda x: nn.functional.dropout(x, p=0.0, training=True),
        (3,),
        1,
    ),
    "one number a row": (lambda x: x.mean((1, 2)), (2, 2), 0.5),
}


@pytest.mark.parametrize("name", IDIOMS)
def test_idioms_of_ordinary_code(name):
    function, shape, constant = IDIOMS[name]

    assert lipschitz_bound(function, shape) == pytest.approx(constant, rel=1e-12)


@pytest.mark.parametrize("build", [InferenceMode, KeepsItsBatch])
def test_idioms_of_ordinary_modules(build):
    module = build()
    layer = module.layer if build is KeepsItsBatch else module.layers[1]

    assert lipschitz_bound(module, (3,)) == pytest.approx(lipschitz_bound(layer, (3,)), rel=1e-12)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.mean(), r"a tensor of shape \(\) for a batch of 7"),
        (lambda x: x.flatten(), r"a tensor of shape \(21,\) for a batch of 7"),
        (lambda x: x.T, r"a tensor of shape \(3, 7\) for a batch of 7"),
        (lambda x: x.mean(0), r"a tensor of shape \(3,\) for a batch of 7"),
        (lambda x: x[:, [[0, 1], [1, 2]]], "lists may take an entry twice"),
        (lambda x: x[:, [True, False, True]], "lists may take an entry twice"),
        (lambda x: nn.functional.dropout(x, 0.1), "random in training mode"),
        (
            lambda x: torch.vmap(lambda w: x @ w)(torch.ones(2, 3, 3)).sum(0),
            "a transform of torch.func is active",
        ),
    ],
)
def test_what_is_no_function_of_each_row_is_refused_in_one_line(function, message):
    with pytest.raises(ValueError, match=message) as caught:
        lipschitz_bound(function, (3,))
    assert "\n" not in str(caught.value)
