"""Noise: its law, its streams, and that draws do not depend on how they are used."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import kstest

torch = pytest.importorskip("torch")

from rsverify.smoothing.noise import gaussian as module  # noqa: E402
from rsverify.smoothing.noise.gaussian import (  # noqa: E402
    COUNTS,
    ESTIMATION,
    SELECTION,
    Gaussian,
    seeded_generator,
)

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


def words_of(generator: torch.Generator, count: int) -> list[int]:
    """Return the next 32-bit words of a CPU generator, which joins two for each 64 bits."""
    joined = torch.empty(count // 2, dtype=torch.int64).random_(generator=generator)
    return [half for word in joined.tolist() for half in (word >> 32, word % 2**32)]


@pytest.mark.parametrize("entropy", [0, 2**100 + 7, (3, 14), (2**127, 5, 2**33)])
def test_cpu_generator_is_the_mersenne_twister_of_the_hashed_words(entropy: object) -> None:
    """numpy's MT19937, other code, gives the same from the same state."""
    parts = entropy if isinstance(entropy, tuple) else (entropy,)
    for stream in (SELECTION, COUNTS):
        text = ",".join(str(part) for part in (*parts, stream))
        key = np.frombuffer(hashlib.shake_256(text.encode()).digest(2496), "<u4").copy()
        key[0] = 0x80000000
        other = np.random.MT19937()
        other.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}
        expected = other.random_raw(2000)
        # Of the 64 bits torch drops the topmost, the first bit of every other word.
        expected[::2] %= 2**31
        found = words_of(seeded_generator(entropy, stream, CPU), 2000)
        assert found == expected.tolist()


def test_inputs_that_shared_32_bits_of_a_seed_share_no_noise() -> None:
    """Rows of the seed 0 in which one word of SeedSequence is equal, but for two bits.

    From that word alone their noise was the same. A state of the words that SeedSequence
    generates still has a quarter in common, and with it one normal in sixteen at first.
    """
    for pair in ((14341, 41030), (50699, 55170), (2983, 68855)):
        sequences = [np.random.SeedSequence((0, i), spawn_key=(ESTIMATION,)) for i in pair]
        words = [int(s.generate_state(1)[0]) for s in sequences]
        assert words[0] | 3 == words[1] | 3
        first, second = (
            torch.randn(300, generator=seeded_generator((0, i), ESTIMATION, CPU)) for i in pair
        )
        # By chance, with probability 1e-4 of any.
        assert not bool((first == second).any())


def test_no_two_of_many_inputs_share_their_noise() -> None:
    # By chance, two of 12,000 share 62 bits with probability 2e-11.
    begun = {
        int(torch.empty(1, dtype=torch.int64).random_(generator=seeded_generator((1, i), s, CPU)))
        for i in range(3000)
        for s in range(4)
    }
    assert len(begun) == 12_000


@pytest.mark.parametrize("draw", [torch.randn, torch.rand])
def test_states_reproduce(draw: Callable[..., torch.Tensor]) -> None:
    first, second = (seeded_generator((7, 8), ESTIMATION, CPU) for _ in range(2))
    assert torch.equal(first.get_state(), second.get_state())
    # Past the 624 words of the state, in calls of odd sizes.
    for count in (1, 7, 1000, 15, 16, 17):
        assert torch.equal(draw(count, generator=first), draw(count, generator=second))
    assert torch.equal(first.get_state(), second.get_state())


def test_generator_of_another_layout_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module._fresh_state.cache_clear()
    monkeypatch.setattr(module, "_WORDS", 625)
    with pytest.raises(RuntimeError, match="keeps the state of its CPU generator in a way"):
        seeded_generator(0, ESTIMATION, CPU)
