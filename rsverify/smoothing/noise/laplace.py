r"""Laplace noise in floating point, by inverse transform.

A word of 63 bits gives a sign and U = (M + ½)·2⁻⁶² with M of 62 bits; the noise is −λ·log U. Its
tails end at λ·63·log 2 = 43.7λ, beyond which Laplace noise lies with probability 2⁻⁶³, and it is
rounded, as is its sum with an input. So certificates are those of exact Laplace noise if the
model does not exploit rounding, as with Gaussian noise in floating point. The noise that
`rsverify.smoothing.noise.discrete` draws on a lattice is sound.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from rsverify.noise import Laplace
from rsverify.smoothing.device import has_float64
from rsverify.smoothing.noise.alias import WORD_BITS
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.noise.words import blocks_of_words


class LaplaceSampler(Sampler):
    """Laplace noise in floating point."""

    def __init__(self, distribution: Laplace) -> None:
        self._distribution = distribution

    @property
    def distribution(self) -> Laplace:
        """The noise that is approximated."""
        return self._distribution

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return `x` in `dtype`."""
        return x.to(dtype)

    def blocks(
        self, shape: Sequence[int], n: int, *, generator: torch.Generator, dtype: torch.dtype
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws of the noise."""
        wide = torch.float64 if has_float64(generator.device) else torch.float32
        for words in blocks_of_words(shape, n, generator):
            size = (words >> 1).to(wide).add_(0.5).mul_(2.0 ** (1 - WORD_BITS)).log_()
            sign = words.bitwise_and_(1).mul_(2).sub_(1)
            yield size.mul_(sign).mul_(self._distribution.scale).to(dtype)

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write center + draws to `out`."""
        torch.add(center, draws, out=out)
