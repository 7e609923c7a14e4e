"""Networks for the probing of models: ordinary ones, and ones whose votes would not count."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

CLASSES = 10
SHAPE = (3, 8, 8)
SIZE = 192
WEIGHT = torch.randn(SIZE, CLASSES, generator=torch.Generator().manual_seed(0))


class Of(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def mlp(depth: int = 2) -> nn.Sequential:
    hidden = [layer for _ in range(depth) for layer in (nn.ReLU(), nn.Linear(64, 64))]
    return nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 64), *hidden, nn.Linear(64, CLASSES))


class Residual(nn.Module):
    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm = norm(width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(x + self.second(F.relu(self.norm(self.first(x)))))


def resnet(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Sequential:
    body = [Residual(16, norm) for _ in range(3)]
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES)
    return nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *body, *head)


class Tokens(nn.Module):
    """A transformer over the 24 groups of eight numbers of an input."""

    def __init__(self, batch_first: bool = True) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=batch_first)
        self.embed, self.head = nn.Linear(8, 32), nn.Linear(32, CLASSES)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.batch_first = batch_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x.reshape(len(x), -1, 8))
        if self.batch_first:
            return self.head(self.body(tokens).mean(dim=1))
        return self.head(self.body(tokens.transpose(0, 1)).mean(dim=0))


class Recurrent(nn.Module):
    def __init__(self, kind: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.body, self.head = kind(24, 32, 2, batch_first=True), nn.Linear(32, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x.reshape(len(x), 8, 24))[0][:, -1])


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = nn.EmbeddingBag(256, 16), nn.Linear(16, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.table((x.flatten(1).clamp(0, 1) * 255).long()))


class Experts(nn.Module):
    """The expert of the largest gate answers: a rounding apart, it is another one."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(SIZE, 8)
        self.experts = nn.ModuleList(nn.Linear(SIZE, CLASSES) for _ in range(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        return answers[torch.arange(len(x)), self.gate(x).argmax(dim=1)]


class Logging(nn.Module):
    """Counts its calls and keeps what it last saw, without any effect."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.calls, self.seen = mlp(), 0, torch.zeros(())
        self.log: list[int] = []
        self.register_buffer("rows", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.seen = x.mean()
        self.rows += len(x)
        self.log.append(len(x))
        return self.body(x)


def ordinary() -> dict[str, Any]:
    """Return networks whose rows are independent, in evaluation mode."""
    torch.manual_seed(0)
    depthwise = nn.Sequential(
        nn.Conv2d(3, 16, 1),
        nn.Conv2d(16, 16, 3, padding=1, groups=16),
        nn.BatchNorm2d(16),
        nn.Hardswish(),
        nn.Flatten(),
        nn.Linear(1024, CLASSES),
    )
    upsampling = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.ConvTranspose2d(8, 4, 2, 2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Flatten(),
        nn.Linear(4 * 24 * 24, CLASSES),
    )
    found: dict[str, Any] = {
        "dense": mlp(),
        "deep": mlp(12),
        "batch norm": resnet(),
        "group norm": resnet(lambda width: nn.GroupNorm(4, width)),
        "instance norm": resnet(nn.InstanceNorm2d),
        "layer norm": nn.Sequential(nn.Flatten(), nn.LayerNorm(SIZE), nn.Linear(SIZE, CLASSES)),
        "dropout": nn.Sequential(nn.Dropout(), mlp(), nn.Dropout(0.9)),
        "transformer": Tokens(),
        "transformer, tokens first": Tokens(batch_first=False),
        "rnn": Recurrent(nn.RNN),
        "lstm": Recurrent(nn.LSTM),
        "gru": Recurrent(nn.GRU),
        "embedding": Embedded(),
        "depthwise": depthwise,
        "upsampling": upsampling,
        "experts": Experts(),
        "signs": nn.Sequential(mlp(), Of(torch.sign), nn.Linear(CLASSES, CLASSES)),
        "cancellation": nn.Sequential(mlp(), Of(lambda x: (x + 1000.0) - 1000.0)),
        "saturated": nn.Sequential(mlp(), nn.Hardtanh(-0.01, 0.01)),
        "softmax": nn.Sequential(mlp(), nn.Softmax(dim=1)),
        "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Linear(SIZE, CLASSES)),
        "logging": Logging(),
    }
    found["spectral norm"] = nn.Sequential(nn.Flatten(), found["spectral norm"])
    for model in found.values():
        for layer in model.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.running_mean.normal_(0.0, 0.2)
                layer.running_var.uniform_(0.5, 2.0)
        model.eval()
    return found


def ordinary_functions() -> dict[str, Any]:
    """Return callables that are no modules, and whose rows are independent."""
    weight = WEIGHT.numpy()
    return {
        "labels": lambda b: F.one_hot((b.flatten(1).float() @ WEIGHT).argmax(1), CLASSES).float(),
        "numpy": lambda b: torch.from_numpy(b.float().numpy().reshape(len(b), -1) @ weight),
        "constant": lambda b: torch.ones(len(b), CLASSES),
        "impossible classes": lambda b: torch.where(
            torch.arange(CLASSES) < 3, b.flatten(1)[:, :CLASSES], -torch.inf
        ),
    }


# Rows that depend on each other.


class Positions(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 0.01 * torch.arange(len(x)).to(x)[:, None]


class Padded(nn.Module):
    """Pads to the longest row of the batch, and fills up with ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        longest = int((x > 0).sum(dim=1).max())
        return F.pad(x[:, :longest], (0, x.shape[1] - longest), value=1.0)


class TrainsAlways(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.norm.train()
        return self.norm(x)


class Cached(nn.Module):
    """Knows a batch by where it is in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.known: dict[tuple[int, int], torch.Tensor] = {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        key = (x.data_ptr(), len(x))
        if key not in self.known:
            self.known[key] = x.flatten(1) @ WEIGHT
        return self.known[key]


# Random numbers.


class RareTorch(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x if float(torch.rand(())) < 1e-6 else x


class RareNumpy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x if np.random.rand() > 1 - 1e-6 else x  # noqa: NPY002


class RarePython(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x if random.random() < 1e-6 else x


class OwnNumpyGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = np.random.default_rng(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float(self.generator.uniform(0.9, 1.1))


class OwnTorchGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rand(x.shape, generator=self.generator)


class RandomForSome(nn.Module):
    """Draws for some inputs only."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        chosen = (x > 0).sum(dim=1, keepdim=True) > 16
        return torch.where(chosen, x, x * torch.rand(len(x), 1)) if chosen.any() else x


class Seeded(nn.Module):
    """Repeats itself, but a row's numbers depend on its place in the batch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return x + torch.rand_like(x)


# State.


class Counting(nn.Module):
    def __init__(self, calls: int, again: bool = False) -> None:
        super().__init__()
        self.count, self.calls, self.again = 0, calls, again

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        late = self.count % self.calls == 0 if self.again else self.count > self.calls
        return -x if late else x


class RunningMean(nn.Module):
    def __init__(self, momentum: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(32))
        self.momentum = momentum

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean.mul_(1 - self.momentum).add_(self.momentum * x.detach().mean(dim=0))
        return x - self.mean


class RunningAttribute(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = torch.zeros(32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.mean = (1 - 1e-7) * self.mean + 1e-7 * x.detach().mean(dim=0)
        return x - self.mean


class FirstBatch(nn.Module):
    """Learns its scale from the first batch that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(32))
        self.ready = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.ready:
            self.scale.copy_(x.detach().std(dim=0) + 0.1)
            self.ready = True
        return x / self.scale


class KeptState(nn.Module):
    """A recurrent network that goes on where the last batch left it."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.LSTM(24, 32, batch_first=True), nn.Linear(32, CLASSES)
        self.kept: Any = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kept is not None and self.kept[0].shape[1] != len(x):
            self.kept = None
        y, self.kept = self.body(x.reshape(len(x), 8, 24), self.kept)
        return self.head(y[:, -1])


def around(layer: nn.Module) -> nn.Sequential:
    """Return a network whose layer "3" is the given one."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(SIZE, 32), nn.ReLU(), layer, nn.Linear(32, CLASSES)
    )


def of(function: Callable[[torch.Tensor], torch.Tensor]) -> nn.Sequential:
    return around(Of(function))


MIXING: dict[str, tuple[Callable[[], Any], str]] = {
    "batch norm without statistics": (
        lambda: around(nn.BatchNorm1d(32, track_running_stats=False)),
        "'3' (BatchNorm1d)",
    ),
    "2d batch norm without statistics": (
        lambda: resnet(lambda width: nn.BatchNorm2d(width, track_running_stats=False)),
        "'1.norm' (BatchNorm2d)",
    ),
    "batch norm that trains": (lambda: around(TrainsAlways()), "'3.norm' (BatchNorm1d)"),
    "batch norm as a function": (
        lambda: of(lambda x: F.batch_norm(x, None, None, training=True)),
        "'3' (Of)",
    ),
    "softmax along the batch": (lambda: around(nn.Softmax(dim=0)), "'3' (Softmax)"),
    "softmax along the batch at the end": (
        lambda: nn.Sequential(mlp(), nn.LogSoftmax(dim=0)),
        "'1' (LogSoftmax)",
    ),
    "norm along the batch": (lambda: of(lambda x: F.normalize(x, dim=0)), "'3' (Of)"),
    "standardized batch": (lambda: of(lambda x: (x - x.mean()) / x.std()), "'3' (Of)"),
    "range of the batch": (
        lambda: of(lambda x: (x - x.min()) / (x.max() - x.min())),
        "'3' (Of)",
    ),
    "largest of the batch": (lambda: of(lambda x: x / x.abs().max()), "'3' (Of)"),
    "centered batch": (lambda: of(lambda x: x - x.mean(dim=0)), "'3' (Of)"),
    "sorted batch": (lambda: of(lambda x: x.sort(dim=0).values), "'3' (Of)"),
    "sums along the batch": (lambda: of(lambda x: x.cumsum(dim=0)), "'3' (Of)"),
    "neighbor mixed in": (lambda: of(lambda x: 0.99 * x + 0.01 * x.roll(1, 0)), "'3' (Of)"),
    "a thousandth of the mean": (lambda: of(lambda x: x + 1e-3 * x.mean()), "'3' (Of)"),
    "layer norm of the batch": (lambda: of(lambda x: F.layer_norm(x, x.shape)), "'3' (Of)"),
    "place in the batch": (lambda: around(Positions()), "'3' (Positions)"),
    "padding to the longest": (lambda: around(Padded()), "'3' (Padded)"),
    "attention over the batch": (
        lambda: nn.Sequential(
            nn.Flatten(),
            nn.Linear(SIZE, 32),
            nn.Unflatten(1, (1, 32)),
            nn.TransformerEncoderLayer(32, 4, 64),
            nn.Flatten(),
            nn.Linear(32, CLASSES),
        ),
        "'3.self_attn' (MultiheadAttention)",
    ),
    "lstm along the batch": (
        lambda: nn.Sequential(nn.Flatten(), nn.LSTM(SIZE, CLASSES), Of(lambda pair: pair[0])),
        "'1' (LSTM)",
    ),
    "memory of a place": (Cached, "model Cached"),
    "function of the batch": (
        lambda: lambda b: (b - b.mean()).flatten(1)[:, :CLASSES],
        "model <lambda>",
    ),
    "labels by the median": (
        lambda: lambda b: torch.eye(CLASSES)[(b.sum((1, 2, 3)) > b.sum((1, 2, 3)).median()).long()],
        "model <lambda>",
    ),
    "seeded noise": (lambda: around(Seeded()), "'3' (Seeded)"),
}

RANDOM: dict[str, tuple[Callable[[], Any], str]] = {
    "dropout": (lambda: of(lambda x: F.dropout(x, 0.1)), "'3' (Of)"),
    "alpha dropout": (lambda: of(lambda x: F.alpha_dropout(x, 0.2, training=True)), "'3' (Of)"),
    "gumbel softmax": (lambda: of(lambda x: F.gumbel_softmax(x, dim=1)), "'3' (Of)"),
    "random slopes": (lambda: of(lambda x: F.rrelu(x - 1, training=True)), "'3' (Of)"),
    "random pooling": (
        lambda: nn.Sequential(
            nn.FractionalMaxPool2d(2, output_size=4), nn.Flatten(), nn.Linear(48, CLASSES)
        ),
        "'0' (FractionalMaxPool2d)",
    ),
    "little noise": (lambda: of(lambda x: x + 1e-3 * torch.randn_like(x)), "'3' (Of)"),
    "noise of numpy": (
        lambda: of(lambda x: x + 1e-3 * float(np.random.randn())),  # noqa: NPY002
        "'3' (Of)",
    ),
    "one in a million calls": (lambda: around(RareTorch()), "'3' (RareTorch)"),
    "one in a million calls, numpy": (lambda: around(RareNumpy()), "'3' (RareNumpy)"),
    "one in a million calls, Python": (lambda: around(RarePython()), "'3' (RarePython)"),
    "generator of numpy": (lambda: around(OwnNumpyGenerator()), "'3' (OwnNumpyGenerator)"),
    "generator of torch": (lambda: around(OwnTorchGenerator()), "'3' (OwnTorchGenerator)"),
    "for some inputs": (lambda: around(RandomForSome()), "'3' (RandomForSome)"),
}


def counting_function() -> Callable[[torch.Tensor], torch.Tensor]:
    calls = 0

    def model(batch: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return batch.flatten(1) @ WEIGHT * (1 if calls < 500 else -1)

    return model


def counting_dictionary() -> Callable[[torch.Tensor], torch.Tensor]:
    calls = {"n": 0}

    def model(batch: torch.Tensor) -> torch.Tensor:
        calls["n"] += 1
        return batch.flatten(1) @ WEIGHT * (1 if calls["n"] < 500 else -1)

    return model


CHANGING: dict[str, tuple[Callable[[], Any], str]] = {
    "changes at the thousandth call": (lambda: around(Counting(1000)), "'3' (Counting)"),
    "changes at the fifth call": (lambda: around(Counting(5)), "'3' (Counting)"),
    "changes at the first call": (lambda: around(Counting(1)), "'3' (Counting)"),
    "every other call": (lambda: around(Counting(2, again=True)), "'3' (Counting)"),
    "every thousandth call": (lambda: around(Counting(1000, again=True)), "'3' (Counting)"),
    "running mean": (lambda: around(RunningMean(0.1)), "'3' (RunningMean)"),
    "slow running mean": (lambda: around(RunningMean(1e-8)), "'3' (RunningMean)"),
    "slow running attribute": (lambda: around(RunningAttribute()), "'3' (RunningAttribute)"),
    "learns from the first batch": (lambda: around(FirstBatch()), "'3' (FirstBatch)"),
    "hidden state": (KeptState, "'body' (LSTM)"),
    "counter of a function": (counting_function, "model model"),
    "counter in a dictionary": (counting_dictionary, "'calls' (dict)"),
    "clock": (
        lambda: lambda b: b.flatten(1) @ WEIGHT * (1 + time.perf_counter_ns() % 1009),
        "model <lambda>",
    ),
}
