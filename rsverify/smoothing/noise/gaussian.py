"""Noise in input units, drawn in blocks whose sizes do not depend on the batch size.

Gaussian noise drawn in floating point is not exactly Gaussian: its tails end (near 5.8
standard deviations for float32 on a CPU), and the sum of an input and noise is rounded, so
that its low bits tell something of the input. For classifiers built to exploit this the
certified radius can be wrong [1]_: with `Gaussian` noise, the guarantees of certificates are
stated for exact Gaussian noise. `rsverify.smoothing.noise.discrete` has noise for which they hold
as computed.

References
----------
.. [1] Voráček and Hein, *Sound randomized smoothing in floating-point arithmetic*, ICLR 2023.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from rsverify import noise
from rsverify.smoothing.noise.sampler import Sampler

# At most this many numbers a block (4 MB of float32), but at least one input's worth.
_BLOCK_NUMBERS = 2**20


# Each purpose draws from a stream of its own, so that one seed may serve them all: a class
# chosen by a prediction or a selection sample is independent of the estimation sample.
SELECTION, ESTIMATION, PREDICTION, COUNTS = range(4)


SEEDING = 2
"""Which way noise follows from a seed: a table that was begun in another is not continued."""

# Words of the state of the Mersenne Twister, torch's generator on a CPU.
_WORDS = 624


def seeded_generator(
    entropy: int | tuple[int, ...], stream: int, device: torch.device
) -> torch.Generator:
    """Return a generator on `device` for one of the four streams of a seed.

    On a CPU, torch makes a state of 19,937 bits from 32 bits of a seed, so that among 50,000
    inputs two share their noise more likely than not. (numpy's `SeedSequence` would not do: of
    the words it generates each depends on 32 bits.) Here a cryptographic hash of seed and
    stream fills the whole state. Other devices take 64 bits of it.

    What follows from the state depends on the device. CUDA spreads one stream over as many
    threads as a GPU holds at a time, each of which draws every so many-th number, so that a GPU
    of another model gives another sample where a block of noise has more numbers than that
    (some 40,000 to 300,000). On a CPU the logarithms and cosines of normal numbers are rounded
    differently by different sets of instructions. Tables keep both and compare them.
    """
    seed = (entropy,) if isinstance(entropy, int) else entropy
    text = ",".join(map(str, (*seed, stream)))
    words = np.frombuffer(hashlib.shake_256(text.encode()).digest(4 * _WORDS), dtype="<u4")
    generator = torch.Generator(device=device)
    if generator.device.type == "cpu":
        generator.set_state(_state_with(words))
    else:
        # The lowest two bits name the stream, so that those of one seed never meet.
        generator.manual_seed((int(words[0]) << 32 | int(words[1])) & ~3 | stream)
    return generator


def _state_with(words: npt.NDArray[np.uint32]) -> torch.Tensor:
    """Return the state of a CPU generator that has drawn nothing, and has these words."""
    state, start = _fresh_state()
    changed = state.clone()
    # Of the first word only the topmost bit counts; set, no state is all zero.
    wide = np.where(np.arange(_WORDS) == 0, 2**31, words).astype(np.uint64)
    changed[start : start + 8 * _WORDS] = torch.from_numpy(wide.view(np.uint8))
    return changed


@lru_cache(maxsize=1)
def _fresh_state() -> tuple[torch.Tensor, int]:
    """Return the state of a CPU generator, and where in it its words begin.

    They are looked for, as torch says nothing about its layout: the words that seed 1 gives
    by definition, each in 8 bytes.
    """
    words = [1]
    for i in range(1, _WORDS):
        words.append((1812433253 * (words[-1] ^ words[-1] >> 30) + i) % 2**32)
    state = torch.Generator().manual_seed(1).get_state()
    start = state.numpy().tobytes().find(np.array(words, dtype=np.uint64).tobytes())
    if start < 0:
        raise RuntimeError(
            f"torch {torch.__version__} keeps the state of its CPU generator in a way that is not "
            "known here, so noise cannot be seeded: use a torch that rsverify was tested with"
        )
    return state, start


class Gaussian(Sampler):
    """N(0, sigma²) noise in floating point, as most software draws it.

    Parameters
    ----------
    sigma : float or tuple of float
        Standard deviation in input units; or one for each number of the flattened input.
    """

    def __init__(self, sigma: float | tuple[float, ...]) -> None:
        self._distribution = noise.Gaussian(sigma)

    @property
    def distribution(self) -> noise.Gaussian:
        """The noise that is approximated."""
        return self._distribution

    @property
    def sigma(self) -> float | None:
        """The standard deviation, where there is one for all numbers."""
        sigma = self._distribution.sigma
        return None if isinstance(sigma, tuple) else sigma

    def __repr__(self) -> str:
        if self.sigma is None:
            return f"Gaussian(sigma=({len(self._distribution.parameters)} numbers))"
        return f"Gaussian(sigma={self.sigma:g})"

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return `x` in `dtype`."""
        self._distribution.check_dimension(x.numel())
        return x.to(dtype)

    def blocks(
        self, shape: Sequence[int], n: int, *, generator: torch.Generator, dtype: torch.dtype
    ) -> Iterator[torch.Tensor]:
        r"""Yield `n` draws of the given shape, some draws at a time.

        A generator's stream depends on how many numbers each call asks for. The sizes of the
        calls here follow from `shape` and `n` alone, so that the draws do too.

        Parameters
        ----------
        shape : sequence of int
            Shape of one input.
        n : int
            Number of draws, at least 1.
        generator : torch.Generator
            Source of randomness; its device is that of the noise.
        dtype : torch.dtype
            float32 or float64.

        Yields
        ------
        Tensor of shape (b, \*shape)
            Overwritten by the next one: use it before asking for that.
        """
        per_block = min(max(_BLOCK_NUMBERS // math.prod(shape), 1), n)
        block = torch.empty((per_block, *shape), device=generator.device, dtype=dtype)
        one, each = self.sigma, torch.empty(0, device=generator.device)
        if one is None:
            each = torch.tensor(self._distribution.sigma, dtype=dtype, device=generator.device)
            each = each.view(tuple(shape))
        for start in range(0, n, per_block):
            draws = block[: n - start]
            if one is not None:
                yield draws.normal_(0.0, one, generator=generator)
            else:
                yield draws.normal_(generator=generator).mul_(each)

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write center + draws to `out`."""
        torch.add(center, draws, out=out)
