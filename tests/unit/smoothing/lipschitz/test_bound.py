"""Bounds of whole modules: never exceeded, and refused where nothing is known."""
# ruff: noqa: ARG001, ARG005  (every case is a function of a module and its input)

import math

import mpmath
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F  # noqa: N812

from rsverify import SmoothedClassifier
from rsverify.certificates.simplex import scores_lipschitz
from rsverify.smoothing.lipschitz import gains as _gains
from rsverify.smoothing.lipschitz.bound import lipschitz_bound, lipschitz_report

SHAPE = (4, 6, 6)


def seeded(build):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = build()
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.running_var is not None:
            part.running_var.uniform_(0.05, 2, generator=torch.Generator().manual_seed(1))
    return module.double().eval()


class Function(nn.Module):
    """A module with layers a and b whose forward is a function of itself and x."""

    def __init__(self, forward):
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 1)
        self.norm, self.act = nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 3)
        self.register_buffer("shift", torch.linspace(-2, 3, 4).reshape(1, 4, 1, 1))
        self.step = forward

    def forward(self, x):
        return self.step(self, x)


def basic_block(m, x):
    out = m.norm(m.a(x))
    out = m.act(out)
    out = m.b(out)
    out += x
    return m.act(out)


MODULES = {
    "linear": lambda: nn.Linear(6, 5),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 5)),
    "orthogonal": lambda: nn.utils.parametrizations.orthogonal(nn.Linear(6, 5)),
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 3, 3)),
    "perceptron": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(144, 9), nn.Tanh(), nn.Dropout(), nn.Linear(9, 3), nn.Softmax(dim=1)
    ),
    "convolutional": lambda: nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.SiLU(),
        nn.MaxPool2d(2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 3),
    ),
    "layer norm": lambda: nn.Sequential(nn.LayerNorm(6, eps=0.1), nn.Linear(6, 2)),
    "group norm": lambda: nn.GroupNorm(2, 4, eps=0.01),
    "instance norm": lambda: nn.InstanceNorm2d(4, eps=0.01, affine=True),
    "instance norm with statistics": lambda: nn.InstanceNorm2d(4, track_running_stats=True),
    "residual": lambda: Function(basic_block),
    "residual, functions": lambda: Function(lambda m, x: F.relu(torch.add(x, m.a(x)))),
    "difference": lambda: Function(lambda m, x: m.a(x) - m.b(x)),
    "dense": lambda: Function(
        lambda m, x: torch.cat(
            [x, m.a(x), m.shift[:, :, [0] * 6][..., [0] * 6].expand_as(x)], dim=1
        )
    ),
    "stack": lambda: Function(lambda m, x: torch.stack((m.a(x), m.b(x)), dim=2)),
    "larger": lambda: Function(lambda m, x: torch.maximum(m.a(x), m.b(x))),
    "halves": lambda: Function(lambda m, x: torch.cat(x.chunk(2, dim=1)[::-1], dim=1)),
    "slices": lambda: Function(lambda m, x: x[:, 1:3, ::2] + x[:, :2, 1::2]),
    "constants": lambda: Function(lambda m, x: (x - m.shift) / (m.shift.abs() + 0.5) * 3),
    "constants, reversed": lambda: Function(lambda m, x: 2 - 3 * x * m.shift),
    "widened": lambda: Function(lambda m, x: m.a(x) + x.mean(dim=(2, 3), keepdim=True)),
    "widened by a constant": lambda: Function(
        lambda m, x: x.mean((2, 3), keepdim=True) * torch.arange(6.0).double()
    ),
    "sums": lambda: Function(lambda m, x: m.fc(x.sum(3).amax(2))),
    "views": lambda: Function(
        lambda m, x: m.b(x).view(x.size(0), -1).reshape(x.shape[0], 4, 36).transpose(1, 2)
    ),
    "matrix": lambda: Function(lambda m, x: m.fc.weight @ (x.flatten(2) * 0.5)),
    "matrix on the right": lambda: Function(lambda m, x: x @ m.a.weight[:3, :2].reshape(6, 9)),
    "keywords": lambda: Function(
        lambda m, x: F.linear(input=x.mean(dim=[2, 3]), weight=m.fc.weight, bias=m.fc.bias)
    ),
    "mobile": lambda: nn.Sequential(
        nn.Conv2d(4, 8, 1), nn.Hardswish(), nn.Conv2d(8, 8, 3, groups=8, padding=1), nn.ReLU6()
    ),
    "shuffled": lambda: nn.Sequential(nn.PixelUnshuffle(2), nn.PixelShuffle(2), nn.Softmax2d()),
    "transposed": lambda: nn.ConvTranspose2d(4, 2, 3, stride=2, padding=1, output_padding=1),
    "functional batch norm": lambda: Function(
        lambda m, x: F.batch_norm(x, m.norm.running_mean, m.norm.running_var, m.norm.weight)
    ),
    "dropout": lambda: Function(lambda m, x: F.dropout(x, training=m.training)),
    "rms norm": lambda: nn.RMSNorm(6, eps=0.02),
    "log softmax": lambda: nn.LogSoftmax(dim=1),
    "not traced leaf": lambda: nn.Identity(),
}


def shape_of(name):
    return SHAPE if name not in ("linear", "spectral norm", "orthogonal") else (6,)


@pytest.mark.parametrize("name", MODULES)
@settings(max_examples=12)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-3, 0.1, 1.0, 10.0]))
def test_no_jacobian_exceeds_the_bound(name, seed, scale):
    module, shape = seeded(MODULES[name]), shape_of(name)
    x = scale * torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        rows = torch.func.jacrev(module)(x).detach().reshape(-1, x.numel()).numpy()
    exact = float(np.linalg.norm(rows, 2))

    assert exact <= lipschitz_bound(module, shape) * (1 + 1e-12)


@pytest.mark.parametrize(
    "name",
    [
        *("linear", "spectral norm", "orthogonal", "instance norm with statistics", "constants"),
        *("constants, reversed", "widened by a constant", "matrix", "matrix on the right"),
        *("keywords", "functional batch norm", "dropout", "not traced leaf", "views"),
    ],
)
def test_linear_modules_have_nearly_their_norm(name):
    module, shape = seeded(MODULES[name]), shape_of(name)
    with torch.no_grad():
        rows = torch.func.jacrev(module)(torch.zeros(1, *shape).double()).detach()
    exact = float(np.linalg.norm(rows.reshape(-1, math.prod(shape)).numpy(), 2))

    assert exact * (1 - 1e-12) <= lipschitz_bound(module, shape) <= exact * 1.01


@pytest.mark.parametrize("name", ["layer norm", "group norm", "instance norm", "rms norm"])
def test_normalization_of_slices_reaches_its_constant_at_zero(name):
    module = seeded(MODULES[name])
    module = module[0] if isinstance(module, nn.Sequential) else module
    rows = torch.func.jacrev(module)(torch.zeros(1, *SHAPE).double()).detach()
    exact = float(np.linalg.norm(rows.reshape(-1, 144).numpy(), 2))

    assert exact * (1 - 1e-9) <= lipschitz_bound(module, SHAPE) <= exact * (1 + 1e-9)


ACTIVATIONS = {
    "relu": nn.ReLU(), "leaky": nn.LeakyReLU(-1.5), "elu": nn.ELU(1.7), "celu": nn.CELU(0.3),
    "selu": nn.SELU(), "gelu": nn.GELU(), "gelu tanh": nn.GELU("tanh"), "silu": nn.SiLU(),
    "mish": nn.Mish(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "softplus": nn.Softplus(2.0),
    "hardswish": nn.Hardswish(), "hardsigmoid": nn.Hardsigmoid(), "hardtanh": nn.Hardtanh(-2, 3),
    "softsign": nn.Softsign(), "tanhshrink": nn.Tanhshrink(), "softshrink": nn.Softshrink(),
    "logsigmoid": nn.LogSigmoid(), "relu6": nn.ReLU6(), "rrelu": nn.RReLU().eval(),
    "prelu": nn.PReLU(init=-3.0).double(), "clamp": lambda x: x.clamp(-1, 2),
    "abs": abs, "sin": torch.sin, "atan": torch.atan, "relu_": F.relu_,
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes_of_activations_are_their_constants(name):
    function = ACTIVATIONS[name]
    step = 2.0**-12
    x = torch.arange(-12, 12, step, dtype=torch.float64)
    x = x + 1e-5  # off the kinks
    with torch.no_grad():
        slopes = function((x + step).clone()) - function(x.clone())
    steepest = float(slopes.abs().max()) / step
    bound = lipschitz_bound(function, (3,))

    # Difference quotients never exceed the constant, but for the rounding of differences.
    assert steepest * (1 - 1e-9) - 1e-11 <= bound <= steepest * 1.001


@pytest.mark.parametrize("name", ["GELU", "GELU_TANH", "SILU", "MISH", "SELU"])
def test_constants_of_smooth_activations_with_30_digits(name):
    def tanh_gelu(x):
        return (
            x
            / 2
            * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpmath.mpf("0.044715") * x**3)))
        )

    functions = {
        "GELU": (lambda x: x * mpmath.ncdf(x), 1.4),
        "GELU_TANH": (tanh_gelu, 1.4),
        "SILU": (lambda x: x / (1 + mpmath.exp(-x)), 2.4),
        "MISH": (lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))), 1.5),
    }
    constant = getattr(_gains, name)
    with mpmath.workdps(30):
        if name == "SELU":
            exact = mpmath.mpf("1.0507009873554804934193349852946") * mpmath.mpf(
                "1.6732632423543772848170429916717"
            )
        else:
            function, near = functions[name]
            top = mpmath.findroot(lambda x: mpmath.diff(function, x, 2), near)
            exact = mpmath.diff(function, top)
            slopes = (abs(mpmath.diff(function, mpmath.mpf(i) / 10)) for i in range(-100, 101))
            assert max(slopes) <= exact
        assert exact <= constant <= exact * (1 + mpmath.mpf("4e-16"))


REFUSED = {
    "attention": (
        lambda: Function(lambda m, x: m.att(x.flatten(2), x.flatten(2), x.flatten(2))[0]),
        r"att \(MultiheadAttention\): dot-product attention",
    ),
    "square": (lambda: Function(lambda m, x: m.a(x) * x), r"mul: it multiplies two functions"),
    "gate": (lambda: nn.Sequential(nn.GLU(dim=1)), r"0 \(GLU\): it multiplies two"),
    "inverse": (lambda: Function(lambda m, x: 1 / x), "div: it divides by a function"),
    "jump": (lambda: nn.Sequential(nn.Identity(), nn.Hardshrink()), r"1 \(Hardshrink\): it jumps"),
    "unknown": (lambda: Function(lambda m, x: x.exp()), "exp: no Lipschitz constant"),
    "power": (lambda: Function(lambda m, x: x**2), "pow: no Lipschitz constant"),
    "branch": (lambda: Function(lambda m, x: x if x.sum() > 0 else -x), "gt: .* floating type"),
    "tuple": (lambda: Function(lambda m, x: (x, m.a(x))), "returns a tuple; wrap it"),
    "random": (lambda: Function(lambda m, x: F.dropout(x)), "dropout: it is random"),
    "batch statistics": (
        lambda: nn.BatchNorm2d(4, track_running_stats=False), r"BatchNorm2d: it uses statistics"
    ),
    "batch statistics, function": (
        lambda: Function(lambda m, x: F.batch_norm(x, None, None, training=True)), "statistics"
    ),
    "indices": (lambda: Function(lambda m, x: x.argmax(dim=1)), "not a tensor of a floating type"),
    "repeated index": (
        lambda: Function(lambda m, x: x[:, torch.tensor([0, 0, 0])]),
        "may take an entry twice",
    ),
    "bits": (lambda: Function(lambda m, x: x.view(torch.float16)), "reads the same memory"),
    "scaled addition": (lambda: Function(lambda m, x: torch.add(x, x, alpha=5)), "these arguments"),
    "rounded division": (
        lambda: Function(lambda m, x: torch.div(x, 2, rounding_mode="floor")), "these arguments"
    ),
    "item": (lambda: Function(lambda m, x: x * x.max().item()), "item: it takes numbers out of a"),
    "zero eps": (lambda: nn.LayerNorm(6, eps=0.0), "with eps=0.0 it is not Lipschitz"),
    "softplus with a jump": (lambda: nn.Softplus(threshold=1.0), "threshold=1.0 it jumps"),
    "weight of the input": (
        lambda: Function(lambda m, x: F.linear(x, x[0, 0])), "another argument than the first"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_known_constant_is_named(name):
    build, message = REFUSED[name]
    module = seeded(build)
    if name == "attention":
        module.att = nn.MultiheadAttention(36, 4).double()

    with pytest.raises(ValueError, match=message):
        lipschitz_bound(module, SHAPE)


def test_changes_in_place_are_not_missed():
    def through_a_view(m, x):
        y = m.a(x)
        y.flatten().mul_(100)
        return y

    def own_buffer(m, x):
        m.shift.add_(x.mean(dim=(2, 3), keepdim=True))
        return m.shift * 1

    def counting(m, x):
        m.shift += 1
        return x * m.shift

    for forward in (through_a_view, own_buffer, counting):
        with pytest.raises(ValueError, match="in place"):
            lipschitz_bound(seeded(lambda f=forward: Function(f)), SHAPE)


def test_names_of_a_tensor_that_was_changed_in_place():
    def twice(m, x):
        y = x
        x *= 5
        return x + y  # 10 x, where a naive trace sees 6 x

    def constant_changed_later(m, x):
        factor = torch.full((4, 1, 1), 50.0)
        y = x * factor
        factor.mul_(1e-6)
        return y

    assert lipschitz_bound(Function(twice), SHAPE) == pytest.approx(10)
    assert lipschitz_bound(Function(constant_changed_later), SHAPE) == pytest.approx(50)


def eye(cls=nn.Linear):
    layer = cls(6, 6, bias=False)
    nn.init.eye_(layer.weight)
    return layer


def test_a_layer_is_what_it_does_not_what_its_class_says(monkeypatch):
    class Louder(nn.Linear):
        def forward(self, x):
            return 7 * super().forward(x)

    class LouderCall(nn.Linear):
        def __call__(self, x):
            return 7 * super().__call__(x)

    class LouderConvolution(nn.Conv2d):
        def _conv_forward(self, x, weight, bias):
            return super()._conv_forward(x, 7 * weight, bias)

    replaced, hooked, changed = eye(), eye(), eye()
    replaced.forward = lambda x: 7 * x
    hooked.register_forward_pre_hook(lambda m, x: (3.5 * x[0],))
    hooked.register_forward_hook(lambda m, x, out: 2 * out)
    changed.register_forward_pre_hook(lambda m, x: setattr(m, "weight", nn.Parameter(7 * START)))
    for layer in (eye(Louder), eye(LouderCall), replaced, hooked):
        assert lipschitz_bound(layer, (6,)) == pytest.approx(7)
    with pytest.raises(ValueError, match="Linear: it uses a tensor that no operation seen here"):
        lipschitz_bound(changed, (6,))

    convolution = LouderConvolution(1, 1, 1, bias=False)
    nn.init.ones_(convolution.weight)
    assert lipschitz_bound(convolution, (1, 3, 3)) == pytest.approx(7)

    original = F.relu
    monkeypatch.setattr(F, "relu", lambda x, inplace=False: 7 * original(x))
    with pytest.raises(ValueError, match="ReLU: no Lipschitz constant"):
        lipschitz_bound(nn.ReLU(), (3,))


START = torch.eye(6)


def test_module_is_left_as_found():
    module = Function(lambda m, x: m.act(m.norm(m.a(x))) * torch.tensor(2.0)).double().train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    names = set(vars(module))

    lipschitz_bound(module, SHAPE)

    assert module.training
    assert module.norm.training
    assert set(vars(module)) == names
    assert all((v == before[k]).all() for k, v in module.state_dict().items())


def test_bound_follows_weights_changed_in_place():
    layer = nn.Linear(3, 3)
    first = lipschitz_bound(layer, (3,))
    layer.weight.data.mul_(4)

    assert lipschitz_bound(layer, (3,)) == pytest.approx(4 * first)


def test_progress_tells_of_every_operation(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rsverify._core.progress.is_live", lambda _console: True)
    monkeypatch.setattr("rsverify.smoothing.lipschitz.bound._PATIENCE", 600.0)
    lipschitz_bound(seeded(MODULES["residual"]), SHAPE)
    assert capsys.readouterr().err == ""  # done before anyone would wait
    monkeypatch.setattr("rsverify.smoothing.lipschitz.bound._PATIENCE", 0.0)
    lipschitz_bound(seeded(MODULES["residual"]), SHAPE)
    # As many as the report has rows.
    assert "bounding the operations" in (err := capsys.readouterr().err)
    assert "7 of 7 operations" in err
    lipschitz_report(seeded(MODULES["residual"]), SHAPE, progress=False)
    assert capsys.readouterr().err == ""


def test_report_names_layers_in_order():
    rows = lipschitz_report(seeded(MODULES["residual"]), SHAPE)

    assert [(r.name, r.operation) for r in rows] == [
        ("a", "Conv2d"), ("norm", "BatchNorm2d"), ("act", "ReLU"), ("b", "Conv2d"),
        ("", "add"), ("act", "ReLU"), ("", "output"),
    ]  # fmt: skip
    assert rows[4].gain is None
    assert rows[4].bound == pytest.approx(rows[3].bound + 1)
    assert rows[-1].bound == lipschitz_bound(seeded(MODULES["residual"]), SHAPE)


@pytest.mark.parametrize(
    ("module", "shape", "error", "message"),
    [
        (3, (2,), TypeError, "module=3 must be a torch.nn.Module"),
        (nn.Linear(2, 2), (0,), ValueError, "must hold positive sizes"),
        (nn.Linear(2, 2), (3,), ValueError, r"does not take an input of shape \(3,\)"),
        (nn.Linear(2, 2), (1.5,), ValueError, "input_shape=1.5"),
    ],
)
def test_bad_arguments_are_named(module, shape, error, message):
    with pytest.raises(error, match=message):
        lipschitz_bound(module, shape)


def small_network():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    return network


INPUT = torch.tensor([0.5, -0.3, 0.2, 0.9])
OPTIONS = {"n": 2000, "n0": 100, "radius": "R1", "bound": "betting", "seed": 0}


@pytest.mark.parametrize("scores", ["softmax", "sparsemax"])
def test_auto_is_the_bound_of_the_scores(scores):
    network = small_network()
    smoothed = SmoothedClassifier(network, 3, 0.05)
    constant = scores_lipschitz(scores, lipschitz_bound(network, (4,)), temperature=0.25)

    auto = smoothed.certify(INPUT, lipschitz="auto", scores=scores, temperature=0.25, **OPTIONS)
    given = smoothed.certify(INPUT, lipschitz=constant, scores=scores, temperature=0.25, **OPTIONS)
    without = smoothed.certify(INPUT, scores=scores, temperature=0.25, **OPTIONS)

    assert auto.lipschitz == constant
    assert auto.radius == given.radius
    assert auto.radius > without.radius > 0


def test_auto_goes_through_preprocessing():
    network, center = small_network(), torch.tensor([1.0, 2.0, 3.0, 4.0])

    class Normalize(nn.Module):
        def forward(self, x):
            return (x - center) / 0.25

    plain = SmoothedClassifier(network, 3, 0.05).certify(INPUT, lipschitz="auto", **OPTIONS)
    for preprocess in (Normalize(), lambda x: (x - center) * 4, nn.Sequential(Normalize())):
        smoothed = SmoothedClassifier(network, 3, 0.05, preprocess=preprocess)
        certificate = smoothed.certify(INPUT, lipschitz="auto", **OPTIONS)
        assert certificate.lipschitz == pytest.approx(4 * plain.lipschitz)

    def opaque(x):
        return x if bool((x > 0).all()) else -x

    smoothed = SmoothedClassifier(network, 3, 0.05, preprocess=opaque)
    with pytest.raises(ValueError, match=r"gt: its result .* give a number for lipschitz"):
        smoothed.certify(INPUT, lipschitz="auto", **OPTIONS)


def test_modules_that_a_function_closes_over_must_be_in_evaluation_mode():
    norm = nn.BatchNorm2d(4).train()

    with pytest.raises(ValueError, match=r"BatchNorm2d.*statistics of the batch"):
        lipschitz_bound(lambda x: norm(x), SHAPE)
    assert norm.num_batches_tracked == 0
    norm.eval()
    assert lipschitz_bound(lambda x: norm(x), SHAPE) == pytest.approx(1, abs=1e-5)


def test_compiled_modules_are_unwrapped_and_scripted_ones_refused():
    network = small_network()
    assert lipschitz_bound(torch.compile(network, backend="eager"), (4,)) == lipschitz_bound(
        network, (4,)
    )
    exported = torch.export.export(network, (INPUT[None],)).module()
    with pytest.raises(ValueError, match="give"):
        lipschitz_bound(exported, (4,))


def test_auto_takes_callables_that_close_over_modules_and_ends_in_scores():
    network = small_network()
    smoothed = SmoothedClassifier(lambda x: torch.softmax(network(x), dim=1), 3, 0.05)

    certificate = smoothed.certify(INPUT, lipschitz="auto", scores="identity", **OPTIONS)

    expected = lipschitz_bound(network, (4,)) / 2
    assert certificate.lipschitz == pytest.approx(expected)


def test_votes_have_no_constant_but_the_smoothings():
    smoothed = SmoothedClassifier(small_network(), 3, 0.05)
    options = {**OPTIONS, "bound": "exact"}

    auto = smoothed.certify(INPUT, lipschitz="auto", **options)
    without = smoothed.certify(INPUT, **options)
    hardmax = smoothed.certify(INPUT, lipschitz="auto", scores="hardmax", **OPTIONS)

    assert auto.lipschitz is None
    assert hardmax.lipschitz is None
    assert auto.radius == without.radius


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lipschitz": "auto", "radius": "R2"}, "lipschitz='auto' must be None for radius='R2'"),
        ({"lipschitz": "guess"}, "lipschitz='guess' must be one of 'auto'"),
        ({"lipschitz": "auto", "scores": "relu"}, "scores='relu' must be one of"),
        ({"lipschitz": "auto", "temperature": 0.0}, "temperature=0.0"),
    ],
)
def test_bad_options_of_auto(options, message):
    with pytest.raises(ValueError, match=message):
        SmoothedClassifier(small_network(), 3, 0.05).certify(INPUT, **{**OPTIONS, **options})


def test_r1_with_the_networks_constant_is_never_refuted_on_a_known_case():
    # Softmax of (x_1 a, -x_1 a): mean scores by quadrature, so the true distance is known.
    slope, sigma = 0.4, 0.5
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[slope, 0.0], [-slope, 0.0]])
    smoothed = SmoothedClassifier(layer, 2, sigma)

    certificate = smoothed.certify(torch.tensor([0.6, 0.0]), lipschitz="auto", **OPTIONS)

    # The classes meet at x_1 = 0, at distance 0.6; the scores' constant is slope/√2.
    assert certificate.lipschitz == pytest.approx(slope / math.sqrt(2))
    assert 0.5 < certificate.radius < 0.6
    assert certificate.radius > 1.2 * smoothed.certify(torch.tensor([0.6, 0.0]), **OPTIONS).radius
