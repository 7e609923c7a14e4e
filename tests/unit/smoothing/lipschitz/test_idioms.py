"""What is bounded is what is sampled: bounded as it is, or refused by name."""
# ruff: noqa: ARG005  (mistakes ignore their input)

import numpy as np
import pytest
import torch
from support.hidden_state import COUNTED, Holds
from support.idioms import SEEN, UNSEEN, Idiom, LoudFunctions, LoudKernels
from torch import nn

from rsverify.smoothing.lipschitz import state
from rsverify.smoothing.lipschitz.bound import lipschitz_bound

FACTOR = 200.0


@pytest.mark.parametrize("name", SEEN)
def test_what_a_tensor_is_makes_no_difference(name):
    module = Idiom(SEEN[name], FACTOR, late=0).double()

    assert lipschitz_bound(module, (4,)) == pytest.approx(FACTOR, rel=1e-9)


@pytest.mark.parametrize("late", [0, 3, 10**9])
@pytest.mark.parametrize("name", UNSEEN)
def test_what_is_not_seen_is_refused_by_the_modules_name(name, late):
    layer = Idiom(UNSEEN[name], FACTOR, late).double()
    module = nn.Sequential(nn.Identity(), layer, nn.Linear(4, 2).double())

    with pytest.raises(
        ValueError, match=r"^no Lipschitz constant for [^:]*\b(1|2|Sequential|Idiom)"
    ):
        lipschitz_bound(module, (4,))


@pytest.mark.parametrize("late", [0, 10**9])
@pytest.mark.parametrize("name", COUNTED)
def test_calls_that_are_counted_out_of_sight_are_refused(name, late):
    module = nn.Sequential(Idiom(COUNTED[name], FACTOR, late).double(), nn.Linear(4, 2).double())

    with pytest.raises(ValueError, match=r"^no Lipschitz constant for "):
        lipschitz_bound(module, (4,))


@pytest.mark.parametrize("shape", [(5000,), (50, 100), (1, 5000), ()])
def test_of_large_arrays_some_rows_are_compared(shape, monkeypatch):
    monkeypatch.setattr(state, "_MOST_BYTES", 2000)
    held = {"": [np.zeros(shape)]}
    before = state.state_of(held)
    assert state.state_of(held) == before
    held[""][0][...] = 1.0
    assert state.state_of(held) != before


def test_what_networks_hold_is_no_state():
    module = Holds()

    first = lipschitz_bound(module, (4,))

    assert first == lipschitz_bound(nn.Sequential(nn.Flatten(), module), (4,))
    assert first == pytest.approx(torch.linalg.norm(module.layer.weight, 2).item(), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
@pytest.mark.parametrize("factor", [0.01, 1.0, 200.0])
def test_a_type_so_coarse_that_values_jump_is_refused(dtype, factor):
    def coarse(x):
        return torch.sigmoid(factor * x.to(dtype).to(x.dtype))

    with pytest.raises(ValueError, match=f"for to: its result is of {dtype}, so coarse"):
        lipschitz_bound(coarse, (4,))


@pytest.mark.parametrize("name", SEEN)
def test_idioms_have_the_slope_that_is_bounded(name):
    x, d = torch.zeros(1, 4).double(), torch.eye(4).double()[:1]
    layer = Idiom(SEEN[name], FACTOR, late=0).double()
    with torch.no_grad():
        slope = (layer(x + d) - layer(x.clone())).norm()

    assert slope == pytest.approx(FACTOR)


TUPLES = {
    "added": lambda x: torch.cat(x.chunk(2, dim=1) + x.chunk(2, dim=1), dim=1),
    "repeated": lambda x: torch.cat(x.split(1, dim=1) * 3, dim=1),
    "unbound and added": lambda x: torch.stack(x.unbind(1) + x[:, :1].unbind(1), dim=1),
    "zipped": lambda x: torch.stack(
        [a - b for a, b in zip(*[iter(x.unbind(1))] * 2, strict=True)], dim=1
    ),
    "iterated": lambda x: torch.stack([3 * column for column in x.T], dim=1),
    "largest, by name": lambda x: x - x.max(dim=1, keepdim=True).values,
    "largest, unpacked": lambda x: x - torch.max(x, 1, keepdim=True)[0],
    "smallest of all": lambda x: x + x.min(dim=1)[0].unsqueeze(1),
    "larger of two": lambda x: torch.max(x, -2 * x),
    "larger of two, by name": lambda x: torch.max(input=x[:, :1], other=torch.full((9,), -1e9)),
    "smaller, widened": lambda x: torch.min(x[:, :1], torch.full((9,), 1e9)),
    "starred": lambda x: torch.cat([*x.tensor_split(2, dim=1), x], dim=1),
    "summed": lambda x: sum(x.unbind(1))[:, None],
}


@pytest.mark.parametrize("name", TUPLES)
def test_tuples_of_tensors_are_bounded_or_refused_by_name(name):
    function = TUPLES[name]
    x = torch.randn(40, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z = x + 1e-3 * torch.randn(40, 4, generator=torch.Generator().manual_seed(1)).double()
    slopes = (function(x) - function(z)).flatten(1).norm(dim=1) / (x - z).norm(dim=1)
    if name == "starred":
        with pytest.raises(ValueError, match="tensor_split: no Lipschitz constant of it is known"):
            lipschitz_bound(function, (4,))
        return

    assert slopes.max() <= lipschitz_bound(function, (4,)) <= 4 * slopes.max()


def test_modes_around_the_module():
    with LoudFunctions(), pytest.raises(ValueError, match="ReLU: a LoudFunctions is active"):
        lipschitz_bound(nn.ReLU(), (4,))
    with LoudKernels(), pytest.raises(ValueError, match="ReLU: a LoudKernels is active"):
        lipschitz_bound(nn.ReLU(), (4,))
    with torch.device("cpu"):
        assert lipschitz_bound(nn.ReLU(), (4,)) == pytest.approx(1)

    class Within(nn.Module):
        def forward(self, x):
            with LoudFunctions():
                return torch.relu(x)

    assert lipschitz_bound(Within(), (4,)) == pytest.approx(77)


class Wrong(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


MISTAKES = {
    "attribute": lambda x: x.no_such_method(),
    "type": lambda x: x + "1",
    "index": lambda x: x.chunk(2, dim=1)[7],
    "key": lambda x: {}[x.shape],
    "shape": lambda x: x @ torch.ones(7, 7),
    "assertion": lambda x: torch.cat([x] if len(x) > 9 else []),
    "string index": lambda x: x["a"],
    "division": lambda x: x * (1 // (x.shape[0] - x.shape[0])),
    "own": lambda x: (_ for _ in ()).throw(LookupError("nothing\nhere")),
    "list": lambda x: [x],
    "none": lambda x: None,
    "constant": lambda x: torch.zeros(len(x), 2),
    "number": lambda x: 3.0,
    "einsum": lambda x: torch.einsum("bi,bi->bi", x, x),
    "scaled": lambda x: torch.nn.functional.interpolate(x[:, None], scale_factor=2),
    "sparse": lambda x: x @ torch.eye(4).to_sparse(),
    "keyword": lambda x: torch.clamp(input=x, min=0, out=torch.empty(len(x), 4)),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_whatever_fails_is_one_line_with_the_modules_name(name):
    module = nn.Sequential(nn.Identity(), Wrong(MISTAKES[name]))

    with pytest.raises(ValueError, match=r"\b(Wrong|Sequential|1)\b") as caught:
        lipschitz_bound(module, (4,))

    assert "\n" not in str(caught.value)


ROUNDING = {
    "magic number": lambda x: ((4 * x + 12582912.0) - 12582912.0) / 4,
    "subtracted first": lambda x: 12582912.0 - (12582912.0 - x),
    "added tensor": lambda x: (x + torch.full((4,), 1e7)) - torch.full((4,), 1e7),
    "large mean": lambda x: (torch.cat([x, x.new_full((len(x), 4), 1e8)], 1) + 3e7)[:, :4] - 3e7,
    "coarse type": lambda x: ((x.half() + 1536.0) - 1536.0).float(),
    "in place": lambda x: x.clone().add_(1e8).sub_(1e8),
    "reflected": lambda x: -(1e8 - x) + 1e8,
    "bias": lambda x: nn.functional.linear(x, torch.eye(4), torch.full((4,), 2e7)) - 2e7,
}


@pytest.mark.parametrize("name", ROUNDING)
def test_rounding_that_jumps_is_refused(name):
    """Behind layers whose product is far above their constant, so that no slope tells."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, second = nn.Linear(4, 64), nn.Linear(64, 3)

    def rounds(x):
        return second(torch.relu(first(ROUNDING[name](x))))

    with pytest.raises(ValueError, match="what it computes depends on how numbers round"):
        lipschitz_bound(rounds, (4,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    "function",
    [
        lambda x: (x - 0.5) / 0.25,
        lambda x: (x + 8.0) - 8.0,
        nn.Tanhshrink(),
        lambda x: torch.log_softmax(x + torch.tensor([0.0, 0.0, -3e4, 0.0]), 1),
        lambda x: 1.0 - torch.sigmoid(20 * x),
        lambda x: 0.0 * x,
        lambda x: 1e-6 * torch.relu(x - 40.0),
    ],
)
def test_ordinary_rounding_is_none(function, dtype):
    assert lipschitz_bound(lambda x: function(x).to(dtype), (4,), dtype=dtype) >= 0


def test_what_is_remembered_but_never_read_is_no_reason():
    class Keeps(nn.Linear):
        def forward(self, x):
            if not hasattr(self, "cache"):
                self.cache = {}
            self.features = x
            self.cache.setdefault("shape", x.shape[1:])
            return super().forward(x)

    layer = Keeps(4, 3)
    plain = nn.Linear(4, 3)
    plain.load_state_dict(layer.state_dict())

    assert lipschitz_bound(layer, (4,)) == lipschitz_bound(plain, (4,))


def test_logging_is_no_reason():
    import logging

    class Logs(nn.Linear):
        def forward(self, x):
            logging.getLogger("network").warning("called with %s", tuple(x.shape))
            return super().forward(x)

    assert lipschitz_bound(Logs(4, 3), (4,)) > 0


def test_nothing_is_bounded_while_a_profiler_hides_what_is_called():
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    try:
        with pytest.raises(ValueError, match="while a profiler is active"):
            lipschitz_bound(nn.Linear(4, 3), (4,))
    finally:
        profile.disable()
    assert lipschitz_bound(nn.Linear(4, 3), (4,)) > 0
