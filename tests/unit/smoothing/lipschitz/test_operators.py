"""Norms of linear operators and pools against those of their matrices, built by autograd."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from rsverify.smoothing.lipschitz.bound import lipschitz_bound
from rsverify.smoothing.lipschitz.convolution import convolution_norm_upper
from rsverify.smoothing.lipschitz.spectral import frobenius_upper, spectral_norm_upper

seeds = st.integers(0, 2**32 - 1)


def jacobian(function, shape, at=None):
    x = torch.zeros(1, *shape, dtype=torch.float64) if at is None else at
    with torch.no_grad():
        rows = torch.func.jacrev(function)(x)
    return rows.detach().reshape(-1, x.numel()).numpy()


def exact_norm(function, shape):
    return float(np.linalg.norm(jacobian(function, shape), 2))


@settings(max_examples=150)
@given(
    seed=seeds,
    shape=st.tuples(st.integers(1, 4), st.integers(1, 12), st.integers(1, 12)),
    complex_=st.booleans(),
    graded=st.integers(0, 12),
    exponent=st.integers(-900, 900),
)
def test_spectral_norm_is_never_below_and_hardly_above(seed, shape, complex_, graded, exponent):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=shape) + 1j * rng.normal(size=shape) * complex_
    a *= 10.0 ** rng.uniform(-graded, 0, size=shape[-1])
    exact = np.linalg.norm(a, 2, axis=(1, 2)).max()
    scaled = (
        torch.from_numpy(a if complex_ else a.real) * 2.0 ** (exponent / 2) * 2.0 ** (exponent / 2)
    )

    bound = spectral_norm_upper(scaled) * 2.0 ** (-exponent / 2) * 2.0 ** (-exponent / 2)

    assert exact <= bound <= exact * (1 + 1e-7)
    assert spectral_norm_upper(torch.from_numpy(a), at_least=10 * exact) == pytest.approx(
        10 * exact
    )


@settings(max_examples=100)
@given(
    rows=st.lists(st.integers(-1000, 1000), min_size=1, max_size=30),
    columns=st.lists(st.integers(-1000, 1000), min_size=1, max_size=30),
)
def test_spectral_norm_of_rank_one_in_rational_arithmetic(rows, columns):
    matrix = torch.tensor(rows, dtype=torch.float64)[:, None] * torch.tensor(columns).double()
    squared = sum(r * r for r in rows) * sum(c * c for c in columns)

    assert Fraction(spectral_norm_upper(matrix)) ** 2 >= squared
    assert Fraction(frobenius_upper(matrix)) ** 2 >= squared


def test_a_number_that_is_proved_is_not_the_one_proposed(monkeypatch):
    # Power iteration that sees nothing and eigenvalues that are far too small: still a bound.
    batch = torch.randn(5, 20, 20, generator=torch.Generator().manual_seed(0)).double()
    exact = float(torch.linalg.matrix_norm(batch, 2).max())
    eigenvalues = torch.linalg.eigvalsh
    monkeypatch.setattr(torch.linalg, "eigvalsh", lambda a: eigenvalues(a) * 0.3)

    assert exact <= spectral_norm_upper(batch) <= 5 * exact


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(bad):
    layer = nn.Linear(2, 2)
    layer.weight.data[0, 0] = bad

    with pytest.raises(ValueError, match=r"weights must be finite"):
        lipschitz_bound(layer, (2,))


@st.composite
def convolutions(draw):
    """Return a convolution module of random options in float64, and an input shape."""
    dims = draw(st.sampled_from([1, 1, 2]))
    groups = draw(st.integers(1, 2))
    inputs, outputs = (groups * draw(st.integers(1, 3)) for _ in range(2))
    each = lambda values: tuple(draw(values) for _ in range(dims))  # noqa: E731
    kernel, stride, dilation = (
        each(st.integers(1, 4)),
        each(st.integers(1, 4)),
        each(st.integers(1, 3)),
    )
    mode = draw(st.sampled_from(["zeros", "zeros", "circular", "reflect", "replicate"]))
    size = each(st.integers(2, 14 if dims == 1 else 7))
    same = draw(st.booleans()) and set(stride) == {1}
    widths = each(st.integers(0, 5))
    if mode in ("circular", "reflect"):
        widths = tuple(min(w, n - (mode == "reflect")) for w, n in zip(widths, size, strict=True))
    module = [nn.Conv1d, nn.Conv2d][dims - 1](
        inputs,
        outputs,
        kernel,
        stride=stride,
        dilation=dilation,
        groups=groups,
        padding="same" if same else widths,
        padding_mode=mode,
    ).double()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(draw(seeds))
        module.weight.normal_(generator=generator)
        module.weight.add_(draw(st.sampled_from([0.0, 1.0])))  # a mean: largest at θ = 0
    return module, (inputs, *size)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@settings(max_examples=120)
@given(case=convolutions())
def test_convolutions_are_never_below_their_unrolled_matrix(case):
    module, shape = case
    try:
        exact = exact_norm(module, shape)
    except RuntimeError:  # a kernel larger than the padded input, padding wider than torch allows
        assume(False)

    assert lipschitz_bound(module, shape) >= exact


@settings(max_examples=40)
@given(
    seed=seeds,
    kernel=st.integers(1, 5),
    stride=st.integers(1, 4),
    dilation=st.integers(1, 3),
    channels=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_a_convolution_is_hardly_above_a_long_signal(seed, kernel, stride, dilation, channels):
    weight = torch.randn(*channels, kernel, generator=torch.Generator().manual_seed(seed)).double()
    options = {"stride": stride, "dilation": dilation}

    def circular(x):
        wide = nn.functional.pad(x, (0, dilation * (kernel - 1)), mode="circular")
        return nn.functional.conv1d(wide, weight, **options)

    reached = exact_norm(circular, (channels[1], 24 * stride * dilation))

    bound = convolution_norm_upper(weight, stride=[stride], dilation=[dilation])

    # All frequencies of this circle are frequencies of the line; it has 24 or more of them.
    assert reached <= bound <= 1.04 * reached


@settings(max_examples=60)
@given(seed=seeds, taps=st.integers(2, 6))
def test_frequencies_between_those_of_the_grid_are_covered(seed, taps):
    kernel = np.random.default_rng(seed).normal(size=taps)
    largest = np.abs(np.fft.fft(kernel, 3 * 5 * 7 * 11 * 13)).max()

    bound = convolution_norm_upper(torch.from_numpy(kernel)[None, None])

    assert largest <= bound <= 1.0013 * largest


def test_a_zero_padded_image_comes_close_to_the_bound():
    weight = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(0)).double()

    exact = exact_norm(lambda x: nn.functional.conv2d(x, weight, padding=1), (3, 16, 16))

    assert exact <= convolution_norm_upper(weight) <= 1.03 * exact


@settings(max_examples=40)
@given(
    seed=seeds,
    kernel=st.integers(1, 4),
    stride=st.integers(1, 3),
    dilation=st.integers(1, 2),
    groups=st.integers(1, 2),
    padding=st.integers(0, 2),
)
def test_transposed_convolutions(seed, kernel, stride, dilation, groups, padding):
    torch.manual_seed(seed)
    module = nn.ConvTranspose1d(
        2 * groups, groups, kernel, stride, padding, groups=groups, dilation=dilation
    ).double()
    try:
        exact = exact_norm(module, (2 * groups, 9))
    except RuntimeError:
        assume(False)

    assert lipschitz_bound(module, (2 * groups, 9)) >= exact


@settings(max_examples=100)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.integers(0, 2),
    ceil_mode=st.booleans(),
    count_include_pad=st.booleans(),
    divisor=st.none() | st.integers(1, 5),
)
def test_average_pools_have_the_norm_of_their_matrix(
    size, kernel, stride, padding, ceil_mode, count_include_pad, divisor
):
    module = nn.AvgPool2d(kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    try:
        exact = exact_norm(module, (1, *size))
    except RuntimeError:
        assume(False)

    assert exact * (1 - 1e-14) <= lipschitz_bound(module, (1, *size)) <= exact * 1.01


@settings(max_examples=50)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    out=st.tuples(st.integers(1, 12), st.integers(1, 5)),
)
def test_adaptive_pools(size, out):
    average, largest = nn.AdaptiveAvgPool2d(out), nn.AdaptiveMaxPool2d(out)
    exact = exact_norm(average, (1, *size))

    assert exact * (1 - 1e-14) <= lipschitz_bound(average, (1, *size)) <= exact * 1.01
    assert lipschitz_bound(largest, (1, *size)) == pytest.approx(reached_by_one(largest, size))


def reached_by_one(pool, size):
    """Return the largest ‖pool(e_j) - pool(0)‖ over the unit vectors e_j."""
    units = torch.eye(math.prod(size), dtype=torch.float64).reshape(-1, 1, *size)
    moved = pool(units) - pool(torch.zeros_like(units))
    moved = moved.nan_to_num(0.0)  # a dilated window that holds padding alone is always -inf
    return float(moved.flatten(1).norm(dim=1).max())


@settings(max_examples=150)
@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    ceil_mode=st.booleans(),
)
def test_max_pools_have_the_constant_that_one_entry_reaches(
    size, kernel, stride, padding, dilation, ceil_mode
):
    module = nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    try:
        reached = reached_by_one(module, size)
    except RuntimeError:
        assume(False)

    bound = lipschitz_bound(module, (1, *size))

    assert reached * (1 - 1e-14) <= bound <= reached * (1 + 1e-14)


@settings(max_examples=100)
@given(
    mode=st.sampled_from(["constant", "reflect", "replicate", "circular"]),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    widths=st.tuples(*[st.integers(-2, 5)] * 4),
)
def test_paddings_have_the_norm_of_their_matrix(mode, size, widths):
    assume(mode == "constant" or min(widths) >= 0)

    def pad(x):
        return nn.functional.pad(x, widths, mode=mode)

    try:
        exact = exact_norm(pad, (1, *size))
    except RuntimeError:
        assume(False)

    assert exact * (1 - 1e-14) <= lipschitz_bound(pad, (1, *size)) <= exact * (1 + 1e-9)


@pytest.mark.parametrize("name", ["Zero", "Constant", "Reflection", "Replication", "Circular"])
def test_padding_modules(name):
    value = (1.5,) if name == "Constant" else ()
    module = getattr(nn, f"{name}Pad2d")((2, 1, 0, 3), *value)

    exact = exact_norm(module, (2, 4, 4))

    assert exact * (1 - 1e-14) <= lipschitz_bound(module, (2, 4, 4)) <= exact * (1 + 1e-9)
