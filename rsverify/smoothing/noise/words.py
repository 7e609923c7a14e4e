"""Uniform words of 63 bits, some draws at a time: what all noise in integers is made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from rsverify.smoothing.noise.alias import fill_words
from rsverify.smoothing.noise.sampler import draws_per_block


def blocks_of_words(
    shape: Sequence[int], n: int, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    r"""Yield `n` draws of words of the given shape; each block overwrites the one before.

    Yields
    ------
    Tensor of int64, shape (b, \*shape)
        Uniform on 0 … 2⁶³ − 1, if the generator's bits are.
    """
    per_block = draws_per_block(math.prod(shape), n, generator.device)
    words = torch.empty((per_block, *shape), device=generator.device, dtype=torch.int64)
    for start in range(0, n, per_block):
        yield fill_words(words[: n - start], generator)
