"""The uniform numbers of randomized limits: given as `u`, or drawn from `seed`."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_real, check_seed, shown

SeedLike: TypeAlias = int | np.random.Generator
"""What uniform numbers are drawn from: ``numpy.random.default_rng`` takes it."""


def given_or_drawn(
    u: npt.ArrayLike | None, seed: SeedLike | None, shape: tuple[int, ...]
) -> FloatArray:
    """Return `u` checked; else one uniform number in [0, 1) for each limit of this shape."""
    check_seed("seed", seed)
    if u is None:
        return np.asarray(np.random.default_rng(seed).random(shape))
    if seed is not None:
        raise ValueError(
            f"u={shown(u)} and seed={shown(seed)} must not both be given: leave one of them out"
        )
    uniform = check_real("u", u)
    bad = ~((uniform >= 0.0) & (uniform <= 1.0))
    if bad.any():
        raise ValueError(f"u={uniform[bad].flat[0]} must be in [0, 1]")
    return uniform
