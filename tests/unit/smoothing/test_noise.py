"""Noise: its law, its streams, and that draws do not depend on how they are used."""

from __future__ import annotations

import math

import pytest
from scipy.stats import kstest

torch = pytest.importorskip("torch")

from rsverify.smoothing import noise as module  # noqa: E402
from rsverify.smoothing.noise import Gaussian, seeded_generator  # noqa: E402

CPU = torch.device("cpu")


def draws(shape: tuple[int, ...], n: int, sigma: float = 1.0, seed: int = 0) -> torch.Tensor:
    blocks = Gaussian(sigma).blocks(
        shape, n, generator=seeded_generator(seed, 0, CPU), dtype=torch.float32
    )
    return torch.cat([block.clone() for block in blocks])


@pytest.mark.parametrize("shape", [(1,), (5,), (3, 4, 4), (3, 64, 64)])
@pytest.mark.parametrize("n", [1, 15, 1000])
def test_number_and_shape_of_draws(shape: tuple[int, ...], n: int) -> None:
    assert draws(shape, n).shape == (n, *shape)


def test_blocks_hold_at_most_their_share_or_one_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_NUMBERS", 100)
    for shape, largest in (((7,), 14), ((100,), 1), ((1000,), 1)):
        generator = seeded_generator(0, 0, CPU)
        blocks = Gaussian(1.0).blocks(shape, 30, generator=generator, dtype=torch.float32)
        sizes = [len(block) for block in blocks]
        assert sum(sizes) == 30
        assert max(sizes) == largest


@pytest.mark.parametrize("shape", [(3,), (64,)])
def test_draws_are_gaussian_with_the_stated_deviation(shape: tuple[int, ...]) -> None:
    # Seeded; a correct generator fails a new seed with probability 1e-4.
    sample = draws(shape, 20_000, sigma=0.3).double()
    assert kstest(sample.flatten().numpy() / 0.3, "norm").pvalue > 5e-5
    # Coordinates of one draw, and successive draws, are uncorrelated (4.5 standard errors).
    limit = 4.5 / math.sqrt(20_000)
    for pair in ((sample[:, 0], sample[:, 1]), (sample[:-1, 0], sample[1:, 0])):
        assert abs(float(torch.corrcoef(torch.stack(pair))[0, 1])) < limit


def test_streams_of_one_seed_differ_and_repeat() -> None:
    first = [torch.randn(8, generator=seeded_generator(5, s, CPU)) for s in range(4)]
    again = [torch.randn(8, generator=seeded_generator(5, s, CPU)) for s in range(4)]
    other = [torch.randn(8, generator=seeded_generator((5, 1), s, CPU)) for s in range(4)]
    everything = torch.stack(first + other)
    assert torch.equal(torch.stack(first), torch.stack(again))
    assert len({tuple(row.tolist()) for row in everything}) == 8


def test_streams_of_one_seed_never_share_the_bits_the_cpu_generator_reads() -> None:
    for seed in range(200):
        words = [seeded_generator(seed, s, CPU).initial_seed() % 2**32 for s in range(4)]
        assert [word % 4 for word in words] == [0, 1, 2, 3]
