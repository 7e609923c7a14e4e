"""Noise in input units, drawn in blocks whose sizes do not depend on the batch size.

Gaussian noise drawn in floating point is not exactly Gaussian: its tails end (near 5.8
standard deviations for float32 on a CPU), and the sum of an input and noise is rounded, so
that its low bits tell something of the input. For classifiers built to exploit this the
certified radius can be wrong [1]_: with `Gaussian` noise, the guarantees of certificates are
stated for exact Gaussian noise. `rsverify.smoothing.discrete` has noise for which they hold
as computed.

References
----------
.. [1] Voráček and Hein, *Sound randomized smoothing in floating-point arithmetic*, ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

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


class Noise(Protocol):
    """What is added to an input: an input is centred once, then draws are added to it.

    `centre` may raise for inputs that the noise is not made for; it and `blocks` may work in
    units of their own, from which `add` returns to input units.
    """

    sigma: float
    """Standard deviation in input units."""

    @property
    def excess(self) -> float:
        """What the noise's own error adds to the failure probability of a sample."""

    def centre(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return what draws are added to: `x`, in `dtype` and the units of the draws."""

    def blocks(
        self, shape: Sequence[int], n: int, *, generator: torch.Generator, dtype: torch.dtype
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws, some at a time; a block may be overwritten by the next one."""

    def add(self, centre: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write noisy inputs, in input units, to `out`."""


class Gaussian:
    """N(0, sigma²) noise in floating point, as most software draws it."""

    excess = 0.0

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def __repr__(self) -> str:
        return f"Gaussian(sigma={self.sigma:g})"

    def centre(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return `x` in `dtype`."""
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
        for start in range(0, n, per_block):
            draws = block[: n - start]
            yield draws.normal_(0.0, self.sigma, generator=generator)

    def add(self, centre: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write centre + draws to `out`."""
        torch.add(centre, draws, out=out)
