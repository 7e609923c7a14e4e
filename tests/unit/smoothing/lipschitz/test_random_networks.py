"""Random networks with idioms mixed in: no bound below the slopes of what is sampled."""

import random

import pytest
import torch
from support.hidden_state import COUNTED
from support.idioms import SEEN, UNSEEN, Idiom
from torch import nn

from rsverify.smoothing.lipschitz.bound import lipschitz_bound

ACTIVATIONS = (
    nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Mish,
    nn.Identity, nn.Hardtanh, nn.Softsign,
)  # fmt: skip


class Residual(nn.Module):
    def __init__(self, body, kind):
        super().__init__()
        self.body, self.kind = body, kind

    def forward(self, x):
        y = self.body(x)
        if self.kind == "add":
            return x + y
        if self.kind == "in place":
            y += x
            return y
        if self.kind == "larger":
            return torch.maximum(x, y)
        if self.kind == "joined":
            return torch.cat([x[:, :2], y[:, 2:]], dim=1)
        if self.kind == "chunks":
            first, second = x.chunk(2, dim=1)
            return torch.cat((second, first, *y.chunk(2, dim=1)), dim=1)[:, 1:5]
        return 0.5 * (x - y)


def image_layers(rng):
    """An image of 2 × 2 pixels and back."""
    mode = rng.choice(["zeros", "circular", "reflect", "replicate"])
    return [
        nn.Unflatten(1, (1, 2, 2)),
        nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode),
        nn.BatchNorm2d(2),
        rng.choice(ACTIVATIONS)(),
        rng.choice([nn.MaxPool2d(2, 1), nn.AvgPool2d(2, 1), nn.AdaptiveAvgPool2d(1)]),
        nn.Flatten(),
        nn.Linear(2, 4),
    ]


def vector_layers(rng):
    kind = rng.randrange(6)
    if kind == 0:
        return [nn.LayerNorm(4, eps=10 ** rng.uniform(-3, 0))]
    if kind == 1:
        body = nn.Sequential(nn.Linear(4, 4), rng.choice(ACTIVATIONS)())
        return [Residual(body, rng.choice(["add", "in place", "larger", "joined", "chunks", "-"]))]
    if kind == 2:
        return [nn.Dropout(), nn.Linear(4, 4), nn.BatchNorm1d(4)]
    if kind == 3:
        return image_layers(rng)
    return [nn.Linear(4, 4, bias=rng.random() < 0.5), rng.choice(ACTIVATIONS)()]


def network(rng):
    """Return a network and whether all of it can be seen."""
    layers = [layer for _ in range(rng.randint(1, 3)) for layer in vector_layers(rng)]
    layers.append(nn.Linear(4, rng.randint(1, 4)))
    what = rng.random()
    name = rng.choice(sorted(SEEN))
    if what < 0.35:
        idiom = Idiom(SEEN[name], rng.choice([0.01, 30.0, 500.0]), 0)
    elif what < 0.75:
        late = rng.choice([0, 1, 5, 20, 60, 10**9])
        unseen = {**UNSEEN, **COUNTED}
        idiom = Idiom(unseen[rng.choice(sorted(unseen))], rng.choice([0.01, 30.0, 500.0]), late)
    else:
        return layers, True
    # Not within what makes two dimensions more of its four.
    layers.insert(rng.choice([0, len(layers) - 1]), idiom)
    # A batch of one can be contiguous where larger ones are not.
    return layers, what < 0.35 and name not in ("contiguous", "stride")


def steepest(module, points, step=1e-5):
    """Return the largest difference quotient found: never above the constant, but by rounding."""
    best = 0.0
    with torch.no_grad():
        for point in points:
            directions = torch.eye(4, dtype=torch.float64)
            for _ in range(3):
                around = torch.cat([point + step * directions, point - step * directions])
                out = module(around.clone())
                rows = torch.cat([module(row[None].clone()) for row in around])
                for values in (out, rows):
                    half = len(around) // 2
                    change = (values[:half] - values[half:]) / (2 * step)
                    best = max(best, float((change.norm(dim=1) / directions.norm(dim=1)).max()))
                if len(directions) == 1 or not change.isfinite().all():
                    break
                # The direction in which the linear map of these differences is the largest.
                directions = torch.linalg.svd(change.T)[2][:1]
    return best


@pytest.fixture(autouse=True)
def one_thread():
    """Several processes with several threads each wait for one another, twenty times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(7))
def test_no_bound_is_below_the_slopes_of_random_networks(shard):
    bounded, refusals = 0, []
    for case in range(750):
        rng = random.Random(1_000_000 * shard + case)
        generator = torch.Generator().manual_seed(rng.getrandbits(40))
        with torch.random.fork_rng():
            torch.manual_seed(rng.getrandbits(40))
            layers, all_seen = network(rng)
            module = nn.Sequential(*layers).double().eval()
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_var.uniform_(0.05, 2, generator=generator)
        try:
            bound = lipschitz_bound(module, (4,), progress=False)
        except ValueError as error:
            refusals.append((all_seen, str(error), shard, case, module))
            continue
        bounded += 1
        scales = (0.0, 0.3, 1.0, 4.0)
        points = [s * torch.randn(1, 4, generator=generator, dtype=torch.float64) for s in scales]
        found = steepest(module, points)
        assert found <= bound * (1 + 1e-6) + 1e-6, (shard, case, module)

    assert bounded > 390
    assert len(refusals) > 210
    # Named, and never where all of it could be seen.
    assert [r for r in refusals if r[0] or not r[1].startswith("no Lipschitz constant for ")] == []
