"""Noise in input units, drawn in blocks whose sizes do not depend on the batch size.

Gaussian noise drawn in floating point is not exactly Gaussian: its tails end (near 5.8
standard deviations for float32 on a CPU) and its values lie on a lattice, and for classifiers
built to exploit this the certified radius can be wrong [1]_. The guarantees of certificates
are stated for exact Gaussian noise.

References
----------
.. [1] Voráček and Hein, *Sound randomized smoothing in floating-point arithmetic*, ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch

# At most this many numbers a block (4 MB of float32), but at least one input's worth.
_BLOCK_NUMBERS = 2**20


# Each purpose draws from a stream of its own, so that one seed may serve them all: a class
# chosen by a prediction or a selection sample is independent of the estimation sample.
SELECTION, ESTIMATION, PREDICTION, COUNTS = range(4)


def seeded_generator(
    entropy: int | tuple[int, ...], stream: int, device: torch.device
) -> torch.Generator:
    """Return a generator on `device` for one of the four streams that `entropy` spawns."""
    seed = np.random.SeedSequence(entropy, spawn_key=(stream,))
    word = int(seed.generate_state(1, np.uint64)[0])
    # torch's CPU generator starts from the low 32 bits alone, so two spawned words could by
    # chance give one stream. The lowest two bits name the stream and rule that out.
    return torch.Generator(device=device).manual_seed(word & ~3 | stream)


def gaussian_blocks(
    shape: Sequence[int],
    n: int,
    sigma: float,
    *,
    generator: torch.Generator,
    dtype: torch.dtype,
) -> Iterator[torch.Tensor]:
    r"""Yield `n` draws of N(0, sigma²) noise of the given shape, some draws at a time.

    A generator's stream depends on how many numbers each call asks for. The sizes of the
    calls here follow from `shape` and `n` alone, so that the draws do too.

    Parameters
    ----------
    shape : sequence of int
        Shape of one input.
    n : int
        Number of draws, at least 1.
    sigma : float
        Standard deviation in input units.
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
    for start in range(0, n, per_block):
        draws = block[: n - start]
        yield draws.normal_(generator=generator).mul_(sigma)
