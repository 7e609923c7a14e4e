"""Discrete noise: its law, its integers, the floats it gives to a model, what it refuses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare, norm

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_counts, certify_dataset  # noqa: E402
from rsverify.certificates.margins import level_of_bound  # noqa: E402
from rsverify.smoothing.batches import noisy_batches  # noqa: E402
from rsverify.smoothing.noise import discrete as module  # noqa: E402
from rsverify.smoothing.noise.alias import AliasTable  # noqa: E402
from rsverify.smoothing.noise.discrete import DiscreteGaussian, total_variation  # noqa: E402
from rsverify.smoothing.noise.gaussian import seeded_generator  # noqa: E402
from rsverify.tables.recertify import recertify  # noqa: E402

CPU = torch.device("cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
    ),
]
WORDS = 2**63


def draws(noise: DiscreteGaussian, shape: tuple[int, ...], n: int, seed: int = 0) -> np.ndarray:
    blocks = noise.blocks(shape, n, generator=seeded_generator(seed, 0, CPU), dtype=torch.float32)
    return torch.cat(list(blocks)).numpy()


def law_of(table: AliasTable) -> dict[float, int]:
    """Return how many of the 2**63 words each outcome has, by counting those of each column."""
    capacity = 2**table.shift
    weights: dict[float, int] = {}
    for column, threshold in enumerate(table.thresholds.tolist()):
        first, second = table.outcomes[2 * column : 2 * column + 2].tolist()
        below = threshold - column * capacity
        assert 0 <= below <= capacity
        weights[first] = weights.get(first, 0) + below
        weights[second] = weights.get(second, 0) + capacity - below
    return weights


@st.composite
def integer_laws(draw: st.DrawFn) -> list[int]:
    parts = draw(st.lists(st.integers(0, 2**40) | st.just(0), min_size=1, max_size=40))
    scaled = [part * WORDS // (sum(parts) + 1) for part in parts]
    last = draw(st.integers(0, len(parts)))
    scaled.insert(last, WORDS - sum(scaled))
    return scaled


@given(integer_laws())
def test_alias_table_gives_every_outcome_its_words_exactly(weights: list[int]) -> None:
    outcomes = [float(i + 1) for i in range(len(weights))]
    table = AliasTable.of(weights, outcomes, device=CPU, dtype=torch.float64)
    law = law_of(table)
    assert {k: w for k, w in law.items() if w} == {
        k: w for k, w in zip(outcomes, weights, strict=True) if w
    }


@given(integer_laws(), st.integers(0, WORDS - 1))
def test_alias_table_looks_words_up_as_it_counts_them(weights: list[int], word: int) -> None:
    table = AliasTable.of(weights, range(len(weights)), device=CPU, dtype=torch.float64)
    edges = [t + d for t in table.thresholds.tolist() for d in (-1, 0)]
    words = [w for w in (0, WORDS - 1, word, *edges) if 0 <= w < WORDS]
    found = table.look_up(torch.tensor(words, dtype=torch.int64)).tolist()
    for w, outcome in zip(words, found, strict=True):
        column = w >> table.shift
        second = w >= int(table.thresholds[column])
        assert outcome == table.outcomes[2 * column + second]


def test_alias_table_refuses_weights_that_are_no_law() -> None:
    for weights in ([WORDS - 1], [WORDS + 1, -1]):
        with pytest.raises(ValueError, match="sum to 2"):
            AliasTable.of(weights, range(len(weights)), device=CPU, dtype=torch.float32)


def test_words_fill_63_bits_evenly() -> None:
    # Seeded; each of 63 bits and 62 pairs of neighbors within 4.5 standard errors: a fair source
    # fails a new seed with probability 1e-3.
    words = torch.empty(40_000, dtype=torch.int64).random_(generator=seeded_generator(0, 0, CPU))
    assert int(words.min()) >= 0
    bits = (words[:, None] >> torch.arange(63)) & 1
    neighbors = bits[:, 1:] ^ bits[:, :-1]
    for fair in (bits, neighbors):
        share = fair.double().mean(dim=0)
        assert float((share - 0.5).abs().max()) < 4.5 * 0.5 / math.sqrt(40_000)


LAWS = [(0.25, Fraction(1, 255)), (1.0, Fraction(1, 10)), (0.3, Fraction(3, 7)), (0.1, Fraction(5))]


@pytest.mark.parametrize(("sigma", "lattice"), LAWS)
def test_tables_hold_the_law_within_the_stated_error(sigma: float, lattice: Fraction) -> None:
    # mpmath's normal density integrated over the cell: not the function the tables use.
    table = module._table(sigma, lattice)
    error = mpmath.mpf(0)
    with mpmath.workdps(60):
        step = mpmath.mpf(lattice.numerator) / lattice.denominator / mpmath.mpf(sigma)
        every = max(1, table.largest // 40)
        for k in range(0, table.largest + 1, every):
            edges = mpmath.linspace((k - 0.5) * step, (k + 0.5) * step, max(2, int(4 * step)))
            exact = mpmath.quad(mpmath.npdf, edges) * WORDS
            assert table.main[k] <= exact < table.main[k] + 1 + mpmath.mpf(2) ** -19
            held = table.main[k] + mpmath.mpf(table.spare) * table.rest[k] / WORDS
            error = max(error, abs(held - exact))
        # Each of the rest's integers is within 1/2 of exact, the one at 0 within their sum of it.
        assert error <= mpmath.mpf(table.spare) / WORDS * (table.largest + 1)
    for half, total in ((table.main, WORDS - table.spare), (table.rest, WORDS)):
        assert sum(half) * 2 - half[0] == total
        assert min(half) >= 0


@pytest.mark.parametrize(("sigma", "lattice"), LAWS)
def test_alias_tables_on_the_device_are_those_integers(sigma: float, lattice: Fraction) -> None:
    table = module._table(sigma, lattice)
    main, rest = module._on_device(sigma, lattice, CPU, torch.float64)
    laws = [law_of(t) for t in (main, rest)]
    assert sum(w for k, w in laws[0].items() if math.isnan(k)) == table.spare
    for half, law in zip((table.main, table.rest), laws, strict=True):
        for k, weight in enumerate(half):
            assert law.get(float(k), 0) == law.get(float(-k), 0) == weight


@pytest.mark.parametrize(("sigma", "lattice"), LAWS[:3])
def test_draws_have_the_law_of_rounded_gaussian_noise(sigma: float, lattice: Fraction) -> None:
    # Seeded; a correct sampler fails a new seed with probability 5e-5, each of three times.
    sample = draws(DiscreteGaussian(sigma, lattice), (5,), 40_000).astype(np.int64)
    reach = min(int(3 * sigma / lattice) + 1, 800)
    edges = (np.arange(-reach, reach + 2) - 0.5) * float(lattice) / sigma
    expected = np.concatenate(
        [[norm.cdf(edges[0])], np.diff(norm.cdf(edges)), [norm.sf(edges[-1])]]
    )
    observed = np.bincount(np.clip(sample.ravel(), -reach - 1, reach + 1) + reach + 1)
    observed = np.pad(observed, (0, len(expected) - len(observed)))
    expected *= sample.size
    rare = expected < 5
    if rare.any():
        observed = np.append(observed[~rare], observed[rare].sum())
        expected = np.append(expected[~rare], expected[rare].sum())
    assert chisquare(observed, expected, sum_check=False).pvalue > 5e-5


@pytest.mark.parametrize("sigma", [5e-324, 1e-200, 1e-5])
def test_noise_far_below_a_step_is_none(sigma: float) -> None:
    assert not draws(DiscreteGaussian(sigma, 1 / 255), (5,), 1000).any()


def test_coordinates_and_successive_draws_are_uncorrelated() -> None:
    # 4.5 standard errors at a fixed seed.
    sample = draws(DiscreteGaussian(0.5, 1 / 255), (8,), 20_000)
    limit = 4.5 / math.sqrt(20_000)
    for a, b in ((sample[:, 0], sample[:, 1]), (sample[:-1, 0], sample[1:, 0])):
        assert abs(np.corrcoef(a, b)[0, 1]) < limit


@pytest.fixture
def half_rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[module._Table]:
    """Tables whose rest is hit half the time and is ±2, the main part being ±1 or 0."""
    main, rest = (2**61, 2**60, 0), (0, 0, 2**62)
    table = module._Table(2, main, rest, 2**62)
    monkeypatch.setattr(module, "_table", lambda *_: table)
    monkeypatch.setattr(module, "EXCESS", math.inf)
    module._on_device.cache_clear()
    yield table
    module._on_device.cache_clear()


@pytest.mark.usefixtures("half_rest")
def test_the_rest_takes_over_where_it_is_hit() -> None:
    # Probabilities 1/4, 1/8, 1/4 of 0, each of ±1, each of ±2; 4.5 standard errors.
    sample = draws(DiscreteGaussian(1.0, 1.0), (), 20_000)
    for k, p in ((0, 1 / 4), (1, 1 / 8), (-1, 1 / 8), (2, 1 / 4), (-2, 1 / 4)):
        assert abs((sample == k).mean() - p) < 4.5 * math.sqrt(p * (1 - p) / 20_000)
    # Within a draw the rest is shared, which is what `total_variation` pays for.
    rows = draws(DiscreteGaussian(1.0, 1.0), (6,), 500)
    assert all(len(set(row[np.abs(row) == 2])) <= 1 for row in rows)
    assert {-2, 2} <= set(rows.ravel())


def test_total_variation_is_far_below_the_allowance_at_full_size() -> None:
    image = 3 * 224 * 224
    for sigma in (0.25, 1.0):
        noise = DiscreteGaussian(sigma, 1 / 255)
        assert 0 < total_variation(noise, image, 100_000) < 1e-15
        assert total_variation(noise, 1, 1) < 1e-29
    with pytest.raises(ValueError, match=r"exact within 3e-12 only, beyond 1e-12"):
        draws(DiscreteGaussian(1.0, 1 / 255), (10**7,), 10**6)


@pytest.mark.parametrize("shape", [(1,), (3, 5, 4), (70_000,)])
def test_number_and_shape_of_draws(shape: tuple[int, ...]) -> None:
    blocks = list(
        DiscreteGaussian(0.5, 1 / 255).blocks(
            shape, 7, generator=seeded_generator(0, 0, CPU), dtype=torch.float64
        )
    )
    assert sum(len(block) for block in blocks) == 7
    assert all(block.shape[1:] == shape for block in blocks)
    assert all(torch.equal(block, block.round()) for block in blocks)


steps = st.integers(1, 600).flatmap(lambda b: st.integers(1, 5).map(lambda a: Fraction(a, b)))


@given(
    lattice=steps,
    j=st.lists(st.integers(-5000, 5000), min_size=1, max_size=20),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    batch_size=st.integers(1, 9),
)
def test_model_sees_the_floats_nearest_to_lattice_points(
    lattice: Fraction, j: list[int], dtype: torch.dtype, batch_size: int
) -> None:
    noise = DiscreteGaussian(3 * float(lattice), lattice)
    numpy_type = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
    x = torch.tensor([k * float(lattice) for k in j], dtype=dtype)
    center = noise.center(x, dtype)
    assert center.tolist() == j
    ks = torch.cat(
        list(noise.blocks((len(j),), 8, generator=seeded_generator(1, 1, CPU), dtype=dtype))
    )
    batches = noisy_batches(noise, center, 8, batch_size, generator=seeded_generator(1, 1, CPU))
    seen = torch.cat([batch.clone() for batch in batches]).numpy()
    for row, k in zip(seen, ks.tolist(), strict=True):
        for value, own, shift in zip(row, j, k, strict=True):
            point = (own + int(shift)) * lattice
            # The nearest float: no neighbor is nearer to the exact rational.
            assert value.dtype == numpy_type
            gap = abs(Fraction(float(value)) - point)
            for other in (np.nextafter(value, numpy_type(s * np.inf)) for s in (-1, 1)):
                assert gap <= abs(Fraction(float(other)) - point)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_all_bytes_are_on_the_lattice_however_they_are_scaled(dtype: torch.dtype) -> None:
    noise = DiscreteGaussian(0.5, 1 / 255)
    levels = torch.arange(256)
    for x in (levels.to(dtype) / 255, levels.to(dtype) * (1 / 255), (levels / 255).to(dtype)):
        assert torch.equal(noise.center(x, torch.float32), levels.float())


@pytest.mark.parametrize("device", DEVICES)
def test_bytes_come_back_as_they_are_usually_scaled(device: str) -> None:
    noise = DiscreteGaussian(0.5, 1 / 255)
    usual = torch.arange(256, dtype=torch.uint8).to(torch.float32).div(255)
    center = noise.center(usual.to(device), torch.float32)
    out = torch.empty_like(center)
    noise.add(center, torch.zeros_like(center), out)
    assert torch.equal(out.cpu(), usual)
    blocks = noise.blocks(
        (256,), 50, generator=seeded_generator(0, 0, torch.device(device)), dtype=torch.float32
    )
    sample = torch.cat(list(blocks)).cpu().double()
    # 12,800 draws; 4.5 standard errors of the deviation, 127.5 steps.
    assert abs(float(sample.std()) / 127.5 - 1) < 4.5 / math.sqrt(2 * 12_800)


@given(st.floats(0, 1, width=32))
def test_rounded_inputs_are_on_the_lattice_and_others_are_refused(value: float) -> None:
    noise = DiscreteGaussian(0.5, 1 / 255)
    h = 1 / 255
    x = torch.tensor([value])
    off = abs(value * 255 - round(value * 255)) / 255
    if off > 1e-6:
        with pytest.raises(ValueError, match=r"not a multiple of lattice=1/255; round it first"):
            noise.center(x, torch.float32)
    nearest = float(noise.center(torch.round(x / h) * h, torch.float32))
    assert abs(nearest - value * 255) < 0.5 + 1e-4


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"lattice": 0.0}, ValueError, "lattice=0.0 must be a positive number"),
        ({"lattice": -1 / 255}, ValueError, "must be a positive number"),
        ({"lattice": math.nan}, ValueError, "lattice=nan must be a positive number"),
        ({"lattice": math.pi}, ValueError, "must be a fraction of denominator at most"),
        ({"lattice": Fraction(1, 2**21)}, ValueError, "numerator and denominator of at most"),
        ({"lattice": "1/255"}, TypeError, "must be a fraction or a float, such as 1/255"),
        ({"sigma": 0.0}, ValueError, "sigma"),
        ({"sigma": [1.0, 2.0]}, ValueError, "must be a single number"),
        ({"sigma": 100.0}, ValueError, "sigma=100 is 25500 steps of lattice=1/255; it must be"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        DiscreteGaussian(**{"sigma": 0.5, "lattice": 1 / 255} | arguments)


def test_inputs_that_cannot_be_placed_are_refused() -> None:
    noise = DiscreteGaussian(0.5, 1 / 255)
    with pytest.raises(ValueError, match=r"too coarse to tell points of lattice=1/255 apart"):
        noise.center(torch.tensor([3.0], dtype=torch.bfloat16), torch.float32)
    with pytest.raises(ValueError, match=r"use dtype=torch\.float64"):
        noise.center(torch.tensor([65_790.0], dtype=torch.float64), torch.float32)
    assert (
        noise.center(torch.tensor([65_790.0], dtype=torch.float64), torch.float64) == 65_790 * 255
    )


def test_table_of_discrete_noise_says_what_its_noise_costs(tmp_path: Path) -> None:
    discrete = SmoothedClassifier(sign_of_first, 2, 0.5, noise="discrete", lattice=1 / 255)
    x = torch.tensor([[51.0, 0.0], [0.0, 3.0], [90.0, 0.0]]) / 255, torch.tensor([1, 0, 1])
    options = {"n": 400, "seed": 0, "alpha": 1e-11, "progress": False}
    table = certify_dataset(discrete, x, tmp_path / "discrete.tsv", **options)
    assert table["noise_excess"].tolist() == [1e-12] * 3
    kept = ["predict", "status", "alpha", "margin"]
    pd.testing.assert_frame_equal(
        recertify(table)[kept], table[kept], check_exact=True, check_dtype=False
    )
    with pytest.raises(ValueError, match="alpha=2e-12 must be more than 2e-12"):
        recertify(table, alpha=2e-12)
    usual = SmoothedClassifier(sign_of_first, 2, 0.5)
    assert "noise_excess" not in certify_dataset(usual, x, tmp_path / "usual.tsv", **options)


def sign_of_first(batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([-batch.flatten(1)[:, 0], batch.flatten(1)[:, 0]], dim=1)


@pytest.mark.parametrize(
    ("noise", "lattice", "error", "message"),
    [
        ("discrete", None, ValueError, "lattice=None does not go with noise='discrete'"),
        ("gaussian", 1 / 255, ValueError, "does not go with noise='gaussian'"),
        ("uniform", None, ValueError, "noise='uniform' must be one of 'gaussian', 'discrete'"),
        (None, None, TypeError, "noise=None must be one of"),
    ],
)
def test_classifier_refuses_noise_it_does_not_know(
    noise: str, lattice: float | None, error: type, message: str
) -> None:
    with pytest.raises(error, match=message):
        SmoothedClassifier(sign_of_first, 2, 0.5, noise=noise, lattice=lattice)


def test_classifier_with_discrete_noise() -> None:
    smoothed = SmoothedClassifier(sign_of_first, 2, 0.5, noise="discrete", lattice=1 / 255)
    assert repr(smoothed) == (
        "SmoothedClassifier(sign_of_first, num_classes=2, sigma=0.5, "
        "noise=DiscreteGaussian(sigma=0.5, lattice=1/255))"
    )
    x = torch.tensor([51 / 255, 1.0])
    votes = smoothed.counts(x, n=20_000, seed=0, batch_size=77)
    assert votes.tolist() == smoothed.counts(x, n=20_000, seed=0, batch_size=20_000).tolist()
    # Class 1 where j + K > 0; ties, z = 0, go to class 0. 4.5 standard errors.
    p = norm.cdf(50.5 / 255 / 0.5)
    assert abs(votes[1] / 20_000 - p) < 4.5 * math.sqrt(p * (1 - p) / 20_000)
    for options in ({}, {"target_radius": 0.05}, {"bound": "hoeffding"}):
        certificate = smoothed.certify(x, n=500, seed=0, **options)
        assert (certificate.alpha, certificate.noise_excess) == (1e-3, 1e-12)
    # The noise's own error is paid for out of alpha, and alpha is what the certificate states.
    certificate = smoothed.certify(x, n=500, alpha=1e-11, y=1, seed=0)
    rest = float(level_of_bound(1e-11, 1e-12))
    assert rest == pytest.approx(0.9e-11)
    paid = certify_counts(certificate.counts, sigma=0.5, alpha=rest, y=1)
    assert (certificate.alpha, certificate.margin) == (1e-11, paid.margin)
    assert smoothed.predict(x, n=500, seed=0) == 1
    for call in (smoothed.certify, smoothed.predict):
        with pytest.raises(ValueError, match="alpha=1e-12 must be more than 2e-12"):
            call(x, n=10, alpha=1e-12)
        with pytest.raises(ValueError, match="x contains NaN"):
            call(torch.tensor([math.nan, 0.0]), n=10)
