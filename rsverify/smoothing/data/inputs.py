"""Checks of what users hand to a smoothed classifier."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from rsverify._core.check import check_integer

Input = torch.Tensor | npt.NDArray[np.floating]
Seed = int | Sequence[int] | None


def check_input(x: Input) -> torch.Tensor:
    """Return `x` as a detached tensor."""
    if not isinstance(x, torch.Tensor | np.ndarray):
        raise TypeError(f"x of type {type(x).__name__} must be a torch.Tensor or a numpy array")
    floating = x.is_floating_point() if isinstance(x, torch.Tensor) else x.dtype.kind == "f"
    if not floating:
        raise TypeError(
            f"x of dtype {x.dtype} must be floating: sigma is in the units of x, so give x in them"
        )
    if x.ndim < 1 or 0 in x.shape:
        raise ValueError(
            f"x of shape {tuple(x.shape)} must be one input, not empty, without a batch dimension"
        )
    return x.detach() if isinstance(x, torch.Tensor) else torch.tensor(x)


def check_finite(centre: torch.Tensor) -> torch.Tensor:
    """Return `centre`, or raise where it holds NaN or infinity."""
    if not bool(torch.isfinite(centre).all()):
        raise ValueError(f"x contains NaN or a value beyond {centre.dtype}; it must be finite")
    return centre


def check_size(name: str, value: int, smallest: int = 1) -> int:
    """Return `value` as int, or raise where it is not an integer of at least `smallest`."""
    size = check_integer(name, value)
    if size.ndim:
        raise ValueError(f"{name} of shape {size.shape} must be a single integer")
    if size < smallest:
        raise ValueError(f"{name}={value} must be at least {smallest}")
    return int(size)


def check_seed(seed: Seed) -> int | tuple[int, ...]:
    """Return what `SeedSequence` starts from: the seed, or fresh entropy where it is None."""
    if seed is None:
        return secrets.randbits(128)
    parts = seed if isinstance(seed, Sequence) and not isinstance(seed, str) else (seed,)
    if not parts or not all(isinstance(part, int | np.integer) for part in parts):
        raise TypeError(f"seed={seed!r} must be an integer, a sequence of integers, or None")
    if any(part < 0 for part in parts):
        raise ValueError(f"seed={seed!r} must not be negative")
    return int(seed) if isinstance(seed, int | np.integer) else tuple(int(part) for part in parts)
